package kernel

import "unsafe"

// The functions here check their operands once and pass them to the Set's loops. Lengths are whole blocks of 16.

func wholeBlocks(n int) int {
	if n%Block != 0 {
		panic("kernel: length is not a whole number of blocks")
	}
	return n / Block
}

// local returns the first of 16 values, hiding the pointer from escape analysis: a Set's loops are function values, for
// which the compiler assumes the worst and would move every sum and scale of the caller to the heap. They keep no
// pointers. The values lie on the stack, and while their address is a plain number nothing may be called that moves it:
// not even the check of pointers that a build with the race detector puts here by itself.
//
//go:nosplit
//go:nocheckptr
func local(v *[Block]float32) *float32 {
	p := uintptr(unsafe.Pointer(v))
	return *(**float32)(unsafe.Pointer(&p))
}

func sameLength(a, b []float32) int {
	if len(a) != len(b) {
		panic("kernel: operands differ in length")
	}
	return wholeBlocks(len(a))
}

// ReLU stores max(0, src) in dst, NaN kept; dst may be src.
func (s *Set) ReLU(dst, src []float32) {
	if n := sameLength(dst, src); n > 0 {
		s.relu(&dst[0], &src[0], n)
	}
}

// ReLUGrad clears grad where y, the ReLU's output, is not positive.
func (s *Set) ReLUGrad(grad, y []float32) {
	if n := sameLength(grad, y); n > 0 {
		s.reluGrad(&grad[0], &y[0], n)
	}
}

// Axpy adds alpha*x to y.
func (s *Set) Axpy(y, x []float32, alpha float32) {
	if n := sameLength(y, x); n > 0 {
		s.axpy(&y[0], &x[0], n, alpha)
	}
}

// MulAdd adds a*b to y, value by value; a may be b.
func (s *Set) MulAdd(y, a, b []float32) {
	sameLength(a, b)
	if n := sameLength(y, a); n > 0 {
		s.mulAdd(&y[0], &a[0], &b[0], n)
	}
}

// ScaleShift stores src*scale + shift by channel in dst for pixels of one block, through ReLU if asked; dst may be src.
func (s *Set) ScaleShift(dst, src []float32, scale, shift *[Block]float32, relu bool) {
	flags := 0
	if relu {
		flags = flagReLU
	}
	if n := sameLength(dst, src); n > 0 {
		s.scaleShift(&dst[0], &src[0], local(scale), local(shift), n, flags)
	}
}

// SumLanes adds the pixels of src to sum by channel.
func (s *Set) SumLanes(sum *[Block]float32, src []float32) {
	if n := wholeBlocks(len(src)); n > 0 {
		s.sumLanes(local(sum), &src[0], n)
	}
}

// DotLanes adds a*b to sum by channel.
func (s *Set) DotLanes(sum *[Block]float32, a, b []float32) {
	if n := sameLength(a, b); n > 0 {
		s.dotLanes(local(sum), &a[0], &b[0], n)
	}
}

// Pool is a row of n output pixels of one block: window t of pixel p is the 16 floats at Taps[t]+p*Stride, counted in
// floats from the row's first window.
type Pool struct {
	Pixels, Stride int
	Taps           []int
	bytes          []int // Taps in bytes
}

// NewPool prepares a row of pooling windows.
func NewPool(pixels, stride int, taps []int) *Pool {
	p := &Pool{Pixels: pixels, Stride: stride, Taps: taps, bytes: make([]int, len(taps))}
	for i, t := range taps {
		p.bytes[i] = 4 * t
	}
	return p
}

func (p *Pool) check(x, y []float32) {
	if p.Pixels < 1 || len(p.Taps) < 1 || p.Stride < 0 {
		panic("kernel: pooling of nothing")
	}
	last := (p.Pixels-1)*p.Stride + Block
	for _, t := range p.Taps {
		if t < 0 || t+last > len(x) {
			panic("kernel: pooling reads beyond its input")
		}
	}
	if len(y) < p.Pixels*Block {
		panic("kernel: pooling writes beyond its output")
	}
}

// MaxPool stores the largest of each window of x in y; a NaN in the window is the result.
func (s *Set) MaxPool(p *Pool, y, x []float32) {
	p.check(x, y)
	s.maxPool(&y[0], &x[0], 4*p.Stride, &p.bytes[0], len(p.bytes), p.Pixels)
}

// MaxPoolGrad adds dy to dx at the first tap of each window whose x equals y (or is NaN as y is).
func (s *Set) MaxPoolGrad(p *Pool, dx, x, y, dy []float32) {
	p.check(x, y)
	p.check(dx, dy)
	s.maxPoolGrad(&dx[0], &x[0], &y[0], &dy[0], 4*p.Stride, &p.bytes[0], len(p.bytes), p.Pixels)
}

// windows checks pixels of a block that are pooled from 2x2 windows side by side in two rows, of so many floats from
// one to the next, and returns how many they are.
func windows(rows []float32, row int, pooled []float32, winners []uint8) int {
	n := wholeBlocks(len(pooled))
	if len(winners) != len(pooled) {
		panic("kernel: operands differ in length")
	}
	if row < 2*len(pooled) || row+2*len(pooled) > len(rows) {
		panic("kernel: pooled windows reach beyond their rows")
	}
	return n
}

// Winners tells for each value of y, the maxima (as MaxPool takes them) of 2x2 windows of x side by side, which pixel
// of its window it is: the first that equals it, or is NaN as it is, of 0 and 1 above and 2 and 3 below. y and winners
// are [n][16]; x is two rows of at least [2n][16], so many floats from one to the next.
func (s *Set) Winners(winners []uint8, y, x []float32, row int) {
	if n := windows(x, row, y, winners); n > 0 {
		s.winners(&winners[0], &y[0], &x[0], 4*row, n)
	}
}

// Unpool is what MaxPoolGrad adds to zeros: it stores each value of dy at the pixel of its 2x2 window of dx that
// winners, of Winners, tells, and zeros at the other three. dy and winners are [n][16]; of each of two rows of dx, so
// many floats from one to the next, it writes the first [2n][16].
func (s *Set) Unpool(dx []float32, row int, dy []float32, winners []uint8) {
	if n := windows(dx, row, dy, winners); n > 0 {
		s.unpool(&dx[0], 4*row, &dy[0], &winners[0], n)
	}
}
