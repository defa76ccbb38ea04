package nn

import (
	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/kernel"
	"github.com/vggo/vggo/tensor"
)

// linear is a fully connected layer with the ReLU after it fused: y[n][o] = b[o] + sum over i of w[o][i] * x[n][i].
// Its weights, of 32 bits or 16, are used where they lie, in O,I order: VGG-16's fc6 alone is 411 MB, which nobody
// wants twice.
type linear struct {
	engine  *engine
	share   *Share
	in, out *values
	relu    bool
	w, b    *Param // b may be nil
	depth   int    // of a pass over the inputs
	outputs int    // of a forward task
	// columns is the inputs as the weight gradient reads them, [input/16][image][16]: rows of them lie a multiple of 4 KiB
	// apart in VGG's layers, where they would fight over a few sets of the L1 cache.
	columns []float32
	trained []*Param
	gradJob func(from, n int)
	// factors are the inputs and the outputs' gradients of all Plans' images, where the layer learns from those.
	factors struct{ in, grad []float32 }

	// x and dy are what the weight gradient's tasks are made from, of n images.
	x, dy                                                  []float32
	n                                                      int
	forwardJob, columnJob, weightJob, dataJob, reluGradJob func(worker, task int)
}

const (
	linearRows = 12  // outputs of a weight-gradient task: whole tiles of 6, few memory pages at a time
	linearIn   = 512 // inputs of a data-gradient task
	linearOuts = 128 // outputs of a data-gradient pass

	// panelRow is a row of a data-gradient pass's weights: an odd number of cache lines, so that they spread over the
	// cache.
	panelRow = linearIn + kernel.Block
)

func newLinear(p *Plan, g Group, in, out *values) *linear {
	layer := g.first()
	l := &linear{engine: &p.engine, share: &p.Share, in: in, out: out, w: p.params.Get(layer.Name + "/w"),
		b: p.params.Get(layer.Name + "/b")}
	_, l.relu = fused[arch.ReLU](g)
	// A few images: read each weight row to its end, as memory likes it. Many: keep 1024 inputs of all in the L2 cache.
	// Those tasks are small as well: they take the longest of a step, and the others wait for the slowest core's last one.
	l.depth, l.outputs = in.shape.C, 16
	if p.part() > 3 {
		l.depth, l.outputs = 1024, 64
	}
	l.forwardJob, l.reluGradJob = l.forwardTask, l.reluGradTask
	if p.Training && g.learns {
		l.trained, l.gradJob = p.partTree.prepare(p, l.w, l.b), l.weightGrad
		l.columnJob, l.weightJob = l.columnTask, l.weightTask
		images := p.Batch
		if p.Share.factored(l.w.Count(), in.size+out.size, p.Batch) {
			images *= p.Share.Plans
			p.room(&l.factors.in, images*in.size)
			p.room(&l.factors.grad, images*out.size)
		}
		p.room(&l.columns, images*in.size)
		p.needScratch(linearRows * kernel.Block) // the last, partial block of inputs
	}
	if p.wantsGrad(in) {
		l.dataJob = l.dataTask
		p.needScratch(linearOuts * panelRow)
	}
	return l
}

func (l *linear) refresh() {}

func (l *linear) forward(n int) {
	l.n = n
	for i := range n {
		l.out.clearPadding(l.out.image(i))
	}
	l.engine.team.run((l.out.shape.C+l.outputs-1)/l.outputs, l.forwardJob)
}

func (l *linear) forwardTask(_, task int) {
	o := task * l.outputs
	outs, in := min(l.outputs, l.out.shape.C-o), l.in.shape.C
	for k := 0; k < in; k += l.depth {
		depth := min(l.depth, in-k)
		d := kernel.Dot{
			M: l.n, N: outs, K: depth,
			A: l.in.data[k:], ARow: l.in.size,
			BRow: in,
			C:    l.out.data[o:], CRow: l.out.size,
			Accumulate: k > 0, ReLU: l.relu && k+depth == in,
		}
		if l.w.half {
			d.Half = tensor.Halves{Bits: l.w.Half.Bits[o*in+k:], Brain: l.w.Half.Brain}
		} else {
			d.B = l.w.Data[o*in+k:]
		}
		if k == 0 && l.b != nil {
			d.Bias = l.b.Data[o : o+outs]
		}
		l.engine.set.Dot(&d)
	}
}

func (l *linear) backward(n int) {
	l.n = n
	if l.relu {
		l.engine.team.run(n, l.reluGradJob)
	}
	if l.weightJob != nil {
		if l.factors.in == nil {
			l.engine.partTree.run(n, l.trained, l.gradJob)
		} else if err := l.collect(n); err != nil {
			l.engine.ended = err
			return
		}
		l.n = n
		l.engine.lap(WeightsPass)
	}
	if l.dataJob != nil && !l.engine.last {
		l.engine.team.run((l.in.shape.C+linearIn-1)/linearIn, l.dataJob)
		l.engine.lap(DataPass)
	}
}

// collect computes the gradients of the whole batch, of which every Plan has n images.
func (l *linear) collect(n int) error {
	share := l.share
	all := n * share.Plans
	in, grad := l.factors.in[:all*l.in.size], l.factors.grad[:all*l.out.size]
	if err := share.Collect(l.in.data[:n*l.in.size], in); err != nil {
		return err
	}
	if err := share.Collect(l.out.grad[:n*l.out.size], grad); err != nil {
		return err
	}
	l.multiply(in, grad, all)
	l.engine.summed = true
	return nil
}

// weightGrad computes the gradients of bias and weights of some of this Plan's images.
func (l *linear) weightGrad(from, n int) {
	l.multiply(l.in.data[from*l.in.size:], l.out.grad[from*l.out.size:], n)
}

// multiply computes the gradients of bias and weights from n images' inputs and outputs' gradients.
func (l *linear) multiply(x, dy []float32, n int) {
	l.x, l.dy, l.n = x, dy, n
	if l.b != nil {
		for o := range l.out.shape.C {
			sum := 0.0
			for i := range n {
				sum += float64(dy[i*l.out.size+o])
			}
			l.b.Grad[o] = float32(sum)
		}
	}
	l.engine.team.run(n, l.columnJob)
	l.engine.team.run((l.out.shape.C+linearRows-1)/linearRows, l.weightJob)
}

func (l *linear) reluGradTask(_, n int) { l.engine.set.ReLUGrad(l.out.imageGrad(n), l.out.image(n)) }

func (l *linear) columnTask(_, n int) {
	row := l.x[n*l.in.size:][:l.in.size]
	for at := 0; at < len(row); at += kernel.Block {
		copy(l.columns[at*l.n+n*kernel.Block:][:kernel.Block], row[at:])
	}
}

// weightTask computes rows of dw[o][i] = sum over n of dy[n][o] * x[n][i]: the depth is the batch.
func (l *linear) weightTask(worker, task int) {
	o, in, out := task*linearRows, l.in.shape.C, l.out.shape.C
	m := kernel.Matmul{
		Bands: 1, M: min(linearRows, out-o), Blocks: in / kernel.Block,
		K: l.n, Runs: oneRun,
		A: l.dy[o:], ARow: 1, ACol: l.out.size,
		B: l.columns, BRow: kernel.Block, BBlock: l.n * kernel.Block,
		C: l.w.Grad[o*in:], CRow: in, CBlock: kernel.Block,
	}
	if m.Blocks > 0 {
		l.engine.set.Matmul(&m)
	}
	tail := in % kernel.Block
	if tail == 0 {
		return
	}
	c := l.engine.scratch[worker][:linearRows*kernel.Block]
	m.B, m.Blocks, m.C, m.CRow = l.columns[(in-tail)*l.n:], 1, c, kernel.Block
	l.engine.set.Matmul(&m)
	for r := range m.M {
		copy(l.w.Grad[(o+r+1)*in-tail:(o+r+1)*in], c[r*kernel.Block:])
	}
}

// dataTask computes columns of dx[n][i] = sum over o of dy[n][o] * w[o][i]. The weights it needs are copied on the way:
// their rows lie so far apart in memory that the processor would fetch each line alone.
func (l *linear) dataTask(worker, task int) {
	i0, in, out := task*linearIn, l.in.shape.C, l.out.shape.C
	cols := min(linearIn, in-i0)
	blocks := kernel.Blocks(cols)
	panel := l.engine.scratch[worker][:linearOuts*panelRow]
	for o := 0; o < out; o += linearOuts {
		depth := min(linearOuts, out-o)
		for k := range depth {
			row := panel[k*panelRow:][:blocks*kernel.Block]
			l.w.Values(row[:cols], (o+k)*in+i0)
			clear(row[cols:])
		}
		l.engine.set.Matmul(&kernel.Matmul{
			Bands: 1, M: l.n, Blocks: blocks,
			K: depth, Runs: oneRun,
			A: l.out.grad[o:], ARow: l.out.size, ACol: 1,
			B: panel, BRow: panelRow, BBlock: kernel.Block,
			C: l.in.grad[i0:], CRow: l.in.size, CBlock: kernel.Block,
			Accumulate: o > 0,
		})
	}
}

// oneRun is the addressing of a plain matrix product.
var oneRun = []int{0}
