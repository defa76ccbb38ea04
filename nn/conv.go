package nn

import (
	"math"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/kernel"
)

// conv is a convolution, with the batch norm after it folded in (unless training), the ReLU after it fused, and 2x2
// pooling where its passes can.
//
//	y[o] = b[o] + sum over c, kh, kw of w[o][c][kh][kw] * x[c][y*s - top + kh*d][x*s - left + kw*d]
type conv struct {
	engine  *engine
	params  *Params
	layer   arch.Placed
	in, out *values
	relu    bool
	pooled  bool   // out is of 2x2 maxima, and its gradient of the pixels that they are of
	half    bool   // packed weights are float16
	w, b    *Param // b may be nil
	fold    *folded
	bias    []float32 // padded to blocks, batch norm folded in

	// A grouped convolution whose groups fill whole blocks runs as that many convolutions. Other groups run as one
	// convolution with zero weights between groups.
	parts, groups int
	planar        bool   // in is the Plan's N,C,H,W input
	shape         direct // of one part

	forwardBy, dataBy convPass
	weightsBy         gradPass

	biasPartials []float64 // [image][channel]
	trained      []*Param
	gradJob      func(from, n int)
	reluGradJob  func(worker, task int)
}

// convPass is an algorithm for a convolution over blocked maps: a layer's output from its input, or its input's
// gradient from its output's.
type convPass interface {
	weights() *packed
	pack(f *filters) (beyond float32) // fills weights; beyond as packCache.fill tells
	run(n int, src, dst []float32)
}

// gradPass is an algorithm for the gradient of a convolution's weights, from its input and its output's gradient.
type gradPass interface {
	run(n int)
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
	return float32(s), float32(float64(f.beta.Data[c]) - float64(float64(f.mean.Data[c])*s))
}

// convolution is a layer's as the engine runs it, and in how many parts. planar says that it reads the network's
// images.
func convolution(layer arch.Placed, planar bool) (d direct, parts int) {
	g, inC, outC := layer.Geometry, layer.In.C, layer.Out.C
	parts = 1
	if groups := groupsOf(layer); groups > 1 && inC/groups%kernel.Block == 0 && outC/groups%kernel.Block == 0 && !planar {
		parts = groups
	}
	width, inBlocks := kernel.Block, kernel.Blocks(inC/parts)
	if planar && inC < kernel.Block {
		width, inBlocks = inC, 1
	}
	d = direct{
		inH: g.In.H, inW: g.In.W, outH: g.Out.H, outW: g.Out.W, kh: g.Kernel.H, kw: g.Kernel.W,
		strideH: g.Stride.H, strideW: g.Stride.W, dilH: g.Dilation.H, dilW: g.Dilation.W, upH: 1, upW: 1,
		top: g.Top, left: g.Left, width: width, inBlocks: inBlocks, outBlocks: kernel.Blocks(outC / parts),
	}
	d.prepare()
	return d, parts
}

func groupsOf(layer arch.Placed) int { return max(layer.Op.(arch.Conv).Groups, 1) }

// transposed is the convolution that takes the output's gradient to the input's:
// dx[y] = sum of w[kh] * dy[(y + top - kh*d)/s], of dy with its rows s apart, padded by (k-1)*d - top before.
func transposed(layer arch.Placed, parts int) direct {
	g := layer.Geometry
	d := direct{
		inH: g.Out.H, inW: g.Out.W, outH: g.In.H, outW: g.In.W, kh: g.Kernel.H, kw: g.Kernel.W,
		strideH: 1, strideW: 1, dilH: g.Dilation.H, dilW: g.Dilation.W, upH: g.Stride.H, upW: g.Stride.W,
		top: g.Extent().H - 1 - g.Top, left: g.Extent().W - 1 - g.Left,
		width: kernel.Block, inBlocks: kernel.Blocks(layer.Out.C / parts), outBlocks: kernel.Blocks(layer.In.C / parts),
	}
	d.prepare()
	return d
}

// tileable reports whether the convolution d, a pass of a layer, can go by Winograd's algorithm. The images that a
// network's first layer reads are not in blocks; only their gradient is. Groups that do not run apart, in parts, would
// multiply the zeros between them.
func tileable(layer arch.Placed, pass Pass, d *direct, parts int, planar bool) bool {
	square := func(h, w, n int) bool { return h == n && w == n }
	return square(d.kh, d.kw, 3) && square(d.strideH, d.strideW, 1) && square(d.upH, d.upW, 1) &&
		square(d.dilH, d.dilW, 1) &&
		groupsOf(layer) == parts && (pass == DataPass || !planar && d.width == kernel.Block)
}

func newConv(p *Plan, g Group, in, out *values) *conv {
	layer := g.first()
	c := &conv{engine: &p.engine, params: p.params, layer: layer, in: in, out: out, half: p.Half == HalfAll,
		planar: in == p.chain[0] && !p.imported, groups: groupsOf(layer),
		w: p.params.Get(layer.Name + "/w"), b: p.params.Get(layer.Name + "/b"),
		bias: make([]float32, kernel.Blocks(layer.Out.C)*kernel.Block)}
	c.shape, c.parts = convolution(layer, c.planar)
	if norm, ok := fused[arch.BatchNorm](g); ok {
		c.fold = p.foldNorm(norm)
	}
	_, c.relu = fused[arch.ReLU](g)
	c.forwardBy = c.pass(p, ForwardPass, g.Algo(ForwardPass), g.images, &c.shape, c.bias)
	if _, pooled := fused[arch.MaxPool](g); pooled {
		c.forwardBy.(*winogradPass).fusePool(out)
		if c.pooled = p.backs() && g.learns; c.pooled {
			p.marks(out)
		}
	}
	if p.backs() && g.learns {
		c.prepareBackward(p, g)
	}
	return c
}

// pass makes the forward pass or the data gradient, the convolution d.
func (c *conv) pass(p *Plan, pass Pass, algo Algo, images int, d *direct, bias []float32) convPass {
	key := packedKey{c.w, pass, algo, p.set, c.fold != nil, c.half}
	if algo == Direct { // which nothing is pooled behind
		s := newDirectPass(p, d, c.parts, images, bias)
		scratch := d.inBlocks * d.width * d.kh * d.kw * kernel.Block
		if c.half {
			scratch *= 2
		}
		s.packed = p.pack(key, c.parts*d.packedSize(), scratch)
		s.relu = c.relu && pass == ForwardPass
		if pass == ForwardPass && c.planar {
			s.planar = c.layer.In.C
		}
		return s
	}
	if bias == nil {
		bias = make([]float32, c.parts*d.outBlocks*kernel.Block)
	}
	s := newWinogradPass(p, d, algo.Tile(), c.parts, images, bias)
	scratch := 9 * d.inBlocks * kernel.Block * kernel.Block
	if c.half {
		scratch += s.Planes() * piece * kernel.Block
	}
	s.packed = p.pack(key, c.parts*s.packedSize(), scratch)
	s.relu = c.relu && pass == ForwardPass
	if c.pooled && pass == DataPass {
		s.patches.maxima = c.out
	}
	return s
}

func (c *conv) refresh() {
	outC := c.layer.Out.C
	scale := make([]float32, outC)
	for o := range outC {
		scale[o], c.bias[o] = c.fold.channel(o)
		if c.b != nil {
			c.bias[o] += float32(scale[o] * c.b.Data[o])
		}
	}
	f := filters{w: c.w.Data, in: c.layer.In.C, out: outC, area: c.shape.kh * c.shape.kw, groups: c.groups, parts: c.parts}
	if c.fold != nil {
		f.scale = scale
	}
	c.fill(c.forwardBy, &f)
	if c.dataBy != nil {
		f.data = true
		c.fill(c.dataBy, &f)
	}
	c.params.giveBack(c.w)
}

func (c *conv) fill(by convPass, f *filters) {
	if beyond := c.params.fill(by, f, c.half); beyond != 0 {
		c.engine.ended = &HalfError{c.w.Name, beyond}
	}
}

func (c *conv) forward(n int) {
	c.forwardBy.run(n, c.in.data, c.out.data)
	c.out.clearAllPadding(c.out.data, n)
}

func (c *conv) prepareBackward(p *Plan, g Group) {
	c.biasPartials = make([]float64, p.Batch*kernel.Blocks(c.layer.Out.C)*kernel.Block)
	c.reluGradJob = c.reluGradTask
	if c.pooled {
		p.needScratch(4 * c.out.shape.W * kernel.Block)
	}
	if p.Training {
		c.trained, c.gradJob = p.partTree.prepare(p, c.w, c.b), c.weightGrad
		if algo := g.Algo(WeightsPass); algo == Direct {
			c.weightsBy = newDirectGrad(p, c)
		} else {
			c.weightsBy = newWinogradGrad(p, c, algo.Tile())
		}
	}
	if p.wantsGrad(c.in) {
		d := transposed(c.layer, c.parts)
		c.dataBy = c.pass(p, DataPass, g.Algo(DataPass), g.images, &d, nil)
	}
}

// backward turns the gradient of the output into those of bias, weights and input.
func (c *conv) backward(n int) {
	if c.relu || c.b != nil {
		c.engine.team.run(n*kernel.Blocks(c.out.shape.C), c.reluGradJob)
	}
	if c.weightsBy != nil {
		c.engine.partTree.run(n, c.trained, c.gradJob)
		c.engine.lap(WeightsPass)
	}
	if c.dataBy != nil && !c.engine.last {
		c.dataBy.run(n, c.out.grad, c.in.grad)
		c.in.clearAllPadding(c.in.grad, n)
		c.engine.lap(DataPass)
	}
}

// weightGrad computes the gradients of bias and weights of some images.
func (c *conv) weightGrad(from, n int) {
	defer c.engine.shift(from, c.in, c.out)()
	if c.b != nil {
		stride := kernel.Blocks(c.out.shape.C) * kernel.Block
		for o := range c.out.shape.C {
			sum := 0.0
			for i := range n {
				sum += c.biasPartials[(from+i)*stride+o]
			}
			c.b.Grad[o] = float32(sum)
		}
	}
	c.weightsBy.run(n)
}

// reluGradTask takes one block of channels of one image through the ReLU and sums it for the bias. Rows are summed in
// float32, the image in float64: rows of what was pooled, where it is.
func (c *conv) reluGradTask(worker, task int) {
	blocks := kernel.Blocks(c.out.shape.C)
	n, cb := task/blocks, task%blocks
	grad, y := c.out.block(c.out.grad, n, cb), c.out.block(c.out.data, n, cb)
	var winners []uint8
	if c.pooled {
		winners = c.out.winners[n*c.out.size+cb*c.out.blockSize():]
	}
	partial := c.biasPartials[task*kernel.Block:][:kernel.Block]
	clear(partial)
	add := func(row []float32) {
		var sum [kernel.Block]float32
		c.engine.set.SumLanes(&sum, row)
		for l, s := range sum {
			partial[l] += float64(s)
		}
	}
	row := c.out.shape.W * kernel.Block
	for at := 0; at < len(grad); at += row {
		g := grad[at : at+row]
		if c.relu {
			c.engine.set.ReLUGrad(g, y[at:at+row])
		}
		switch {
		case c.b == nil:
		case c.pooled:
			two := c.engine.scratch[worker][:4*row]
			c.engine.set.Unpool(two, 2*row, g, winners[at:at+row])
			add(two[:2*row])
			add(two[2*row:])
		default:
			add(g)
		}
	}
}
