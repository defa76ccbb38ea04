package kernel

import "unsafe"

// Mapped is the bytes at an address that Windows has mapped a file to. They must not be used once it is unmapped.
func Mapped(address uintptr, size int) []byte {
	// By way of its own address: no number becomes a pointer elsewhere, and the collector owns nothing there.
	return unsafe.Slice(*(**byte)(unsafe.Pointer(&address)), size)
}
