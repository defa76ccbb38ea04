package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

const dotSignature = "(a *float32, aRow int, b *%s, bRow, k int, c *float32, cRow int, bias *float32, flags int)"

// dot writes the tile c[rows][cols] = sum over k of a[i][k]*b[j][k]: both operands are read along k, so that a linear
// layer's weights are used where they lie, without packing. cols is 4 or 1.
func (g gen) dot(rows, cols int, weights number) {
	name := fmt.Sprintf("dot%dx%d%s%s", rows, cols, weights.name, g.name)
	g.function(name, fmt.Sprintf(dotSignature, weights.goType),
		fmt.Sprintf("%s works like %s for %d rows and %d columns:", name, weights.generic, rows, cols),
		"c[i][j] = sum over k of a[i][k]*b[j][k], plus bias[j] or c[i][j].")
	acc := make([][]reg.VecVirtual, rows)
	for i := range acc {
		acc[i] = g.vecs(cols)
		for _, v := range acc[i] {
			g.zero(v)
		}
	}
	a, aRow, b, bRow, k := g.arg("a"), g.arg("aRow"), g.arg("b"), g.arg("bRow"), g.arg("k")
	bRow3 := g.GP64()
	if cols > 3 {
		g.LEAQ(indexed(bRow, bRow, 2, 0), bRow3)
	}
	address := func(base, r, r3 reg.GPVirtual, i int) Mem {
		switch i {
		case 0:
			return Mem{Base: base}
		case 3:
			return indexed(base, r3, 1, 0)
		}
		return indexed(base, r, i, 0)
	}
	// step keeps the rows of a in registers; the masked step reloads them, to leave a register for the mask.
	step := func() {
		x := g.vecs(rows)
		for i := range rows {
			g.VMOVUPS(address(a, aRow, nil, i), x[i])
		}
		for j := range cols {
			w := g.vec()
			weights.load(g, address(b, bRow, bRow3, j), w)
			for i := range rows {
				g.VFMADD231PS(x[i], w, acc[i][j])
			}
		}
	}
	masked := func(load func(Mem, reg.VecVirtual), loadWeights func(Mem, reg.VecVirtual)) {
		for j := range cols {
			w := g.vec()
			loadWeights(address(b, bRow, bRow3, j), w)
			for i := range rows {
				x := g.vec()
				load(address(a, aRow, nil, i), x)
				g.VFMADD231PS(x, w, acc[i][j])
			}
		}
	}
	lanes := g.bytes / 4

	g.SUBQ(Imm(uint64(lanes)), k)
	g.JLT(LabelRef("tail"))
	g.Label("step")
	step()
	g.ADDQ(Imm(uint64(g.bytes)), a)
	g.ADDQ(Imm(uint64(lanes*weights.bytes)), b)
	g.SUBQ(Imm(uint64(lanes)), k)
	g.JGE(LabelRef("step"))

	g.Label("tail")
	g.ADDQ(Imm(uint64(lanes)), k)
	g.JEQ(LabelRef("sum"))
	if g.bytes == 64 {
		mask, bits := g.K(), g.GP64()
		ones := g.GP64()
		g.MOVQ(I32(-1), ones)
		g.BZHIQ(k, ones, bits)
		g.KMOVW(bits.As32(), mask)
		load := func(m Mem, v reg.VecVirtual) { g.VMOVUPS_Z(m, mask, v) }
		if weights.bytes == 4 {
			masked(load, load)
		} else {
			masked(load, func(m Mem, v reg.VecVirtual) {
				bits := g.YMM()
				g.VMOVDQU16_Z(m, mask, bits)
				weights.load(g, bits, v)
			})
		}
	} else {
		loadWeights := func(Mem, reg.VecVirtual) {}
		if weights.bytes == 2 {
			loadWeights = g.copied(weights, k)
		}
		// The mask for n lanes starts n words before the zeros of eight ones followed by eight zeros.
		table, mask := g.GP64(), g.YMM()
		g.LEAQ(g.laneMask(), table)
		g.NEGQ(k)
		g.VMOVUPS(indexed(table, k, 4, 32), mask)
		load := func(m Mem, v reg.VecVirtual) { g.VMASKMOVPS(m, mask, v) }
		if weights.bytes == 4 {
			loadWeights = load
		}
		masked(load, loadWeights)
	}

	g.Label("sum")
	c, cRow, bias, flags := g.arg("c"), g.arg("cRow"), g.arg("bias"), g.arg("flags")
	for i := range rows {
		var halves []reg.VecVirtual // xmm sums
		for j := range cols {
			halves = append(halves, g.toXMM(acc[i][j]))
		}
		sum := halves[0]
		if cols == 4 {
			g.VHADDPS(halves[1], halves[0], halves[0])
			g.VHADDPS(halves[3], halves[2], halves[2])
			g.VHADDPS(halves[2], halves[0], halves[0])
		} else {
			g.VHADDPS(sum, sum, sum)
			g.VHADDPS(sum, sum, sum)
		}
		add := func(m Mem) {
			if cols == 4 {
				g.VADDPS(m, sum, sum)
			} else {
				g.VADDSS(m, sum, sum)
			}
		}
		g.TESTQ(U32(flagAccumulate), flags)
		g.JEQ(LabelRef(label("bias%d", i)))
		add(Mem{Base: c})
		g.JMP(LabelRef(label("relu%d", i)))
		g.Label(label("bias%d", i))
		g.TESTQ(bias, bias)
		g.JEQ(LabelRef(label("relu%d", i)))
		add(Mem{Base: bias})
		g.Label(label("relu%d", i))
		g.TESTQ(U32(flagReLU), flags)
		g.JEQ(LabelRef(label("store%d", i)))
		zero := g.XMM()
		g.VXORPS(zero, zero, zero)
		g.VMAXPS(sum, zero, sum)
		g.Label(label("store%d", i))
		if cols == 4 {
			g.VMOVUPS(sum, Mem{Base: c})
		} else {
			g.VMOVSS(sum, Mem{Base: c})
		}
		if i < rows-1 {
			g.ADDQ(cRow, c)
		}
	}
	g.end()
}

// toXMM adds the quarters (or halves) of a vector into an XMM register.
func (g gen) toXMM(v reg.VecVirtual) reg.VecVirtual {
	half := g.YMM()
	if g.bytes == 64 {
		upper := g.YMM()
		g.VEXTRACTF64X4(Imm(1), v, upper)
		g.VADDPS(upper, v.AsY(), half)
	} else {
		g.VMOVAPS(v, half)
	}
	sum, upper := g.XMM(), g.XMM()
	g.VEXTRACTF128(Imm(1), half, upper)
	g.VADDPS(upper, half.AsX(), sum)
	return sum
}

// laneMask is a table of eight words of ones followed by eight of zeros.
func (g gen) laneMask() Mem { return NewDataAddr(NewStaticSymbol("laneMask"), 0) }

func (g gen) laneMaskTable() {
	g.StaticGlobal("laneMask")
	g.DataAttributes(8 | 16) // RODATA | NOPTR
	for i := range 16 {
		v := uint32(0xffffffff)
		if i >= 8 {
			v = 0
		}
		g.AddDatum(4*i, U32(v))
	}
}
