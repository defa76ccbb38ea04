package kernel

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

// specials are the values at the edges of float32.
var specials = []float32{
	float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), 0, float32(math.Copysign(0, -1)),
	math.SmallestNonzeroFloat32, -math.SmallestNonzeroFloat32, 0x1p-127, -0x1p-127, math.MaxFloat32, -math.MaxFloat32, 1,
	-1,
}

// pairs returns two operands that meet every special value with every other, then random ones, in whole blocks.
func pairs() (x, y []float32) {
	for _, a := range specials {
		for _, b := range specials {
			x, y = append(x, a), append(y, b)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	n := Blocks(len(x)+3*Block)*Block - len(x)
	return append(x, randoms(random, n)...), append(y, randoms(random, n)...)
}

// operands runs test with operands of 1 to 4 blocks of random values, and once with pairs, in every memory.
func operands(t *testing.T, test func(t *testing.T, x, y []float32, mem memory)) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, mem := range memories(t) {
		for n := range 4 {
			test(t, randoms(random, (n+1)*Block), randoms(random, (n+1)*Block), mem)
		}
		x, y := pairs()
		test(t, x, y, mem)
	}
}

// equal fails unless got is want, NaN equal to NaN. The sign of a zero is left open.
func equal(t *testing.T, what string, mem memory, got, want []float32) {
	t.Helper()
	for i := range want {
		if !same(got[i], want[i]) {
			t.Fatalf("%s of %d, %s: [%d] is %v, want %v", what, len(want), mem.name, i, got[i], want[i])
		}
	}
}

// TestStackMoves calls what takes sums and scales from the stack from every depth of a new stack, so that somewhere it
// moves in the midst of each: the sum must arrive where its owner then is.
func TestStackMoves(t *testing.T) {
	const depths = 1000 // beyond 32 KiB
	eachSet(t, func(t *testing.T, s *Set) {
		for _, what := range []string{"SumLanes", "DotLanes", "ScaleShift"} {
			wrong := make(chan int, depths)
			var group sync.WaitGroup
			for depth := range depths {
				group.Go(func() {
					if deep(depth, s, what) != 3 {
						wrong <- depth
					}
				})
			}
			group.Wait()
			if n := len(wrong); n > 0 {
				t.Errorf("%s is wrong from %d of %d depths of the stack, one of them %d", what, n, depths, <-wrong)
			}
		}
	})
}

// deep takes a little of the stack for each depth.
//
//go:noinline
func deep(depth int, s *Set, what string) float32 {
	if depth > 0 {
		return deep(depth-1, s, what)
	}
	return three(s, what)
}

// three adds 2 to 1.
//
//go:noinline
func three(s *Set, what string) float32 {
	two := slices.Repeat([]float32{2}, Block)
	var sum, one [Block]float32
	for i := range sum {
		sum[i], one[i] = 1, 1
	}
	switch what {
	case "SumLanes":
		s.SumLanes(&sum, two)
	case "DotLanes":
		s.DotLanes(&sum, two, one[:])
	case "ScaleShift":
		s.ScaleShift(two, two, &one, &sum, false)
		return two[Block-1]
	}
	return sum[Block-1]
}

func TestReLU(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	eachSet(t, func(t *testing.T, s *Set) {
		// torch.relu of the same values.
		in := [Block]float32{nan, inf, -inf, 0, float32(math.Copysign(0, -1)), 1, -1, 0x1p-149, -0x1p-149, math.MaxFloat32,
			-math.MaxFloat32}
		out := [Block]float32{nan, inf, 0, 0, 0, 1, 0, 0x1p-149, 0, math.MaxFloat32, 0}
		s.ReLU(in[:], in[:])
		equal(t, "ReLU in place", memory{}, in[:], out[:])

		operands(t, func(t *testing.T, x, y []float32, mem memory) {
			want := make([]float32, len(x))
			for i, v := range x {
				want[i] = v
				if v < 0 {
					want[i] = 0
				}
			}
			src, dst := place(mem, 0, x), place(mem, 1, y)
			noFault(t, func() { s.ReLU(dst, src) }, "ReLU of %d, %s", len(x), mem.name)
			equal(t, "ReLU", mem, dst, want)
			equal(t, "ReLU's source", mem, src, x)
			s.ReLU(src, src)
			equal(t, "ReLU in place", mem, src, want)
		})
	})
}

func TestReLUGrad(t *testing.T) {
	eachSet(t, func(t *testing.T, s *Set) {
		operands(t, func(t *testing.T, g, y []float32, mem memory) {
			want := make([]float32, len(g))
			for i, v := range y {
				want[i] = g[i]
				if v <= 0 { // not NaN: torch lets its gradient through
					want[i] = 0
				}
			}
			grad, out := place(mem, 0, g), place(mem, 1, y)
			noFault(t, func() { s.ReLUGrad(grad, out) }, "ReLUGrad of %d, %s", len(g), mem.name)
			equal(t, "ReLUGrad", mem, grad, want)
			equal(t, "ReLUGrad's output", mem, out, y)
		})
	})
}

// rounded fails unless got is value within the error of a product and a sum, fused or not, which is absolute among
// denormals.
func rounded(t *testing.T, what string, mem memory, i int, got float32, value, magnitude float64) {
	t.Helper()
	if !within(got, value, gamma(2)*magnitude+math.SmallestNonzeroFloat32) {
		t.Fatalf("%s, %s: [%d] is %v, want %v", what, mem.name, i, got, value)
	}
}

func TestAxpy(t *testing.T) {
	eachSet(t, func(t *testing.T, s *Set) {
		for _, alpha := range []float32{0, 1, -0.5, 0.1, float32(math.Inf(1)), float32(math.NaN())} {
			operands(t, func(t *testing.T, x, y []float32, mem memory) {
				src, dst := place(mem, 0, x), place(mem, 1, y)
				noFault(t, func() { s.Axpy(dst, src, alpha) }, "Axpy of %d, %s", len(x), mem.name)
				for i, got := range dst {
					product := float64(alpha) * float64(x[i])
					rounded(t, "Axpy", mem, i, got, float64(y[i])+product, math.Abs(product)+math.Abs(float64(y[i])))
				}
				equal(t, "Axpy's source", mem, src, x)
			})
		}
	})
}

func TestMulAdd(t *testing.T) {
	factors := randoms(rand.New(rand.NewPCG(11, 12)), Block)
	copy(factors, []float32{0, 1, -1, 0.5, float32(math.Inf(-1)), float32(math.NaN())}) // at most 1, as in TestScaleShift
	eachSet(t, func(t *testing.T, s *Set) {
		operands(t, func(t *testing.T, x, y []float32, mem memory) {
			by := make([]float32, len(x))
			for i := range by {
				by[i] = factors[(i+i/Block)%Block]
			}
			dst, a, b := place(mem, 0, y), place(mem, 1, x), place(mem, 2, by)
			noFault(t, func() { s.MulAdd(dst, a, b) }, "MulAdd of %d, %s", len(x), mem.name)
			for i, got := range dst {
				product := float64(x[i]) * float64(by[i])
				rounded(t, "MulAdd", mem, i, got, float64(y[i])+product, math.Abs(product)+math.Abs(float64(y[i])))
			}
			equal(t, "MulAdd's a", mem, a, x)
			equal(t, "MulAdd's b", mem, b, by)
		})
		sum, three := slices.Repeat([]float32{1}, Block), slices.Repeat([]float32{3}, Block)
		s.MulAdd(sum, three, three)
		equal(t, "MulAdd of squares", memory{}, sum, slices.Repeat([]float32{10}, Block))
	})
}

func TestScaleShift(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	// The product of two large numbers overflows unless fused to a sum, so the special scales are at most 1.
	scales := randoms(random, Block)
	copy(scales, []float32{0, 1, -1, 0.5, float32(math.Inf(-1)), float32(math.NaN())})
	shifts := append(append([]float32(nil), specials...), randoms(random, Block)...)
	eachSet(t, func(t *testing.T, s *Set) {
		for turn := range len(shifts) { // every shift meets every scale
			shifts := append(append([]float32(nil), shifts[turn:]...), shifts[:turn]...)[:Block]
			for _, relu := range []bool{false, true} {
				operands(t, func(t *testing.T, x, y []float32, mem memory) {
					src, dst := place(mem, 0, x), place(mem, 1, y)
					scale, shift := (*[Block]float32)(place(mem, 2, scales)), (*[Block]float32)(place(mem, 3, shifts))
					noFault(t, func() { s.ScaleShift(dst, src, scale, shift, relu) }, "ScaleShift of %d, %s", len(x), mem.name)
					for i, got := range dst {
						product, offset := float64(x[i])*float64(scale[i%Block]), float64(shift[i%Block])
						value := product + offset
						if relu && value < 0 {
							value = 0
						}
						rounded(t, "ScaleShift", mem, i, got, value, math.Abs(product)+math.Abs(offset))
					}
					equal(t, "ScaleShift's source", mem, src, x)
					s.ScaleShift(src, src, scale, shift, relu)
					equal(t, "ScaleShift in place", mem, src, dst)
				})
			}
		}
	})
}

func TestSumLanes(t *testing.T) {
	start := randoms(rand.New(rand.NewPCG(7, 8)), Block)
	eachSet(t, func(t *testing.T, s *Set) {
		operands(t, func(t *testing.T, x, _ []float32, mem memory) {
			want := append([]float32(nil), start...)
			for i, v := range x {
				want[i%Block] += v // one chain per lane, in order of pixels: nothing is left to rounding
			}
			sum, src := place(mem, 0, start), place(mem, 1, x)
			noFault(t, func() { s.SumLanes((*[Block]float32)(sum), src) }, "SumLanes of %d, %s", len(x), mem.name)
			equal(t, "SumLanes", mem, sum, want)
		})
	})
}

func TestDotLanes(t *testing.T) {
	start := randoms(rand.New(rand.NewPCG(9, 10)), Block)
	eachSet(t, func(t *testing.T, s *Set) {
		operands(t, func(t *testing.T, x, y []float32, mem memory) {
			// Products with 1 are exact, so that nothing is left to rounding.
			ones := make([]float32, len(x))
			want := append([]float32(nil), start...)
			for i, v := range x {
				ones[i] = 1
				want[i%Block] += v
			}
			sum, a, b := place(mem, 0, start), place(mem, 1, x), place(mem, 2, ones)
			noFault(t, func() { s.DotLanes((*[Block]float32)(sum), a, b) }, "DotLanes of %d, %s", len(x), mem.name)
			equal(t, "DotLanes with ones", mem, sum, want)

			var value, magnitude [Block]float64
			for l, v := range start {
				value[l], magnitude[l] = float64(v), math.Abs(float64(v))
			}
			for i := range y {
				y[i] = float32(i%7) / 3
				x[i] = float32(i%11) / 7
				product := float64(x[i]) * float64(y[i])
				value[i%Block] += product
				magnitude[i%Block] += product
			}
			sum, a, b = place(mem, 0, start), place(mem, 1, x), place(mem, 2, y)
			s.DotLanes((*[Block]float32)(sum), a, b)
			for l, got := range sum {
				if !within(got, value[l], gamma(len(x)/Block+1)*magnitude[l]) {
					t.Fatalf("DotLanes of %d, %s: lane %d is %v, want %v", len(x), mem.name, l, got, value[l])
				}
			}
		})
	})
}

// TestNoPixels passes empty slices, which have no first element to point at.
func TestNoPixels(t *testing.T) {
	eachSet(t, func(t *testing.T, s *Set) {
		var lanes [Block]float32
		s.ReLU(nil, nil)
		s.ReLUGrad(nil, nil)
		s.Axpy(nil, nil, 1)
		s.MulAdd(nil, nil, nil)
		s.ScaleShift(nil, nil, &lanes, &lanes, true)
		s.SumLanes(&lanes, nil)
		s.DotLanes(&lanes, nil, nil)
		if lanes != [Block]float32{} {
			t.Errorf("the sum of nothing is %v", lanes)
		}
	})
}

func TestLanesPanics(t *testing.T) {
	var lanes [Block]float32
	half, one, two := make([]float32, 8), make([]float32, Block), make([]float32, 2*Block)
	for name, f := range map[string]func(){
		"ReLU of half a block":         func() { generic.ReLU(half, half) },
		"ReLU of unequal lengths":      func() { generic.ReLU(one, two) },
		"ReLUGrad of unequal lengths":  func() { generic.ReLUGrad(two, one) },
		"Axpy of half a block":         func() { generic.Axpy(half, half, 1) },
		"Axpy of unequal lengths":      func() { generic.Axpy(one, two, 1) },
		"MulAdd of half a block":       func() { generic.MulAdd(half, half, half) },
		"MulAdd of unequal lengths":    func() { generic.MulAdd(one, one, two) },
		"ScaleShift of half a block":   func() { generic.ScaleShift(half, half, &lanes, &lanes, false) },
		"ScaleShift of unequal length": func() { generic.ScaleShift(one, two, &lanes, &lanes, false) },
		"SumLanes of half a block":     func() { generic.SumLanes(&lanes, half) },
		"DotLanes of unequal lengths":  func() { generic.DotLanes(&lanes, one, two) },
	} {
		if message := panics(f); message == "" {
			t.Errorf("%s: no panic", name)
		}
	}
}
