package winograd

import (
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
)

// both is m x mᵀ.
func both(m, x [][]float64) [][]float64 { return product(product(m, x), transposed(m)) }

func product(a, b [][]float64) [][]float64 {
	c := make([][]float64, len(a))
	for i := range a {
		c[i] = make([]float64, len(b[0]))
		for j := range c[i] {
			for k := range b {
				c[i][j] += a[i][k] * b[k][j]
			}
		}
	}
	return c
}

func times(a, b [][]float64) [][]float64 {
	c := make([][]float64, len(a))
	for i := range a {
		for j := range a[i] {
			c[i] = append(c[i], a[i][j]*b[i][j])
		}
	}
	return c
}

// correlation is the sum over w of w[i][j]*d[y+i][x+j], for every place where w lies within d.
func correlation(d, w [][]float64) [][]float64 {
	out := make([][]float64, len(d)-len(w)+1)
	for y := range out {
		out[y] = make([]float64, len(d)-len(w)+1)
		for x := range out[y] {
			for i := range w {
				for j := range w {
					out[y][x] += w[i][j] * d[y+i][x+j]
				}
			}
		}
	}
	return out
}

func noise(r *rand.Rand, n int) [][]float64 {
	m := make([][]float64, n)
	for i := range m {
		for range n {
			m[i] = append(m[i], r.NormFloat64())
		}
	}
	return m
}

// Both algorithms are the correlations they stand for: outputs from patch and filter, the filter's gradient from patch
// and the outputs' gradient.
func TestAlgorithms(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, tile := range Tiles {
		a := F(tile)
		d, w, y := noise(r, a.Side), noise(r, Taps), noise(r, tile)
		v := both(a.Input, d)
		for name, pair := range map[string][2][][]float64{
			"outputs":         {both(a.Output, times(both(a.Weight, w), v)), correlation(d, w)},
			"filter gradient": {both(a.WeightGrad, times(both(a.Grad, y), v)), correlation(d, y)},
		} {
			got, want := pair[0], pair[1]
			for i := range want {
				for j := range want[i] {
					if math.Abs(got[i][j]-want[i][j]) > 1e-11 {
						t.Errorf("F(%d): %s[%d][%d] = %v, want %v", tile, name, i, j, got[i][j], want[i][j])
					}
				}
			}
		}
	}
}

// TestPublished holds F(4×4,3×3) against the matrices printed in Lavin & Gray, section 4.
func TestPublished(t *testing.T) {
	a := F(4)
	for _, m := range []struct {
		name      string
		got, want [][]float64
	}{
		{"Input", a.Input, [][]float64{{4, 0, -5, 0, 1, 0}, {0, -4, -4, 1, 1, 0}, {0, 4, -4, -1, 1, 0}, {0, -2, -1, 2, 1, 0},
			{0, 2, -1, -2, 1, 0}, {0, 4, 0, -5, 0, 1}}},
		{"Output", a.Output, [][]float64{{1, 1, 1, 1, 1, 0}, {0, 1, -1, 2, -2, 0}, {0, 1, 1, 4, 4, 0}, {0, 1, -1, 8, -8, 1}}},
		{"Weight", a.Weight, [][]float64{{1. / 4, 0, 0}, {-1. / 6, -1. / 6, -1. / 6}, {-1. / 6, 1. / 6, -1. / 6},
			{1. / 24, 1. / 12, 1. / 6}, {1. / 24, -1. / 12, 1. / 6}, {0, 0, 1}}},
	} {
		if !reflect.DeepEqual(m.got, m.want) {
			t.Errorf("%s = %v, want %v", m.name, m.got, m.want)
		}
	}
}
