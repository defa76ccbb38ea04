package reference

import "github.com/vggo/vggo/arch"

// Linear is a fully connected layer: y[n,o] = b[o] + Σ_c w[o,c] · x[n,c]. w is O x C; b may be nil.
func Linear(l arch.Placed, x Tensor, w, b []float64) Tensor {
	y := New(x.N, l.Out)
	Each(y.C, func(o int) {
		for n := range x.N {
			sum := 0.0
			if b != nil {
				sum = b[o]
			}
			in := x.image(n)
			for c, weight := range w[o*l.In.C:][:len(in)] {
				sum += weight * in[c]
			}
			*y.at(n, o, 0, 0) = sum
		}
	})
	return y
}

// LinearBackward: dx[n,c] = Σ_o w[o,c]·dy[n,o],  dw[o,c] = Σ_n x[n,c]·dy[n,o],  db[o] = Σ_n dy[n,o].
func LinearBackward(l arch.Placed, x Tensor, w []float64, dy Tensor) (dx Tensor, dw, db []float64) {
	dx, dw, db = New(x.N, l.In), make([]float64, len(w)), make([]float64, l.Out.C)
	Each(dx.N, func(n int) {
		in := dx.image(n)
		for o, d := range dy.image(n) {
			for c, weight := range w[o*l.In.C:][:len(in)] {
				in[c] += weight * d
			}
		}
	})
	Each(dy.C, func(o int) {
		row := dw[o*l.In.C:][:l.In.C]
		for n := range x.N {
			d := *dy.at(n, o, 0, 0)
			for c, v := range x.image(n) {
				row[c] += v * d
			}
			db[o] += d
		}
	})
	return dx, dw, db
}
