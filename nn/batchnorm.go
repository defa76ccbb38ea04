package nn

import (
	"math"
	"slices"

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
	share                       Share

	// Of the last forward pass, inverse being 1/sqrt(var+eps): a row for the batch, or one for each of its parts where
	// these are normalised by themselves.
	usedMean, inverse [][]float64
	taken             []moments // of parts and channel blocks, where the batch is shared
	sums              []normSums
	lines             []normLine  // of parts and channel blocks, since the forward pass
	slopes            []normSlope // the same, in the backward pass

	n                                            int
	forwardJob, backwardJob, momentsJob, sumsJob func(worker, task int)
}

// normSums is sums over pixels of the output's gradient dy and of dy*xhat.
type normSums struct{ dbeta, dgamma [kernel.Block]float64 }

// normLine is a channel block's y = x*scale + shift, before a ReLU.
type normLine struct{ scale, shift [kernel.Block]float32 }

// normSlope is a channel block's dx = dy*scale + (x*byX + constant), its scale being that of the normLine. Where a
// dgamma is infinite, x is x+minus, from which the mean is gone: the two by themselves would be infinities that meet.
type normSlope struct {
	byX, constant, minus [kernel.Block]float32
	infinite             bool
}

func newBatchNorm(p *Plan, g Group, in, out *values) *batchNorm {
	layer := g.first()
	op := layer.Op.(arch.BatchNorm)
	get := func(role string) *Param { return p.params.Get(layer.Name + "/" + role) }
	b := &batchNorm{engine: &p.engine, in: in, out: out, gamma: get("gamma"), beta: get("beta"), mean: get("mean"),
		variance: get("var"), share: p.Share,
		eps: op.Epsilon(), momentum: op.Rate(), training: p.Training}
	_, b.relu = fused[arch.ReLU](g)
	blocks, rows := kernel.Blocks(in.shape.C), 1
	if p.Training && p.Share.NormParts {
		rows = p.Share.parts()
	}
	for range rows {
		b.usedMean = append(b.usedMean, make([]float64, blocks*kernel.Block))
		b.inverse = append(b.inverse, make([]float64, blocks*kernel.Block))
	}
	b.sums, b.lines = make([]normSums, p.Share.parts()*blocks), make([]normLine, rows*blocks)
	b.slopes = make([]normSlope, rows*blocks)
	if p.Training && !p.Share.whole() {
		b.taken = make([]moments, p.Share.parts()*blocks)
	}
	p.needScratch(2 * b.stretch())
	b.forwardJob, b.backwardJob, b.momentsJob, b.sumsJob = b.forwardTask, b.backwardTask, b.momentsTask, b.sumsTask
	if !p.Training {
		b.backwardJob = b.constantTask
	}
	return b
}

func (b *batchNorm) refresh() {}

// stretchPixels: a stretch takes whole rows up to so many pixels, 2 KiB, so that the three or four operands of the
// loops stay in the L1 cache from one loop to the next, and rows of small maps do not each pay for calls and float64
// sums.
const stretchPixels = 32

// stretch is the number of floats that are summed in float32 before they join a float64 sum: some rows of a map.
func (b *batchNorm) stretch() int {
	rows := min(max(1, stretchPixels/b.in.shape.W), b.in.shape.H)
	return rows * b.in.shape.W * kernel.Block
}

func (b *batchNorm) blocks() int { return kernel.Blocks(b.in.shape.C) }

// images are those of one of so many parts of the batch.
func (b *batchNorm) images(part, parts int) (from, to int) {
	return part * b.n / parts, (part + 1) * b.n / parts
}

// each calls do for every stretch of channel block cb of one of so many parts of the batch, with its place in data and
// grad.
func (b *batchNorm) each(part, parts, cb int, do func(at, length int)) {
	from, to := b.images(part, parts)
	for n := from; n < to; n++ {
		b.stretches(n, cb, do)
	}
}

// stretches calls do for those of one block of an image.
func (b *batchNorm) stretches(image, cb int, do func(at, length int)) {
	stretch, start := b.stretch(), image*b.in.size+cb*b.in.blockSize()
	end := start + b.in.blockSize()
	for at := start; at < end; at += stretch {
		do(at, min(stretch, end-at))
	}
}

func (b *batchNorm) forward(n int) {
	b.n = n
	if b.training {
		b.engine.team.run(b.share.parts()*b.blocks(), b.momentsJob)
	}
	if b.taken != nil {
		if b.engine.ended = b.settle(); b.engine.ended != nil {
			return
		}
	}
	b.settleLines()
	b.engine.team.run(n*b.blocks(), b.forwardJob)
}

func (b *batchNorm) momentsTask(worker, task int) {
	part, cb := task/b.blocks(), task%b.blocks()
	m := b.statistics(worker, part, b.share.parts(), cb)
	if b.taken != nil {
		b.taken[task] = m
		return
	}
	b.use(0, cb, &m)
	b.move(cb, &m)
}

// forwardTask takes a channel block of an image. Tasks follow each other as they lie in memory.
func (b *batchNorm) forwardTask(_, task int) {
	image, cb := task/b.blocks(), task%b.blocks()
	line := &b.lines[b.part(image)*b.blocks()+cb]
	b.engine.set.ScaleShift(b.out.block(b.out.data, image, cb), b.in.block(b.in.data, image, cb), &line.scale,
		&line.shift, b.relu)
}

// part is the one that an image is normalised with: the other way round than images.
func (b *batchNorm) part(image int) int { return ((image+1)*len(b.inverse) - 1) / b.n }

// settleLines finds how the channels of each part become outputs.
func (b *batchNorm) settleLines() {
	for i := range b.lines {
		part, cb := i/b.blocks(), i%b.blocks()
		for l := range min(kernel.Block, b.in.shape.C-cb*kernel.Block) {
			c := cb*kernel.Block + l
			if !b.training {
				b.usedMean[0][c], b.inverse[0][c] = float64(b.mean.Data[c]), 1/math.Sqrt(float64(b.variance.Data[c])+b.eps)
			}
			s := float64(b.gamma.Data[c]) * b.inverse[part][c]
			b.lines[i].scale[l] = float32(s)
			b.lines[i].shift[l] = float32(float64(b.beta.Data[c]) - float64(b.usedMean[part][c]*s))
		}
	}
}

// moments is the mean and the sum of squared distances from it of some pixels, by channel.
type moments struct {
	pixels        float64
	mean, squares [kernel.Block]float64
}

// join adds other pixels (Chan, Golub & LeVeque 1983, equation 2.1).
func (m *moments) join(other *moments) {
	total := m.pixels + other.pixels
	share := other.pixels / total
	both := m.pixels * share
	for l := range m.mean {
		apart := other.mean[l] - m.mean[l]
		if math.IsInf(m.mean[l], 0) {
			apart = other.mean[l] // which an infinite mean stays, unless this is its opposite
		}
		m.mean[l] += float64(apart * share)
		m.squares[l] += other.squares[l] + float64(apart*apart*both)
	}
	m.pixels = total
}

// pieceFloats bounds what the statistics go over twice: 256 KiB, which the L2 cache still holds the second time.
const pieceFloats = 64 << 10

// statistics takes two passes, mean before variance: the difference of E[x²] and mean² would cancel. They go over a
// piece of an image at a time, so that memory is read once.
func (b *batchNorm) statistics(worker, part, parts, cb int) (all moments) {
	centred := b.engine.scratch[worker][:b.stretch()]
	rows := max(1, pieceFloats/b.stretch()) * b.stretch()
	from, to := b.images(part, parts)
	for n := from; n < to; n++ {
		image := b.in.block(b.in.data, n, cb)
		for at := 0; at < len(image); at += rows {
			piece := b.moments(image[at:min(at+rows, len(image))], centred)
			all.join(&piece)
		}
	}
	return all
}

// use has a channel block of the batch, or of a part, normalised by moments.
func (b *batchNorm) use(part, cb int, m *moments) {
	for l := range min(kernel.Block, b.in.shape.C-cb*kernel.Block) {
		c := cb*kernel.Block + l
		b.usedMean[part][c], b.inverse[part][c] = m.mean[l], 1/math.Sqrt(m.squares[l]/m.pixels+b.eps)
	}
}

// unbiased is what a variance over so many pixels is multiplied by.
func unbiased(pixels float64) float64 {
	if pixels > 1 {
		return pixels / (pixels - 1)
	}
	return 1
}

// move takes moments into the running statistics.
func (b *batchNorm) move(cb int, m *moments) {
	for l := range min(kernel.Block, b.in.shape.C-cb*kernel.Block) {
		c := cb*kernel.Block + l
		move(&b.mean.Data[c], m.mean[l], b.momentum)
		move(&b.variance.Data[c], m.squares[l]/m.pixels*unbiased(m.pixels), b.momentum)
	}
}

// moments sums stretches in float32, the piece in float64. centred is scratch for a stretch.
func (b *batchNorm) moments(piece, centred []float32) moments {
	p := moments{pixels: float64(len(piece) / kernel.Block)}
	var one, minus [kernel.Block]float32
	for at := 0; at < len(piece); at += len(centred) {
		var sum [kernel.Block]float32
		b.engine.set.SumLanes(&sum, piece[at:min(at+len(centred), len(piece))])
		for l, s := range sum {
			p.mean[l] += float64(s)
		}
	}
	for l := range minus {
		p.mean[l] /= p.pixels
		one[l], minus[l] = 1, -float32(p.mean[l])
	}
	for at := 0; at < len(piece); at += len(centred) {
		var sum [kernel.Block]float32
		stretch := piece[at:min(at+len(centred), len(piece))]
		apart := centred[:len(stretch)]
		b.engine.set.ScaleShift(apart, stretch, &one, &minus, false)
		b.engine.set.DotLanes(&sum, apart, apart)
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
	if !b.training {
		b.engine.team.run(n*b.blocks(), b.backwardJob)
		return
	}
	b.engine.team.run(b.share.parts()*b.blocks(), b.sumsJob)
	if b.taken != nil {
		if b.engine.ended = b.gather(); b.engine.ended != nil {
			return
		}
	} else {
		for c := range b.in.shape.C {
			s := &b.sums[c/kernel.Block]
			b.beta.Grad[c], b.gamma.Grad[c] = float32(s.dbeta[c%kernel.Block]), float32(s.dgamma[c%kernel.Block])
		}
	}
	if b.in.grad != nil {
		b.settleSlopes()
		b.engine.team.run(n*b.blocks(), b.backwardJob)
	}
}

// constantTask is the backward pass with running statistics, which do not depend on x: dx = gamma*inverse*dy.
func (b *batchNorm) constantTask(_, task int) {
	image, cb := task/b.blocks(), task%b.blocks()
	var none [kernel.Block]float32
	dy := b.out.block(b.out.grad, image, cb)
	if b.relu {
		b.engine.set.ReLUGrad(dy, b.out.block(b.out.data, image, cb))
	}
	b.engine.set.ScaleShift(b.in.block(b.in.grad, image, cb), dy, &b.lines[cb].scale, &none, false)
}

func (b *batchNorm) sumsTask(worker, task int) {
	part, cb := task/b.blocks(), task%b.blocks()
	b.sum(worker, part, b.share.parts(), cb)
}

// normalised has a channel block of a part give xhat = x*inverse + minus.
func (b *batchNorm) normalised(part, cb int) (inverse, minus [kernel.Block]float32) {
	for l := range inverse {
		c := cb*kernel.Block + l
		inverse[l], minus[l] = float32(b.inverse[part][c]), float32(-b.usedMean[part][c]*b.inverse[part][c])
	}
	return inverse, minus
}

// sum takes dy through the ReLU and sums it and dy*xhat over one of so many parts of the batch.
func (b *batchNorm) sum(worker, part, parts, cb int) {
	inverse, minus := b.normalised(min(part, len(b.inverse)-1), cb)
	s := &b.sums[part*b.blocks()+cb]
	*s = normSums{}
	xhat := b.engine.scratch[worker][:b.stretch()]
	b.each(part, parts, cb, func(at, length int) {
		dy, x, xhat := b.out.grad[at:at+length], b.in.data[at:at+length], xhat[:length]
		if b.relu {
			b.engine.set.ReLUGrad(dy, b.out.data[at:at+length])
		}
		b.engine.set.ScaleShift(xhat, x, &inverse, &minus, false)
		var sum, dot [kernel.Block]float32
		b.engine.set.SumLanes(&sum, dy)
		b.engine.set.DotLanes(&dot, dy, xhat)
		for l := range sum {
			s.dbeta[l] += float64(sum[l])
			s.dgamma[l] += float64(dot[l])
		}
	})
}

// settleSlopes finds what the input's gradient is made of, with xhat = (x-mean)*inverse and m pixels:
//
//	dbeta = sum dy, dgamma = sum dy*xhat, dx = gamma*inverse*(dy - dbeta/m - xhat*dgamma/m)
func (b *batchNorm) settleSlopes() {
	pixels := b.n * b.in.shape.H * b.in.shape.W
	if b.taken != nil && !b.share.NormParts {
		pixels = int(b.taken[0].pixels) // of the whole batch, since the forward pass
	}
	m := float64(pixels / len(b.inverse))
	for i := range b.slopes {
		part, cb := i/b.blocks(), i%b.blocks()
		p, s := &b.slopes[i], &b.sums[i]
		p.infinite = slices.ContainsFunc(s.dgamma[:], func(v float64) bool { return math.IsInf(v, 0) })
		for l := range min(kernel.Block, b.in.shape.C-cb*kernel.Block) {
			c := cb*kernel.Block + l
			inverse, mean := b.inverse[part][c], b.usedMean[part][c]
			g := float64(b.gamma.Data[c]) * inverse
			p.byX[l], p.minus[l] = float32(-g*inverse*s.dgamma[l]/m), float32(-mean)
			if p.infinite {
				p.constant[l] = float32(-g * s.dbeta[l] / m)
			} else {
				p.constant[l] = float32(-g*s.dbeta[l]/m + g*inverse*mean*s.dgamma[l]/m)
			}
		}
	}
}

// backwardTask takes a channel block of an image, in the order of memory.
func (b *batchNorm) backwardTask(worker, task int) {
	image, cb := task/b.blocks(), task%b.blocks()
	var none, one [kernel.Block]float32
	for l := range one {
		one[l] = 1
	}
	xhat := b.engine.scratch[worker][:b.stretch()]
	at := b.part(image)*b.blocks() + cb
	line, slope := &b.lines[at], &b.slopes[at]
	b.stretches(image, cb, func(at, length int) {
		dx, x, xhat := b.in.grad[at:at+length], b.in.data[at:at+length], xhat[:length]
		b.engine.set.ScaleShift(dx, b.out.grad[at:at+length], &line.scale, &none, false)
		if slope.infinite {
			b.engine.set.ScaleShift(xhat, x, &one, &slope.minus, false)
			x = xhat
		}
		b.engine.set.ScaleShift(xhat, x, &slope.byX, &slope.constant, false)
		b.engine.set.Axpy(dx, xhat, 1)
	})
}
