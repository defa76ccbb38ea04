package nn

import "math/rand/v2"

// dropout keeps each value with probability keep and scales it by 1/keep, while training. The mask of step s for image
// n comes from a stream of its own, so it does not depend on threads nor on the rest of the batch.
type dropout struct {
	local // in and out are the same where the layer before does not need its output again
	keep  float64
	index uint64 // of the layer
	seed  uint64
	first int // the number in the whole batch of the Plan's first image
	mask  []bool
}

func newDropout(p *Plan, index int, keep float64, in, out *values) step {
	d := &dropout{keep: keep, index: uint64(index), seed: p.Seed, first: p.Share.First}
	p.workspace += int64(p.Batch * in.size)
	p.later = append(p.later, func() { d.mask = make([]bool, p.Batch*in.size) })
	return newLocal(p, d, in, out, in.eachImage)
}

func (d *dropout) forwardTask(_, n int) {
	stream := rand.NewPCG(d.seed+d.engine.count, d.index<<32|uint64(d.first+n))
	threshold := uint64(float64(d.keep * (1 << 53)))
	x, y, mask := d.in.image(n), d.out.image(n), d.mask[n*d.in.size:]
	scale := float32(1 / d.keep)
	for i, v := range x {
		mask[i] = stream.Uint64()>>11 < threshold
		if mask[i] {
			y[i] = v * scale
		} else {
			y[i] = 0
		}
	}
}

func (d *dropout) backwardTask(_, n int) {
	dx, dy, mask := d.in.imageGrad(n), d.out.imageGrad(n), d.mask[n*d.in.size:]
	scale := float32(1 / d.keep)
	for i, g := range dy {
		if mask[i] {
			dx[i] = g * scale
		} else {
			dx[i] = 0
		}
	}
}
