package vision

import "image"

// libjpeg's conversion of Y'CbCr to RGB in 16 bits of fraction (jdcolor.c): what a Cb or Cr adds to each colour. The
// two additions to green are summed before they are rounded.
var fromCr, fromCb [256]struct{ direct, green int32 }

func init() {
	const up = 1 << 15
	fix := func(x float64) int32 { return int32(x*(1<<16) + 0.5) }
	for i := range fromCr {
		x := int32(i) - 128
		fromCr[i].direct = (fix(1.40200)*x + up) >> 16
		fromCb[i].direct = (fix(1.77200)*x + up) >> 16
		fromCr[i].green = -fix(0.71414) * x
		fromCb[i].green = -fix(0.34414)*x + up
	}
}

// yccToRGB converts a row of samples, each of its own chroma, to red, green and blue.
func yccToRGB(to, luma, cb, cr []uint8) {
	cb, cr = cb[:len(luma)], cr[:len(luma)]
	for i, y := range luma {
		b, r := &fromCb[cb[i]], &fromCr[cr[i]]
		pixel := to[:3:3]
		to = to[3:]
		pixel[0] = clamp(int32(y) + r.direct)
		pixel[1] = clamp(int32(y) + (b.green+r.green)>>16)
		pixel[2] = clamp(int32(y) + b.direct)
	}
}

// clamp cuts a value off at 0 and 255.
func clamp(v int32) uint8 {
	if uint32(v) > 255 { // seldom, so a branch is faster than min and max
		v = ^v >> 31
	}
	return uint8(v)
}

// plane is one of an image's components, whose samples may each stand for several pixels.
type plane struct {
	pix    []uint8
	stride int
	w, h   int // samples that the image has; what pads a JPEG's last block is not among them
	sx, sy int // pixels to a sample
	wide   []uint8
	sums   []int32
}

// row gives a sample for each pixel of row y, as libjpeg does by default ("fancy upsampling", jdsample.c of
// libjpeg-turbo): halved planes by a triangle filter, three quarters of the nearer sample and one of the farther; other
// ones, and those of 2 samples in a row or fewer, by repetition. There are w times sx, which hold until the next call.
func (p *plane) row(y int) []uint8 {
	line := func(i int) []uint8 { // row i of the samples; beyond the first and last they are repeated
		return p.pix[min(max(i, 0), p.h-1)*p.stride:][:p.w]
	}
	near := line(y / p.sy)
	if p.sx == 1 && p.sy == 1 {
		return near
	}
	if p.wide == nil {
		p.wide, p.sums = make([]uint8, p.w*p.sx), make([]int32, p.w)
	}
	to := p.wide
	far := func() []uint8 { return line(y/2 - 1 + y%2*2) } // of two rows of pixels, the lower is near the next samples
	switch {
	case p.sx == 1 && p.sy == 2:
		bias, far := int32(1+y%2), far()
		for i, v := range near {
			to[i] = uint8((3*int32(v) + int32(far[i]) + bias) >> 2)
		}
	case p.sx == 2 && p.w > 2 && p.sy == 1:
		for i, v := range near {
			p.sums[i] = int32(v)
		}
		spread(to, p.sums, 1, 2, 2)
	case p.sx == 2 && p.w > 2 && p.sy == 2:
		far := far()
		for i, v := range near {
			p.sums[i] = 3*int32(v) + int32(far[i])
		}
		spread(to, p.sums, 8, 7, 4)
	default:
		for i := range to {
			to[i] = near[i/p.sx]
		}
	}
	return to
}

// chromaRows gives an image's chroma a sample for each pixel, row by row.
type chromaRows struct {
	cb, cr      plane
	left, above int // pixels of the first chroma sample that lie outside, of an image cut out of another
	width       int
}

func newChromaRows(m *image.YCbCr) *chromaRows {
	p := plane{stride: m.CStride, sx: 1, sy: 1}
	switch m.SubsampleRatio {
	case image.YCbCrSubsampleRatio422:
		p.sx = 2
	case image.YCbCrSubsampleRatio420:
		p.sx, p.sy = 2, 2
	case image.YCbCrSubsampleRatio440:
		p.sy = 2
	case image.YCbCrSubsampleRatio411:
		p.sx = 4
	case image.YCbCrSubsampleRatio410:
		p.sx, p.sy = 4, 2
	}
	r := m.Rect
	// COffset's own rounding, so that the first sample is the one it finds.
	c := &chromaRows{left: r.Min.X - r.Min.X/p.sx*p.sx, above: r.Min.Y - r.Min.Y/p.sy*p.sy, width: r.Dx()}
	p.w, p.h = ceil(c.left+r.Dx(), p.sx), ceil(c.above+r.Dy(), p.sy)
	c.cb, c.cr = p, p
	c.cb.pix, c.cr.pix = m.Cb, m.Cr
	return c
}

// row returns the chroma of row y, counted from the image's first; the next call may overwrite it.
func (c *chromaRows) row(y int) (cb, cr []uint8) {
	cb, cr = c.cb.row(c.above+y), c.cr.row(c.above+y)
	return cb[c.left:][:c.width], cr[c.left:][:c.width]
}

// spread makes two samples of each along a row, weighing the nearer three times and dropping bits of fraction. Its two
// roundings take turns, so that halves go up and down alike.
func spread(to []uint8, from []int32, left, right int32, bits int) {
	before, v := from[0], from[0]
	for _, after := range from[1:] {
		pair := to[:2:2]
		to = to[2:]
		pair[0], pair[1] = uint8((3*v+before+left)>>bits), uint8((3*v+after+right)>>bits)
		before, v = v, after
	}
	to[0], to[1] = uint8((3*v+before+left)>>bits), uint8((4*v+right)>>bits)
}
