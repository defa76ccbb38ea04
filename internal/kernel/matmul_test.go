package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// expected is what C should hold, by float64 arithmetic.
type expected struct {
	value, bound []float64 // |c - value| <= bound
	written      []bool    // false: an element between the rows, which keeps its value
}

// gamma bounds the relative error of n roundings to float32 (Higham, Accuracy and Stability of Numerical Algorithms,
// §3.1).
func gamma(n int) float64 {
	nu := float64(n) / (1 << 24)
	return nu / (1 - nu)
}

// within reports whether got is as close to want as bound says; NaN and Inf must be met exactly.
func within(got float32, want, bound float64) bool {
	switch {
	case math.IsNaN(want):
		return got != got
	case math.Abs(want) > math.MaxFloat32:
		return math.IsInf(float64(got), int(math.Copysign(1, want)))
	}
	return math.Abs(float64(got)-want) <= bound
}

// eachOutput visits the elements that m writes: the index in C of column j of block n of row i of band r.
func eachOutput(m *Matmul, do func(at, r, i, n, j int)) {
	for r := range m.Bands {
		for i := range m.M {
			for n := range m.Blocks {
				for j := range Block {
					do(r*m.CBand+i*m.CRow+n*m.CBlock+j, r, i, n, j)
				}
			}
		}
	}
}

// reference works out Matmul's formula in float64. An element passes through one rounding for each product and each
// sum, so its error is at most gamma(K+1) times the sum of magnitudes.
func reference(m *Matmul) expected {
	want := expected{make([]float64, len(m.C)), make([]float64, len(m.C)), make([]bool, len(m.C))}
	depth := len(m.Runs) * m.K
	eachOutput(m, func(at, r, i, n, j int) {
		var sum float64
		switch {
		case m.Accumulate:
			sum = float64(m.C[at])
		case m.Bias != nil:
			sum = float64(m.Bias[n*Block+j])
		}
		magnitude := math.Abs(sum)
		for t, run := range m.Runs {
			for k := range m.K {
				product := float64(m.A[run+r*m.ABand+i*m.ARow+k*m.ACol]) * float64(m.B[n*m.BBlock+(t*m.K+k)*m.BRow+j])
				sum += product
				magnitude += math.Abs(product)
			}
		}
		if m.ReLU && sum < 0 {
			sum = 0
		}
		want.value[at], want.bound[at], want.written[at] = sum, gamma(depth+1)*magnitude, true
	})
	return want
}

// check compares what a Matmul left in its C with what C held before and with want.
func (want expected) check(t testing.TB, name string, m *Matmul, before []float32) {
	t.Helper()
	written := make([]bool, len(m.C))
	eachOutput(m, func(at, r, i, n, j int) {
		written[at] = true
		if got := m.C[at]; !within(got, want.value[at], want.bound[at]) {
			t.Fatalf("%s: band %d, row %d, block %d, column %d: got %v, want %v within %.2g", name, r, i, n, j, got,
				want.value[at], want.bound[at])
		}
	})
	for at, ours := range written {
		if !ours && m.C[at] != before[at] {
			t.Fatalf("%s: C[%d] lies between rows, and %v was overwritten with %v", name, at, before[at], m.C[at])
		}
	}
}

// fill gives m operands just long enough for its strides, with values from -1 to 1.
func fill(m *Matmul, random *rand.Rand) {
	last := 0
	for _, run := range m.Runs {
		last = max(last, run)
	}
	m.A = randoms(random, last+(m.Bands-1)*m.ABand+(m.M-1)*m.ARow+(m.K-1)*m.ACol+1)
	m.B = randoms(random, (m.Blocks-1)*m.BBlock+(len(m.Runs)*m.K-1)*m.BRow+Block)
	m.C = randoms(random, outputs(m))
}

// outputs is the length of C up to the last element written.
func outputs(m *Matmul) int {
	return (m.Bands-1)*m.CBand + (m.M-1)*m.CRow + (m.Blocks-1)*m.CBlock + Block
}

func randoms(random *rand.Rand, n int) []float32 {
	values := make([]float32, n)
	for i := range values {
		values[i] = random.Float32()*2 - 1
	}
	return values
}

// placed copies the operands of m that a product of so many rows and blocks touches, each to exactly as much memory.
func placed(m *Matmul, rows, blocks int, mem memory) *Matmul {
	p := *m
	p.M, p.Blocks = rows, blocks
	p.A = place(mem, 0, m.A[:len(m.A)-(m.M-rows)*m.ARow])
	p.B = place(mem, 1, m.B[:len(m.B)-(m.Blocks-blocks)*m.BBlock])
	p.C = place(mem, 2, m.C[:outputs(&p)])
	p.Runs = place(mem, 3, m.Runs)
	if m.Bias != nil {
		p.Bias = place(mem, 4, m.Bias[:blocks*Block])
	}
	return &p
}

// layouts are the ways in which convolution and linear layers address a Matmul.
var layouts = []struct {
	name string
	make func(rows, blocks int) Matmul
}{
	{"product, B packed", func(rows, blocks int) Matmul {
		const k, runs = 7, 2
		return Matmul{Bands: 1, M: rows, Blocks: blocks, K: k, Runs: []int{0, k}, ARow: k * runs, ACol: 1,
			BRow: Block, BBlock: k * runs * Block, CRow: blocks * Block, CBlock: Block}
	}},
	{"product, all rows padded", func(rows, blocks int) Matmul {
		const k = 13
		return Matmul{Bands: 1, M: rows, Blocks: blocks, K: k, Runs: []int{2}, ARow: k + 3, ACol: 1,
			BRow: blocks*Block + 5, BBlock: Block, CRow: blocks*Block + 7, CBlock: Block}
	}},
	{"product of a transposed A", func(rows, blocks int) Matmul {
		const k = 5
		return Matmul{Bands: 1, M: rows, Blocks: blocks, K: k, Runs: []int{0, k * (rows + 1)}, ARow: 1, ACol: rows + 1,
			BRow: blocks * Block, BBlock: Block, CRow: blocks * Block, CBlock: Block}
	}},
	{"depth 1", func(rows, blocks int) Matmul {
		return Matmul{Bands: 1, M: rows, Blocks: blocks, K: 1, Runs: []int{0}, ARow: 1, ACol: 1,
			BRow: Block, BBlock: Block, CRow: blocks * Block, CBlock: Block}
	}},
	{"convolution 3x3, stride 1", func(rows, blocks int) Matmul { return convolution(rows, blocks, 3, 1) }},
	{"convolution 2x2, stride 2", func(rows, blocks int) Matmul { return convolution(rows, blocks, 2, 2) }},
	{"weight gradient, stride 1", func(rows, blocks int) Matmul { return weightGradient(rows, blocks, 1) }},
	{"weight gradient, stride 2", func(rows, blocks int) Matmul { return weightGradient(rows, blocks, 2) }},
}

// convolution is a direct one in blocked layout of two rows of output pixels, from one block of input channels:
// a run is a kernel row, a band an output row.
func convolution(pixels, blocks, kernel, stride int) Matmul {
	width := (pixels-1)*stride + kernel
	depth := kernel * kernel * Block
	m := Matmul{Bands: 2, M: pixels, Blocks: blocks, K: kernel * Block, ABand: stride * width * Block,
		ARow: stride * Block, ACol: 1,
		BRow: Block, BBlock: depth * Block, CBand: (pixels + 1) * Block, CRow: Block, CBlock: 2 * (pixels + 1) * Block}
	for row := range kernel {
		m.Runs = append(m.Runs, row*width*Block)
	}
	return m
}

// weightGradient sums x*dy over three rows of five output pixels: rows are input channels, bands the kernel's columns.
func weightGradient(channels, blocks, stride int) Matmul {
	const pixels, kernel, rows = 5, 2, 3
	width := ((pixels-1)*stride + kernel) * Block
	m := Matmul{Bands: kernel, M: channels, Blocks: blocks, K: pixels, ABand: Block, ARow: 1, ACol: stride * Block,
		BRow: Block, BBlock: rows * pixels * Block, CBand: channels * Block, CRow: Block, CBlock: kernel * channels * Block}
	for row := range rows {
		m.Runs = append(m.Runs, row*stride*width)
	}
	return m
}

var epilogues = []struct {
	name                   string
	bias, accumulate, relu bool
}{
	{"plain", false, false, false},
	{"bias", true, false, false},
	{"accumulate", false, true, false},
	{"accumulate, bias ignored", true, true, false},
	{"relu", false, false, true},
	{"bias, relu", true, false, true},
	{"accumulate, relu", false, true, true},
}

// memoriesFor is in how many of so many memories to try case i, of which each shape has one for each epilogue: shapes
// take turns at the epilogue that is tried in all of them.
func memoriesFor(i, all int) int {
	if shape, epilogue := i/len(epilogues), i%len(epilogues); epilogue == shape%len(epilogues) {
		return all
	}
	return 1
}

// matmulCase is a product with what it should give.
type matmulCase struct {
	name string
	Matmul
	want expected
}

// newMatmulCase gives m operands, and a bias if asked.
func newMatmulCase(name string, m Matmul, bias bool, random *rand.Rand) matmulCase {
	fill(&m, random)
	if bias {
		m.Bias = randoms(random, m.Blocks*Block)
	}
	return matmulCase{name, m, reference(&m)}
}

// TestMatmul tries every count of rows up to three tiles and one, and of blocks up to two tiles and one, in every
// layout and memory. A row's result must not depend on how many others there are, to the last bit.
func TestMatmul(t *testing.T) {
	const mostRows, mostBlocks = 3*14 + 1, 5
	random := rand.New(rand.NewPCG(1, 2))
	var cases []matmulCase
	for _, l := range layouts {
		for _, e := range epilogues {
			m := l.make(mostRows, mostBlocks)
			m.Accumulate, m.ReLU = e.accumulate, e.relu
			cases = append(cases, newMatmulCase(l.name+", "+e.name, m, e.bias, random))
		}
	}
	eachSet(t, func(t *testing.T, s *Set) {
		mems := memories(t)
		for i, c := range cases {
			whole := placed(&c.Matmul, mostRows, mostBlocks, heap("", 0))
			s.Matmul(whole)
			c.want.check(t, c.name, whole, c.C)
			for _, mem := range mems[:memoriesFor(i, len(mems))] {
				for rows := 1; rows <= 3*len(s.gemm[0])+1; rows++ {
					for blocks := 1; blocks <= 2*len(s.gemm)+1; blocks++ {
						name := fmt.Sprintf("%s, %d rows, %d blocks, %s", c.name, rows, blocks, mem.name)
						m := placed(&c.Matmul, rows, blocks, mem)
						noFault(t, func() { s.Matmul(m) }, "%s", name)
						sameRows(t, name, m, whole, c.C)
					}
				}
			}
		}
	})
}

// sameRows compares what m wrote with the same elements of a larger product, bit by bit, and the gaps with what was
// there.
func sameRows(t testing.TB, name string, m, whole *Matmul, before []float32) {
	t.Helper()
	want := append([]float32(nil), before[:len(m.C)]...)
	eachOutput(m, func(at, _, _, _, _ int) { want[at] = whole.C[at] })
	for at := range want {
		if math.Float32bits(m.C[at]) != math.Float32bits(want[at]) {
			t.Fatalf("%s: C[%d] is %v, but %v in the whole product (or before it)", name, at, m.C[at], want[at])
		}
	}
}

// TestMatmulDepth tries depths on both sides of a Set's chunk. Results must not depend on the chunk, to the last bit.
func TestMatmulDepth(t *testing.T) {
	const rows, blocks = 17, 3
	random := rand.New(rand.NewPCG(3, 4))
	var cases []matmulCase
	for _, depth := range []struct{ k, runs int }{
		{1, 1}, {2, 1}, {1, 255}, {1, 256}, {1, 257}, {16, 16}, {16, 17}, {48, 5}, {48, 6}, {48, 11}, {100, 3}, {128, 4},
		{255, 2}, {256, 1}, {256, 2}, {257, 2}, {300, 3}, {1000, 1},
	} {
		m := Matmul{Bands: 1, M: rows, Blocks: blocks, K: depth.k, ARow: depth.k + 1, ACol: 1, BRow: Block,
			BBlock: depth.k*depth.runs*Block + 3, CRow: blocks * Block, CBlock: Block, ReLU: true}
		for run := range depth.runs { // backwards, and not side by side
			m.Runs = append(m.Runs, (depth.runs-1-run)*(rows*m.ARow+2))
		}
		cases = append(cases, newMatmulCase(fmt.Sprintf("%d runs of %d", depth.runs, depth.k), m, true, random))
	}
	eachSet(t, func(t *testing.T, s *Set) {
		for _, c := range cases {
			whole := placed(&c.Matmul, rows, blocks, heap("", 0))
			s.Matmul(whole)
			c.want.check(t, c.name, whole, c.C)
			for _, depth := range []int{1, c.K + 1, 3 * c.K, 1 << 20} {
				chunked := *s
				chunked.Depth = depth
				m := placed(&c.Matmul, rows, blocks, heap("", 0))
				chunked.Matmul(m)
				sameRows(t, fmt.Sprintf("%s, chunks of %d", c.name, depth), m, whole, c.C)
			}
		}
	})
}

// TestMatmulBands lets the bands of A and of C join up into one long run of rows, both, one or neither.
func TestMatmulBands(t *testing.T) {
	const bands, blocks, k = 3, 2, 9
	random := rand.New(rand.NewPCG(5, 6))
	var cases []matmulCase
	for _, gap := range []struct{ a, c int }{{0, 0}, {0, 1}, {1, 0}, {1, 1}} {
		for rows := 1; rows <= 16; rows++ {
			m := Matmul{Bands: bands, M: rows, Blocks: blocks, K: k, Runs: []int{0}, ABand: (rows + gap.a) * k, ARow: k, ACol: 1,
				BRow: Block, BBlock: k * Block, CBand: (rows + gap.c) * Block, CRow: Block, CBlock: bands * (rows + gap.c) * Block}
			cases = append(cases, newMatmulCase(fmt.Sprintf("gaps of %d in A and %d in C, %d rows", gap.a, gap.c, rows), m,
				false, random))
		}
	}
	eachSet(t, func(t *testing.T, s *Set) {
		for _, mem := range memories(t) {
			for _, c := range cases {
				m := placed(&c.Matmul, c.M, blocks, mem)
				noFault(t, func() { s.Matmul(m) }, "%s, %s", c.name, mem.name)
				c.want.check(t, c.name, m, c.C)
			}
		}
	})
}

// TestMatmulNonFinite follows NaN and Inf through a product: they reach the columns they should and no other.
func TestMatmulNonFinite(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	eachSet(t, func(t *testing.T, s *Set) {
		for _, relu := range []bool{false, true} {
			for rows := 1; rows <= len(s.gemm[0]); rows++ {
				m := Matmul{Bands: 1, M: rows, Blocks: len(s.gemm), K: 3, Runs: []int{0}, A: make([]float32, 3*rows),
					ARow: 3, ACol: 1,
					B: make([]float32, 3*len(s.gemm)*Block), BRow: Block, BBlock: 3 * Block,
					C: make([]float32, rows*len(s.gemm)*Block), CRow: len(s.gemm) * Block, CBlock: Block, ReLU: relu}
				for i := range m.A {
					m.A[i] = 1
				}
				for n := range m.Blocks {
					b := m.B[n*m.BBlock:]
					b[0], b[1], b[2], b[3], b[4], b[Block+4] = nan, inf, -inf, 2, inf, -inf
				}
				s.Matmul(&m)
				want := [Block]float32{nan, inf, -inf, 2, nan}
				if relu {
					want[2] = 0
				}
				for at, got := range m.C {
					if !same(got, want[at%Block]) {
						t.Fatalf("relu %v, %d rows: C[%d] = %v, want %v", relu, rows, at, got, want[at%Block])
					}
				}
			}
		}
	})
}

// same is equality with NaN equal to NaN.
func same(a, b float32) bool { return a == b || a != a && b != b }

func TestMatmulPanics(t *testing.T) {
	valid := convolution(5, 2, 3, 1)
	fill(&valid, rand.New(rand.NewPCG(7, 8)))
	valid.Bias = make([]float32, 2*Block)
	generic.Matmul(&valid)
	for _, test := range []struct {
		name    string
		corrupt func(m *Matmul)
	}{
		{"no bands", func(m *Matmul) { m.Bands = 0 }},
		{"no rows", func(m *Matmul) { m.M = 0 }},
		{"no blocks", func(m *Matmul) { m.Blocks = 0 }},
		{"no depth", func(m *Matmul) { m.K = 0 }},
		{"no runs", func(m *Matmul) { m.Runs = nil }},
		{"negative run", func(m *Matmul) { m.Runs = []int{0, -1} }},
		{"negative stride", func(m *Matmul) { m.ARow = -1 }},
		{"short A", func(m *Matmul) { m.A = m.A[:len(m.A)-1] }},
		{"short B", func(m *Matmul) { m.B = m.B[:len(m.B)-1] }},
		{"short C", func(m *Matmul) { m.C = m.C[:len(m.C)-1] }},
		{"short bias", func(m *Matmul) { m.Bias = m.Bias[:len(m.Bias)-1] }},
	} {
		m := valid
		test.corrupt(&m)
		if message := panics(func() { generic.Matmul(&m) }); message == "" {
			t.Errorf("%s: no panic", test.name)
		}
	}
}
