package reference

import "github.com/vggo/vggo/arch"

// ReflectPad is y[n,c,i,j] = x[n,c,m(i−top),m(j−left)] with m(k) = k on the map, −k before it and 2(H−1)−k
// behind it (torch.nn.ReflectionPad2d).
func ReflectPad(l arch.Placed, x Tensor) Tensor {
	y := New(x.N, l.Out)
	for at := range y.indices() {
		for t := range window(&l, at.i, at.j) {
			*y.at(at.n, at.c, at.i, at.j) = *x.at(at.n, at.c, t.y, t.x)
		}
	}
	return y
}

// ReflectPadBackward adds up dy at all the places where a pixel stands.
func ReflectPadBackward(l arch.Placed, dy Tensor) Tensor {
	dx := New(dy.N, l.In)
	for at := range dy.indices() {
		for t := range window(&l, at.i, at.j) {
			*dx.at(at.n, at.c, t.y, t.x) += *dy.at(at.n, at.c, at.i, at.j)
		}
	}
	return dx
}
