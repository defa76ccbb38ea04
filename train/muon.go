package train

import (
	"math"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/kernel"
	"github.com/vggo/vggo/internal/parallel"
)

// Muon (Jordan 2024, kellerjordan.github.io/posts/muon) moves a matrix by its momentum D made nearly orthogonal: of
// D = UΣVᵀ it keeps about UVᵀ. As in airbench94_muon, X = D/‖D‖, transposed where it is taller than wide, goes
// three times through X ← aX + (bA + cA²)X with A = XXᵀ, and the weights have a norm of √rows before they move.
//
// Each time is X ← BX, B = aI + bA + cA². All of these are polynomials in the first A, so they commute, and the
// next A is BAB: the three are multiplied by each other first, and by X once. Only that and the first A take time that
// grows with X's longer side. The weights of 256 filters over 256 channels, 256x2304, take 0.6 GFLOP a step, where the
// formula as it stands takes 1.9, or 1.4 where it too computes one half of what is symmetric: BenchmarkMuon took 29 ms
// by that, and 11 to 14 ms by this.
const (
	muonA, muonB, muonC = 3.4445, -4.7750, 2.0315
	muonTimes           = 3
)

// matrix is a parameter as muon sees it: a row for each filter.
type matrix struct{ rows, columns int }

func matrixOf(p arch.Param) matrix { return matrix{p.Shape[0], p.Count() / p.Shape[0]} }

const (
	muonStretch = 512 // steps along X's long side, in 16 of the short one, that are one task
	muonTile    = 64  // steps along it that are one task of the product by X
	tilesAtOnce = 32  // that have room for their product
)

// sides are those of X, the short one first.
func (m matrix) sides() (short, long int) { return min(m.rows, m.columns), max(m.rows, m.columns) }

// blocks is the number of blocks of 16 in each side.
func (m matrix) blocks() (short, long int) {
	short, long = m.sides()
	return kernel.Blocks(short), kernel.Blocks(long)
}

func (m matrix) tiles() int { return (max(m.rows, m.columns) + muonTile - 1) / muonTile }

// stretches is the number of those along the long side.
func (m matrix) stretches() int { return (max(m.rows, m.columns) + muonStretch - 1) / muonStretch }

// each tells where the weights lie that are the steps from..to-1 along X's long side, in one block of the short one: n
// from at on, which have their places in blocks of 16 from x on, each so many floats apart from the next.
func (m matrix) each(block, from, to int, do func(at, n, x, apart int)) {
	first := block * kernel.Block
	short, _ := m.sides()
	lanes := min(kernel.Block, short-first)
	if m.rows <= m.columns {
		for lane := range lanes {
			do((first+lane)*m.columns+from, to-from, lane, kernel.Block)
		}
		return
	}
	for i := from; i < to; i++ {
		do(i*m.columns+first, lanes, (i-from)*kernel.Block, 1)
	}
}

// muonRoom is the floats that steps of some matrices need, one after the other.
type muonRoom struct {
	x, square, products int
	sums                int // not of floats, but few
}

func (r *muonRoom) add(m matrix) {
	short, long := m.blocks()
	side := short * kernel.Block
	r.x = max(r.x, side*long*kernel.Block)
	r.square = max(r.square, side*side)
	r.products = max(r.products, min(m.tiles(), tilesAtOnce)*muonTile*side)
	r.sums = max(r.sums, short*m.stretches())
}

func (r *muonRoom) bytes() int64 { return 4 * (int64(r.x) + 4*int64(r.square) + int64(r.products)) }

// muon computes steps. Matrices lie in blocks of 16 columns, [column/16][row][16], as Matmul takes them: a symmetric
// one, and Xᵀ, whose rows go along X's long side, may be either operand.
type muon struct {
	set        *kernel.Set
	threads    int
	x          []float32 // Xᵀ
	a, b, t, q []float32 // A, B, what is in between, and the product of all B
	products   []float32
	sums       [][2]float64 // squares of D and of the weights, by stretches
}

// newMuon makes room for the slots that learn by it; nil where none does.
func newMuon(slots []*slot, threads int) (*muon, error) {
	var room muonRoom
	for _, s := range slots {
		if s.muon {
			room.add(s.matrix)
		}
	}
	if room.x == 0 {
		return nil, nil
	}
	set, err := kernel.Active()
	if err != nil {
		return nil, err
	}
	m := &muon{set: set, threads: threads, x: make([]float32, room.x), products: make([]float32, room.products),
		sums: make([][2]float64, room.sums)}
	for _, square := range []*[]float32{&m.a, &m.b, &m.t, &m.q} {
		*square = make([]float32, room.square)
	}
	return m, nil
}

// step moves a slot's weights W: V = momentum·V + share·G, D = V, or share·G + momentum·V after Nesterov, and then
// W ← √rows·W/‖W‖ − rate·UVᵀ. Weights that are all 0 stay so before the step.
func (m *muon) step(s *slot, rate float64, share float32, nesterov bool) {
	short, long := s.matrix.blocks()
	sums := m.sums[:short*s.matrix.stretches()]
	parallel.Each(m.threads, len(sums), func(i int) { sums[i] = m.take(s, i%short, i/short, share, nesterov) })
	var squares, weights float64
	for _, sum := range sums { // in order, whoever has computed them
		squares += sum[0]
		weights += sum[1]
	}
	inverse, scale := 0.0, 1.0
	if squares != 0 {
		inverse = 1 / math.Sqrt(squares)
	}
	if weights != 0 {
		scale = math.Sqrt(float64(s.matrix.rows) / weights)
	}
	x := m.x[:short*long*kernel.Block*kernel.Block]
	parallel.Each(m.threads, (len(x)+pieceFloats-1)/pieceFloats, func(i int) {
		piece := x[i*pieceFloats : min((i+1)*pieceFloats, len(x))]
		for j, v := range piece {
			piece[j] = float32(float64(v) * inverse)
		}
	})
	m.orthogonalise(short, long)
	m.move(s, float32(scale), float32(rate))
}

// take makes a stretch of X, not yet divided, of a slot's gradient and momentum, and sums up the squares of it and of
// the weights.
func (m *muon) take(s *slot, block, stretch int, share float32, nesterov bool) (sums [2]float64) {
	_, long := s.matrix.sides()
	padded := kernel.Blocks(long) * kernel.Block
	from := stretch * muonStretch
	to := min(from+muonStretch, long)
	x := m.x[(block*padded+from)*kernel.Block : (block*padded+min(from+muonStretch, padded))*kernel.Block]
	clear(x) // of what another matrix may have left where this one has nothing
	momentum := float32(s.momentum)
	s.matrix.each(block, from, to, func(at, n, place, apart int) {
		var v []float32
		if s.first != nil {
			v = s.first[at : at+n]
		}
		w, g, squares, weights := s.Data[at:at+n], s.Grad[at:at+n], 0.0, 0.0
		for i, d := range g {
			d *= share
			if v != nil {
				v[i] = float32(momentum*v[i]) + d
				if nesterov {
					d += float32(momentum * v[i])
				} else {
					d = v[i]
				}
			}
			squares += float64(d) * float64(d)
			weights += float64(w[i]) * float64(w[i])
			x[place] = d
			place += apart
		}
		sums[0] += squares
		sums[1] += weights
	})
	return sums
}

// orthogonalise makes q of X, whose sides have so many blocks.
func (m *muon) orthogonalise(short, long int) {
	side := short * kernel.Block
	m.symmetric(m.a, short, m.gram(long))
	for i := range muonTimes {
		b := m.b
		if i == 0 {
			b = m.q
		}
		m.symmetric(m.t, short, product(m.a, m.a, short))
		parallel.Each(m.threads, short, func(block int) {
			from, to := block*side*kernel.Block, (block+1)*side*kernel.Block
			a, t, b := m.a[from:to], m.t[from:to], b[from:to]
			for i, v := range a {
				b[i] = float32(muonB*v) + float32(muonC*t[i])
			}
			for lane := range kernel.Block {
				b[(block*kernel.Block+lane)*kernel.Block+lane] += muonA
			}
		})
		if i > 0 {
			m.symmetric(m.t, short, product(m.q, b, short))
			m.q, m.t = m.t, m.q
		}
		if i < muonTimes-1 {
			m.symmetric(m.t, short, product(m.a, b, short))
			m.symmetric(m.a, short, product(m.t, b, short))
		}
	}
}

// gram is the product X·Xᵀ, from the diagonal on in a band.
func (m *muon) gram(long int) func(band int) kernel.Matmul {
	runs := runsOf(long, kernel.Block*kernel.Block)
	return func(band int) kernel.Matmul {
		x := m.x[band*long*kernel.Block*kernel.Block:]
		return kernel.Matmul{Runs: runs, A: x, ARow: 1, ACol: kernel.Block, B: x, BBlock: long * kernel.Block * kernel.Block}
	}
}

// product is that of two symmetric matrices.
func product(left, right []float32, blocks int) func(band int) kernel.Matmul {
	column := blocks * kernel.Block * kernel.Block
	runs := runsOf(blocks, column)
	return func(band int) kernel.Matmul {
		return kernel.Matmul{Runs: runs, A: left[band*kernel.Block*kernel.Block:], ARow: kernel.Block, ACol: 1,
			B: right[band*column:], BBlock: column}
	}
}

func runsOf(n, apart int) []int {
	runs := make([]int, n)
	for i := range runs {
		runs[i] = i * apart
	}
	return runs
}

// symmetric computes a product known to be symmetric into c, which is neither operand: each task a band of 16 rows from
// the diagonal on, and the columns that mirror it.
func (m *muon) symmetric(c []float32, blocks int, of func(band int) kernel.Matmul) {
	side := blocks * kernel.Block
	block := func(row, column int) []float32 {
		return c[(column*side+row*kernel.Block)*kernel.Block:]
	}
	parallel.Each(m.threads, blocks, func(band int) {
		p := of(band)
		p.Bands, p.M, p.Blocks, p.K, p.BRow = 1, kernel.Block, blocks-band, kernel.Block, kernel.Block
		p.C, p.CRow, p.CBlock = block(band, band), kernel.Block, side*kernel.Block
		m.set.Matmul(&p)
		for other := band + 1; other < blocks; other++ {
			from, to := block(band, other), block(other, band)
			for i := range kernel.Block {
				for j := range kernel.Block {
					to[j*kernel.Block+i] = from[i*kernel.Block+j]
				}
			}
		}
	})
}

// move scales a slot's weights and takes a step along q·X.
func (m *muon) move(s *slot, scale, rate float32) {
	short, long := s.matrix.blocks()
	side, tiles := short*kernel.Block, s.matrix.tiles()
	size := muonTile * side
	free := make(chan []float32, tilesAtOnce)
	for i := range min(tiles, tilesAtOnce) {
		free <- m.products[i*size : (i+1)*size]
	}
	runs := runsOf(short, long*kernel.Block*kernel.Block)
	parallel.Each(m.threads, tiles, func(tile int) {
		product := <-free
		defer func() { free <- product }()
		from := tile * muonTile
		to := min(from+muonTile, max(s.matrix.rows, s.matrix.columns))
		m.set.Matmul(&kernel.Matmul{Bands: 1, M: to - from, Blocks: short, K: kernel.Block, Runs: runs,
			A: m.x[from*kernel.Block:], ARow: kernel.Block, ACol: 1, B: m.q, BRow: kernel.Block, BBlock: side * kernel.Block,
			C: product, CRow: kernel.Block, CBlock: muonTile * kernel.Block})
		for block := range short {
			along := product[block*muonTile*kernel.Block:]
			s.matrix.each(block, from, to, func(at, n, place, apart int) {
				w := s.Data[at : at+n]
				for i, v := range w {
					w[i] = float32(scale*v) - float32(rate*along[place])
					place += apart
				}
			})
		}
	})
}
