package arch

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// TestTaps holds each axis's taps against the definition, place by place, for random windows and all of their units.
func TestTaps(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	seen := map[string]int{}
	for range 20000 {
		in := Shape{C: 1, H: 1 + r.IntN(12), W: 1 + r.IntN(12)}
		size := func(most int) Size { return Size{1 + r.IntN(most), 1 + r.IntN(most)} }
		w := Window{Kernel: size(5), Stride: size(4), Dilation: size(3), Ceil: r.IntN(2) == 0,
			Pad: Padding{Mode: []PadMode{Explicit, Same, Valid}[r.IntN(3)], Top: r.IntN(4), Left: r.IntN(4), Bottom: r.IntN(4),
				Right: r.IntN(4)}}
		var op Op
		switch r.IntN(5) {
		case 0:
			w.Ceil = false
			op = Conv{Out: 1, Window: w}
		case 1:
			op = MaxPool{Window: w}
		case 2:
			op = AvgPool{Window: w, CountPad: r.IntN(2) == 0}
		case 3:
			op = AdaptiveAvgPool{Out: size(14)}
		case 4:
			op = GlobalAvgPool{}
		}
		p, err := place(Layer{"l", op}, in)
		if err != nil {
			continue
		}
		for i := range p.Out.H {
			for j := range p.Out.W {
				rows, cols := p.Taps(i, j)
				for _, axis := range []struct {
					name                                                  string
					got                                                   Taps
					unit, kernel, stride, dilation, before, after, n, out int
				}{
					{"row", rows, i, p.Geometry.Kernel.H, p.Geometry.Stride.H, p.Geometry.Dilation.H, p.Geometry.Top,
						p.Geometry.Bottom, in.H, p.Out.H},
					{"column", cols, j, p.Geometry.Kernel.W, p.Geometry.Stride.W, p.Geometry.Dilation.W, p.Geometry.Left,
						p.Geometry.Right, in.W, p.Out.W},
				} {
					var read []int // the real places, by the definition
					divisor := 0
					pool, averages := op.(AvgPool)
					switch op.(type) {
					case AdaptiveAvgPool, GlobalAvgPool:
						for place := range axis.n { // place <= x < place+1 meets i*n/out <= x < (i+1)*n/out
							if (place+1)*axis.out > axis.unit*axis.n && place*axis.out < (axis.unit+1)*axis.n {
								read = append(read, place)
							}
						}
						divisor = len(read)
					default:
						for k := range axis.kernel {
							place := axis.unit*axis.stride - axis.before + k*axis.dilation
							if place >= 0 && place < axis.n {
								read = append(read, place)
							}
							if place < axis.n+axis.after && (averages && pool.CountPad || place >= 0 && place < axis.n) {
								divisor++
							}
							if place >= axis.n+axis.after {
								seen[op.Kind()+" hangs over"]++
							}
						}
					}
					var got []int
					for k := range axis.got.Count {
						if place, real := axis.got.At(k); real {
							got = append(got, place)
						}
					}
					if fmt.Sprint(got) != fmt.Sprint(read) || axis.got.Divisor != divisor {
						t.Fatalf("%s of %v, %s %d: reads %v by %d, want %v by %d (%+v)", Describe(op), in, axis.name, axis.unit, got,
							axis.got.Divisor, read, divisor, axis.got)
					}
				}
			}
		}
		seen[op.Kind()]++
	}
	for _, kind := range []string{"conv", "maxpool", "avgpool", "adaptiveavgpool", "globalavgpool", "avgpool hangs over",
		"maxpool hangs over"} {
		if seen[kind] < 100 {
			t.Errorf("%s was met %d times", kind, seen[kind])
		}
	}
	// Padding by reflection reads one place, of a row a b c d: c b a b c d c.
	pad, err := place(Layer{"p", ReflectPad{Top: 2, Left: 0, Bottom: 1, Right: 3}}, Shape{3, 4, 4})
	if err != nil || pad.Out != (Shape{3, 7, 7}) {
		t.Fatal(pad.Out, err)
	}
	for i, want := range []int{2, 1, 0, 1, 2, 3, 2} {
		if rows, _ := pad.Taps(i, 0); rows != (Taps{want, 1, 1, 0, 1, 1}) {
			t.Errorf("padded row %d reads %+v, want %d", i, rows, want)
		}
	}
	for j, want := range []int{0, 1, 2, 3, 2, 1, 0} {
		if _, cols := pad.Taps(0, j); cols != (Taps{want, 1, 1, 0, 1, 1}) {
			t.Errorf("padded column %d reads %+v, want %d", j, cols, want)
		}
	}
	// What reads one place alone.
	p, _ := place(Layer{"r", ReLU{}}, Shape{3, 4, 5})
	if rows, cols := p.Taps(2, 3); rows != (Taps{2, 1, 1, 0, 1, 1}) || cols != (Taps{3, 1, 1, 0, 1, 1}) {
		t.Errorf("a ReLU reads %+v, %+v", rows, cols)
	}
}

// TestNeighbours: as torch.nn.LocalResponseNorm counts them.
func TestNeighbours(t *testing.T) {
	for _, c := range []struct{ size, channel, channels, first, last int }{
		{1, 2, 5, 2, 2}, {2, 2, 5, 1, 2}, {3, 0, 5, 0, 1}, {4, 2, 5, 0, 3}, {5, 2, 5, 0, 4}, {13, 4, 5, 0, 4},
	} {
		if first, last := (LRN{Size: c.size}).Neighbours(c.channel, c.channels); first != c.first || last != c.last {
			t.Errorf("%+v: %d to %d", c, first, last)
		}
	}
}
