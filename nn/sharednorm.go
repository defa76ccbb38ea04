package nn

import (
	"github.com/vggo/vggo/internal/kernel"
)

// Batch norm whose batch is in parts or shared among Plans.

// joinTree joins the moments of parts as Share.Parts says, into the first.
func joinTree(parts []*moments) *moments {
	if len(parts) > 1 {
		half := len(parts) / 2
		joinTree(parts[:half]).join(joinTree(parts[half:]))
	}
	return parts[0]
}

// settle makes of the moments that were taken those to normalise by.
func (b *batchNorm) settle() error {
	blocks, parts := b.blocks(), b.share.parts()
	if b.share.NormParts {
		for task := range b.taken {
			b.use(task/blocks, task%blocks, &b.taken[task])
		}
		b.engine.norms = append(b.engine.norms, b)
		return nil
	}
	list := make([]*moments, parts)
	for cb := range blocks {
		for part := range list {
			list[part] = &b.taken[part*blocks+cb]
		}
		joinTree(list)
	}
	if err := b.joinOthers(b.taken[:blocks]); err != nil {
		return err
	}
	for cb := range blocks {
		b.use(0, cb, &b.taken[cb])
		b.move(cb, &b.taken[cb])
	}
	return nil
}

// joinOthers joins this Plan's moments with those of the others, which are of as many pixels.
func (b *batchNorm) joinOthers(own []moments) error {
	if b.share.Gather == nil {
		return nil
	}
	var mine []float64
	for cb := range own {
		mine = append(append(mine, own[cb].mean[:]...), own[cb].squares[:]...)
	}
	all, err := b.share.Gather(mine)
	if err != nil {
		return err
	}
	list, others := make([]*moments, len(all)), make([]moments, len(all))
	for cb := range own {
		for i, values := range all {
			others[i].pixels = own[cb].pixels
			at := copy(others[i].mean[:], values[cb*2*kernel.Block:])
			copy(others[i].squares[:], values[cb*2*kernel.Block+at:])
			list[i] = &others[i]
		}
		own[cb] = *joinTree(list)
	}
	return nil
}

// moveNorms moves the running statistics of norms whose parts are normalised by themselves, all at once: there is one
// exchange for a pass.
func (p *Plan) moveNorms() error {
	if len(p.norms) == 0 {
		return nil
	}
	defer func() { p.norms = p.norms[:0] }()
	rows := make([][]float64, p.Share.parts())
	for part := range rows {
		for _, b := range p.norms {
			for cb := range b.blocks() {
				m := &b.taken[part*b.blocks()+cb]
				rows[part] = append(rows[part], m.mean[:]...)
				for _, squares := range m.squares {
					rows[part] = append(rows[part], squares/m.pixels*unbiased(m.pixels))
				}
			}
		}
	}
	parts := float64(len(rows))
	sums := treeSum(rows)
	if p.Share.Gather != nil {
		all, err := p.Share.Gather(sums)
		if err != nil {
			return err
		}
		parts *= float64(len(all))
		sums = treeSum(all)
	}
	for _, b := range p.norms {
		for c := range b.in.shape.C {
			at := c/kernel.Block*2*kernel.Block + c%kernel.Block
			move(&b.mean.Data[c], sums[at]/parts, b.momentum)
			move(&b.variance.Data[c], sums[at+kernel.Block]/parts, b.momentum)
		}
		sums = sums[b.blocks()*2*kernel.Block:]
	}
	return nil
}

// gather adds up what the parts' outputs gradients sum to: for gamma and beta as every gradient, in float32, this
// Plan's alone; for the input's gradient over the whole batch, unless parts are normalised by themselves.
func (b *batchNorm) gather() error {
	blocks, parts := b.blocks(), b.share.parts()
	beta, gamma := make([]float32, parts), make([]float32, parts)
	for c := range b.in.shape.C {
		for part := range parts {
			s := &b.sums[part*blocks+c/kernel.Block]
			beta[part], gamma[part] = float32(s.dbeta[c%kernel.Block]), float32(s.dgamma[c%kernel.Block])
		}
		b.beta.Grad[c], b.gamma.Grad[c] = treeSum32(beta), treeSum32(gamma)
	}
	if b.share.NormParts {
		return nil
	}
	rows := make([][]float64, parts)
	for part := range rows {
		for cb := range blocks {
			s := &b.sums[part*blocks+cb]
			rows[part] = append(append(rows[part], s.dbeta[:]...), s.dgamma[:]...)
		}
	}
	sums := treeSum(rows)
	if b.share.Gather != nil {
		all, err := b.share.Gather(sums)
		if err != nil {
			return err
		}
		sums = treeSum(all)
	}
	for cb := range blocks {
		at := copy(b.sums[cb].dbeta[:], sums[cb*2*kernel.Block:])
		copy(b.sums[cb].dgamma[:], sums[cb*2*kernel.Block+at:])
	}
	return nil
}

func treeSum32(values []float32) float32 {
	if len(values) == 1 {
		return values[0]
	}
	half := len(values) / 2
	return treeSum32(values[:half]) + treeSum32(values[half:])
}
