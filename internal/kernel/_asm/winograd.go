package main

import (
	"math"

	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/vggo/vggo/internal/kernel/_asm/lines"
	"github.com/vggo/vggo/internal/winograd"
)

// The transforms of Winograd's F(m×m,3×3) and F(3×3,m×m), compiled from the algorithm's matrices. A two-dimensional
// transform makes rows of its intermediate result from the columns of the tile, two at a time, and takes each along the
// row at once.

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

// machine writes a transform's sums; see lines.Machine.
type machine struct {
	gen
	constants
}

func (m machine) Operand(v reg.VecVirtual, last bool) addend { return addend{reg: v, last: last} }

func (m machine) Spare(x addend) (reg.VecVirtual, bool) { return x.reg, x.reg != nil && x.last }

func (m machine) Own(x addend) reg.VecVirtual { return m.own(x) }

func (m machine) Plus(x, y addend) reg.VecVirtual {
	sum := m.vec()
	m.VADDPS(x.op(), m.loaded(y), sum)
	return sum
}

func (m machine) Minus(x, y addend) reg.VecVirtual {
	difference := m.vec()
	m.VSUBPS(x.op(), m.loaded(y), difference)
	return difference
}

// constants are what a function multiplies by: in registers, broadcast once, as many as there is room for; the others,
// by need, are read from memory.
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

// data returns the constant x in memory: alone for AVX-512, whose instructions broadcast, else a whole vector of it. It
// may be negative, for a sum without positive terms to begin with.
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

func (m machine) Add(k float64, x addend, acc reg.VecVirtual) {
	switch k {
	case 1:
		m.VADDPS(x.op(), acc, acc)
		return
	case -1:
		m.VSUBPS(x.op(), acc, acc)
		return
	}
	if v := m.inReg[math.Abs(k)]; v != nil {
		if k > 0 {
			m.VFMADD231PS(x.op(), v, acc)
		} else {
			m.VFNMADD231PS(x.op(), v, acc)
		}
		return
	}
	constant, v := m.constants.data(math.Abs(k)), m.loaded(x)
	switch {
	case m.bytes == 64 && k > 0:
		m.VFMADD231PS_BCST(constant, v, acc)
	case m.bytes == 64:
		m.VFNMADD231PS_BCST(constant, v, acc)
	case k > 0:
		m.VFMADD231PS(constant, v, acc)
	default:
		m.VFNMADD231PS(constant, v, acc)
	}
}

func (m machine) TimesPlus(k float64, x, y addend) reg.VecVirtual {
	acc := m.own(x)
	if v := m.inReg[math.Abs(k)]; v != nil {
		if k > 0 {
			m.VFMADD213PS(y.op(), v, acc)
		} else {
			m.VFNMADD213PS(y.op(), v, acc)
		}
		return acc
	}
	constant, v := m.constants.data(math.Abs(k)), m.loaded(y)
	switch {
	case m.bytes == 64 && k > 0:
		m.VFMADD132PS_BCST(constant, v, acc)
	case m.bytes == 64:
		m.VFNMADD132PS_BCST(constant, v, acc)
	case k > 0:
		m.VFMADD132PS(constant, v, acc)
	default:
		m.VFNMADD132PS(constant, v, acc)
	}
	return acc
}

func (m machine) Times(k float64, x addend) reg.VecVirtual {
	acc := m.vec()
	if v := m.inReg[k]; v != nil {
		m.VMULPS(x.op(), v, acc)
	} else if m.bytes == 64 {
		m.VMULPS_BCST(m.constants.data(k), m.loaded(x), acc)
	} else {
		m.VMULPS(m.constants.data(k), m.loaded(x), acc)
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

// transform writes a tile's transform. With 32 registers each group of rows goes through both passes at once; with 16
// the whole intermediate result waits in scratch.
func (g gen) transform(t transform2D, c constants, scratch Mem) {
	n, line, m := len(t.matrix[0]), lines.Groups(t.matrix), machine{g, c}
	for part := range g.parts() {
		disp := part * g.bytes
		rows := make([][]addend, len(t.matrix))
		columns := func(line []lines.Group) {
			for col := range n {
				t.column(col)
				for _, gr := range line {
					lines.Compute(m, gr, n, func(i int) addend { return addend{mem: t.load(i, disp)} }, func(i int, v reg.VecVirtual) {
						if g.bytes == 64 {
							rows[i] = append(rows[i], addend{reg: v})
							return
						}
						kept := scratch.Offset((i*n + col) * g.bytes)
						g.VMOVUPS(v, kept)
						rows[i] = append(rows[i], addend{mem: kept})
					})
				}
			}
		}
		along := func(done []lines.Group) {
			for _, rowsOf := range done {
				for _, o := range rowsOf.Outputs {
					t.row(o.Index)
					for _, gr := range line {
						lines.Compute(m, gr, n, func(i int) addend { return rows[o.Index][i] },
							func(i int, v reg.VecVirtual) { t.store(i, disp, v) })
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
	scratch := g.tiles("winogradOutput", "(dst *float32, row int, src *float32, plane, n int, bias *float32, flags int)",
		a)
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
