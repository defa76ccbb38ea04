package reference

// ReLU is y = max(0, x); NaN stays NaN.
func ReLU(x Tensor) Tensor {
	y := New(x.N, x.Shape)
	for i, v := range x.Data {
		if !(v <= 0) {
			y.Data[i] = v
		}
	}
	return y
}

// ReLUBackward lets dy through wherever x was not ≤ 0: nothing at 0, everything at NaN.
func ReLUBackward(x, dy Tensor) Tensor {
	dx := New(x.N, x.Shape)
	for i, v := range x.Data {
		if !(v <= 0) {
			dx.Data[i] = dy.Data[i]
		}
	}
	return dx
}
