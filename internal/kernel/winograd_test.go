package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// exactTransform is m x mᵀ in float64 for one lane, and the same with absolute values: the scale of its rounding.
func exactTransform(m [][]float32, at func(row, col int) float32) (value, scale [][]float64) {
	n := len(m[0])
	value, scale = make([][]float64, len(m)), make([][]float64, len(m))
	for i := range m {
		value[i], scale[i] = make([]float64, len(m)), make([]float64, len(m))
		for j := range m {
			for p := range n {
				for q := range n {
					x := float64(m[i][p]) * float64(at(p, q)) * float64(m[j][q])
					value[i][j] += x
					scale[i][j] += math.Abs(x)
				}
			}
		}
	}
	return value, scale
}

// Each transform of every Set against its matrices in float64. An element is a sum of at most 36 products, made in two
// passes of at most 6 multiply-adds, so its error is below 14 roundings of the sum of absolute values.
func TestWinogradTransforms(t *testing.T) {
	const row, tiles = 9 * 4 * Block, 3
	r := rand.New(rand.NewPCG(1, 2))
	noise := func(n int) []float32 {
		s := make([]float32, n)
		for i := range s {
			s[i] = float32(r.NormFloat64())
		}
		return s
	}
	plane := (tiles + 1) * Block
	patch := func(s []float32, size int) func(tile, i, j, l int) float32 {
		return func(tile, i, j, l int) float32 { return s[i*row+(tile*4+j)*Block+l] }
	}
	taps := func(s []float32) func(tile, i, j, l int) float32 {
		return func(tile, i, j, l int) float32 { return s[((tile*3+i)*3+j)*Block+l] }
	}
	planes := func(s []float32) func(tile, i, j, l int) float32 {
		return func(tile, i, j, l int) float32 { return s[(i*6+j)*plane+tile*Block+l] }
	}
	var bias [Block]float32
	copy(bias[:], noise(Block))
	for _, set := range Sets() {
		for _, c := range []struct {
			name    string
			matrix  [][]float32
			in, out int
			run     func(dst, src []float32)
			get     func(s []float32) func(tile, i, j, l int) float32
			put     func(s []float32) func(tile, i, j, l int) float32
			bias    bool
			relu    bool
		}{
			{"input", inputMatrix, 8 * row, 36 * plane, func(d, s []float32) { set.WinogradInput(d, plane, s, row, tiles) }, func(s []float32) func(int, int, int, int) float32 { return patch(s, 6) }, planes, false, false},
			{"grad", gradMatrix, 8 * row, 36 * plane, func(d, s []float32) { set.WinogradGrad(d, plane, s, row, tiles) }, func(s []float32) func(int, int, int, int) float32 { return patch(s, 4) }, planes, false, false},
			{"weight", weightMatrix, 9 * tiles * Block, 36 * plane, func(d, s []float32) { set.WinogradWeight(d, plane, s, tiles) }, taps, planes, false, false},
			{"weightgrad", weightGradMatrix, 36 * plane, 9 * tiles * Block, func(d, s []float32) { set.WinogradWeightGrad(d, s, plane, tiles) }, planes, taps, false, false},
			{"output", outputMatrix, 36 * plane, 8 * row, func(d, s []float32) { set.WinogradOutput(d, row, s, plane, tiles, &bias, false) }, planes, func(s []float32) func(int, int, int, int) float32 { return patch(s, 4) }, true, false},
			{"output+relu", outputMatrix, 36 * plane, 8 * row, func(d, s []float32) { set.WinogradOutput(d, row, s, plane, tiles, &bias, true) }, planes, func(s []float32) func(int, int, int, int) float32 { return patch(s, 4) }, true, true},
		} {
			t.Run(fmt.Sprintf("%s/%s", set, c.name), func(t *testing.T) {
				src, dst := noise(c.in), make([]float32, c.out)
				c.run(dst, src)
				in, out := c.get(src), c.put(dst)
				for tile := range tiles {
					for l := range Block {
						value, scale := exactTransform(c.matrix, func(i, j int) float32 { return in(tile, i, j, l) })
						for i := range value {
							for j := range value[i] {
								want, bound := value[i][j], scale[i][j]
								if c.bias {
									want += float64(bias[l])
									bound += math.Abs(float64(bias[l]))
								}
								if c.relu {
									want = max(0, want)
								}
								if got := float64(out(tile, i, j, l)); !(math.Abs(got-want) <= 14*bound*0x1p-24) {
									t.Fatalf("tile %d, lane %d, element %d,%d: %g, want %g ± %g", tile, l, i, j, got, want, 14*bound*0x1p-24)
								}
							}
						}
					}
				}
			})
		}
	}
}

func BenchmarkWinograd(b *testing.B) {
	const tiles, row = 14, 58 * Block
	plane := tiles * Block
	src, planes, taps := make([]float32, 6*row), make([]float32, 36*plane), make([]float32, 9*plane)
	var bias [Block]float32
	for _, set := range Sets() {
		for name, run := range map[string]func(){
			"input":      func() { set.WinogradInput(planes, plane, src, row, tiles) },
			"output":     func() { set.WinogradOutput(src, row, planes, plane, tiles, &bias, true) },
			"grad":       func() { set.WinogradGrad(planes, plane, src, row, tiles) },
			"weight":     func() { set.WinogradWeight(planes, plane, taps, tiles) },
			"weightgrad": func() { set.WinogradWeightGrad(taps, planes, plane, tiles) },
		} {
			b.Run(fmt.Sprintf("transform=%s/set=%s", name, set), func(b *testing.B) {
				for b.Loop() {
					run()
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*tiles), "ns/tile")
			})
		}
	}
}
