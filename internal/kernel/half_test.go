package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"github.com/vggo/vggo/tensor"
)

// kinds are those of tensor.Halves, with the portable functions between them and float32.
var kinds = []struct {
	name   string
	brain  bool
	widen  func(uint16) float32
	narrow func(float32) uint16
}{
	{"float16", false, Float16, toFloat16},
	{"bfloat16", true, BFloat16, func(x float32) uint16 { return uint16(math.Float32bits(x) >> 16) }},
}

// everyHalf is all 65536.
func everyHalf() []uint16 {
	all := make([]uint16, 1<<16)
	for i := range all {
		all[i] = uint16(i)
	}
	return all
}

// placeHalves copies halves to an operand of exactly their length, flush against its end where that is odd.
func placeHalves(m memory, slot int, values []uint16) []uint16 {
	words := m.floats(slot, (len(values)+1)/2)
	room := unsafe.Slice((*uint16)(unsafe.Pointer(unsafe.SliceData(words))), 2*len(words))
	if m.name == "before a guard page" {
		room = room[len(room)-len(values):]
	}
	room = room[:len(values):len(values)]
	copy(room, values)
	return room
}

// TestFloat16 holds the portable conversions to the definition, by float64: every half there and back, and every number
// half way between two neighbours, with its own neighbours, to the nearer one, of two as near to the even one.
func TestFloat16(t *testing.T) {
	for _, h := range everyHalf() {
		sign, exponent, fraction := 1-2*float64(h>>15), int(h>>10&0x1f), float64(h&0x3ff)
		want := sign * math.Ldexp(1+fraction/1024, exponent-15)
		switch {
		case exponent == 0:
			want = sign * math.Ldexp(fraction, -24)
		case exponent == 31 && fraction == 0:
			want = math.Inf(int(sign))
		case exponent == 31:
			want = math.NaN()
		}
		x, back := Float16(h), h
		if math.IsNaN(want) {
			back |= 0x200 // quiet
		}
		if !same(x, float32(want)) || math.Float32bits(x)>>31 != uint32(h>>15) || toFloat16(x) != back {
			t.Fatalf("%#04x is %v, want %v; and back %#04x", h, x, want, toFloat16(x))
		}
	}
	for h := range uint16(0x7c00) { // up to what would come after the largest
		low, high := float64(Float16(h)), float64(Float16(h+1))
		if h == 0x7bff {
			high = 0x1p16
		}
		even := h + h&1
		middle := float32((low + high) / 2)
		for _, c := range []struct {
			x    float32
			want uint16
		}{{math.Nextafter32(middle, 0), h}, {middle, even}, {math.Nextafter32(middle, 1e6), h + 1}} {
			if got := toFloat16(c.x); got != c.want {
				t.Fatalf("%v between %v and %v: %#04x, want %#04x", c.x, low, high, got, c.want)
			}
			if got := toFloat16(-c.x); got != c.want|0x8000 {
				t.Fatalf("-%v: %#04x, want %#04x", c.x, got, c.want|0x8000)
			}
		}
	}
}

// TestWidenAndNarrow holds every Set to the portable functions, to the bit, at every length.
func TestWidenAndNarrow(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	numbers := slices.Concat(specials, []float32{65504, 65519.996, 0x1p-14, 0x1p-24, 0x1p-25, 0x1.000002p-25, 0x1p-26})
	for range 5000 {
		numbers = append(numbers, math.Float32frombits(random.Uint32()))
	}
	eachSet(t, func(t *testing.T, s *Set) {
		for _, mem := range memories(t) {
			for n := range 3*Block + 1 {
				check(t, s, mem, everyHalf()[0x3c00-n:][:n], numbers[n:2*n])
			}
			check(t, s, mem, everyHalf(), numbers)
		}
	})
}

func check(t *testing.T, s *Set, mem memory, halves []uint16, numbers []float32) {
	t.Helper()
	for _, kind := range kinds {
		dst := mem.floats(0, len(halves))
		src := tensor.Halves{Bits: placeHalves(mem, 1, halves), Brain: kind.brain}
		noFault(t, func() { s.Widen(dst, src) }, "widening %d of %s, %s", len(halves), kind.name, mem.name)
		for i, h := range halves {
			if want := kind.widen(h); math.Float32bits(dst[i]) != math.Float32bits(want) {
				t.Fatalf("%s: %s %#04x of %d is %v, want %v", mem.name, kind.name, h, len(halves), dst[i], want)
			}
		}
	}
	if len(numbers) == 0 {
		return
	}
	dst, src := placeHalves(mem, 2, make([]uint16, len(numbers))), place(mem, 3, numbers)
	noFault(t, func() { s.Narrow(dst, src) }, "narrowing %d, %s", len(numbers), mem.name)
	for i, x := range numbers {
		if want := toFloat16(x); dst[i] != want {
			t.Fatalf("%s: %v of %d becomes %#04x, want %#04x", mem.name, x, len(numbers), dst[i], want)
		}
	}
}

// TestNarrowBeyond: a finite number that float16 has no room for is told, an infinite one and NaN are kept.
func TestNarrowBeyond(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	eachSet(t, func(t *testing.T, s *Set) {
		for _, c := range []struct {
			x      float32
			beyond bool
		}{{MaxFloat16, false}, {65519.996, false}, {65520, true}, {-65520, true}, {math.MaxFloat32, true}, {inf, false},
			{-inf, false}, {nan, false}} {
			for at := range 2*Block + 3 {
				src := make([]float32, 2*Block+3)
				src[at] = c.x
				want := -1
				if c.beyond {
					want = at
				}
				if got := s.Narrow(make([]uint16, len(src)), src); got != want {
					t.Fatalf("%v at %d: told %d", c.x, at, got)
				}
			}
		}
	})
}

// halved is d with B in 16 bits, and what d then computes by float32s: with B those numbers.
func halved(d *Dot, kind int) (half, wide *Dot) {
	h, w := *d, *d
	h.B, h.Half = nil, tensor.Halves{Bits: make([]uint16, len(d.B)), Brain: kinds[kind].brain}
	w.B = make([]float32, len(d.B))
	for i, x := range d.B {
		h.Half.Bits[i] = kinds[kind].narrow(x)
		w.B[i] = kinds[kind].widen(h.Half.Bits[i])
	}
	return &h, &w
}

// TestDotHalf: products with halves have the bits of those with the float32s that they are, of any size and at the edge
// of their memory.
func TestDotHalf(t *testing.T) {
	const mostRows, mostCols = 4, 6
	depths := []int{25088}
	for k := range 40 {
		depths = append(depths, k+1)
	}
	depths = append(depths, 511, 512, 513, 1029)
	cases := dotCases(mostRows, mostCols, depths)
	eachSet(t, func(t *testing.T, s *Set) {
		mems := memories(t)
		for i, c := range cases {
			for kind := range kinds {
				half, wide := halved(c.dot, kind)
				for _, mem := range mems[:memoriesFor(i, len(mems))] {
					for _, size := range [][2]int{{mostRows, mostCols}, {1, 4}, {2, 1}, {3, 5}} {
						rows, cols := size[0], size[1]
						want := placedDot(wide, rows, cols, heap("", 0))
						s.Dot(want)
						got := *half
						got.M, got.N = rows, cols
						got.A = place(mem, 0, half.A[:(rows-1)*half.ARow+half.K])
						got.Half.Bits = placeHalves(mem, 1, half.Half.Bits[:(cols-1)*half.BRow+half.K])
						got.C = place(mem, 2, half.C[:(rows-1)*half.CRow+cols])
						if half.Bias != nil {
							got.Bias = place(mem, 3, half.Bias[:cols])
						}
						name := fmt.Sprintf("%s of %s, %d rows, %d columns, %s", c.name, kinds[kind].name, rows, cols, mem.name)
						noFault(t, func() { s.Dot(&got) }, "%s", name)
						for at := range want.C {
							if math.Float32bits(got.C[at]) != math.Float32bits(want.C[at]) {
								t.Fatalf("%s: C[%d] is %v, want %v", name, at, got.C[at], want.C[at])
							}
						}
					}
				}
			}
		}
	})
}

func TestHalfPanics(t *testing.T) {
	half, _ := halved(randomDot(rand.New(rand.NewPCG(3, 4)), 3, 5, 10), 0)
	generic.Dot(half)
	both, short := *half, *half
	both.B = make([]float32, len(half.Half.Bits))
	short.Half.Bits = short.Half.Bits[1:]
	product := layouts[0].make(3, 2)
	fill(&product, rand.New(rand.NewPCG(3, 4)))
	two := product
	two.Half = make([]uint16, len(two.B))
	shortB := two
	shortB.B, shortB.Half = nil, two.Half[1:]
	for name, run := range map[string]func(){
		"two Bs":                 func() { generic.Dot(&both) },
		"short halves":           func() { generic.Dot(&short) },
		"two Bs of a product":    func() { generic.Matmul(&two) },
		"short B of a product":   func() { generic.Matmul(&shortB) },
		"widening to another":    func() { generic.Widen(make([]float32, 3), tensor.Halves{Bits: make([]uint16, 4)}) },
		"narrowing from another": func() { generic.Narrow(make([]uint16, 3), make([]float32, 4)) },
	} {
		if panics(run) == "" {
			t.Errorf("%s: no panic", name)
		}
	}
}

// TestMatmulHalf: products with float16 have the bits of those with the float32s that they are, for any number of rows
// and of blocks, in every layout and memory.
func TestMatmulHalf(t *testing.T) {
	const mostBlocks = 3
	random := rand.New(rand.NewPCG(1, 2))
	var cases []matmulCase
	shapes := append(layouts[:len(layouts):len(layouts)], layouts[0])
	shapes[len(layouts)].name, shapes[len(layouts)].make = "depth 70", func(rows, blocks int) Matmul {
		return Matmul{Bands: 1, M: rows, Blocks: blocks, K: 70, Runs: []int{0, 70, 140, 210}, ARow: 280, ACol: 1,
			BRow: Block, BBlock: 280 * Block, CRow: blocks * Block, CBlock: Block}
	}
	for _, l := range shapes {
		for _, e := range epilogues {
			m := l.make(16, mostBlocks)
			m.Accumulate, m.ReLU = e.accumulate, e.relu
			cases = append(cases, newMatmulCase(l.name+", "+e.name, m, e.bias, random))
		}
	}
	eachSet(t, func(t *testing.T, s *Set) {
		mems := memories(t)
		for i, c := range cases {
			half := make([]uint16, len(c.B))
			wide := c.Matmul
			wide.B = make([]float32, len(c.B))
			for at, x := range c.B {
				half[at] = toFloat16(x)
				wide.B[at] = Float16(half[at])
			}
			for _, mem := range mems[:memoriesFor(i, len(mems))] {
				for rows := 1; rows <= c.M; rows++ {
					for blocks := 1; blocks <= mostBlocks; blocks++ {
						name := fmt.Sprintf("%s, %d rows, %d blocks, %s", c.name, rows, blocks, mem.name)
						want := placed(&wide, rows, blocks, heap("", 0))
						s.Matmul(want)
						m := placed(&wide, rows, blocks, mem)
						m.B, m.Half = nil, placeHalves(mem, 5, half[:len(half)-(c.Blocks-blocks)*c.BBlock])
						noFault(t, func() { s.Matmul(m) }, "%s", name)
						sameRows(t, name, m, want, c.C)
					}
				}
			}
		}
	})
}
