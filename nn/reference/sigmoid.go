package reference

import "math"

// Sigmoid is y = 1 / (1 + exp(−x)).
func Sigmoid(x Tensor) Tensor {
	y := New(x.N, x.Shape)
	for i, v := range x.Data {
		y.Data[i] = 1 / (1 + math.Exp(-v))
	}
	return y
}

// SigmoidBackward: with dy/dx = y·(1 − y), dx = dy · y·(1 − y).
func SigmoidBackward(y, dy Tensor) Tensor {
	dx := New(y.N, y.Shape)
	for i, v := range y.Data {
		dx.Data[i] = dy.Data[i] * v * (1 - v)
	}
	return dx
}
