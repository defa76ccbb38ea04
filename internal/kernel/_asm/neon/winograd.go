package neon

import (
	"fmt"

	"github.com/vggo/vggo/internal/kernel/_asm/lines"
	"github.com/vggo/vggo/internal/winograd"
)

// The transforms of Winograd's F(m×m,3×3) and F(3×3,m×m), compiled from the algorithm's matrices. A two-dimensional
// transform makes rows of its intermediate result from the columns of the tile, two at a time, and takes each along the
// row at once. A tile's four vectors are a loop, so that the code stays in the instruction cache.

// operand is one of a sum: in a register, which may be overwritten if spare, or to be loaded, or both.
type operand struct {
	v     V
	spare bool
	load  func() V // or nil
}

// machine writes a transform's sums; see lines.Machine. It multiplies by constants four to a vector, by element.
type machine struct{ *function }

func (m machine) Operand(v V, last bool) operand { return operand{v: v, spare: last} }

func (m machine) Spare(x operand) (V, bool) { return x.v, x.spare }

// Own loads once more rather than move: a move may take a pipe from the arithmetic.
func (m machine) Own(x operand) V {
	switch {
	case x.spare:
		return x.v
	case x.load != nil:
		return x.load()
	}
	v := m.vec()
	m.mov(v, x.v)
	return v
}

func (m machine) Plus(x, y operand) V {
	sum := m.vec()
	m.fadd(sum, y.v, x.v)
	return sum
}

func (m machine) Minus(x, y operand) V {
	difference := m.vec()
	m.fsub(difference, y.v, x.v)
	return difference
}

func (m machine) Times(k float64, x operand) V {
	product := m.vec()
	v, lane := m.constant(k)
	m.fmulBy(product, x.v, v, lane)
	return product
}

func (m machine) TimesPlus(k float64, x, y operand) V {
	acc := m.Own(y)
	m.Add(k, x, acc)
	return acc
}

func (m machine) Add(k float64, x operand, acc V) {
	switch {
	case k == 1:
		m.fadd(acc, acc, x.v)
	case k == -1:
		m.fsub(acc, acc, x.v)
	case k > 0:
		v, lane := m.constant(k)
		m.fmlaBy(acc, x.v, v, lane)
	default:
		v, lane := m.constant(-k)
		m.fmlsBy(acc, x.v, v, lane)
	}
}

// transform2D is a transform m x mᵀ of a tile for one vector of its block.
type transform2D struct {
	matrix [][]float64
	column func(col int) // announces the column whose elements are loaded next
	load   func(row int) V
	row    func(row int) // announces the row that is stored next
	store  func(col int, v V)
}

func (f *function) transform(t transform2D) {
	n, line, m := len(t.matrix[0]), lines.Groups(t.matrix), machine{f}
	for _, some := range line {
		rows := map[int][]V{}
		for col := range n {
			t.column(col)
			loaded := map[int]V{} // each input once
			lines.Compute(m, some, n, func(i int) operand {
				if _, ok := loaded[i]; !ok {
					loaded[i] = t.load(i)
				}
				return operand{v: loaded[i], load: func() V { return t.load(i) }}
			}, func(i int, v V) { rows[i] = append(rows[i], v) })
		}
		for _, o := range some.Outputs {
			t.row(o.Index)
			for _, along := range line {
				lines.Compute(m, along, n, func(i int) operand { return operand{v: rows[o.Index][i]} }, t.store)
			}
		}
	}
}

// advance is how far a pointer moves from tile to tile.
type advance struct {
	pointer X
	bytes   int
}

// eachTile repeats body for each vector of n tiles.
func (f *function) eachTile(body func(), moves ...advance) {
	n, left := f.param("n"), f.x()
	f.constantsHere()
	f.label("tile")
	f.set(left, parts)
	f.label("part")
	body()
	for _, m := range moves {
		f.move(m.pointer, partBytes)
	}
	f.again(left, "part")
	for _, m := range moves {
		f.move(m.pointer, m.bytes-blockBytes)
	}
	f.again(n, "tile")
}

// rowsFrom makes t's rows start at multiples of stride from base; p points to the one announced.
func (f *function) rowsFrom(t *transform2D, base, stride, p X) {
	t.row = func(i int) {
		f.movX(p, base)
		for range i {
			f.addTo(p, stride)
		}
	}
}

// toPlanes makes t store element (i, j) to plane i*side + j.
func (f *function) toPlanes(t *transform2D, dst, plane X) {
	p, side := f.x(), len(t.matrix)
	f.rowsFrom(t, dst, f.multiples(plane, side)[side], p)
	start, at := t.row, 0 // at is the plane of the row that p points to
	t.row = func(i int) { start(i); at = 0 }
	t.store = func(j int, v V) {
		for ; at < j; at++ {
			f.addTo(p, plane)
		}
		for ; at > j; at-- {
			f.sub(p, p, plane)
		}
		f.store(v, p, 0)
	}
}

// fromPlanes makes t load element (i, j) from plane i*side + j.
func (f *function) fromPlanes(t *transform2D, src, plane X) {
	side, column := len(t.matrix[0]), f.x()
	row := f.multiples(f.multiples(plane, side)[side], side-1)
	t.column = func(j int) {
		if j == 0 {
			f.movX(column, src)
		} else {
			f.addTo(column, plane)
		}
	}
	t.load = func(i int) V {
		v := f.vec()
		if i == 0 {
			f.load(v, column, 0)
		} else {
			f.loadAt(v, column, row[i])
		}
		return v
	}
}

// newTransform starts a transform of an algorithm.
func newTransform(name string, a *winograd.Algorithm, signature string) *function {
	name = fmt.Sprintf("%s%dNEON", name, a.Tile)
	return newFunction(name, signature, name+" works like the generic set's for tiles of this size.")
}

// winogradInput: patches of a feature map, a tile apart, to planes.
func winogradInput(a *winograd.Algorithm) *function {
	return patchesToPlanes("winogradInput", a, a.Input)
}

// winogradGrad: tiles of an output's gradient to planes.
func winogradGrad(a *winograd.Algorithm) *function {
	return patchesToPlanes("winogradGrad", a, a.Grad)
}

func patchesToPlanes(name string, a *winograd.Algorithm, matrix [][]float64) *function {
	f := newTransform(name, a, "(dst *float32, plane int, src *float32, row, n int)")
	dst, plane := f.param("dst"), f.param("plane")
	rows := f.pointers("src", "row", len(matrix[0]))
	moves := []advance{{dst, blockBytes}}
	for _, r := range rows {
		moves = append(moves, advance{r, a.Tile * blockBytes})
	}
	t, at := transform2D{matrix: matrix}, 0
	t.column = func(j int) { at = j * blockBytes }
	t.load = func(i int) V {
		v := f.vec()
		f.load(v, rows[i], at)
		return v
	}
	f.toPlanes(&t, dst, plane)
	f.eachTile(func() { f.transform(t) }, moves...)
	return f
}

// winogradOutput: planes to tiles of a feature map, plus bias, through ReLU if flagged.
func winogradOutput(a *winograd.Algorithm) *function {
	f := newTransform("winogradOutput", a, "(dst *float32, row int, src *float32, plane, n int, bias *float32, flags int)")
	src, dst, row, bias := f.param("src"), f.param("dst"), f.param("row"), f.param("bias")
	floor := f.floor()
	t, p, b := transform2D{matrix: a.Output}, f.x(), V(0)
	f.fromPlanes(&t, src, f.param("plane"))
	f.rowsFrom(&t, dst, row, p)
	start := t.row
	t.row = func(i int) {
		start(i)
		b = f.vec() // again for each row: it would take a register from the columns
		f.load(b, bias, 0)
	}
	t.store = func(j int, v V) {
		f.fadd(v, v, b)
		f.fmax(v, v, floor)
		f.store(v, p, j*blockBytes)
	}
	f.eachTile(func() { f.transform(t) }, advance{src, blockBytes}, advance{dst, a.Tile * blockBytes}, advance{bias, 0})
	return f
}

// tapBytes is a pixel of each tap of 3x3.
const tapBytes = winograd.Taps * winograd.Taps * blockBytes

func tap(i, j int) (disp int) { return (i*winograd.Taps + j) * blockBytes }

// winogradWeight: 3x3 taps of 16 filters to planes, filter after filter.
func winogradWeight(a *winograd.Algorithm) *function {
	f := newTransform("winogradWeight", a, "(dst *float32, plane int, src *float32, n int)")
	dst, plane, src := f.param("dst"), f.param("plane"), f.param("src")
	t, col := transform2D{matrix: a.Weight}, 0
	t.column = func(j int) { col = j }
	t.load = func(i int) V {
		v := f.vec()
		f.load(v, src, tap(i, col))
		return v
	}
	f.toPlanes(&t, dst, plane)
	f.eachTile(func() { f.transform(t) }, advance{dst, blockBytes}, advance{src, tapBytes})
	return f
}

// winogradWeightGrad: planes to the gradient of 3x3 taps of 16 filters, filter after filter.
func winogradWeightGrad(a *winograd.Algorithm) *function {
	f := newTransform("winogradWeightGrad", a, "(dst, src *float32, plane, n int)")
	dst, src := f.param("dst"), f.param("src")
	t, row := transform2D{matrix: a.WeightGrad}, 0
	f.fromPlanes(&t, src, f.param("plane"))
	t.row = func(i int) { row = i }
	t.store = func(j int, v V) { f.store(v, dst, tap(row, j)) }
	f.eachTile(func() { f.transform(t) }, advance{dst, tapBytes}, advance{src, blockBytes})
	return f
}
