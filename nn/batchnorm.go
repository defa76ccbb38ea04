package nn

import (
	"math"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/kernel"
)

// batchNorm normalises each channel (Ioffe & Szegedy 2015, algorithm 1), with the ReLU after it fused:
//
//	y = gamma*(x - mean)/sqrt(var + eps) + beta
//
// While training, mean and (biased) variance are the batch's and move the running statistics, the variance made
// unbiased as in PyTorch; otherwise they are the running ones. Behind a convolution inference folds it into the weights
// instead.
type batchNorm struct {
	engine                      *engine
	in, out                     *values
	relu                        bool
	gamma, beta, mean, variance *Param
	eps, momentum               float64
	training                    bool
	usedMean, inverse           []float64 // by channel: of the last forward pass; inverse = 1/sqrt(var+eps)

	n                       int
	forwardJob, backwardJob func(worker, task int)
}

func newBatchNorm(p *Plan, g Group, in, out *values) *batchNorm {
	layer := g.first()
	op := layer.Op.(arch.BatchNorm)
	get := func(role string) *Param { return p.params.Get(layer.Name + "/" + role) }
	b := &batchNorm{engine: &p.engine, in: in, out: out, gamma: get("gamma"), beta: get("beta"), mean: get("mean"),
		variance: get("var"),
		eps:      op.Epsilon(), momentum: op.Rate(), training: p.Training}
	_, b.relu = fused[arch.ReLU](g)
	channels := kernel.Blocks(in.shape.C) * kernel.Block
	b.usedMean, b.inverse = make([]float64, channels), make([]float64, channels)
	p.needScratch(2 * b.stretch())
	b.forwardJob, b.backwardJob = b.forwardTask, b.backwardTask
	if !p.Training {
		b.backwardJob = b.constantTask
	}
	return b
}

func (b *batchNorm) refresh() {}

// stretch is the number of floats that are summed in float32 before they join a float64 sum: one row of a feature map.
func (b *batchNorm) stretch() int { return b.in.shape.W * kernel.Block }

// each calls do for every row of channel block cb, with its place in data and grad.
func (b *batchNorm) each(cb int, do func(at, length int)) {
	row := b.stretch()
	for n := range b.n {
		start := n*b.in.size + cb*b.in.blockSize()
		for at := start; at < start+b.in.blockSize(); at += row {
			do(at, row)
		}
	}
}

func (b *batchNorm) forward(n int) {
	b.n = n
	b.engine.team.run(kernel.Blocks(b.in.shape.C), b.forwardJob)
}

func (b *batchNorm) forwardTask(worker, cb int) {
	var scale, shift [kernel.Block]float32
	if b.training {
		b.statistics(worker, cb)
	}
	for l := range min(kernel.Block, b.in.shape.C-cb*kernel.Block) {
		c := cb*kernel.Block + l
		if !b.training {
			b.usedMean[c], b.inverse[c] = float64(b.mean.Data[c]), 1/math.Sqrt(float64(b.variance.Data[c])+b.eps)
		}
		s := float64(b.gamma.Data[c]) * b.inverse[c]
		scale[l], shift[l] = float32(s), float32(float64(b.beta.Data[c])-float64(b.usedMean[c]*s))
	}
	b.each(cb, func(at, length int) {
		b.engine.set.ScaleShift(b.out.data[at:at+length], b.in.data[at:at+length], &scale, &shift, b.relu)
	})
}

// moments is the mean and the sum of squared distances from it of some pixels, by channel.
type moments struct {
	pixels        float64
	mean, squares [kernel.Block]float64
}

// join adds other pixels (Chan, Golub & LeVeque 1983, equation 2.1).
func (m *moments) join(other *moments) {
	total := m.pixels + other.pixels
	for l := range m.mean {
		apart := other.mean[l] - m.mean[l]
		m.mean[l] += apart * other.pixels / total
		m.squares[l] += other.squares[l] + apart*apart*m.pixels*other.pixels/total
	}
	m.pixels = total
}

// pieceFloats bounds what the statistics go over twice: 256 KiB, which the L2 cache still holds the second time.
const pieceFloats = 64 << 10

// statistics takes two passes, mean before variance: the difference of E[x²] and mean² would cancel. They go over a
// piece of an image at a time, so that memory is read once.
func (b *batchNorm) statistics(worker, cb int) {
	var all moments
	centred := b.engine.scratch[worker][:b.stretch()]
	rows := max(1, pieceFloats/b.stretch()) * b.stretch()
	for n := range b.n {
		image := b.in.block(b.in.data, n, cb)
		for at := 0; at < len(image); at += rows {
			piece := b.moments(image[at:min(at+rows, len(image))], centred)
			all.join(&piece)
		}
	}
	m, mean := all.pixels, all.mean
	var variance [kernel.Block]float64
	for l := range variance {
		variance[l] = all.squares[l] / m
	}
	for l := range min(kernel.Block, b.in.shape.C-cb*kernel.Block) {
		c := cb*kernel.Block + l
		b.usedMean[c], b.inverse[c] = mean[l], 1/math.Sqrt(variance[l]+b.eps)
		unbiased := variance[l]
		if m > 1 {
			unbiased *= m / (m - 1)
		}
		move(&b.mean.Data[c], mean[l], b.momentum)
		move(&b.variance.Data[c], unbiased, b.momentum)
	}
}

// moments sums rows in float32, the piece in float64. centred is scratch for a row.
func (b *batchNorm) moments(piece, centred []float32) moments {
	p := moments{pixels: float64(len(piece) / kernel.Block)}
	var one, minus [kernel.Block]float32
	for at := 0; at < len(piece); at += len(centred) {
		var sum [kernel.Block]float32
		b.engine.set.SumLanes(&sum, piece[at:at+len(centred)])
		for l, s := range sum {
			p.mean[l] += float64(s) / p.pixels
		}
	}
	for l := range minus {
		one[l], minus[l] = 1, -float32(p.mean[l])
	}
	for at := 0; at < len(piece); at += len(centred) {
		var sum [kernel.Block]float32
		b.engine.set.ScaleShift(centred, piece[at:at+len(centred)], &one, &minus, false)
		b.engine.set.DotLanes(&sum, centred, centred)
		for l, s := range sum {
			p.squares[l] += float64(s)
		}
	}
	return p
}

func move(running *float32, batch, momentum float64) {
	*running = float32(float64((1-momentum)*float64(*running)) + float64(momentum*batch))
}

func (b *batchNorm) backward(n int) {
	b.n = n
	b.engine.team.run(kernel.Blocks(b.in.shape.C), b.backwardJob)
}

// constantTask is the backward pass with running statistics, which do not depend on x: dx = gamma*inverse*dy.
func (b *batchNorm) constantTask(_, cb int) {
	var scale, none [kernel.Block]float32
	for l := range min(kernel.Block, b.in.shape.C-cb*kernel.Block) {
		c := cb*kernel.Block + l
		scale[l] = float32(float64(b.gamma.Data[c]) * b.inverse[c])
	}
	b.each(cb, func(at, length int) {
		dy := b.out.grad[at : at+length]
		if b.relu {
			b.engine.set.ReLUGrad(dy, b.out.data[at:at+length])
		}
		b.engine.set.ScaleShift(b.in.grad[at:at+length], dy, &scale, &none, false)
	})
}

// backwardTask, with xhat = (x-mean)*inverse and m pixels:
//
//	dbeta = sum dy, dgamma = sum dy*xhat, dx = gamma*inverse*(dy - dbeta/m - xhat*dgamma/m)
func (b *batchNorm) backwardTask(worker, cb int) {
	var inverse, minus [kernel.Block]float32 // xhat = x*inverse + minus
	for l := range inverse {
		c := cb*kernel.Block + l
		inverse[l], minus[l] = float32(b.inverse[c]), float32(-b.usedMean[c]*b.inverse[c])
	}
	var dbeta, dgamma [kernel.Block]float64
	xhat := b.engine.scratch[worker][:b.stretch()]
	b.each(cb, func(at, length int) {
		dy := b.out.grad[at : at+length]
		if b.relu {
			b.engine.set.ReLUGrad(dy, b.out.data[at:at+length])
		}
		b.engine.set.ScaleShift(xhat, b.in.data[at:at+length], &inverse, &minus, false)
		var sum, dot [kernel.Block]float32
		b.engine.set.SumLanes(&sum, dy)
		b.engine.set.DotLanes(&dot, dy, xhat)
		for l := range sum {
			dbeta[l] += float64(sum[l])
			dgamma[l] += float64(dot[l])
		}
	})
	var scale, byX, constant, none [kernel.Block]float32
	m := float64(b.n * b.in.shape.H * b.in.shape.W)
	for l := range min(kernel.Block, b.in.shape.C-cb*kernel.Block) {
		c := cb*kernel.Block + l
		b.beta.Grad[c], b.gamma.Grad[c] = float32(dbeta[l]), float32(dgamma[l])
		s := float64(b.gamma.Data[c]) * b.inverse[c]
		scale[l] = float32(s)
		byX[l] = float32(-s * b.inverse[c] * dgamma[l] / m)
		constant[l] = float32(-s*dbeta[l]/m + s*b.inverse[c]*b.usedMean[c]*dgamma[l]/m)
	}
	if b.in.grad == nil {
		return
	}
	b.each(cb, func(at, length int) {
		dx := b.in.grad[at : at+length]
		b.engine.set.ScaleShift(dx, b.out.grad[at:at+length], &scale, &none, false)
		b.engine.set.ScaleShift(xhat, b.in.data[at:at+length], &byX, &constant, false)
		b.engine.set.Axpy(dx, xhat, 1)
	})
}
