package main

import (
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// number is how weights lie in memory. A vector of them is multiplied as float32.
type number struct {
	name    string // within function names
	goType  string
	generic string // the portable dot product of them
	gemm    string // the portable tile of them
	bytes   int
	load    func(g gen, from Op, to reg.VecVirtual)
}

var (
	float32s = number{"", "float32", "dotGeneric", "gemmGeneric", 4, func(g gen, from Op, to reg.VecVirtual) {
		g.VMOVUPS(from, to)
	}}
	float16s = number{"F16", "uint16", "dotHalfGeneric", "gemmHalfGeneric", 2, func(g gen, from Op, to reg.VecVirtual) {
		g.VCVTPH2PS(from, to)
	}}
	// bfloat16s are the upper halves of float32s.
	bfloat16s = number{"BF16", "uint16", "dotHalfGeneric", "", 2, func(g gen, from Op, to reg.VecVirtual) {
		g.VPMOVZXWD(from, to)
		g.VPSLLD(Imm(16), to, to)
	}}
)

// copied loads the n weights of 16 bits that are left of a row, fewer than a vector, by way of the stack: AVX2 masks no
// loads of 16 bits. n may change afterwards.
func (g gen) copied(weights number, n reg.GPVirtual) func(Mem, reg.VecVirtual) {
	slot, left, zero := g.AllocLocal(16), g.GP64(), g.XMM()
	g.VPXOR(zero, zero, zero)
	g.VMOVDQU(zero, slot)
	g.MOVQ(n, left)
	row := 0
	return func(m Mem, v reg.VecVirtual) {
		from, at, bits := g.GP64(), g.GP64(), g.GP32()
		g.LEAQ(m, from)
		g.MOVQ(left, at)
		again := label("copy%d", row)
		row++
		g.Label(again)
		g.MOVWLZX(indexed(from, at, 2, -2), bits)
		g.MOVW(bits.As16(), slot.Idx(at, 2).Offset(-2))
		g.DECQ(at)
		g.JNE(LabelRef(again))
		weights.load(g, slot, v)
	}
}

// widen: dst = src, of float16.
func (g gen) widen() {
	g.function("widen"+g.name, "(dst *float32, src *uint16, n int)", "widen"+g.name+" works like widenGeneric.")
	dst, src, n := g.arg("dst"), g.arg("src"), g.arg("n")
	g.forEachBlock(n, []reg.GPVirtual{dst}, func(part int) {
		v := g.vec()
		float16s.load(g, at(src, part*g.bytes/2), v)
		g.VMOVUPS(v, at(dst, part*g.bytes))
		if part == g.parts()-1 {
			g.ADDQ(Imm(block*2), src)
		}
	})
	g.end()
}

// narrow: dst = src in float16, to the nearest, of two as near to the even one.
func (g gen) narrow() {
	g.function("narrow"+g.name, "(dst *uint16, src *float32, n int)", "narrow"+g.name+" works like narrowGeneric.")
	dst, src, n := g.arg("dst"), g.arg("src"), g.arg("n")
	g.forEachBlock(n, []reg.GPVirtual{src}, func(part int) {
		v := g.vec()
		g.VMOVUPS(at(src, part*g.bytes), v)
		g.VCVTPS2PH(Imm(0), v, at(dst, part*g.bytes/2))
		if part == g.parts()-1 {
			g.ADDQ(Imm(block*2), dst)
		}
	})
	g.end()
}
