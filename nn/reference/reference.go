// Package reference computes every layer of a network, forward and backward, the way its equation is written: one loop
// per index, float64. It is what package nn is measured against, and the place to read what a layer means. Semantics
// are PyTorch's.
//
// Convolutions and linear layers, which take all the time of a network such as VGG-16, deal out what they compute to
// goroutines. Each value is one sum in one order, so the bits do not depend on how many there are.
//
// In the equations n is an image, c an input channel, o an output channel, (i, j) a place in the output, (p, q) a place
// in the kernel, (y, x) a place in the input. A gradient is written dy for ∂loss/∂y.
package reference

import (
	"iter"
	"runtime"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/parallel"
)

// Tensor is N feature maps in float64, N,C,H,W.
type Tensor struct {
	N int
	arch.Shape
	Data []float64
}

// New is a tensor of zeros.
func New(n int, shape arch.Shape) Tensor {
	return Tensor{n, shape, make([]float64, n*shape.C*shape.H*shape.W)}
}

func (t Tensor) at(n, c, i, j int) *float64 { return &t.Data[((n*t.C+c)*t.H+i)*t.W+j] }

func (t Tensor) image(n int) []float64 { return t.Data[n*t.C*t.H*t.W:][:t.C*t.H*t.W] }

// index is a place in an output.
type index struct{ n, c, i, j int }

// indices runs over a tensor in storage order.
func (t Tensor) indices() iter.Seq[index] {
	return func(yield func(index) bool) {
		for n := range t.N {
			for c := range t.C {
				for i := range t.H {
					for j := range t.W {
						if !yield(index{n, c, i, j}) {
							return
						}
					}
				}
			}
		}
	}
}

// tap is one kernel element (p, q) and the input pixel (y, x) under it.
type tap struct{ p, q, y, x int }

// window runs over the kernel at output (i, j), row by row, where arch.Placed.Taps says that it lies. Taps in the
// padding are left out.
func window(l *arch.Placed, i, j int) iter.Seq[tap] {
	rows, cols := l.Taps(i, j)
	return func(yield func(tap) bool) {
		for p := rows.First; p < rows.Last; p++ {
			for q := cols.First; q < cols.Last; q++ {
				y, _ := rows.At(p)
				x, _ := cols.At(q)
				if !yield(tap{p, q, y, x}) {
					return
				}
			}
		}
	}
}

// Each calls do for every i below n, on as many goroutines as Go may use processors. What do(i) writes no other call
// may touch.
func Each(n int, do func(i int)) { parallel.Each(runtime.GOMAXPROCS(0), n, do) }
