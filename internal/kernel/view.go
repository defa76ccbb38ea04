package kernel

import (
	"encoding/binary"
	"unsafe"
)

// Float32s views little-endian float32 bytes as a slice that shares their memory. It reports false, and the caller
// converts, where that cannot be done: an address that is not a multiple of 4, a length that is not, or a big-endian
// machine.
func Float32s(b []byte) ([]float32, bool) {
	if len(b)%4 != 0 || binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		return nil, false
	}
	if len(b) == 0 {
		return nil, true
	}
	first := unsafe.Pointer(unsafe.SliceData(b))
	if uintptr(first)%unsafe.Alignof(float32(0)) != 0 {
		return nil, false
	}
	return unsafe.Slice((*float32)(first), len(b)/4), true
}
