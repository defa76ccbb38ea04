package kernel

import "unsafe"

// The portable set is the reference: every other set is tested against it, and both against float64. It rounds each
// product before it adds it: Go would fuse x*y + z where the processor can, and the bits would depend on the processor.
// A conversion forbids that.
var generic = Set{
	Name: "generic", Depth: 256, PeakLanes: 1,
	gemm:        [][]gemmFunc{{gemmGeneric(1), gemmGeneric(2), gemmGeneric(3), gemmGeneric(4)}},
	dot:         [][2]dotFunc{{dotGeneric(1, 1), dotGeneric(1, 4)}, {dotGeneric(2, 1), dotGeneric(2, 4)}},
	gemmF16:     [][]halfGemmFunc{{gemmHalfGeneric(1), gemmHalfGeneric(2), gemmHalfGeneric(3), gemmHalfGeneric(4)}},
	dotF16:      halfDots(Float16),
	dotBF16:     halfDots(BFloat16),
	widen:       widenGeneric,
	narrow:      narrowGeneric,
	relu:        reluGeneric,
	reluGrad:    reluGradGeneric,
	axpy:        axpyGeneric,
	mulAdd:      mulAddGeneric,
	scaleShift:  scaleShiftGeneric,
	sumLanes:    sumLanesGeneric,
	dotLanes:    dotLanesGeneric,
	maxPool:     maxPoolGeneric,
	maxPoolGrad: maxPoolGradGeneric,
	winners:     winnersGeneric,
	unpool:      unpoolGeneric,
	winograd:    allWinogradGeneric(),
	peak:        peakGeneric,
	peakFLOP:    12 * 2,
	read:        readGeneric,
}

// add moves a pointer by a number of bytes.
func add(p *float32, bytes int) *float32 { return (*float32)(unsafe.Add(unsafe.Pointer(p), bytes)) }

func lanes(p *float32) *[Block]float32 { return (*[Block]float32)(unsafe.Pointer(p)) }

// gemmGeneric returns the tile of so many rows and one block:
//
//	for i < rows, j < 16:
//	    sum = c[i*cRow+j] if accumulate, else bias[j], else 0
//	    for t < nruns, p < k:
//	        sum += a[runs[t] + i*aRow + p*aCol] * b[(t*k+p)*bRow + j]
//	    c[i*cRow+j] = sum, or max(0, sum) if ReLU
//
// Strides are in bytes, runs in elements of a. nruns and k are at least 1. A tile of more blocks finds block n of b, c
// and bias at n*bBlock, n*cBlock and 16*n.
//
// Eight sums of a row stay in registers, which no element's chain notices. More would not fit beside what they are made
// of.
func gemmGeneric(rows int) gemmFunc {
	return func(a *float32, aRow, aCol int, runs *int, nruns, k int, b *float32, bRow, _ int, c *float32, cRow, _ int,
		bias, _ *float32, flags int) {
		starts := unsafe.Slice(runs, nruns)
		for i := range rows {
			var sums [Block]float32
			out := lanes(add(c, i*cRow))
			switch {
			case flags&flagAccumulate != 0:
				sums = *out
			case bias != nil:
				sums = *lanes(bias)
			}
			for j := 0; j < Block; j += 8 {
				addProducts((*[8]float32)(sums[j:]), add(a, i*aRow), aCol, starts, k, add(b, 4*j), bRow)
			}
			if flags&flagReLU != 0 {
				for j := range sums {
					sums[j] = rectify(sums[j])
				}
			}
			*out = sums
		}
	}
}

// addProducts adds a row of a times eight columns of b.
func addProducts(sums *[8]float32, a *float32, aCol int, runs []int, k int, b *float32, bRow int) {
	s0, s1, s2, s3, s4, s5, s6, s7 := sums[0], sums[1], sums[2], sums[3], sums[4], sums[5], sums[6], sums[7]
	bOff := 0
	for _, start := range runs {
		aOff := start * 4
		for range k {
			x, w := *add(a, aOff), (*[8]float32)(unsafe.Pointer(add(b, bOff)))
			s0 += float32(x * w[0])
			s1 += float32(x * w[1])
			s2 += float32(x * w[2])
			s3 += float32(x * w[3])
			s4 += float32(x * w[4])
			s5 += float32(x * w[5])
			s6 += float32(x * w[6])
			s7 += float32(x * w[7])
			aOff += aCol
			bOff += bRow
		}
	}
	*sums = [8]float32{s0, s1, s2, s3, s4, s5, s6, s7}
}

// rectify is max(0, x) with NaN kept; -0 becomes 0.
func rectify(x float32) float32 {
	if x <= 0 {
		return 0
	}
	return x
}

// dotGeneric returns the tile c[i][j] = sum over p < k of a[i*aRow+p]*b[j*bRow+p], plus bias[j], or plus c[i][j] if
// accumulating; then ReLU if flagged. Strides are in bytes.
func dotGeneric(rows, cols int) dotFunc {
	return func(a *float32, aRow int, b *float32, bRow, k int, c *float32, cRow int, bias *float32, flags int) {
		for i := range rows {
			for j := range cols {
				var sums partialSums
				if k > 0 {
					sums.add(unsafe.Slice(add(a, i*aRow), k), unsafe.Slice(add(b, j*bRow), k))
				}
				sums.finish(add(c, i*cRow), j, bias, flags)
			}
		}
	}
}

// partialSums are eight sums of a dot product, as a vector unit keeps them: faster than one, and closer to the exact
// sum.
type partialSums [8]float32

// add adds the products of x and y.
func (part *partialSums) add(x, y []float32) {
	n := len(x) &^ 7
	for p := 0; p < n; p += 8 {
		xs, ys := x[p:p+8], y[p:p+8]
		for l := range part {
			part[l] += float32(xs[l] * ys[l])
		}
	}
	for p := n; p < len(x); p++ {
		part[p-n] += float32(x[p] * y[p])
	}
}

// finish stores their sum as element j of a row.
func (part *partialSums) finish(row *float32, j int, bias *float32, flags int) {
	sum := ((part[0] + part[4]) + (part[1] + part[5])) + ((part[2] + part[6]) + (part[3] + part[7]))
	out := add(row, j*4)
	switch {
	case flags&flagAccumulate != 0:
		sum += *out
	case bias != nil:
		sum += *add(bias, j*4)
	}
	if flags&flagReLU != 0 {
		sum = rectify(sum)
	}
	*out = sum
}

func reluGeneric(dst, src *float32, n int) {
	d, s := unsafe.Slice(dst, n*Block), unsafe.Slice(src, n*Block)
	for i, x := range s {
		d[i] = rectify(x)
	}
}

// reluGradGeneric clears grad where y <= 0.
func reluGradGeneric(grad, y *float32, n int) {
	g := unsafe.Slice(grad, n*Block)
	for i, v := range unsafe.Slice(y, n*Block) {
		if v <= 0 {
			g[i] = 0
		}
	}
}

func axpyGeneric(y, x *float32, n int, alpha float32) {
	d := unsafe.Slice(y, n*Block)
	for i, v := range unsafe.Slice(x, n*Block) {
		d[i] += float32(alpha * v)
	}
}

func mulAddGeneric(y, a, b *float32, n int) {
	d, v := unsafe.Slice(y, n*Block), unsafe.Slice(b, n*Block)
	for i, x := range unsafe.Slice(a, n*Block) {
		d[i] += float32(x * v[i])
	}
}

// scaleShiftGeneric: dst[p][l] = src[p][l]*scale[l] + shift[l] for n pixels of 16 lanes, through ReLU if flagged.
func scaleShiftGeneric(dst, src, scale, shift *float32, n, flags int) {
	a, b := lanes(scale), lanes(shift)
	d, s := unsafe.Slice(dst, n*Block), unsafe.Slice(src, n*Block)
	for i, x := range s {
		y := float32(x*a[i%Block]) + b[i%Block]
		if flags&flagReLU != 0 {
			y = rectify(y)
		}
		d[i] = y
	}
}

// sumLanesGeneric: sum[l] += src[p][l] for n pixels.
func sumLanesGeneric(sum, src *float32, n int) {
	s := lanes(sum)
	for i, x := range unsafe.Slice(src, n*Block) {
		s[i%Block] += x
	}
}

// dotLanesGeneric: sum[l] += a[p][l]*b[p][l] for n pixels.
func dotLanesGeneric(sum, a, b *float32, n int) {
	s, y := lanes(sum), unsafe.Slice(b, n*Block)
	for i, x := range unsafe.Slice(a, n*Block) {
		s[i%Block] += float32(x * y[i])
	}
}

// maxPoolGeneric: dst[p][l] = the largest over taps of src[p*stride + tap][l] for n pixels; NaN wins. Bytes throughout.
func maxPoolGeneric(dst, src *float32, stride int, taps *int, ntaps, n int) {
	window := unsafe.Slice(taps, ntaps)
	for p := range n {
		out := lanes(add(dst, p*Block*4))
		best := *lanes(add(src, p*stride+window[0]))
		for _, tap := range window[1:] {
			for l, x := range lanes(add(src, p*stride+tap)) {
				if x > best[l] || x != x {
					best[l] = x
				}
			}
		}
		*out = best
	}
}

// maxPoolGradGeneric adds dy[p][l] to dx at the first tap, in order, where x equals y[p][l] or both are NaN.
func maxPoolGradGeneric(dx, x, y, dy *float32, stride int, taps *int, ntaps, n int) {
	window := unsafe.Slice(taps, ntaps)
	for p := range n {
		top, grad := lanes(add(y, p*Block*4)), lanes(add(dy, p*Block*4))
		for l, g := range grad {
			for _, tap := range window {
				v := lanes(add(x, p*stride+tap))[l]
				if v == top[l] || (v != v && top[l] != top[l]) {
					lanes(add(dx, p*stride+tap))[l] += g
					break
				}
			}
		}
	}
}

// winnersGeneric tells for n pixels y, the largest of 2x2 windows of x side by side, which pixel of its window each
// value is: the first, in scan order, that equals it or is NaN as it is, 0 to 3. row is the bytes from one row of x to
// the next.
func winnersGeneric(winners *uint8, y, x *float32, row, n int) {
	w := unsafe.Slice(winners, n*Block)
	for i, top := range unsafe.Slice(y, n*Block) {
		window := add(x, i/Block*2*pixelBytes+i%Block*4)
		w[i] = 3
		for k, tap := range [...]int{0, pixelBytes, row} {
			if v := *add(window, tap); v == top || (v != v && top != top) {
				w[i] = uint8(k)
				break
			}
		}
	}
}

// unpoolGeneric stores each value of n pixels dy at the winner of its 2x2 window of dx, and zeros at the other three.
// row is the bytes from one row of dx to the next. A -0 becomes 0, as where MaxPoolGrad adds it.
func unpoolGeneric(dx *float32, row int, dy *float32, winners *uint8, n int) {
	w := unsafe.Slice(winners, n*Block)
	for i, g := range unsafe.Slice(dy, n*Block) {
		window := add(dx, i/Block*2*pixelBytes+i%Block*4)
		for k, tap := range [...]int{0, pixelBytes, row, row + pixelBytes} {
			v := float32(0)
			if int(w[i]) == k {
				v += g
			}
			*add(window, tap) = v
		}
	}
}

// sink keeps the measuring loops alive.
var sink float32

// peakGeneric keeps twelve chains in registers (an array would live in memory), enough to hide the latency of a
// multiply and an add.
func peakGeneric(steps int) {
	x, y := sink, sink
	var a, b, c, d, e, f, g, h, i, j, k, l float32
	for range steps {
		a, b, c, d = float32(a*x)+y, float32(b*x)+y, float32(c*x)+y, float32(d*x)+y
		e, f, g, h = float32(e*x)+y, float32(f*x)+y, float32(g*x)+y, float32(h*x)+y
		i, j, k, l = float32(i*x)+y, float32(j*x)+y, float32(k*x)+y, float32(l*x)+y
	}
	if a+b+c+d+e+f+g+h+i+j+k+l != 0 {
		sink = 0
	}
}

// readGeneric adds up words of 64 bits: the scalar loads of float32 would be the limit, not the memory.
func readGeneric(src *float32, n int) {
	var sum uint64
	for _, x := range unsafe.Slice((*uint64)(unsafe.Pointer(src)), n*Block/2) {
		sum += x
	}
	if sum == 1 {
		sink = 0
	}
}
