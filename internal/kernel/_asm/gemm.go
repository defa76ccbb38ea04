package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Flags of a gemm tile; they must agree with package kernel's.
const (
	flagAccumulate = 1 // start from what c holds instead of the bias
	flagReLU       = 2 // store max(0, c)
)

// gemmSignature wants the type of b and, where that is another, of next beside the bias.
const gemmSignature = "(a *float32, aRow, aCol int, runs *int, nruns, k int, b *%s, bRow, bBlock int, c " +
	"*float32, cRow, cBlock int, bias%s, next *%[1]s, flags int)"

// gemm writes the tile of rows x (16*blocks) sums. All strides are in bytes, runs in elements.
func (g gen) gemm(rows, blocks int, numbers number) {
	cols := blocks * g.parts()
	name, bias := fmt.Sprintf("gemm%dx%d%s%s", rows, blocks*block, numbers.name, g.name), ""
	if numbers.bytes == 2 {
		bias = " *float32"
	}
	g.function(name, fmt.Sprintf(gemmSignature, numbers.goType, bias),
		fmt.Sprintf("%s works like %s for %d rows and %d blocks:", name, numbers.gemm, rows, blocks),
		"c[i][j] = sum over runs t and k of a[runs[t]+i*aRow+k*aCol] * b[(t*K+k)*bRow+j], from bias or c.")

	acc := make([][]reg.VecVirtual, rows)
	for i := range acc {
		acc[i] = g.vecs(cols)
	}
	g.start(acc, blocks)

	aRow, aCol := g.arg("aRow"), g.arg("aCol")
	runs, nruns := g.arg("runs"), g.arg("nruns")
	b, bRow := g.arg("b"), g.arg("bRow")
	var bBlock reg.GPVirtual
	if blocks > 1 {
		bBlock = g.arg("bBlock")
	}
	address := g.rowAddresses(rows, aRow)

	next := g.arg("next")

	g.Label("run")
	base := g.arg("a")
	g.MOVQ(Mem{Base: runs}, address.scratch)
	g.LEAQ(indexed(base, address.scratch, 4, 0), address.base)
	address.derive(g)
	k := g.arg("k")

	g.Label("step")
	weights := g.vecs(cols)
	for j, w := range weights {
		m := at(b, j%g.parts()*g.bytes*numbers.bytes/4)
		if j >= g.parts() {
			m = indexed(b, bBlock, 1, m.Disp)
		}
		numbers.load(g, m, w)
	}
	for i := range rows {
		x := g.vec()
		g.VBROADCASTSS(address.row(i), x)
		for j := range cols {
			g.VFMADD231PS(weights[j], x, acc[i][j])
		}
	}
	g.PREFETCHT1(Mem{Base: next})
	g.ADDQ(Imm(uint64(block*numbers.bytes)), next)
	g.ADDQ(bRow, b)
	address.advance(g, aCol)
	g.DECQ(k)
	g.JNE(LabelRef("step"))

	g.ADDQ(Imm(8), runs)
	g.DECQ(nruns)
	g.JNE(LabelRef("run"))

	g.finish(acc, blocks)
	g.end()
}

// start sets the accumulators to c, to the bias, or to zero.
func (g gen) start(acc [][]reg.VecVirtual, blocks int) {
	flags := g.arg("flags")
	g.TESTQ(U32(flagAccumulate), flags)
	g.JEQ(LabelRef("frombias"))
	g.eachC(len(acc), blocks, func(i, j int, m Mem) { g.VMOVUPS(m, acc[i][j]) })
	g.JMP(LabelRef("started"))

	g.Label("frombias")
	bias := g.arg("bias")
	g.TESTQ(bias, bias)
	g.JEQ(LabelRef("fromzero"))
	for j := range acc[0] {
		g.VMOVUPS(at(bias, j*g.bytes), acc[0][j])
		for i := 1; i < len(acc); i++ {
			g.VMOVAPS(acc[0][j], acc[i][j])
		}
	}
	g.JMP(LabelRef("started"))

	g.Label("fromzero")
	for i := range acc {
		for j := range acc[i] {
			g.zero(acc[i][j])
		}
	}
	g.Label("started")
}

// finish stores the accumulators, through ReLU if the flag says so. MAXPS returns its second source when either is NaN,
// so max(0, x) written in this order keeps a NaN.
func (g gen) finish(acc [][]reg.VecVirtual, blocks int) {
	flags := g.arg("flags")
	g.TESTQ(U32(flagReLU), flags)
	g.JEQ(LabelRef("store"))
	zero := g.vec()
	g.zero(zero)
	for i := range acc {
		for j := range acc[i] {
			g.VMAXPS(acc[i][j], zero, acc[i][j])
		}
	}
	g.Label("store")
	g.eachC(len(acc), blocks, func(i, j int, m Mem) { g.VMOVUPS(acc[i][j], m) })
}

func (g gen) eachC(rows, blocks int, do func(i, j int, m Mem)) {
	c, cRow := g.arg("c"), g.arg("cRow")
	var cBlock reg.GPVirtual
	if blocks > 1 {
		cBlock = g.arg("cBlock")
	}
	for i := range rows {
		for j := range blocks * g.parts() {
			m := at(c, j%g.parts()*g.bytes)
			if j >= g.parts() {
				m = indexed(c, cBlock, 1, m.Disp)
			}
			do(i, j, m)
		}
		if i < rows-1 {
			g.ADDQ(cRow, c)
		}
	}
}

// rowAddresses finds addresses for up to 14 equally spaced rows in three pointers and two strides: x86 adds an index
// scaled by 1, 2, 4 or 8 to a base, so base, base+5 rows and base+10 rows reach every row with strides r and 3r:
//
//	base: 0 1r 2r 1*3r 4r . 2*3r . 8r . . . 4*3r .     base+5: 5 . 7 . 9 . 11 . 13     base+10: 10
type rowAddresses struct {
	base, base5, base10 reg.GPVirtual
	r, r3               reg.GPVirtual
	scratch             reg.GPVirtual
	rows                int
}

func (g gen) rowAddresses(rows int, aRow reg.GPVirtual) *rowAddresses {
	a := &rowAddresses{base: g.GP64(), r: aRow, rows: rows, scratch: g.GP64()}
	if rows > 3 {
		a.r3 = g.GP64()
		g.LEAQ(indexed(aRow, aRow, 2, 0), a.r3)
	}
	if rows > 5 {
		a.base5 = g.GP64()
	}
	if rows > 10 {
		a.base10 = g.GP64()
	}
	return a
}

func (a *rowAddresses) derive(g gen) {
	if a.base5 != nil {
		g.LEAQ(indexed(a.base, a.r, 4, 0), a.base5)
		g.ADDQ(a.r, a.base5)
	}
	if a.base10 != nil {
		g.LEAQ(indexed(a.base5, a.r, 4, 0), a.base10)
		g.ADDQ(a.r, a.base10)
	}
}

func (a *rowAddresses) advance(g gen, aCol reg.GPVirtual) {
	for _, p := range []reg.GPVirtual{a.base, a.base5, a.base10} {
		if p != nil {
			g.ADDQ(aCol, p)
		}
	}
}

func (a *rowAddresses) row(i int) Mem {
	switch i {
	case 0:
		return Mem{Base: a.base}
	case 1, 2, 4, 8:
		return indexed(a.base, a.r, i, 0)
	case 3, 6, 12:
		return indexed(a.base, a.r3, i/3, 0)
	case 5:
		return Mem{Base: a.base5}
	case 7, 9, 13:
		return indexed(a.base5, a.r, i-5, 0)
	case 11:
		return indexed(a.base5, a.r3, 2, 0)
	case 10:
		return Mem{Base: a.base10}
	}
	panic(fmt.Sprintf("no address for row %d", i))
}
