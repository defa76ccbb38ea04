//go:build !windows && (!unix || aix || solaris)

package hub

// diskFull is not told apart there.
var diskFull []error
