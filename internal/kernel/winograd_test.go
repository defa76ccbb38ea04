package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/vggo/vggo/internal/winograd"
)

// exactTransform is m x mᵀ in float64 for one lane, and the same with absolute values: the scale of its rounding.
func exactTransform(m [][]float64, at func(row, col int) float32) (value, scale [][]float64) {
	n := len(m[0])
	value, scale = make([][]float64, len(m)), make([][]float64, len(m))
	for i := range m {
		value[i], scale[i] = make([]float64, len(m)), make([]float64, len(m))
		for j := range m {
			for p := range n {
				for q := range n {
					x := m[i][p] * float64(at(p, q)) * m[j][q]
					value[i][j] += x
					scale[i][j] += math.Abs(x)
				}
			}
		}
	}
	return value, scale
}

// transformCase is one transform of one tile size: how to run it, and where element (i, j) of a tile lies in its
// operands.
type transformCase struct {
	name     string
	matrix   [][]float64
	in, out  int // floats
	run      func(dst, src []float32)
	get, put func(tile, i, j int) int
	bias     *[Block]float32
	relu     bool
}

func transformCases(w *Winograd, tiles, row int, bias *[Block]float32) []transformCase {
	plane := (tiles + 1) * Block
	pixels := func(tile, i, j int) int { return i*row + (tile*w.Tile+j)*Block }
	planes := func(tile, i, j int) int { return (i*w.Side+j)*plane + tile*Block }
	taps := func(tile, i, j int) int { return ((tile*winograd.Taps+i)*winograd.Taps + j) * Block }
	patch := (w.Side-1)*row + ((tiles-1)*w.Tile+w.Side)*Block
	outputs := (w.Tile-1)*row + tiles*w.Tile*Block
	all, filter := (w.Planes()-1)*plane+tiles*Block, 9*tiles*Block
	return []transformCase{
		{"input", w.Algorithm.Input, patch, all, func(d, s []float32) { w.Input(d, plane, s, row, tiles) }, pixels, planes,
			nil, false},
		{"grad", w.Algorithm.Grad, outputs, all, func(d, s []float32) { w.Grad(d, plane, s, row, tiles) }, pixels, planes,
			nil, false},
		{"weight", w.Algorithm.Weight, filter, all, func(d, s []float32) { w.Weight(d, plane, s, tiles) }, taps, planes,
			nil, false},
		{"weightgrad", w.Algorithm.WeightGrad, all, filter, func(d, s []float32) { w.WeightGrad(d, s, plane, tiles) }, planes,
			taps, nil, false},
		{"output", w.Algorithm.Output, all, outputs, func(d, s []float32) { w.Output(d, row, s, plane, tiles, bias, false) },
			planes, pixels, bias, false},
		{"output+relu", w.Algorithm.Output, all, outputs, func(d, s []float32) {
			w.Output(d, row, s, plane, tiles, bias,
				true)
		}, planes, pixels, bias, true},
	}
}

// Each transform of every Set against its matrices in float64, its operands against the ends of mapped memory. An
// element is a sum of side² terms made in two passes: at most side multiply-adds each, two roundings for a constant,
// one for the bias.
func TestWinogradTransforms(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var bias [Block]float32
	copy(bias[:], randoms(r, Block))
	for _, set := range Sets() {
		for _, tile := range winograd.Tiles {
			w := set.Winograd(tile)
			roundings := float64(2*w.Side + 5)
			for _, tiles := range []int{1, 3} {
				for _, c := range transformCases(w, tiles, (tiles*tile+5)*Block, &bias) {
					t.Run(fmt.Sprintf("set=%s/tile=%d/tiles=%d/%s", set, tile, tiles, c.name), func(t *testing.T) {
						values := randoms(r, c.in)
						for _, mem := range memories(t) {
							src, dst := place(mem, 0, values), mem.floats(1, c.out)
							noFault(t, func() { c.run(dst, src) }, "%s", mem.name)
							c.check(t, src, dst, tiles, roundings)
						}
					})
				}
			}
		}
	}
}

func (c transformCase) check(t *testing.T, src, dst []float32, tiles int, roundings float64) {
	t.Helper()
	for tile := range tiles {
		for l := range Block {
			value, scale := exactTransform(c.matrix, func(i, j int) float32 { return src[c.get(tile, i, j)+l] })
			for i := range value {
				for j := range value[i] {
					want, bound := value[i][j], scale[i][j]
					if c.bias != nil {
						want += float64(c.bias[l])
						bound += math.Abs(float64(c.bias[l]))
					}
					if c.relu {
						want = max(0, want)
					}
					if got := float64(dst[c.put(tile, i, j)+l]); !(math.Abs(got-want) <= roundings*bound*0x1p-24) {
						t.Fatalf("tile %d, lane %d, element %d,%d: %g, want %g ± %g", tile, l, i, j, got, want, roundings*bound*0x1p-24)
					}
				}
			}
		}
	}
}

func BenchmarkWinograd(b *testing.B) {
	const tiles = 12
	r := rand.New(rand.NewPCG(1, 2))
	var bias [Block]float32
	for _, set := range Sets() {
		for _, tile := range winograd.Tiles {
			for _, c := range transformCases(set.Winograd(tile), tiles, (tiles*tile+3)*Block, &bias) {
				src, dst := randoms(r, c.in), Alloc(c.out)
				b.Run(fmt.Sprintf("transform=%s/tile=%d/set=%s", c.name, tile, set), func(b *testing.B) {
					for b.Loop() {
						c.run(dst, src)
					}
					b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*tiles), "ns/tile")
				})
			}
		}
	}
}
