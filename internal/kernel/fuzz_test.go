package kernel

import (
	"math/rand/v2"
	"testing"
)

// FuzzMatmul lets the fuzzer choose dimensions and strides of any meaning; only the rows of C may not overlap. Values
// come from a seed, so that the bound of the error holds.
func FuzzMatmul(f *testing.F) {
	f.Add(uint64(1), uint8(1), uint8(14), uint8(2), uint8(48), uint8(3), uint8(48), uint8(16), uint8(1), uint8(16),
		uint8(0), uint8(0))
	f.Add(uint64(2), uint8(3), uint8(16), uint8(3), uint8(28), uint8(9), uint8(16), uint8(1), uint8(32), uint8(16),
		uint8(5), uint8(7))
	f.Add(uint64(3), uint8(2), uint8(29), uint8(5), uint8(1), uint8(1), uint8(0), uint8(0), uint8(0), uint8(0), uint8(0),
		uint8(255))
	f.Fuzz(func(t *testing.T, seed uint64, bands, rows, blocks, k, runs, aBand, aRow, aCol, bRow, gap, flags uint8) {
		random := rand.New(rand.NewPCG(seed, 0))
		m := Matmul{Bands: 1 + int(bands)%3, M: 1 + int(rows)%45, Blocks: 1 + int(blocks)%5, K: 1 + int(k),
			ABand: int(aBand), ARow: int(aRow), ACol: int(aCol), BRow: int(bRow), BBlock: random.IntN(1000),
			Accumulate: flags&1 != 0, ReLU: flags&2 != 0}
		for range 1 + runs%12 {
			m.Runs = append(m.Runs, random.IntN(1000))
		}
		// Bands of blocks of rows, or blocks of bands of rows, or rows of blocks.
		space := int(gap) % 20
		m.CRow, m.CBlock, m.CBand = Block+space, m.M*(Block+space), m.Blocks*m.M*(Block+space)
		switch gap / 20 % 3 {
		case 1:
			m.CBand, m.CBlock = m.CBlock, m.Bands*m.CBlock
		case 2:
			m.CBlock, m.CRow = m.CRow, m.Blocks*m.CRow
		}
		c := newMatmulCase("fuzzed", m, flags&4 != 0, random)
		for _, s := range Sets() {
			for _, mem := range memories(t) {
				got := placed(&c.Matmul, c.M, c.Blocks, mem)
				noFault(t, func() { s.Matmul(got) }, "%s, %s", s, mem.name)
				c.want.check(t, s.Name+", "+mem.name, got, c.C)
			}
		}
	})
}

// FuzzDot lets the fuzzer choose the dimensions of a dot product.
func FuzzDot(f *testing.F) {
	f.Add(uint64(1), uint8(1), uint8(4), uint16(4096), uint8(0))
	f.Add(uint64(2), uint8(7), uint8(9), uint16(71), uint8(5))
	f.Add(uint64(3), uint8(2), uint8(3), uint16(1), uint8(2))
	f.Fuzz(func(t *testing.T, seed uint64, rows, cols uint8, depth uint16, flags uint8) {
		random := rand.New(rand.NewPCG(seed, 0))
		d := randomDot(random, 1+int(rows)%10, 1+int(cols)%20, 1+int(depth)%5000)
		d.Accumulate, d.ReLU = flags&1 != 0, flags&2 != 0
		if flags&4 != 0 {
			d.Bias = randoms(random, d.N)
		}
		c := newDotCase("fuzzed", d)
		for _, s := range Sets() {
			for _, mem := range memories(t) {
				got := placedDot(c.dot, d.M, d.N, mem)
				noFault(t, func() { s.Dot(got) }, "%s, %s", s, mem.name)
				c.check(t, s.Name+", "+mem.name, got)
			}
		}
	})
}
