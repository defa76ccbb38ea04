package nn

import (
	"math"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/kernel"
)

// conv is a convolution, with the batch norm after it folded in (inference) and the ReLU after it fused.
//
//	y[o] = b[o] + sum over c, kh, kw of w[o][c][kh][kw] * x[c][y*s - top + kh*d][x*s - left + kw*d]
type conv struct {
	plan    *Plan
	g       arch.Geometry
	in, out *values
	planar  bool // in is the Plan's NCHW input
	relu    bool
	w, b    *Param // b may be nil
	fold    *folded

	// A grouped convolution whose groups fill whole blocks runs as that many convolutions. Other groups run as one
	// convolution with zero weights between groups.
	parts     int
	groups    int
	forwardBy direct
	packed    []float32
	bias      []float32 // padded to blocks, batch norm folded in

	dataBy     direct // the data gradient, as a convolution of the output's gradient
	dataPacked []float32

	// Where they pay, these take the place of forwardBy and dataBy.
	forwardFast, dataFast *winogradPass
	weightFast            *winogradGrad

	weightBy     weightGrad
	biasPartials []float64 // [image][channel]

	n         int
	split     int // output blocks of a part are shared among so many tasks
	dataSplit int

	forwardJob, reluGradJob, weightJob, dataJob func(worker, task int)
}

// folded is a batch norm as a scale and shift of the channels before it.
type folded struct {
	gamma, beta, mean, variance *Param
	eps                         float64
}

// channel returns the scale and shift of channel c.
func (f *folded) channel(c int) (scale, shift float32) {
	if f == nil {
		return 1, 0
	}
	s := float64(f.gamma.Data[c]) / math.Sqrt(float64(f.variance.Data[c])+f.eps)
	return float32(s), float32(float64(f.beta.Data[c]) - float64(f.mean.Data[c])*s)
}

func newConv(p *Plan, layer arch.Placed, in, out *values, planar bool) *conv {
	op, g := layer.Op.(arch.Conv), layer.Geometry
	c := &conv{plan: p, g: g, in: in, out: out, planar: planar, groups: max(op.Groups, 1), w: p.params.Get(layer.Name + "/w"), b: p.params.Get(layer.Name + "/b")}
	inC, outC := layer.In.C, layer.Out.C
	c.parts = 1
	if c.groups > 1 && inC/c.groups%kernel.Block == 0 && outC/c.groups%kernel.Block == 0 && !planar {
		c.parts = c.groups
	}
	width, inBlocks := kernel.Block, kernel.Blocks(inC/c.parts)
	if planar && inC < kernel.Block {
		width, inBlocks = inC, 1
	}
	c.forwardBy = direct{
		inH: g.In.H, inW: g.In.W, outH: g.Out.H, outW: g.Out.W, kh: g.Kernel.H, kw: g.Kernel.W,
		strideH: g.Stride.H, strideW: g.Stride.W, dilH: g.Dilation.H, dilW: g.Dilation.W, upH: 1, upW: 1,
		top: g.Top, left: g.Left, width: width, inBlocks: inBlocks, outBlocks: kernel.Blocks(outC / c.parts),
	}
	c.forwardBy.prepare()
	c.bias = p.pack(kernel.Blocks(outC) * kernel.Block)
	if c.forwardFast = c.fast(&c.forwardBy, c.bias); c.forwardFast == nil {
		c.packed = p.pack(c.parts * c.forwardBy.packedSize())
		c.split = c.shares(&c.forwardBy)
		p.needScratch(c.forwardBy.scratch())
		c.forwardJob = c.forwardTask
	}
	if p.Training {
		c.prepareBackward(layer)
	}
	return c
}

// fast returns d's convolution by Winograd's algorithm, nil if that cannot be or does not pay.
func (c *conv) fast(d *direct, bias []float32) *winogradPass {
	if c.plan.Algo == Direct || d.kh != 3 || d.kw != 3 || d.strideH != 1 || d.strideW != 1 || d.upH != 1 || d.upW != 1 || d.dilH != 1 || d.dilW != 1 ||
		c.groups > 1 || d.width != kernel.Block || c.planar && d == &c.forwardBy {
		return nil
	}
	w := winogradOf(d)
	if c.plan.Algo == Auto && !winogradPays(&w, c.plan.Batch) {
		return nil
	}
	return newWinogradPass(c.plan, w, bias)
}

// shares splits the output blocks so that every thread has work at a small batch. Results do not depend on it.
func (c *conv) shares(d *direct) int {
	tasks := c.plan.Batch * c.parts * d.bands()
	return min(d.outBlocks, max(1, (4*c.plan.Threads+tasks-1)/tasks))
}

func (c *conv) refresh() {
	outC, inC := c.out.shape.C, c.in.shape.C
	scale := make([]float32, outC)
	for o := range outC {
		scale[o], c.bias[o] = c.fold.channel(o)
		if c.b != nil {
			c.bias[o] += scale[o] * c.b.Data[o]
		}
	}
	partIn, partOut := inC/c.parts, outC/c.parts
	forward := func(part int) func(o, i, kh, kw int) float32 {
		return func(o, i, kh, kw int) float32 {
			if o >= partOut || i >= partIn {
				return 0
			}
			return scale[part*partOut+o] * c.weight(part*partOut+o, part*partIn+i, kh, kw)
		}
	}
	if c.forwardFast != nil {
		c.forwardFast.relu = c.relu
		c.forwardFast.refresh(forward(0))
	} else {
		c.packDirect(&c.forwardBy, c.packed, forward)
	}
	data := func(part int) func(i, o, kh, kw int) float32 {
		return func(i, o, kh, kw int) float32 {
			if o >= partOut || i >= partIn {
				return 0
			}
			return c.weight(part*partOut+o, part*partIn+i, c.g.Kernel.H-1-kh, c.g.Kernel.W-1-kw)
		}
	}
	if c.dataFast != nil {
		c.dataFast.refresh(data(0))
	} else if c.dataPacked != nil {
		c.packDirect(&c.dataBy, c.dataPacked, data)
	}
}

func (c *conv) packDirect(d *direct, packed []float32, weight func(part int) func(out, in, kh, kw int) float32) {
	c.plan.team.run(c.parts*d.outBlocks, func(_, task int) {
		part, block := task/d.outBlocks, task%d.outBlocks
		d.pack(packed[part*d.packedSize():], block, weight(part))
	})
}

// weight is w[o][i][kh][kw] of the whole convolution: zero between channels of different groups.
func (c *conv) weight(o, i, kh, kw int) float32 {
	perIn, perOut := c.in.shape.C/c.groups, c.out.shape.C/c.groups
	if o/perOut != i/perIn {
		return 0
	}
	return c.w.Data[((o*perIn+i%perIn)*c.g.Kernel.H+kh)*c.g.Kernel.W+kw]
}

// partSource is the input blocks of one part of an image.
func (c *conv) partSource(n, part int) source {
	if c.planar {
		size := c.in.shape.C * c.in.shape.H * c.in.shape.W
		return source{data: c.plan.input.Data[n*size : (n+1)*size], planar: true, channels: c.in.shape.C}
	}
	return source{data: c.in.image(n)[part*c.forwardBy.inBlocks*c.in.blockSize():]}
}

func (c *conv) forward(n int) {
	if c.forwardFast != nil {
		c.forwardFast.run(n, c.in.data, c.out.data)
		return
	}
	c.n = n
	c.plan.team.run(n*c.parts*c.forwardBy.bands()*c.split, c.forwardJob)
}

func (c *conv) forwardTask(worker, task int) {
	d := &c.forwardBy
	share, task := task%c.split, task/c.split
	y0, task := task%d.bands()*d.rows, task/d.bands()
	part, n := task%c.parts, task/c.parts
	band := c.plan.scratch[worker]
	d.fill(band, c.partSource(n, part), 0, d.inBlocks, y0, d.bandRows)
	o0, o1 := share*d.outBlocks/c.split, (share+1)*d.outBlocks/c.split
	d.convolve(c.plan.Set, band[:d.scratch()], c.packed[part*d.packedSize():], c.bias[part*d.outBlocks*kernel.Block:],
		c.out.image(n)[part*d.outBlocks*c.out.blockSize():], y0, o0, o1, c.relu)
}

func (c *conv) prepareBackward(layer arch.Placed) {
	p, g := c.plan, c.g
	c.biasPartials = make([]float64, p.Batch*kernel.Blocks(layer.Out.C)*kernel.Block)
	c.reluGradJob = c.reluGradTask
	if c.forwardFast != nil {
		c.weightFast = newWinogradGrad(c)
	} else {
		c.weightBy.prepare(c)
		c.weightJob = c.weightBy.task
	}
	if !p.wantsGrad(c.in) {
		return
	}
	// dx[y] = sum of w[kh] * dy[(y + top - kh*d)/s]: a convolution of dy, its rows s apart, padded by (k-1)*d - top before.
	c.dataBy = direct{
		inH: g.Out.H, inW: g.Out.W, outH: g.In.H, outW: g.In.W, kh: g.Kernel.H, kw: g.Kernel.W,
		strideH: 1, strideW: 1, dilH: g.Dilation.H, dilW: g.Dilation.W, upH: g.Stride.H, upW: g.Stride.W,
		top: g.Extent().H - 1 - g.Top, left: g.Extent().W - 1 - g.Left,
		width: kernel.Block, inBlocks: kernel.Blocks(layer.Out.C / c.parts), outBlocks: kernel.Blocks(layer.In.C / c.parts),
	}
	c.dataBy.prepare()
	if c.dataFast = c.fast(&c.dataBy, p.noBias(c.dataBy.outBlocks)); c.dataFast != nil {
		return
	}
	c.dataPacked = p.pack(c.parts * c.dataBy.packedSize())
	c.dataSplit = c.shares(&c.dataBy)
	p.needScratch(c.dataBy.scratch())
	c.dataJob = c.dataTask
}

// backward turns the gradient of the output into those of bias, weights and input.
func (c *conv) backward(n int) {
	c.n = n
	c.plan.team.run(n*kernel.Blocks(c.out.shape.C), c.reluGradJob)
	if c.b != nil {
		stride := kernel.Blocks(c.out.shape.C) * kernel.Block
		for o := range c.out.shape.C {
			sum := 0.0
			for i := range n {
				sum += c.biasPartials[i*stride+o]
			}
			c.b.Grad[o] = float32(sum)
		}
	}
	if c.weightFast != nil {
		c.weightFast.run(n)
	} else {
		c.plan.team.run(c.weightBy.tasks(), c.weightJob)
	}
	c.plan.lap("weights")
	switch {
	case c.dataFast != nil:
		c.dataFast.run(n, c.out.grad, c.in.grad)
		c.plan.lap("data")
	case c.dataJob != nil:
		c.plan.team.run(n*c.parts*c.dataBy.bands()*c.dataSplit, c.dataJob)
		c.plan.lap("data")
	}
}

// reluGradTask takes one block of channels of one image through the ReLU and sums it for the bias. Rows are summed in
// float32, the image in float64.
func (c *conv) reluGradTask(_, task int) {
	blocks := kernel.Blocks(c.out.shape.C)
	n, cb := task/blocks, task%blocks
	grad, y := c.out.block(c.out.grad, n, cb), c.out.block(c.out.data, n, cb)
	partial := c.biasPartials[task*kernel.Block:][:kernel.Block]
	clear(partial)
	row := c.out.shape.W * kernel.Block
	for at := 0; at < len(grad); at += row {
		g := grad[at : at+row]
		if c.relu {
			c.plan.Set.ReLUGrad(g, y[at:at+row])
		}
		var sum [kernel.Block]float32
		c.plan.Set.SumLanes(&sum, g)
		for l, s := range sum {
			partial[l] += float64(s)
		}
	}
}

func (c *conv) dataTask(worker, task int) {
	d := &c.dataBy
	share, task := task%c.dataSplit, task/c.dataSplit
	y0, task := task%d.bands()*d.rows, task/d.bands()
	part, n := task%c.parts, task/c.parts
	band := c.plan.scratch[worker]
	src := source{data: c.out.imageGrad(n)[part*d.inBlocks*c.out.blockSize():]}
	d.fill(band, src, 0, d.inBlocks, y0, d.bandRows)
	o0, o1 := share*d.outBlocks/c.dataSplit, (share+1)*d.outBlocks/c.dataSplit
	d.convolve(c.plan.Set, band[:d.scratch()], c.dataPacked[part*d.packedSize():], nil,
		c.in.imageGrad(n)[part*d.outBlocks*c.in.blockSize():], y0, o0, o1, false)
}

// weightGrad computes dw[o][i][kh][kw] = sum over images and pixels of dy[o][y][x] * x[i][y*s - top + kh*d][x*s - left + kw*d]
// as matrix products whose depth is the pixels of an output row: a task owns one block of input channels and a group of
// output blocks, and adds image after image, band after band, so the order of the sum is fixed.
type weightGrad struct {
	c         *conv
	rows      int // output rows of a band
	bandRows  int
	groupSize int // output blocks of a task
	groups    int
	runs      []int // starts of the band's output rows
	accSize   int   // accumulators of one output block
	taps      []int // where a kernel row (or a tap, if columns are dilated) starts in the band
	tapRows   int   // input positions of a tap: kernel columns x channels
}

func (g *weightGrad) prepare(c *conv) {
	d := &c.forwardBy
	g.c = c
	// Bands of about 128 KiB: the input rows and the rows of dy of one output block share the L2 cache.
	const floats = 32 << 10
	extent := (d.kh-1)*d.dilH + 1
	g.rows = min(d.outH, max(1, (floats/(d.bandCols*d.width)-extent)/d.strideH+1))
	g.bandRows = (g.rows-1)*d.strideH + extent
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
	c.plan.needScratch(g.bandRows*d.bandCols*d.width + g.groupSize*g.accSize)
}

func (g *weightGrad) tasks() int { return g.c.parts * g.c.forwardBy.inBlocks * g.groups }

func (g *weightGrad) task(worker, task int) {
	c, d := g.c, &g.c.forwardBy
	group, task := task%g.groups, task/g.groups
	inBlock, part := task%d.inBlocks, task/d.inBlocks
	o0 := group * g.groupSize
	blocks := min(g.groupSize, d.outBlocks-o0)
	scratch := c.plan.scratch[worker]
	acc, band := scratch[:blocks*g.accSize], scratch[blocks*g.accSize:][:g.bandRows*d.bandCols*d.width]
	first := true
	for n := range c.n {
		src := c.partSource(n, part)
		dy := c.out.imageGrad(n)[(part*d.outBlocks+o0)*c.out.blockSize():][:blocks*c.out.blockSize()]
		for y0 := 0; y0 < d.outH; y0 += g.rows {
			rows := min(g.rows, d.outH-y0)
			d.fill(band, src, inBlock, inBlock+1, y0, (rows-1)*d.strideH+(d.kh-1)*d.dilH+1)
			for t, tap := range g.taps {
				c.plan.Set.Matmul(&kernel.Matmul{
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
func (g *weightGrad) store(acc []float32, part, inBlock, o0, blocks int) {
	c, d := g.c, &g.c.forwardBy
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
