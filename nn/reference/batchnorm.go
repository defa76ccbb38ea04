package reference

import (
	"math"

	"github.com/vggo/vggo/arch"
)

// Moments are each channel's mean and biased variance over images and pixels, m = N·H·W values:
//
//	μ[c] = Σ x / m,   v[c] = Σ (x − μ[c])² / m
func Moments(x Tensor) (mean, variance []float64) {
	mean, variance = make([]float64, x.C), make([]float64, x.C)
	m := float64(x.N * x.H * x.W)
	for at := range x.indices() {
		mean[at.c] += *x.at(at.n, at.c, at.i, at.j) / m
	}
	for at := range x.indices() {
		d := *x.at(at.n, at.c, at.i, at.j) - mean[at.c]
		variance[at.c] += d * d / m
	}
	return mean, variance
}

// BatchNorm is y = γ[c] · x̂ + β[c] with x̂ = (x − μ[c]) / √(v[c] + ε): the batch's own moments in training,
// the running statistics otherwise.
func BatchNorm(l arch.Placed, x Tensor, gamma, beta, mean, variance []float64) Tensor {
	y := New(x.N, x.Shape)
	for at := range x.indices() {
		xhat := (*x.at(at.n, at.c, at.i, at.j) - mean[at.c]) / deviation(l, variance[at.c])
		*y.at(at.n, at.c, at.i, at.j) = gamma[at.c]*xhat + beta[at.c]
	}
	return y
}

// BatchNormBackward takes mean and variance as constants (the running statistics):
//
//	dβ = Σ dy,   dγ = Σ dy · x̂,   dx = dy · γ / √(v + ε)
func BatchNormBackward(l arch.Placed, x Tensor, gamma, mean, variance []float64, dy Tensor) (dx Tensor, dgamma,
	dbeta []float64) {
	dx, dgamma, dbeta = New(x.N, x.Shape), make([]float64, x.C), make([]float64, x.C)
	for at := range x.indices() {
		g := *dy.at(at.n, at.c, at.i, at.j)
		xhat := (*x.at(at.n, at.c, at.i, at.j) - mean[at.c]) / deviation(l, variance[at.c])
		dgamma[at.c] += g * xhat
		dbeta[at.c] += g
		*dx.at(at.n, at.c, at.i, at.j) = g * gamma[at.c] / deviation(l, variance[at.c])
	}
	return dx, dgamma, dbeta
}

// BatchNormTrainBackward takes mean and variance as the functions of x they are in training (Ioffe & Szegedy 2015,
// section 3, collected): with m values in a channel,
//
//	dx = γ / √(v + ε) · (dy − dβ/m − x̂ · dγ/m)
func BatchNormTrainBackward(l arch.Placed, x Tensor, gamma []float64, dy Tensor) (dx Tensor, dgamma, dbeta []float64) {
	mean, variance := Moments(x)
	dx, dgamma, dbeta = BatchNormBackward(l, x, gamma, mean, variance, dy)
	m := float64(x.N * x.H * x.W)
	for at := range x.indices() {
		xhat := (*x.at(at.n, at.c, at.i, at.j) - mean[at.c]) / deviation(l, variance[at.c])
		*dx.at(at.n, at.c, at.i, at.j) -= gamma[at.c] / deviation(l, variance[at.c]) * (dbeta[at.c] + xhat*dgamma[at.c]) / m
	}
	return dx, dgamma, dbeta
}

// UpdateRunning moves the running statistics towards a batch of m values a channel with these moments; the variance
// is made unbiased first, v·m/(m−1), as in PyTorch:
//
//	running = (1 − momentum) · running + momentum · batch
func UpdateRunning(l arch.Placed, m int, mean, variance, runningMean, runningVar []float64) {
	momentum := l.Op.(arch.BatchNorm).Rate()
	for c := range mean {
		unbiased := variance[c] * float64(m) / float64(m-1)
		runningMean[c] = (1-momentum)*runningMean[c] + momentum*mean[c]
		runningVar[c] = (1-momentum)*runningVar[c] + momentum*unbiased
	}
}

func deviation(l arch.Placed, variance float64) float64 {
	return math.Sqrt(variance + l.Op.(arch.BatchNorm).Epsilon())
}
