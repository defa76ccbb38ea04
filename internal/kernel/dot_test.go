package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// dotReference is C of d by float64 arithmetic, with the bound of its error; gaps between rows are not looked at.
func dotReference(d *Dot) (value, bound []float64) {
	value, bound = make([]float64, len(d.C)), make([]float64, len(d.C))
	for i := range d.M {
		for j := range d.N {
			var sum float64
			switch {
			case d.Accumulate:
				sum = float64(d.C[i*d.CRow+j])
			case d.Bias != nil:
				sum = float64(d.Bias[j])
			}
			magnitude := math.Abs(sum)
			for k := range d.K {
				product := float64(d.A[i*d.ARow+k]) * float64(d.B[j*d.BRow+k])
				sum += product
				magnitude += math.Abs(product)
			}
			if d.ReLU && sum < 0 {
				sum = 0
			}
			value[i*d.CRow+j], bound[i*d.CRow+j] = sum, gamma(d.K+1)*magnitude
		}
	}
	return value, bound
}

// randomDot is a product with gaps between all rows.
func randomDot(random *rand.Rand, m, n, k int) *Dot {
	d := &Dot{M: m, N: n, K: k, ARow: k + 3, BRow: k + 1, CRow: n + 2}
	d.A = randoms(random, (m-1)*d.ARow+k)
	d.B = randoms(random, (n-1)*d.BRow+k)
	d.C = randoms(random, (m-1)*d.CRow+n)
	return d
}

// placedDot copies the operands of d that its first m rows and n columns touch, each to exactly as much memory.
func placedDot(d *Dot, m, n int, mem memory) *Dot {
	p := *d
	p.M, p.N = m, n
	p.A = place(mem, 0, d.A[:(m-1)*d.ARow+d.K])
	p.B = place(mem, 1, d.B[:(n-1)*d.BRow+d.K])
	p.C = place(mem, 2, d.C[:(m-1)*d.CRow+n])
	if d.Bias != nil {
		p.Bias = place(mem, 3, d.Bias[:n])
	}
	return &p
}

// dotCase is a product with what it should give.
type dotCase struct {
	name         string
	dot          *Dot
	value, bound []float64
}

func newDotCase(name string, d *Dot) dotCase {
	value, bound := dotReference(d)
	return dotCase{name, d, value, bound}
}

func dotCases(m, n int, depths []int) []dotCase {
	random := rand.New(rand.NewPCG(1, 2))
	var cases []dotCase
	for _, k := range depths {
		for _, e := range epilogues {
			d := randomDot(random, m, n, k)
			if e.bias {
				d.Bias = randoms(random, n)
			}
			d.Accumulate, d.ReLU = e.accumulate, e.relu
			cases = append(cases, newDotCase(fmt.Sprintf("depth %d, %s", k, e.name), d))
		}
	}
	return cases
}

// TestDot tries every remainder of depth, rows and columns. An element must not depend on how many others there are, to
// the last bit.
func TestDot(t *testing.T) {
	const mostRows, mostCols = 7, 9
	var depths []int
	for k := 1; k <= 70; k++ {
		depths = append(depths, k)
	}
	cases := dotCases(mostRows, mostCols, depths)
	eachSet(t, func(t *testing.T, s *Set) {
		mems := memories(t)
		for i, c := range cases {
			whole := placedDot(c.dot, mostRows, mostCols, heap("", 0))
			s.Dot(whole)
			c.check(t, c.name, whole)
			for _, mem := range mems[:memoriesFor(i, len(mems))] {
				for rows := 1; rows <= mostRows; rows++ {
					for cols := 1; cols <= mostCols; cols++ {
						d := placedDot(c.dot, rows, cols, mem)
						noFault(t, func() { s.Dot(d) }, "%s, %d rows, %d columns, %s", c.name, rows, cols, mem.name)
						for at, got := range d.C {
							want := c.dot.C[at]
							if i, j := at/d.CRow, at%d.CRow; i < rows && j < cols {
								want = whole.C[at]
							}
							if math.Float32bits(got) != math.Float32bits(want) {
								t.Fatalf("%s, %d rows, %d columns, %s: C[%d] is %v, but %v in the whole product (or before it)", c.name, rows,
									cols, mem.name, at, got, want)
							}
						}
					}
				}
			}
		}
	})
}

// check compares C of a whole product with what it should be, and the gaps between its rows with what was there.
func (c dotCase) check(t testing.TB, name string, d *Dot) {
	t.Helper()
	for at, got := range d.C {
		i, j := at/d.CRow, at%d.CRow
		switch {
		case j >= d.N:
			if got != c.dot.C[at] {
				t.Fatalf("%s: C[%d] lies between rows, and %v was overwritten with %v", name, at, c.dot.C[at], got)
			}
		case !within(got, c.value[at], c.bound[at]):
			t.Fatalf("%s: row %d, column %d: got %v, want %v within %.2g", name, i, j, got, c.value[at], c.bound[at])
		}
	}
}

// TestDotDeep has the depth of VGG's fc6, and one that no vector divides.
func TestDotDeep(t *testing.T) {
	cases := dotCases(4, 5, []int{25088, 25088 + 13})
	eachSet(t, func(t *testing.T, s *Set) {
		for _, c := range cases {
			d := placedDot(c.dot, c.dot.M, c.dot.N, heap("", 0))
			s.Dot(d)
			c.check(t, c.name, d)
		}
	})
}

func TestDotNonFinite(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	eachSet(t, func(t *testing.T, s *Set) {
		for k := 1; k <= 33; k++ {
			for at := range k { // the one element of each row of B that is not 1
				values := []float32{nan, inf, -inf, 2, nan}
				d := &Dot{M: 4, N: 5, K: k, A: make([]float32, 4*k), ARow: k, B: make([]float32, 5*k), BRow: k,
					C: make([]float32, 20), CRow: 5, ReLU: true}
				for i := range d.A {
					d.A[i] = 1
				}
				for i := range d.B {
					d.B[i] = 1
				}
				for j, x := range values {
					d.B[j*k+at] = x
				}
				s.Dot(d)
				want := []float32{nan, inf, 0, float32(k) + 1, nan}
				for i, got := range d.C {
					if !same(got, want[i%5]) {
						t.Fatalf("depth %d, element %d: C[%d] = %v, want %v", k, at, i, got, want[i%5])
					}
				}
			}
		}
	})
}

func TestDotPanics(t *testing.T) {
	valid := *randomDot(rand.New(rand.NewPCG(3, 4)), 3, 5, 10)
	valid.Bias = make([]float32, 5)
	generic.Dot(&valid)
	for _, test := range []struct {
		name    string
		corrupt func(d *Dot)
	}{
		{"no rows", func(d *Dot) { d.M = 0 }},
		{"no columns", func(d *Dot) { d.N = 0 }},
		{"no depth", func(d *Dot) { d.K = 0 }},
		{"negative stride", func(d *Dot) { d.BRow = -1 }},
		{"short A", func(d *Dot) { d.A = d.A[:len(d.A)-1] }},
		{"short B", func(d *Dot) { d.B = d.B[:len(d.B)-1] }},
		{"short C", func(d *Dot) { d.C = d.C[:len(d.C)-1] }},
		{"short bias", func(d *Dot) { d.Bias = d.Bias[:len(d.Bias)-1] }},
	} {
		d := valid
		test.corrupt(&d)
		if message := panics(func() { generic.Dot(&d) }); message == "" {
			t.Errorf("%s: no panic", test.name)
		}
	}
}
