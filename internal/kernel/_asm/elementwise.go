package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Element-wise kernels take n, a count of blocks of 16 floats. Callers keep buffers padded to whole blocks.

// forEachBlock runs body once per block; body addresses its vectors at part*bytes from the pointers, which then
// advance.
func (g gen) forEachBlock(n reg.GPVirtual, pointers []reg.GPVirtual, body func(part int)) {
	g.TESTQ(n, n)
	g.JEQ(LabelRef("done"))
	g.Label("blocks")
	for part := range g.parts() {
		body(part)
	}
	for _, p := range pointers {
		g.ADDQ(Imm(block*4), p)
	}
	g.DECQ(n)
	g.JNE(LabelRef("blocks"))
	g.Label("done")
}

// relu: dst = max(0, src), NaN kept.
func (g gen) relu() {
	g.function("relu"+g.name, "(dst, src *float32, n int)", "relu"+g.name+" works like reluGeneric.")
	dst, src, n := g.arg("dst"), g.arg("src"), g.arg("n")
	zero := g.vec()
	g.zero(zero)
	g.forEachBlock(n, []reg.GPVirtual{dst, src}, func(part int) {
		x := g.vec()
		g.VMAXPS(at(src, part*g.bytes), zero, x)
		g.VMOVUPS(x, at(dst, part*g.bytes))
	})
	g.end()
}

// Comparison predicates of VCMPPS.
const (
	unordered   = 3    // either is NaN
	notLessOrEq = 0x16 // NLE_UQ: true for NaN, no signal
	equal       = 0    // EQ_OQ
	notEqual    = 4    // NEQ_UQ: true for NaN
	ordered     = 7    // neither is NaN
)

// reluGrad: grad = 0 where y <= 0; a NaN in y lets the gradient through, as PyTorch's threshold does.
func (g gen) reluGrad() {
	g.function("reluGrad"+g.name, "(grad, y *float32, n int)", "reluGrad"+g.name+" works like reluGradGeneric.")
	grad, y, n := g.arg("grad"), g.arg("y"), g.arg("n")
	zero := g.vec()
	g.zero(zero)
	g.forEachBlock(n, []reg.GPVirtual{grad, y}, func(part int) {
		v := g.vec()
		g.VMOVUPS(at(y, part*g.bytes), v)
		if g.bytes == 64 {
			k, d := g.K(), g.vec()
			g.VCMPPS(Imm(notLessOrEq), zero, v, k)
			g.VMOVUPS_Z(at(grad, part*g.bytes), k, d)
			g.VMOVUPS(d, at(grad, part*g.bytes))
			return
		}
		m := g.vec()
		g.VCMPPS(Imm(notLessOrEq), zero, v, m)
		g.VANDPS(at(grad, part*g.bytes), m, m)
		g.VMOVUPS(m, at(grad, part*g.bytes))
	})
	g.end()
}

// axpy: y += alpha*x.
func (g gen) axpy() {
	g.function("axpy"+g.name, "(y, x *float32, n int, alpha float32)", "axpy"+g.name+" works like axpyGeneric.")
	y, x, n := g.arg("y"), g.arg("x"), g.arg("n")
	alpha := g.vec()
	g.broadcastArg("alpha", alpha)
	g.forEachBlock(n, []reg.GPVirtual{y, x}, func(part int) {
		v := g.vec()
		g.VMOVUPS(at(y, part*g.bytes), v)
		g.VFMADD231PS(at(x, part*g.bytes), alpha, v)
		g.VMOVUPS(v, at(y, part*g.bytes))
	})
	g.end()
}

// mulAdd: y += a*b.
func (g gen) mulAdd() {
	g.function("mulAdd"+g.name, "(y, a, b *float32, n int)", "mulAdd"+g.name+" works like mulAddGeneric.")
	y, a, b, n := g.arg("y"), g.arg("a"), g.arg("b"), g.arg("n")
	g.forEachBlock(n, []reg.GPVirtual{y, a, b}, func(part int) {
		v, x := g.vec(), g.vec()
		g.VMOVUPS(at(y, part*g.bytes), v)
		g.VMOVUPS(at(a, part*g.bytes), x)
		g.VFMADD231PS(at(b, part*g.bytes), x, v)
		g.VMOVUPS(v, at(y, part*g.bytes))
	})
	g.end()
}

func (g gen) broadcastArg(name string, v reg.VecVirtual) {
	p, err := g.Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	g.VBROADCASTSS(p.Addr, v)
}

// scaleShift: dst = src*scale + shift by channel, through ReLU if flagged.
func (g gen) scaleShift() {
	g.function("scaleShift"+g.name, "(dst, src, scale, shift *float32, n, flags int)", "scaleShift"+g.name+
		" works like scaleShiftGeneric.")
	dst, src, n := g.arg("dst"), g.arg("src"), g.arg("n")
	scale, shift := g.vecs(g.parts()), g.vecs(g.parts())
	s, t := g.arg("scale"), g.arg("shift")
	for part := range g.parts() {
		g.VMOVUPS(at(s, part*g.bytes), scale[part])
		g.VMOVUPS(at(t, part*g.bytes), shift[part])
	}
	floor := g.floor()
	g.forEachBlock(n, []reg.GPVirtual{dst, src}, func(part int) {
		v := g.vec()
		g.VMOVUPS(at(src, part*g.bytes), v)
		g.VFMADD213PS(shift[part], scale[part], v)
		g.VMAXPS(v, floor, v)
		g.VMOVUPS(v, at(dst, part*g.bytes))
	})
	g.end()
}

// floor is what a function with flags takes the maximum with: 0 for ReLU, else -Inf, for max(-Inf, x) is x, NaN
// included.
func (g gen) floor() reg.VecVirtual {
	floor, flags, bits := g.vec(), g.arg("flags"), g.GP32()
	g.XORL(bits, bits)
	g.TESTQ(U32(flagReLU), flags)
	g.JNE(LabelRef("floor"))
	g.MOVL(U32(0xff800000), bits)
	g.Label("floor")
	low := g.XMM()
	g.VMOVD(bits, low)
	g.VBROADCASTSS(low, floor)
	return floor
}

// sumLanes: sum += src by channel.
func (g gen) sumLanes() {
	g.function("sumLanes"+g.name, "(sum, src *float32, n int)", "sumLanes"+g.name+" works like sumLanesGeneric.")
	sum, src, n := g.arg("sum"), g.arg("src"), g.arg("n")
	acc := g.vecs(g.parts())
	for part := range acc {
		g.VMOVUPS(at(sum, part*g.bytes), acc[part])
	}
	g.forEachBlock(n, []reg.GPVirtual{src}, func(part int) { g.VADDPS(at(src, part*g.bytes), acc[part], acc[part]) })
	for part := range acc {
		g.VMOVUPS(acc[part], at(sum, part*g.bytes))
	}
	g.end()
}

// dotLanes: sum += a*b by channel.
func (g gen) dotLanes() {
	g.function("dotLanes"+g.name, "(sum, a, b *float32, n int)", "dotLanes"+g.name+" works like dotLanesGeneric.")
	sum, a, b, n := g.arg("sum"), g.arg("a"), g.arg("b"), g.arg("n")
	acc := g.vecs(g.parts())
	for part := range acc {
		g.VMOVUPS(at(sum, part*g.bytes), acc[part])
	}
	g.forEachBlock(n, []reg.GPVirtual{a, b}, func(part int) {
		v := g.vec()
		g.VMOVUPS(at(a, part*g.bytes), v)
		g.VFMADD231PS(at(b, part*g.bytes), v, acc[part])
	})
	for part := range acc {
		g.VMOVUPS(acc[part], at(sum, part*g.bytes))
	}
	g.end()
}

// peak: 12 (AVX2) or 24 (AVX-512) independent multiply-adds per step: the machine's arithmetic limit.
func (g gen) peak() {
	chains := 12
	if g.bytes == 64 {
		chains = 24
	}
	g.function("peak"+g.name, "(steps int)",
		fmt.Sprintf("peak%s runs steps times %d independent multiply-adds of %d lanes.", g.name, chains, g.bytes/4))
	steps := g.arg("steps")
	acc, x := g.vecs(chains), g.vec()
	for _, v := range append(acc, x) {
		g.zero(v)
	}
	g.Label("step")
	for _, v := range acc {
		g.VFMADD231PS(x, x, v)
	}
	g.DECQ(steps)
	g.JNE(LabelRef("step"))
	g.end()
}

// read: loads n blocks, for the memory bandwidth limit.
func (g gen) read() {
	g.function("read"+g.name, "(src *float32, n int)", "read"+g.name+" loads n blocks of 16 floats and adds them up; the "+
		"sum is dropped.")
	src, n := g.arg("src"), g.arg("n")
	acc := g.vecs(g.parts())
	for _, v := range acc {
		g.zero(v)
	}
	g.forEachBlock(n, []reg.GPVirtual{src}, func(part int) { g.VADDPS(at(src, part*g.bytes), acc[part], acc[part]) })
	g.end()
}
