package kernel

import (
	"math"
	"unsafe"

	"github.com/vggo/vggo/tensor"
)

// MaxFloat16 is the largest float16. What lies beyond by half a step, 16, or more is rounded to infinity.
const MaxFloat16 = 65504

// Float16 widens a float16, exactly: 1 sign bit, 5 of exponent (bias 15), 10 of fraction.
func Float16(h uint16) float32 {
	sign := uint32(h>>15) << 31
	exponent := uint32(h >> 10 & 0x1f)
	fraction := uint32(h & 0x3ff)
	switch exponent {
	case 0: // zero or subnormal: fraction * 2^-24
		return math.Float32frombits(sign | math.Float32bits(float32(fraction)*0x1p-24))
	case 0x1f:
		if fraction > 0 { // NaN, which arithmetic makes quiet
			fraction |= 0x200
		}
		return math.Float32frombits(sign | 0xff<<23 | fraction<<13)
	}
	return math.Float32frombits(sign | (exponent+127-15)<<23 | fraction<<13)
}

// BFloat16 widens a bfloat16, exactly.
func BFloat16(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }

// toFloat16 is the float16 nearest to x, of two as near the even one.
func toFloat16(x float32) uint16 {
	b := math.Float32bits(x)
	sign := uint16(b >> 16 & 0x8000)
	b &= 1<<31 - 1
	switch {
	case b > 0xff<<23: // NaN
		return sign | 0x7e00 | uint16(b>>13&0x3ff)
	case b >= (16+127)<<23: // from 2^16 on
		return sign | 0x7c00
	case b < (-14+127)<<23:
		// To 1/2, whose last bit is 2^-24 as a subnormal's is, it is added with the rounding that is wanted.
		return sign | uint16(math.Float32bits(math.Float32frombits(b)+0.5)-math.Float32bits(0.5))
	}
	b += 1<<12 - 1 + b>>13&1 // which may reach the next power of two, and infinity
	return sign | uint16((b-(127-15)<<23)>>13)
}

// Widen stores src in dst, exactly.
func (s *Set) Widen(dst []float32, src tensor.Halves) {
	if len(dst) != len(src.Bits) {
		panic("kernel: operands differ in length")
	}
	if src.Brain {
		for i, h := range src.Bits {
			dst[i] = BFloat16(h)
		}
		return
	}
	n := len(dst) / Block
	if n > 0 {
		s.widen(&dst[0], &src.Bits[0], n)
	}
	for i := n * Block; i < len(dst); i++ {
		dst[i] = Float16(src.Bits[i])
	}
}

// Narrow stores src in dst as float16: the nearest, of two as near the even one. It returns the place of the first
// number that is finite and in dst is not, because it lies beyond float16's range; -1 where there is none.
func (s *Set) Narrow(dst []uint16, src []float32) (beyond int) {
	if len(dst) != len(src) {
		panic("kernel: operands differ in length")
	}
	n := len(dst) / Block
	if n > 0 {
		s.narrow(&dst[0], &src[0], n)
	}
	for i := n * Block; i < len(dst); i++ {
		dst[i] = toFloat16(src[i])
	}
	for i, h := range dst {
		if h&0x7c00 == 0x7c00 && math.Float32bits(src[i])&(0xff<<23) != 0xff<<23 {
			return i
		}
	}
	return -1
}

// gemmHalfGeneric is gemmGeneric for b of float16: some rows of it are widened at a time.
func gemmHalfGeneric(rows int) halfGemmFunc {
	return func(a *float32, aRow, aCol int, runs *int, nruns, k int, b *uint16, bRow, _ int, c *float32, cRow, _ int,
		bias *float32, _ *uint16, flags int) {
		for i := range rows {
			out := lanes(add(c, i*cRow))
			switch {
			case flags&flagAccumulate != 0:
			case bias != nil:
				*out = *lanes(bias)
			default:
				*out = [Block]float32{}
			}
		}
		var start [1]int
		for t, run := range unsafe.Slice(runs, nruns) {
			for at := 0; at < k; {
				var wide [32][Block]float32
				n := min(len(wide), k-at)
				for p := range n {
					row := (*[Block]uint16)(unsafe.Add(unsafe.Pointer(b), (t*k+at+p)*bRow))
					for j, h := range row {
						wide[p][j] = Float16(h)
					}
				}
				start[0] = run
				for i := range rows {
					out := lanes(add(c, i*cRow))
					for j := 0; j < Block; j += 8 {
						addProducts((*[8]float32)(out[j:]), add(a, i*aRow+at*aCol), aCol, start[:], n, &wide[0][j], 4*Block)
					}
				}
				at += n
			}
		}
		if flags&flagReLU != 0 {
			for i := range rows {
				for j, x := range lanes(add(c, i*cRow)) {
					lanes(add(c, i*cRow))[j] = rectify(x)
				}
			}
		}
	}
}

// halfDot is the Set's dot products with halves of a kind.
func (s *Set) halfDot(h tensor.Halves) [][2]halfDotFunc {
	if h.Brain {
		return s.dotBF16
	}
	return s.dotF16
}

// halfDots are the portable dot products with halves, which widen makes a float32 of.
func halfDots(widen func(uint16) float32) [][2]halfDotFunc {
	return [][2]halfDotFunc{{dotHalfGeneric(1, 1, widen), dotHalfGeneric(1, 4, widen)},
		{dotHalfGeneric(2, 1, widen), dotHalfGeneric(2, 4, widen)}}
}

// dotHalfGeneric is dotGeneric for b of halves: some hundred of them are widened at a time.
func dotHalfGeneric(rows, cols int, widen func(uint16) float32) halfDotFunc {
	return func(a *float32, aRow int, b *uint16, bRow, k int, c *float32, cRow int, bias *float32, flags int) {
		for j := range cols {
			var sums [2]partialSums
			row := unsafe.Slice((*uint16)(unsafe.Add(unsafe.Pointer(b), j*bRow)), k)
			for at := 0; at < k; {
				var wide [512]float32
				n := min(len(wide), k-at)
				for i, h := range row[at : at+n] {
					wide[i] = widen(h)
				}
				for i := range rows {
					sums[i].add(unsafe.Slice(add(a, i*aRow+4*at), n), wide[:n])
				}
				at += n
			}
			for i := range rows {
				sums[i].finish(add(c, i*cRow), j, bias, flags)
			}
		}
	}
}

func widenGeneric(dst *float32, src *uint16, n int) {
	d := unsafe.Slice(dst, n*Block)
	for i, h := range unsafe.Slice(src, n*Block) {
		d[i] = Float16(h)
	}
}

func narrowGeneric(dst *uint16, src *float32, n int) {
	d := unsafe.Slice(dst, n*Block)
	for i, x := range unsafe.Slice(src, n*Block) {
		d[i] = toFloat16(x)
	}
}
