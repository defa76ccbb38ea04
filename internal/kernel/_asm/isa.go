package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// block is the number of channels that lie side by side in a blocked feature map, on every instruction set: 64 bytes.
const block = 16

// isa is what differs between the vector instruction sets; every kernel is one program with an isa as its parameter.
type isa struct {
	name  string // as in function names
	bytes int    // in a vector register
}

var (
	avx2   = isa{"AVX2", 32}
	avx512 = isa{"AVX512", 64}
)

// gen is one generated file.
type gen struct {
	*build.Context
	isa
	data map[string]bool // constants in memory
}

func (g gen) vec() reg.VecVirtual {
	if g.bytes == 64 {
		return g.ZMM()
	}
	return g.YMM()
}

func (g gen) vecs(n int) []reg.VecVirtual {
	v := make([]reg.VecVirtual, n)
	for i := range v {
		v[i] = g.vec()
	}
	return v
}

// parts is the number of vectors in a block of 16 channels.
func (g gen) parts() int { return block * 4 / g.bytes }

// zero clears v. VXORPS on ZMM needs AVX512DQ; VPXORD is in AVX512F.
func (g gen) zero(v reg.VecVirtual) {
	if g.bytes == 64 {
		g.VPXORD(v, v, v)
		return
	}
	g.VXORPS(v, v, v)
}

// function starts a NOSPLIT function whose doc is its loop.
func (g gen) function(name, signature string, doc ...string) {
	g.Function(name)
	g.Attributes(4) // NOSPLIT
	g.SignatureExpr("func" + signature)
	g.Doc(doc...)
	g.Pragma("noescape")
}

// end leaves the function; VZEROUPPER spares SSE code the transition penalty.
func (g gen) end() {
	g.VZEROUPPER()
	g.RET()
}

func (g gen) arg(name string) reg.GPVirtual {
	return g.Load(g.Param(name), g.GP64()).(reg.GPVirtual)
}

func at(base reg.Register, disp int) operand.Mem { return operand.Mem{Base: base, Disp: disp} }

func indexed(base, index reg.Register, scale, disp int) operand.Mem {
	return operand.Mem{Base: base, Index: index, Scale: uint8(scale), Disp: disp}
}

func label(format string, args ...any) string { return fmt.Sprintf(format, args...) }
