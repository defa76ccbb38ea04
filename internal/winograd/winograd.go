// Package winograd derives the matrices of Winograd's minimal filtering algorithms F(m×m,3×3) and F(3×3,m×m) from
// the points at which they evaluate polynomials. The kernels' generator writes assembly from these matrices, the
// portable kernels loop over them, and the tests' error bounds are made of them.
package winograd

import "math/big"

// Taps is the side of the filter.
const Taps = 3

// Algorithm convolves a 3x3 filter w with a side×side patch d of a feature map, which gives a tile of m×m outputs:
//
//	Output [ (Weight w Weightᵀ) ⊙ (Input d Inputᵀ) ] Outputᵀ
//
// (Lavin & Gray 2015, arXiv 1509.09308, equation 12), and computes the gradient of the filter from the m×m gradient y
// of the outputs, which is F(3×3,m×m):
//
//	WeightGrad [ (Grad y Gradᵀ) ⊙ (Input d Inputᵀ) ] WeightGradᵀ
//
// Both take side² products in the middle, where the definition takes 9m².
type Algorithm struct {
	Tile int // m
	Side int // m + 2

	Input      [][]float64 // side × side
	Output     [][]float64 // m × side
	Weight     [][]float64 // side × 3
	Grad       [][]float64 // side × m
	WeightGrad [][]float64 // 3 × side
}

// Planes is the number of products in a tile.
func (a *Algorithm) Planes() int { return a.Side * a.Side }

// points are where polynomials are evaluated, infinity besides. They come in pairs ±p, whose transforms share most of
// their work, and their powers are exact in float32. Small ones round least: F(8×8,3×3), which needs two points more,
// misses the accuracy that vggo promises whichever they are (docs/kernels.md).
var points = [...]string{"0", "1", "-1", "2", "-2", "1/2", "-1/2"}

// Tiles lists the tile sizes there are, smallest first.
var Tiles = [...]int{2, 4, 6}

// F derives the algorithm of a tile size of Tiles. By Toom and Cook, a polynomial product is found from its values at
// side-1 points and infinity; a correlation is its transpose:
//
//	Output, WeightGrad: powers of each point, transposed: pⁱ
//	Weight, Grad:       powers of each point over the product of its distances to the others: pʲ / Π(p - q)
//	Input:              coefficients of Π(x - q) over the other points; for infinity over all points
func F(tile int) *Algorithm {
	side := tile + Taps - 1
	p := make([]*big.Rat, side-1)
	for i := range p {
		p[i], _ = new(big.Rat).SetString(points[i])
	}
	return &Algorithm{
		Tile: tile, Side: side,
		Input:      input(p),
		Output:     transposed(powers(p, tile, false)),
		Weight:     powers(p, Taps, true),
		Grad:       powers(p, tile, true),
		WeightGrad: transposed(powers(p, Taps, false)),
	}
}

// powers is a row of pʲ, j < n, for each point, divided by its distances to the others if asked; infinity has only the
// last.
func powers(points []*big.Rat, n int, divided bool) [][]float64 {
	var rows [][]float64
	for i, p := range points {
		x := big.NewRat(1, 1)
		if divided {
			for j, q := range points {
				if j != i {
					x.Quo(x, new(big.Rat).Sub(p, q))
				}
			}
		}
		row := make([]float64, n)
		for j := range row {
			row[j], _ = x.Float64()
			x.Mul(x, p)
		}
		rows = append(rows, row)
	}
	infinity := make([]float64, n)
	infinity[n-1] = 1
	return append(rows, infinity)
}

// input is the coefficients of Π(x - q), lowest first, over the points but the row's own; the last row has all points.
func input(points []*big.Rat) [][]float64 {
	var rows [][]float64
	for i := range len(points) + 1 {
		product := []*big.Rat{big.NewRat(1, 1)}
		for j, q := range points {
			if j == i {
				continue
			}
			next := make([]*big.Rat, len(product)+1) // (x - q) times product
			for k := range next {
				next[k] = new(big.Rat)
				if k > 0 {
					next[k].Set(product[k-1])
				}
				if k < len(product) {
					next[k].Sub(next[k], new(big.Rat).Mul(q, product[k]))
				}
			}
			product = next
		}
		row := make([]float64, len(points)+1)
		for k, c := range product {
			row[k], _ = c.Float64()
		}
		rows = append(rows, row)
	}
	return rows
}

func transposed(m [][]float64) [][]float64 {
	t := make([][]float64, len(m[0]))
	for i := range t {
		for _, row := range m {
			t[i] = append(t[i], row[i])
		}
	}
	return t
}
