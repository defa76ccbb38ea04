package kernel

import (
	"encoding/binary"
	"unsafe"
)

// Float32s views little-endian float32 bytes as a slice that shares their memory. It reports false, and the caller
// converts, where that cannot be done: an address that is not a multiple of 4, a length that is not, or a big-endian
// machine.
func Float32s(b []byte) ([]float32, bool) { return view[float32](b) }

// Uint16s is Float32s for numbers of 16 bits.
func Uint16s(b []byte) ([]uint16, bool) { return view[uint16](b) }

func view[T float32 | uint16](b []byte) ([]T, bool) {
	size := int(unsafe.Sizeof(*new(T)))
	if len(b)%size != 0 || binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		return nil, false
	}
	if len(b) == 0 {
		return nil, true
	}
	first := unsafe.Pointer(unsafe.SliceData(b))
	if uintptr(first)%uintptr(size) != 0 {
		return nil, false
	}
	return unsafe.Slice((*T)(first), len(b)/size), true
}

// Place is where in memory b begins, from the beginning of all; ok is false where it does not lie within all.
func Place(b, all []byte) (offset int, ok bool) {
	from := uintptr(unsafe.Pointer(unsafe.SliceData(b))) - uintptr(unsafe.Pointer(unsafe.SliceData(all)))
	if from > uintptr(len(all)) || uintptr(len(b)) > uintptr(len(all))-from {
		return 0, false
	}
	return int(from), true
}
