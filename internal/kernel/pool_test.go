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

// halvedRow is two rows of pixels and what 2x2 windows side by side have of them.
type halvedRow struct {
	name    string
	row     int // floats from one row of x to the next
	x, y    []float32
	winners []uint8
}

// halvedRows are of values that tie often and are sometimes not finite, with a pixel over between the rows.
func halvedRows() (rows []halvedRow) {
	for _, r := range poolRows() {
		if len(r.Taps) != 4 || r.Stride != 2*Block {
			continue
		}
		h := halvedRow{name: r.name, row: r.Taps[2], x: r.x, y: largest(r)}
		for i, top := range h.y {
			winner := 0
			for !same(r.x[i/Block*r.Stride+i%Block+r.Taps[winner]], top) {
				winner++
			}
			h.winners = append(h.winners, uint8(winner))
		}
		rows = append(rows, h)
	}
	return rows
}

func TestWinners(t *testing.T) {
	rows, seen := halvedRows(), [4]bool{}
	eachSet(t, func(t *testing.T, s *Set) {
		for _, mem := range memories(t) {
			for _, row := range rows {
				winners, y, x := place(mem, 0, make([]uint8, len(row.y))), place(mem, 1, row.y), place(mem, 2, row.x)
				noFault(t, func() { s.Winners(winners, y, x, row.row) }, "%s, %s", row.name, mem.name)
				for i, got := range winners {
					if got != row.winners[i] {
						t.Fatalf("%s, %s: the winner of value %d is %d, want %d", row.name, mem.name, i, got, row.winners[i])
					}
					seen[got] = true
				}
			}
		}
	})
	if seen != [4]bool{true, true, true, true} {
		t.Errorf("pixels that win somewhere: %v", seen)
	}
}

// TestUnpool: what MaxPoolGrad adds to zeros, to the bit, of gradients that are 0 of either sign or not finite too; the
// floats between the two rows stay as they are.
func TestUnpool(t *testing.T) {
	rows := halvedRows()
	random := rand.New(rand.NewPCG(5, 6))
	special := []float32{0, float32(math.Copysign(0, -1)), float32(math.Inf(1)), float32(math.NaN()), -1}
	eachSet(t, func(t *testing.T, s *Set) {
		for _, mem := range memories(t) {
			for _, row := range rows {
				grad := randoms(random, len(row.y))
				for i := range grad {
					if k := random.IntN(2 * len(special)); k < len(special) {
						grad[i] = special[k]
					}
				}
				want, before := make([]float32, len(row.x)), randoms(random, len(row.x))
				n := len(grad) / Block
				s.MaxPoolGrad(NewPool(n, 2*Block, []int{0, Block, row.row, row.row + Block}), want, row.x, row.y, grad)
				copy(want[2*len(grad):row.row], before[2*len(grad):])
				dx, dy, winners := place(mem, 0, before), place(mem, 1, grad), place(mem, 2, row.winners)
				noFault(t, func() { s.Unpool(dx, row.row, dy, winners) }, "%s, %s", row.name, mem.name)
				for i := range want {
					if got := dx[i]; math.Float32bits(got) != math.Float32bits(want[i]) && (got == got || want[i] == want[i]) {
						t.Fatalf("%s, %s: dx[%d] = %v, want %v", row.name, mem.name, i, got, want[i])
					}
				}
			}
		}
	})
}

func TestPoolPanics(t *testing.T) {
	x, y := make([]float32, 8*Block), make([]float32, 4*Block)
	valid := func() *Pool { return NewPool(4, 2*Block, []int{0, Block}) }
	generic.MaxPool(valid(), y, x)
	generic.MaxPoolGrad(valid(), x, x, y, y)
	winners := make([]uint8, 2*Block)
	generic.Winners(winners, y[:2*Block], x, 4*Block)
	generic.Unpool(x, 4*Block, y[:2*Block], winners)
	generic.Unpool(nil, 0, nil, nil)
	for name, f := range map[string]func(){
		"no pixels":       func() { generic.MaxPool(NewPool(0, Block, []int{0}), y, x) },
		"no taps":         func() { generic.MaxPool(NewPool(1, Block, nil), y, x) },
		"negative tap":    func() { generic.MaxPool(NewPool(1, Block, []int{-1}), y, x) },
		"negative stride": func() { generic.MaxPool(NewPool(2, -Block, []int{4 * Block}), y, x) },
		"short input":     func() { generic.MaxPool(valid(), y, x[1:]) },
		"short output":    func() { generic.MaxPool(valid(), y[1:], x) },
		"short dx":        func() { generic.MaxPoolGrad(valid(), x[1:], x, y, y) },
		"short dy":        func() { generic.MaxPoolGrad(valid(), x, x, y, y[1:]) },
		"few winners":     func() { generic.Winners(winners[1:], y[:2*Block], x, 4*Block) },
		"part of a pixel": func() { generic.Winners(winners[1:], y[1:2*Block], x, 4*Block) },
		"a short row":     func() { generic.Winners(winners, y[:2*Block], x[1:], 4*Block) },
		"rows that meet":  func() { generic.Unpool(x, 4*Block-1, y[:2*Block], winners) },
	} {
		if message := panics(f); message == "" {
			t.Errorf("%s: no panic", name)
		}
	}
}
