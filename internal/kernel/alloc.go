package kernel

import "unsafe"

const hugePage = 2 << 20

// Alloc returns n zeroed floats. The first is 64-byte aligned, so that a block of 16 never straddles cache lines, and
// on Linux the 2 MB pages wholly inside are advised to be huge: a convolution strides across more 4 KB pages than the
// TLB holds.
func Alloc(n int) []float32 {
	s := make([]float32, n+Block-1)
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(s)))%(4*Block)) / 4
	s = s[skip : skip+n : skip+n]
	adviseHuge(s)
	return s
}

// AllocHalves is Alloc for numbers of 16 bits.
func AllocHalves(n int) []uint16 {
	s := Alloc((n + 1) / 2)
	return unsafe.Slice((*uint16)(unsafe.Pointer(unsafe.SliceData(s))), n)
}

// hugePages is the part of s that whole huge pages cover, as bytes; nil if there is none.
func hugePages(s []float32) []byte {
	b := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), 4*len(s))
	first := int(-uintptr(unsafe.Pointer(unsafe.SliceData(b))) % hugePage)
	if first+hugePage > len(b) {
		return nil
	}
	return b[first : first+(len(b)-first)&^(hugePage-1)]
}
