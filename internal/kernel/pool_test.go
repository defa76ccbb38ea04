package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// window lists the taps of a kernel of so many rows and columns on a map of so many floats a row.
func window(rows, cols, width int) []int {
	var taps []int
	for r := range rows {
		for c := range cols {
			taps = append(taps, r*width+c*Block)
		}
	}
	return taps
}

// poolRow is a row of windows with the input it reads.
type poolRow struct {
	name string
	Pool
	x []float32
}

// poolRows are VGG's 2x2, AlexNet's overlapping 3x3, windows cut short by an edge, and gaps between windows, over
// values that tie often and are sometimes not finite.
func poolRows() []poolRow {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	values := []float32{-1, 0, float32(math.Copysign(0, -1)), 1, 1, 2, -inf, inf, nan, 0x1p-149}
	random := rand.New(rand.NewPCG(1, 2))
	var rows []poolRow
	for _, shape := range []struct{ height, width, stride int }{
		{1, 1, 1}, {2, 2, 2}, {2, 2, 1}, {3, 3, 2}, {3, 3, 1}, {1, 3, 2}, {3, 2, 3}, {2, 1, 4},
	} {
		for pixels := 1; pixels <= 5; pixels++ {
			width := ((pixels-1)*shape.stride + shape.width + 1) * Block
			taps := window(shape.height, shape.width, width)
			x := make([]float32, (pixels-1)*shape.stride*Block+taps[len(taps)-1]+Block)
			for _, finite := range []bool{true, false} {
				for i := range x {
					x[i] = random.Float32()*2 - 1
					if !finite {
						x[i] = values[random.IntN(len(values))]
					}
				}
				rows = append(rows, poolRow{fmt.Sprintf("%dx%d, stride %d, %d pixels, finite %v", shape.height, shape.width,
					shape.stride, pixels, finite),
					Pool{Pixels: pixels, Stride: shape.stride * Block, Taps: taps}, append([]float32(nil), x...)})
			}
		}
	}
	return rows
}

// placedPool prepares row with its taps in mem.
func placedPool(row poolRow, mem memory) *Pool {
	p := NewPool(row.Pixels, row.Stride, row.Taps)
	p.bytes = place(mem, 4, p.bytes)
	return p
}

// largest is torch's max_pool2d: a NaN wins.
func largest(row poolRow) []float32 {
	y := make([]float32, row.Pixels*Block)
	for i := range y {
		at := i/Block*row.Stride + i%Block
		y[i] = row.x[at+row.Taps[0]]
		for _, tap := range row.Taps {
			if x := row.x[at+tap]; x > y[i] || x != x {
				y[i] = x
			}
		}
	}
	return y
}

func TestMaxPool(t *testing.T) {
	rows := poolRows()
	eachSet(t, func(t *testing.T, s *Set) {
		for _, mem := range memories(t) {
			for _, row := range rows {
				p, x, y := placedPool(row, mem), place(mem, 0, row.x), place(mem, 1, make([]float32, row.Pixels*Block))
				noFault(t, func() { s.MaxPool(p, y, x) }, "%s, %s", row.name, mem.name)
				equal(t, "MaxPool "+row.name, mem, y, largest(row))
				equal(t, "MaxPool's input "+row.name, mem, x, row.x)
			}
		}
	})
}

func TestMaxPoolGrad(t *testing.T) {
	rows := poolRows()
	random := rand.New(rand.NewPCG(3, 4))
	eachSet(t, func(t *testing.T, s *Set) {
		for _, mem := range memories(t) {
			for _, row := range rows {
				top := largest(row)
				grad, before := randoms(random, len(top)), randoms(random, len(row.x))
				want := append([]float32(nil), before...)
				for i, g := range grad {
					for _, tap := range row.Taps {
						if at := i/Block*row.Stride + i%Block + tap; same(row.x[at], top[i]) {
							want[at] += g
							break
						}
					}
				}
				p, dx, x, y, dy := placedPool(row, mem), place(mem, 0, before), place(mem, 1, row.x), place(mem, 2, top),
					place(mem, 3, grad)
				noFault(t, func() { s.MaxPoolGrad(p, dx, x, y, dy) }, "%s, %s", row.name, mem.name)
				equal(t, "MaxPoolGrad "+row.name, mem, dx, want)
			}
		}
	})
}

// TestMaxPoolGradNonFinite holds that a gradient that is not finite stays with its own pixel.
func TestMaxPoolGradNonFinite(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	eachSet(t, func(t *testing.T, s *Set) {
		x := make([]float32, 4*Block)
		y, dy, dx := make([]float32, 2*Block), make([]float32, 2*Block), make([]float32, 4*Block)
		for l := range Block {
			x[1*Block+l], x[2*Block+l] = 1, 2 // the second pixel of the first pair, the first of the second
			y[l], y[Block+l] = 1, 2
			dy[l], dy[Block+l] = nan, inf
		}
		s.MaxPoolGrad(NewPool(2, 2*Block, []int{0, Block}), dx, x, y, dy)
		for i, got := range dx {
			if want := []float32{0, nan, inf, 0}[i/Block]; !same(got, want) {
				t.Fatalf("dx[%d] = %v, want %v", i, got, want)
			}
		}
	})
}

func TestPoolPanics(t *testing.T) {
	x, y := make([]float32, 8*Block), make([]float32, 4*Block)
	valid := func() *Pool { return NewPool(4, 2*Block, []int{0, Block}) }
	generic.MaxPool(valid(), y, x)
	generic.MaxPoolGrad(valid(), x, x, y, y)
	for name, f := range map[string]func(){
		"no pixels":       func() { generic.MaxPool(NewPool(0, Block, []int{0}), y, x) },
		"no taps":         func() { generic.MaxPool(NewPool(1, Block, nil), y, x) },
		"negative tap":    func() { generic.MaxPool(NewPool(1, Block, []int{-1}), y, x) },
		"negative stride": func() { generic.MaxPool(NewPool(2, -Block, []int{4 * Block}), y, x) },
		"short input":     func() { generic.MaxPool(valid(), y, x[1:]) },
		"short output":    func() { generic.MaxPool(valid(), y[1:], x) },
		"short dx":        func() { generic.MaxPoolGrad(valid(), x[1:], x, y, y) },
		"short dy":        func() { generic.MaxPoolGrad(valid(), x, x, y, y[1:]) },
	} {
		if message := panics(f); message == "" {
			t.Errorf("%s: no panic", name)
		}
	}
}
