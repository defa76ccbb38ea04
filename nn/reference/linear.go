package reference

import "github.com/vggo/vggo/arch"

// Linear is a fully connected layer: y[n,o] = b[o] + Σ_c w[o,c] · x[n,c]. w is O x C; b may be nil.
func Linear(l arch.Placed, x Tensor, w, b []float64) Tensor {
	y := New(x.N, l.Out)
	for n := range x.N {
		for o := range l.Out.C {
			sum := 0.0
			if b != nil {
				sum = b[o]
			}
			for c := range l.In.C {
				sum += w[o*l.In.C+c] * *x.at(n, c, 0, 0)
			}
			*y.at(n, o, 0, 0) = sum
		}
	}
	return y
}

// LinearBackward: dx[n,c] = Σ_o w[o,c]·dy[n,o],  dw[o,c] = Σ_n x[n,c]·dy[n,o],  db[o] = Σ_n dy[n,o].
func LinearBackward(l arch.Placed, x Tensor, w []float64, dy Tensor) (dx Tensor, dw, db []float64) {
	dx, dw, db = New(x.N, l.In), make([]float64, len(w)), make([]float64, l.Out.C)
	for n := range x.N {
		for o := range l.Out.C {
			d := *dy.at(n, o, 0, 0)
			for c := range l.In.C {
				*dx.at(n, c, 0, 0) += w[o*l.In.C+c] * d
				dw[o*l.In.C+c] += *x.at(n, c, 0, 0) * d
			}
			db[o] += d
		}
	}
	return dx, dw, db
}
