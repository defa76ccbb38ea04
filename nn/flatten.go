package nn

import "github.com/vggo/vggo/internal/kernel"

// flatten turns blocked feature maps into vectors in C,H,W order.
type flatten struct{ local }

func (f *flatten) forwardTask(_, n int) {
	pixels, row := f.in.shape.H*f.in.shape.W, f.out.image(n)
	f.out.clearPadding(row)
	for c := range f.in.shape.C {
		lane := f.in.block(f.in.data, n, c/kernel.Block)[c%kernel.Block:]
		for p := range pixels {
			row[c*pixels+p] = lane[p*kernel.Block]
		}
	}
}

func (f *flatten) backwardTask(_, n int) {
	pixels, row := f.in.shape.H*f.in.shape.W, f.out.imageGrad(n)
	clear(f.in.imageGrad(n))
	for c := range f.in.shape.C {
		lane := f.in.block(f.in.grad, n, c/kernel.Block)[c%kernel.Block:]
		for p := range pixels {
			lane[p*kernel.Block] = row[c*pixels+p]
		}
	}
}
