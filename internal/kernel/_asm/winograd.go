package main

import (
	"math"

	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/vggo/vggo/internal/winograd"
)

// The transforms of Winograd's F(m×m,3×3) and F(3×3,m×m), compiled from the algorithm's matrices. A two-dimensional transform
// makes rows of its intermediate result from the columns of the tile, two at a time, and takes each along the row at once.

// sum is a linear combination of values: inputs of a line, then what its group shares.
type sum []term

type term struct {
	value       int
	coefficient float64
}

// group is outputs of a line that share work.
type group struct {
	shared  []sum // over inputs
	outputs []output
}

type output struct {
	index int
	sum   sum // value n+i is shared[i]
}

// groups compiles a matrix: output i of the line is the sum of m[i][j] times input j.
func groups(m [][]float64) []group {
	n := len(m[0])
	if pairs := columnPairs(m); len(pairs) > 0 {
		return byParity(m, pairs)
	}
	var all []group
	done := make([]bool, len(m))
	for i := range m {
		if done[i] {
			continue
		}
		j, sign := partner(m, i)
		if j < 0 {
			all = append(all, group{outputs: []output{{i, row(m[i])}}})
			continue
		}
		// The points p and -p: the same even part, opposite odd parts.
		done[j] = true
		var even, odd sum
		for _, t := range row(m[i]) {
			if t.value%2 == 0 {
				even = append(even, t)
			} else {
				odd = append(odd, t)
			}
		}
		second := sum{{n, sign}, {n + 1, -sign}}
		all = append(all, group{[]sum{even, odd}, []output{{i, sum{{n, 1}, {n + 1, 1}}}, {j, second}}})
	}
	return all
}

func row(coefficients []float64) sum {
	var s sum
	for j, c := range coefficients {
		if c != 0 {
			s = append(s, term{j, c})
		}
	}
	return s
}

// partner finds the row after i that is row i with the sign of every other column changed, times sign.
func partner(m [][]float64, i int) (j int, sign float64) {
	for j := i + 1; j < len(m); j++ {
		for _, sign := range []float64{1, -1} {
			same, mixed := true, [2]bool{}
			for c := range m[i] {
				want := sign * m[i][c]
				if c%2 == 1 {
					want = -want
				}
				same = same && m[j][c] == want
				mixed[c%2] = mixed[c%2] || m[i][c] != 0
			}
			if same && mixed[0] && mixed[1] {
				return j, sign
			}
		}
	}
	return -1, 0
}

// columnPairs lists the columns of the points p and -p: even rows have the same coefficient in both, odd rows the opposite.
func columnPairs(m [][]float64) (pairs [][2]int) {
	for a := range m[0] {
		for b := a + 1; b < len(m[0]); b++ {
			paired, any := true, false
			for i := range m {
				want := m[i][a]
				if i%2 == 1 {
					want = -want
				}
				paired = paired && m[i][b] == want
				any = any || i > 0 && want != 0
			}
			if paired && any {
				pairs = append(pairs, [2]int{a, b})
			}
		}
	}
	return pairs
}

// byParity makes groups of even outputs, which need the sums of paired inputs, and of odd ones, which need the differences.
func byParity(m [][]float64, pairs [][2]int) (all []group) {
	n := len(m[0])
	for parity := range 2 {
		for i := parity; i < len(m); i += 2 * groupRows {
			var g group
			sign := float64(1 - 2*parity)
			for _, p := range pairs {
				g.shared = append(g.shared, sum{{p[0], 1}, {p[1], sign}})
			}
			for k := i; k < min(len(m), i+2*groupRows); k += 2 {
				alone := append([]float64(nil), m[k]...)
				var s sum
				for q, p := range pairs {
					s = append(s, term{n + q, m[k][p[0]]})
					alone[p[0]], alone[p[1]] = 0, 0
				}
				g.outputs = append(g.outputs, output{k, append(s, row(alone)...)})
			}
			all = append(all, g)
		}
	}
	return all
}

// groupRows bounds the outputs of a group: two rows of eight vectors leave half of AVX-512's registers for the rest.
const groupRows = 2

// addend is one of a sum: in memory, or in a register.
type addend struct {
	mem  Op
	reg  reg.VecVirtual
	last bool // its register may be overwritten
}

func (v addend) op() Op {
	if v.reg != nil {
		return v.reg
	}
	return v.mem
}

// own returns the value in a register that may be overwritten.
func (g gen) own(v addend) reg.VecVirtual {
	if v.reg != nil && v.last {
		return v.reg
	}
	x := g.vec()
	if v.reg != nil {
		g.VMOVAPS(v.reg, x)
	} else {
		g.VMOVUPS(v.mem, x)
	}
	return x
}

// loaded returns the value in a register that is only read.
func (g gen) loaded(v addend) reg.VecVirtual {
	if v.reg != nil {
		return v.reg
	}
	return g.own(v)
}

// combine computes a sum. It begins with two terms, one of them with coefficient 1 if there is such, and adds the others.
func (g gen) combine(s sum, c constants, get func(i int) addend) reg.VecVirtual {
	s = append(sum(nil), s...)
	first := func(want func(float64) bool) bool {
		for i, t := range s {
			if want(t.coefficient) {
				s[0], s[i] = s[i], s[0]
				return true
			}
		}
		return false
	}
	var acc reg.VecVirtual
	plus := func(t term) {
		v := get(t.value)
		switch t.coefficient {
		case 1:
			g.VADDPS(v.op(), acc, acc)
		case -1:
			g.VSUBPS(v.op(), acc, acc)
		default:
			g.addTimes(c, t.coefficient, v, acc)
		}
	}
	switch {
	case len(s) == 1 && s[0].coefficient == 1:
		return g.own(get(s[0].value))
	case !first(func(c float64) bool { return c == 1 }):
		first(func(c float64) bool { return c > 0 })
		acc = g.times(c, s[0].coefficient, get(s[0].value))
		s = s[1:]
	default:
		unit, next := get(s[0].value), s[1]
		x := get(next.value)
		switch k := next.coefficient; {
		case k == 1 || k == -1:
			acc = g.vec()
			if k == 1 {
				g.VADDPS(x.op(), g.loaded(unit), acc)
			} else {
				g.VSUBPS(x.op(), g.loaded(unit), acc)
			}
		case unit.reg != nil && unit.last:
			acc = unit.reg
			plus(next)
		default:
			acc = g.timesPlus(c, k, x, unit)
		}
		s = s[2:]
	}
	for _, t := range s {
		plus(t)
	}
	return acc
}

// outputs computes a group; get gives the line's inputs, whose registers are not overwritten.
func (gr group) compute(g gen, n int, c constants, get func(i int) addend, put func(index int, v reg.VecVirtual)) {
	shared := make([]reg.VecVirtual, len(gr.shared))
	uses := make([]int, len(gr.shared))
	for i, s := range gr.shared {
		shared[i] = g.combine(s, c, get)
	}
	for _, o := range gr.outputs {
		for _, t := range o.sum {
			if t.value >= n {
				uses[t.value-n]++
			}
		}
	}
	for _, o := range gr.outputs {
		put(o.index, g.combine(o.sum, c, func(i int) addend {
			if i < n {
				return get(i)
			}
			uses[i-n]--
			return addend{reg: shared[i-n], last: uses[i-n] == 0}
		}))
	}
}

// constants are what a function multiplies by: in registers, broadcast once, as many as there is room for; the others, by
// need, are read from memory.
type constants struct {
	g     gen
	inReg map[float64]reg.VecVirtual
}

// constantRegisters leaves room for two rows of eight vectors with AVX-512, and for a line's working values with AVX2.
const constantRegisters = 9

func (g gen) constants(m [][]float64) constants {
	c := constants{g, map[float64]reg.VecVirtual{}}
	for _, row := range m {
		for _, x := range row {
			x = math.Abs(x)
			if x == 0 || x == 1 || c.inReg[x] != nil || len(c.inReg) == constantRegisters {
				continue
			}
			bits, low, v := g.GP32(), g.XMM(), g.vec()
			g.MOVL(U32(math.Float32bits(float32(x))), bits)
			g.VMOVD(bits, low)
			g.VBROADCASTSS(low, v)
			c.inReg[x] = v
		}
	}
	return c
}

// data returns the constant x in memory: alone for AVX-512, whose instructions broadcast, else a whole vector of it. It may be
// negative, for a sum without positive terms to begin with.
func (c constants) data(x float64) Mem {
	bits := math.Float32bits(float32(x))
	name := label("winograd_%08x", bits)
	if !c.g.data[name] {
		c.g.data[name] = true
		c.g.StaticGlobal(name)
		c.g.DataAttributes(8 | 16) // RODATA | NOPTR
		for at := 0; at < c.g.bytes && (at == 0 || c.g.bytes < 64); at += 4 {
			c.g.AddDatum(at, U32(bits))
		}
	}
	return Mem{Symbol: Symbol{Name: name, Static: true}, Base: reg.StaticBase}
}

// addTimes is acc += k*x.
func (g gen) addTimes(c constants, k float64, x addend, acc reg.VecVirtual) {
	if v := c.inReg[math.Abs(k)]; v != nil {
		if k > 0 {
			g.VFMADD231PS(x.op(), v, acc)
		} else {
			g.VFNMADD231PS(x.op(), v, acc)
		}
		return
	}
	m, v := c.data(math.Abs(k)), g.loaded(x)
	switch {
	case g.bytes == 64 && k > 0:
		g.VFMADD231PS_BCST(m, v, acc)
	case g.bytes == 64:
		g.VFNMADD231PS_BCST(m, v, acc)
	case k > 0:
		g.VFMADD231PS(m, v, acc)
	default:
		g.VFNMADD231PS(m, v, acc)
	}
}

// timesPlus is k*x + y in a register of its own.
func (g gen) timesPlus(c constants, k float64, x, y addend) reg.VecVirtual {
	acc := g.own(x)
	if v := c.inReg[math.Abs(k)]; v != nil {
		if k > 0 {
			g.VFMADD213PS(y.op(), v, acc)
		} else {
			g.VFNMADD213PS(y.op(), v, acc)
		}
		return acc
	}
	m, v := c.data(math.Abs(k)), g.loaded(y)
	switch {
	case g.bytes == 64 && k > 0:
		g.VFMADD132PS_BCST(m, v, acc)
	case g.bytes == 64:
		g.VFNMADD132PS_BCST(m, v, acc)
	case k > 0:
		g.VFMADD132PS(m, v, acc)
	default:
		g.VFNMADD132PS(m, v, acc)
	}
	return acc
}

// times is k*x.
func (g gen) times(c constants, k float64, x addend) reg.VecVirtual {
	acc := g.vec()
	if v := c.inReg[k]; v != nil {
		g.VMULPS(x.op(), v, acc)
	} else if g.bytes == 64 {
		g.VMULPS_BCST(c.data(k), g.loaded(x), acc)
	} else {
		g.VMULPS(c.data(k), g.loaded(x), acc)
	}
	return acc
}

// transform2D is a transform m x mᵀ of a tile for every vector of the block.
type transform2D struct {
	matrix [][]float64
	column func(col int)           // announces the column whose elements are loaded next
	load   func(row, disp int) Mem // an element of it, of the vector at byte disp within the block
	row    func(row int)           // announces the row that is stored next
	store  func(col, disp int, v reg.VecVirtual)
}

// transform writes a tile's transform. With 32 registers each group of rows goes through both passes at once; with 16 the
// whole intermediate result waits in scratch.
func (g gen) transform(t transform2D, c constants, scratch Mem) {
	n, line := len(t.matrix[0]), groups(t.matrix)
	for part := range g.parts() {
		disp := part * g.bytes
		rows := make([][]addend, len(t.matrix))
		columns := func(line []group) {
			for col := range n {
				t.column(col)
				for _, gr := range line {
					gr.compute(g, n, c, func(i int) addend { return addend{mem: t.load(i, disp)} }, func(i int, v reg.VecVirtual) {
						if g.bytes == 64 {
							rows[i] = append(rows[i], addend{reg: v})
							return
						}
						m := scratch.Offset((i*n + col) * g.bytes)
						g.VMOVUPS(v, m)
						rows[i] = append(rows[i], addend{mem: m})
					})
				}
			}
		}
		along := func(line2 []group) {
			for _, done := range line2 {
				for _, o := range done.outputs {
					t.row(o.index)
					for _, gr := range line {
						gr.compute(g, n, c, func(i int) addend { return rows[o.index][i] }, func(i int, v reg.VecVirtual) { t.store(i, disp, v) })
					}
				}
			}
		}
		if g.bytes < 64 {
			columns(line)
			along(line)
			continue
		}
		for i := range line {
			columns(line[i : i+1])
			along(line[i : i+1])
		}
	}
}

// pixel is the bytes from one pixel of a blocked feature map to the next.
const pixel = block * 4

// tiles starts a function; with 16 registers it has a stack frame for a tile, too large for NOSPLIT.
func (g gen) tiles(name, signature string, a *winograd.Algorithm) (scratch Mem) {
	name += label("%d", a.Tile)
	g.function(name+g.name, signature, name+g.name+" works like the generic set's for tiles of this size.")
	if g.bytes == 64 {
		return Mem{}
	}
	g.Attributes(0)
	return g.AllocLocal(a.Planes() * g.bytes)
}

// advance is how far a pointer moves from tile to tile.
type advance struct {
	pointer reg.GPVirtual
	bytes   int
}

// eachTile repeats body n times.
func (g gen) eachTile(body func(), moves ...advance) {
	n := g.arg("n")
	g.Label("tile")
	body()
	for _, m := range moves {
		g.ADDQ(I32(int32(m.bytes)), m.pointer)
	}
	g.DECQ(n)
	g.JNE(LabelRef("tile"))
	g.end()
}

// toPlanes makes t store element (i, j) to plane i*side + j.
func (g gen) toPlanes(t *transform2D, dst, plane reg.GPVirtual) {
	side, p := len(t.matrix), g.GP64()
	t.row = func(i int) {
		g.IMUL3Q(Imm(uint64(i*side)), plane, p)
		g.ADDQ(dst, p)
	}
	at := 0 // the plane of the row that p points to
	row := t.row
	t.row = func(i int) { at = 0; row(i) }
	t.store = func(j, disp int, v reg.VecVirtual) {
		for ; at < j; at++ {
			g.ADDQ(plane, p)
		}
		for ; at > j; at-- {
			g.SUBQ(plane, p)
		}
		g.VMOVUPS(v, Mem{Base: p, Disp: disp})
	}
}

// fromPlanes makes t load element (i, j) from plane i*side + j.
func (g gen) fromPlanes(t *transform2D, src, plane reg.GPVirtual) {
	side, row := len(t.matrix[0]), g.GP64()
	g.IMUL3Q(Imm(uint64(side)), plane, row)
	column := g.rowAddresses(side, row)
	t.column = func(j int) {
		if j == 0 {
			g.MOVQ(src, column.base)
		} else {
			g.ADDQ(plane, column.base)
		}
		column.derive(g)
	}
	t.load = func(i, disp int) Mem { return column.row(i).Offset(disp) }
}

// fromPixels makes t load from a patch of a feature map, rows of it a stride apart.
func (t *transform2D) fromPixels(rows *rowAddresses) {
	at := 0
	t.column = func(j int) { at = j * pixel }
	t.load = func(i, disp int) Mem { return rows.row(i).Offset(at + disp) }
}

// inputPatch is a function's source of patches, tiles apart.
func (g gen) inputPatch(side, tile int) (rows *rowAddresses, moves []advance) {
	rows = g.rowAddresses(side, g.arg("row"))
	rows.base = g.arg("src")
	rows.derive(g)
	for _, p := range []reg.GPVirtual{rows.base, rows.base5} {
		if p != nil {
			moves = append(moves, advance{p, tile * pixel})
		}
	}
	return rows, moves
}

const toPlanesSignature = "(dst *float32, plane int, src *float32, row, n int)"

// winogradInput: patches of a feature map, a tile apart, to planes.
func (g gen) winogradInput(a *winograd.Algorithm) {
	g.patchesToPlanes("winogradInput", a, a.Input)
}

// winogradGrad: tiles of an output's gradient to planes.
func (g gen) winogradGrad(a *winograd.Algorithm) { g.patchesToPlanes("winogradGrad", a, a.Grad) }

func (g gen) patchesToPlanes(name string, a *winograd.Algorithm, matrix [][]float64) {
	scratch := g.tiles(name, toPlanesSignature, a)
	dst, plane := g.arg("dst"), g.arg("plane")
	c := g.constants(matrix)
	rows, moves := g.inputPatch(len(matrix[0]), a.Tile)
	t := transform2D{matrix: matrix}
	t.fromPixels(rows)
	g.toPlanes(&t, dst, plane)
	g.eachTile(func() { g.transform(t, c, scratch) }, append(moves, advance{dst, pixel})...)
}

// winogradOutput: planes to tiles of a feature map, plus bias, through ReLU if flagged.
func (g gen) winogradOutput(a *winograd.Algorithm) {
	scratch := g.tiles("winogradOutput", "(dst *float32, row int, src *float32, plane, n int, bias *float32, flags int)", a)
	src, plane, bias := g.arg("src"), g.arg("plane"), g.arg("bias")
	c := g.constants(a.Output)
	floor := g.floor()
	t := transform2D{matrix: a.Output}
	g.fromPlanes(&t, src, plane)
	dst, row, p := g.arg("dst"), g.arg("row"), g.GP64()
	t.row = func(i int) {
		g.IMUL3Q(Imm(uint64(i)), row, p)
		g.ADDQ(dst, p)
	}
	t.store = func(j, disp int, v reg.VecVirtual) {
		g.VADDPS(at(bias, disp), v, v)
		g.VMAXPS(v, floor, v)
		g.VMOVUPS(v, at(p, j*pixel+disp))
	}
	g.eachTile(func() { g.transform(t, c, scratch) }, advance{src, pixel}, advance{dst, a.Tile * pixel})
}

// winogradWeight: 3x3 taps of 16 filters to planes, filter after filter.
func (g gen) winogradWeight(a *winograd.Algorithm) {
	scratch := g.tiles("winogradWeight", "(dst *float32, plane int, src *float32, n int)", a)
	dst, plane, src := g.arg("dst"), g.arg("plane"), g.arg("src")
	c := g.constants(a.Weight)
	t := transform2D{matrix: a.Weight}
	col := 0
	t.column = func(j int) { col = j }
	t.load = func(i, disp int) Mem { return at(src, (i*winograd.Taps+col)*pixel+disp) }
	g.toPlanes(&t, dst, plane)
	g.eachTile(func() { g.transform(t, c, scratch) }, advance{dst, pixel}, advance{src, 9 * pixel})
}

// winogradWeightGrad: planes to the gradient of 3x3 taps of 16 filters, filter after filter.
func (g gen) winogradWeightGrad(a *winograd.Algorithm) {
	scratch := g.tiles("winogradWeightGrad", "(dst, src *float32, plane, n int)", a)
	dst, src, plane := g.arg("dst"), g.arg("src"), g.arg("plane")
	c := g.constants(a.WeightGrad)
	t := transform2D{matrix: a.WeightGrad}
	g.fromPlanes(&t, src, plane)
	row := 0
	t.row = func(i int) { row = i }
	t.store = func(j, disp int, v reg.VecVirtual) { g.VMOVUPS(v, at(dst, (row*winograd.Taps+j)*pixel+disp)) }
	g.eachTile(func() { g.transform(t, c, scratch) }, advance{dst, 9 * pixel}, advance{src, pixel})
}

func winogradTransforms(g gen) {
	for _, tile := range winograd.Tiles {
		a := winograd.F(tile)
		g.winogradInput(a)
		g.winogradOutput(a)
		g.winogradGrad(a)
		g.winogradWeight(a)
		g.winogradWeightGrad(a)
	}
}
