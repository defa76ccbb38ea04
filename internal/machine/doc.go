// Package machine asks the operating system about the processor and its memory.
package machine
