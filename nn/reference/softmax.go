package reference

import "math"

// Softmax is y[c] = exp(x[c]) / Σ_c' exp(x[c']) at every pixel. The largest x is taken from all of them first, which
// changes nothing but keeps exp finite.
func Softmax(x Tensor) Tensor {
	y := New(x.N, x.Shape)
	for n := range x.N {
		for i := range x.H {
			for j := range x.W {
				largest, sum := math.Inf(-1), 0.0
				for c := range x.C {
					largest = math.Max(largest, *x.at(n, c, i, j))
				}
				for c := range x.C {
					*y.at(n, c, i, j) = math.Exp(*x.at(n, c, i, j) - largest)
					sum += *y.at(n, c, i, j)
				}
				for c := range x.C {
					*y.at(n, c, i, j) /= sum
				}
			}
		}
	}
	return y
}

// SoftmaxBackward: with ∂y[c']/∂x[c] = y[c']·([c'=c] − y[c]), dx[c] = y[c] · (dy[c] − Σ_c' dy[c']·y[c']).
func SoftmaxBackward(y, dy Tensor) Tensor {
	dx := New(y.N, y.Shape)
	for at := range y.indices() {
		mean := 0.0
		for c := range y.C {
			mean += *dy.at(at.n, c, at.i, at.j) * *y.at(at.n, c, at.i, at.j)
		}
		*dx.at(at.n, at.c, at.i, at.j) = *y.at(at.n, at.c, at.i, at.j) * (*dy.at(at.n, at.c, at.i, at.j) - mean)
	}
	return dx
}
