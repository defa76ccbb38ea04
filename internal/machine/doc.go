// Package machine asks the operating system about the processor and its memory. What a system is not asked, or does not
// tell, is 0. Linux has been seen; what is asked of others follows their documentation and is not measured.
package machine
