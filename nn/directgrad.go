package nn

import "github.com/vggo/vggo/internal/kernel"

// directGrad computes dw[o][i][kh][kw] = sum over images and pixels of dy[o][y][x] * x[i][y*s - top + kh*d][x*s - left
// + kw*d] as matrix products whose depth is the pixels of an output row: a task owns one block of input channels and a
// group of output blocks, and adds image after image, band after band, so the order of the sum is fixed.
type directGrad struct {
	c         *conv
	n         int // images of the running step
	job       func(worker, task int)
	rows      int // output rows of a band
	bandRows  int
	groupSize int // output blocks of a task
	groups    int
	runs      []int // starts of the band's output rows
	accSize   int   // accumulators of one output block
	taps      []int // where a kernel row (or a tap, if columns are dilated) starts in the band
	tapRows   int   // input positions of a tap: kernel columns x channels
}

func newDirectGrad(p *Plan, c *conv) *directGrad {
	d := &c.shape
	g := &directGrad{c: c}
	g.job = g.task
	// Bands of about 128 KiB: the input rows and the rows of dy of one output block share the L2 cache.
	const floats = 32 << 10
	g.rows = min(d.outH, max(1, (floats/(d.bandCols*d.width)-d.extent())/d.strideH+1))
	g.bandRows = (g.rows-1)*d.strideH + d.extent()
	g.groupSize = min(d.outBlocks, 8)
	if d.inBlocks*c.parts < 4 {
		g.groupSize = min(d.outBlocks, 2) // few input blocks: more tasks along the output
	}
	g.groups = (d.outBlocks + g.groupSize - 1) / g.groupSize
	for r := range g.rows {
		g.runs = append(g.runs, r*d.strideH*d.bandCols*d.width)
	}
	g.taps, g.tapRows = d.blockRuns(g.bandRows, 1)
	g.accSize = len(g.taps) * g.tapRows * kernel.Block
	p.needScratch(g.bandRows*d.bandCols*d.width + g.groupSize*g.accSize)
	return g
}

func (g *directGrad) run(n int) {
	g.n = n
	g.c.engine.team.run(g.c.parts*g.c.shape.inBlocks*g.groups, g.job)
}

// source is the input blocks of one part of an image.
func (g *directGrad) source(n, part int) source {
	if g.c.planar {
		return g.c.engine.planarImage(n)
	}
	return source{data: g.c.in.image(n)[part*g.c.shape.inBlocks*g.c.in.blockSize():]}
}

func (g *directGrad) task(worker, task int) {
	c, d := g.c, &g.c.shape
	group, task := task%g.groups, task/g.groups
	inBlock, part := task%d.inBlocks, task/d.inBlocks
	o0 := group * g.groupSize
	blocks := min(g.groupSize, d.outBlocks-o0)
	scratch := c.engine.scratch[worker]
	acc, band := scratch[:blocks*g.accSize], scratch[blocks*g.accSize:][:g.bandRows*d.bandCols*d.width]
	first := true
	for n := range g.n {
		src := g.source(n, part)
		dy := c.out.imageGrad(n)[(part*d.outBlocks+o0)*c.out.blockSize():][:blocks*c.out.blockSize()]
		for y0 := 0; y0 < d.outH; y0 += g.rows {
			rows := min(g.rows, d.outH-y0)
			d.fill(band, src, inBlock, inBlock+1, y0, (rows-1)*d.strideH+(d.kh-1)*d.dilH+1)
			for t, tap := range g.taps {
				c.engine.set.Matmul(&kernel.Matmul{
					Bands: 1, M: g.tapRows, Blocks: blocks,
					K: d.outW, Runs: g.runs[:rows],
					A: band[tap:], ARow: 1, ACol: d.strideW * d.width,
					B: dy[y0*d.outW*kernel.Block:], BRow: kernel.Block, BBlock: c.out.blockSize(),
					C: acc[t*g.tapRows*kernel.Block:], CRow: kernel.Block, CBlock: g.accSize,
					Accumulate: !first,
				})
			}
			first = false
		}
	}
	g.store(acc, part, inBlock, o0, blocks)
}

// store moves the accumulators, [output block][kh][kw][input channel][16], to the O,I,H,W gradient.
func (g *directGrad) store(acc []float32, part, inBlock, o0, blocks int) {
	c, d := g.c, &g.c.shape
	partIn, partOut := c.in.shape.C/c.parts, c.out.shape.C/c.parts
	perIn, perOut := c.in.shape.C/c.groups, c.out.shape.C/c.groups
	for b := range blocks {
		for kh := range d.kh {
			for kw := range d.kw {
				for ch := range min(d.width, partIn-inBlock*d.width) {
					row := acc[b*g.accSize+((kh*d.kw+kw)*d.width+ch)*kernel.Block:][:kernel.Block]
					i := part*partIn + inBlock*d.width + ch
					for l := range min(kernel.Block, partOut-(o0+b)*kernel.Block) {
						o := part*partOut + (o0+b)*kernel.Block + l
						if o/perOut == i/perIn {
							c.w.Grad[((o*perIn+i%perIn)*d.kh+kh)*d.kw+kw] = row[l]
						}
					}
				}
			}
		}
	}
}
