package main

import (
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// maxPool: one row of output pixels of 16 channels. taps are byte offsets from src to each pixel of the window.
// A NaN in the window is the result: MAXPS(acc, x) gives x when either is NaN, and where acc already was NaN it is put
// back.
func (g gen) maxPool() {
	g.function("maxPool"+g.name, "(dst, src *float32, stride int, taps *int, ntaps, n int)", "maxPool"+g.name+
		" works like maxPoolGeneric.")
	dst, src, stride := g.arg("dst"), g.arg("src"), g.arg("stride")
	taps, ntaps, n := g.arg("taps"), g.arg("ntaps"), g.arg("n")
	acc := g.vecs(g.parts())
	tap, i := g.GP64(), g.GP64()

	g.Label("pixel")
	g.MOVQ(Mem{Base: taps}, tap)
	for part, v := range acc {
		g.VMOVUPS(indexed(src, tap, 1, part*g.bytes), v)
	}
	g.MOVQ(ntaps, i)
	g.DECQ(i)
	g.JEQ(LabelRef("store"))
	g.Label("tap")
	// Taps are walked from the last to the second; the maximum does not depend on the order.
	g.MOVQ(indexed(taps, i, 8, 0), tap)
	for part, v := range acc {
		x := g.vec()
		g.VMOVUPS(indexed(src, tap, 1, part*g.bytes), x)
		if g.bytes == 64 {
			nan := g.K()
			g.VCMPPS(Imm(unordered), v, v, nan)
			m := g.vec()
			g.VMAXPS(x, v, m)
			g.VMOVAPS(v, nan, m)
			g.VMOVAPS(m, v)
			continue
		}
		nan, m := g.vec(), g.vec()
		g.VCMPPS(Imm(unordered), v, v, nan)
		g.VMAXPS(x, v, m)
		g.VBLENDVPS(nan, v, m, v)
	}
	g.DECQ(i)
	g.JNE(LabelRef("tap"))
	g.Label("store")
	for part, v := range acc {
		g.VMOVUPS(v, at(dst, part*g.bytes))
	}
	g.ADDQ(Imm(block*4), dst)
	g.ADDQ(stride, src)
	g.DECQ(n)
	g.JNE(LabelRef("pixel"))
	g.end()
}

// maxPoolGrad: the gradient of each output pixel goes to the first pixel of its window, in scan order, that equals the
// maximum (or is NaN where the maximum is NaN).
func (g gen) maxPoolGrad() {
	g.function("maxPoolGrad"+g.name, "(dx, x, y, dy *float32, stride int, taps *int, ntaps, n int)", "maxPoolGrad"+g.name+
		" works like maxPoolGradGeneric.")
	dx, x, y, dy := g.arg("dx"), g.arg("x"), g.arg("y"), g.arg("dy")
	stride, taps, ntaps, n := g.arg("stride"), g.arg("taps"), g.arg("ntaps"), g.arg("n")
	tap, i := g.GP64(), g.GP64()
	top, left := g.vecs(g.parts()), g.vecs(g.parts()) // the maximum; the gradient not yet given away

	g.Label("pixel")
	for part := range g.parts() {
		g.VMOVUPS(at(y, part*g.bytes), top[part])
		g.VMOVUPS(at(dy, part*g.bytes), left[part])
	}
	g.XORQ(i, i)
	g.Label("tap")
	g.MOVQ(indexed(taps, i, 8, 0), tap)
	for part := range g.parts() {
		g.giveGrad(indexed(x, tap, 1, part*g.bytes), indexed(dx, tap, 1, part*g.bytes), top[part], left[part])
	}
	g.INCQ(i)
	g.CMPQ(i, ntaps)
	g.JNE(LabelRef("tap"))
	g.ADDQ(Imm(block*4), y)
	g.ADDQ(Imm(block*4), dy)
	g.ADDQ(stride, x)
	g.ADDQ(stride, dx)
	g.DECQ(n)
	g.JNE(LabelRef("pixel"))
	g.end()
}

// giveGrad moves what is left of the gradient to dx in the lanes where x is the maximum.
func (g gen) giveGrad(x, dx Mem, top, left reg.VecVirtual) {
	v, d := g.vec(), g.vec()
	g.VMOVUPS(x, v)
	if g.bytes == 64 {
		hit, nanX, nanTop := g.K(), g.K(), g.K()
		g.VCMPPS(Imm(equal), top, v, hit)
		g.VCMPPS(Imm(unordered), v, v, nanX)
		g.VCMPPS(Imm(unordered), top, top, nanTop)
		g.KANDW(nanX, nanTop, nanX)
		g.KORW(nanX, hit, hit)
		g.VMOVAPS_Z(left, hit, d)
		g.VADDPS(dx, d, d)
		g.VMOVUPS(d, dx)
		g.VPXORD(left, left, hit, left)
		return
	}
	hit, nanX, nanTop := g.vec(), g.vec(), g.vec()
	g.VCMPPS(Imm(equal), top, v, hit)
	g.VCMPPS(Imm(unordered), v, v, nanX)
	g.VCMPPS(Imm(unordered), top, top, nanTop)
	g.VANDPS(nanX, nanTop, nanX)
	g.VORPS(nanX, hit, hit)
	g.VANDPS(left, hit, d)
	g.VADDPS(dx, d, d)
	g.VMOVUPS(d, dx)
	g.VANDNPS(left, hit, left)
}

// winners: which pixel of its 2x2 window each maximum is of, the first, in scan order, that equals it or is NaN. It is
// the number of pixels that come before: those that are a number, which is not the maximum, and have none but such
// before them. Where a pixel is NaN the maximum is. Both halves of a block are told, in dwords, and packed to bytes.
func (g gen) winners() {
	g.function("winners"+g.name, "(winners *uint8, y, x *float32, row, n int)", "winners"+g.name+
		" works like winnersGeneric.")
	winners, y, x, row, n := g.arg("winners"), g.arg("y"), g.arg("x"), g.arg("row"), g.arg("n")
	zero := g.vec()
	g.zero(zero)

	g.Label("pixel")
	words := make([]reg.VecVirtual, g.parts())
	for part := range words {
		top, winner, before := g.vec(), g.vec(), g.vec()
		g.VMOVUPS(at(y, part*g.bytes), top)
		for k, tap := range []Mem{
			at(x, part*g.bytes), at(x, block*4+part*g.bytes), indexed(x, row, 1, part*g.bytes),
		} {
			v, number, miss := g.vec(), g.vec(), g.vec()
			g.VMOVUPS(tap, v)
			g.VCMPPS(Imm(ordered), v, v, number)
			g.VCMPPS(Imm(notEqual), top, v, miss)
			g.VANDPS(number, miss, miss)
			if k == 0 {
				g.VMOVAPS(miss, before)
				g.VPSUBD(before, zero, winner)
				continue
			}
			g.VANDPS(miss, before, before)
			g.VPSUBD(before, winner, winner)
		}
		high, packed := g.XMM(), g.XMM()
		g.VEXTRACTI128(Imm(1), winner, high)
		g.VPACKSSDW(high, winner.AsX(), packed)
		words[part] = packed
	}
	told := g.XMM()
	g.VPACKSSWB(words[1], words[0], told)
	g.VMOVDQU(told, at(winners, 0))
	g.ADDQ(Imm(block), winners)
	g.ADDQ(Imm(block*4), y)
	g.ADDQ(Imm(2*block*4), x)
	g.DECQ(n)
	g.JNE(LabelRef("pixel"))
	g.end()
}

// unpool: each value to its winner, zeros to the others. It is added to zero, as maxPoolGrad does.
func (g gen) unpool() {
	g.function("unpool"+g.name, "(dx *float32, row int, dy *float32, winners *uint8, n int)", "unpool"+g.name+
		" works like unpoolGeneric.")
	dx, row, dy, winners, n := g.arg("dx"), g.arg("row"), g.arg("dy"), g.arg("winners"), g.arg("n")
	zero, minusOne := g.vec(), g.vec()
	g.zero(zero)
	g.VPCMPEQD(minusOne, minusOne, minusOne)

	g.Label("pixel")
	for part := range g.parts() {
		grad, winner := g.vec(), g.vec()
		g.VMOVUPS(at(dy, part*g.bytes), grad)
		g.VPMOVZXBD(at(winners, part*g.bytes/4), winner)
		for k, tap := range []Mem{
			at(dx, part*g.bytes), at(dx, block*4+part*g.bytes),
			indexed(dx, row, 1, part*g.bytes), indexed(dx, row, 1, block*4+part*g.bytes),
		} {
			if k > 0 {
				g.VPADDD(minusOne, winner, winner)
			}
			hit := g.vec()
			g.VPCMPEQD(zero, winner, hit)
			g.VANDPS(grad, hit, hit)
			g.VADDPS(zero, hit, hit)
			g.VMOVUPS(hit, tap)
		}
	}
	g.ADDQ(Imm(block), winners)
	g.ADDQ(Imm(block*4), dy)
	g.ADDQ(Imm(2*block*4), dx)
	g.DECQ(n)
	g.JNE(LabelRef("pixel"))
	g.end()
}
