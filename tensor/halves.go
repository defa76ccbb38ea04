package tensor

// Halves are numbers of 16 bits: float16 of IEEE 754, or bfloat16, the upper half of a float32.
type Halves struct {
	Bits  []uint16
	Brain bool // bfloat16
}
