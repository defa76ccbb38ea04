package main

import (
	"math"

	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The transforms of Winograd's F(4x4,3x3) and F(3x3,4x4) (Lavin & Gray 2015, arXiv 1509.09308), both with the points
// 0, 1, -1, 2, -2 and infinity: a 6x6 tile of input, 36 products. Each two-dimensional transform is the one-dimensional one
// down the columns, into scratch on the stack, then along the rows.

// line is a one-dimensional transform. It may use up its inputs.
type line func(g gen, in []reg.VecVirtual) []reg.VecVirtual

// tile describes a two-dimensional transform of in x in vectors to out x out.
type tile struct {
	in, out int
	line    line
	// address of element (row, col), of the vector at byte disp within the block.
	load  func(row, col, disp int) Mem
	store func(row, col, disp int, v reg.VecVirtual)
}

// transform writes one tile's transform for every vector of the block.
func (g gen) transform(t tile, scratch Mem) {
	for part := range g.parts() {
		for col := range t.in {
			in := g.vecs(t.in)
			for row, v := range in {
				g.VMOVUPS(t.load(row, col, part*g.bytes), v)
			}
			for row, v := range t.line(g, in) {
				g.VMOVUPS(v, scratch.Offset((row*t.in+col)*g.bytes))
			}
		}
		for row := range t.out {
			in := g.vecs(t.in)
			for col, v := range in {
				g.VMOVUPS(scratch.Offset((row*t.in+col)*g.bytes), v)
			}
			for col, v := range t.line(g, in) {
				t.store(row, col, part*g.bytes, v)
			}
		}
	}
}

// constants are broadcast once for a whole function.
type constants map[float32]reg.VecVirtual

func (g gen) constants(values ...float32) constants {
	c := constants{}
	for _, value := range values {
		bits, low, v := g.GP32(), g.XMM(), g.vec()
		g.MOVL(U32(math.Float32bits(value)), bits)
		g.VMOVD(bits, low)
		g.VBROADCASTSS(low, v)
		c[value] = v
	}
	return c
}

func (g gen) sum(a, b reg.VecVirtual) reg.VecVirtual {
	v := g.vec()
	g.VADDPS(b, a, v)
	return v
}

func (g gen) difference(a, b reg.VecVirtual) reg.VecVirtual {
	v := g.vec()
	g.VSUBPS(b, a, v)
	return v
}

// plus is c*x + y, minus is y - c*x; both overwrite y.
func (g gen) plus(y, c, x reg.VecVirtual) reg.VecVirtual {
	g.VFMADD231PS(c, x, y)
	return y
}

func (g gen) minus(y, c, x reg.VecVirtual) reg.VecVirtual {
	g.VFNMADD231PS(c, x, y)
	return y
}

func (g gen) copy(x reg.VecVirtual) reg.VecVirtual {
	v := g.vec()
	g.VMOVAPS(x, v)
	return v
}

// inputLine is B^T d:
//
//	4  0 -5  0  1  0
//	0 -4 -4  1  1  0
//	0  4 -4 -1  1  0
//	0 -2 -1  2  1  0
//	0  2 -1 -2  1  0
//	0  4  0 -5  0  1
func inputLine(c constants) line {
	four, five := c[4], c[5]
	return func(g gen, d []reg.VecVirtual) []reg.VecVirtual {
		first := g.plus(g.minus(g.copy(d[4]), five, d[2]), four, d[0])
		last := g.plus(g.minus(d[5], five, d[3]), four, d[1])
		even := g.minus(g.copy(d[4]), four, d[2])
		odd := g.minus(g.copy(d[3]), four, d[1])
		one, two := g.sum(even, odd), g.difference(even, odd)
		evenHalf := g.difference(d[4], d[2])
		oddTwice := g.difference(d[3], d[1])
		g.VADDPS(oddTwice, oddTwice, oddTwice)
		return []reg.VecVirtual{first, one, two, g.sum(evenHalf, oddTwice), g.difference(evenHalf, oddTwice), last}
	}
}

// outputLine is A^T m:
//
//	1  1  1  1  1  0
//	0  1 -1  2 -2  0
//	0  1  1  4  4  0
//	0  1 -1  8 -8  1
func outputLine(c constants) line {
	two, four, eight := c[2], c[4], c[8]
	return func(g gen, m []reg.VecVirtual) []reg.VecVirtual {
		sum1, diff1 := g.sum(m[1], m[2]), g.difference(m[1], m[2])
		sum2, diff2 := g.sum(m[3], m[4]), g.difference(m[3], m[4])
		g.VADDPS(sum1, m[0], m[0])
		g.VADDPS(sum2, m[0], m[0])
		g.VADDPS(diff1, m[5], m[5])
		last := g.plus(m[5], eight, diff2)
		return []reg.VecVirtual{m[0], g.plus(diff1, two, diff2), g.plus(sum1, four, sum2), last}
	}
}

// weightLine is G w for 3 taps:
//
//	 1/4    0     0
//	-1/6  -1/6  -1/6
//	-1/6   1/6  -1/6
//	1/24  1/12   1/6
//	1/24 -1/12   1/6
//	  0     0     1
func weightLine(c constants) line {
	return func(g gen, w []reg.VecVirtual) []reg.VecVirtual {
		quarter, sixth, twelfth, last := g.vec(), g.vec(), g.vec(), w[2]
		g.VMULPS(c[0.25], w[0], quarter)
		even := g.sum(w[0], w[2])
		g.VMULPS(c[-1./6], even, even)
		g.VMULPS(c[-1./6], w[1], sixth)
		far := g.vec()
		g.VMULPS(c[1./24], w[0], far)
		far = g.plus(far, c[1./6], w[2])
		g.VMULPS(c[1./12], w[1], twelfth)
		return []reg.VecVirtual{quarter, g.sum(even, sixth), g.difference(even, sixth), g.sum(far, twelfth), g.difference(far, twelfth), last}
	}
}

// gradLine is G y for the 4 values of an output's gradient, of F(3x3,4x4):
//
//	 1/4    0     0     0
//	-1/6  -1/6  -1/6  -1/6
//	-1/6   1/6  -1/6   1/6
//	1/24  1/12   1/6   1/3
//	1/24 -1/12   1/6  -1/3
//	  0     0     0     1
func gradLine(c constants) line {
	return func(g gen, y []reg.VecVirtual) []reg.VecVirtual {
		quarter := g.vec()
		g.VMULPS(c[0.25], y[0], quarter)
		even, odd := g.sum(y[0], y[2]), g.sum(y[1], y[3])
		g.VMULPS(c[-1./6], even, even)
		g.VMULPS(c[-1./6], odd, odd)
		// 1/24 y0 + 1/6 y2 = (1/4 y0 + y2)/6, and 1/12 y1 + 1/3 y3 = (1/4 y1 + y3)/3.
		farEven, farOdd := g.plus(y[2], c[0.25], y[0]), g.plus(g.copy(y[3]), c[0.25], y[1])
		g.VMULPS(c[1./6], farEven, farEven)
		g.VMULPS(c[1./3], farOdd, farOdd)
		return []reg.VecVirtual{quarter, g.sum(even, odd), g.difference(even, odd), g.sum(farEven, farOdd), g.difference(farEven, farOdd), y[3]}
	}
}

// weightGradLine is A^T m of F(3x3,4x4):
//
//	1  1  1  1  1  0
//	0  1 -1  2 -2  0
//	0  1  1  4  4  1
func weightGradLine(c constants) line {
	two, four := c[2], c[4]
	return func(g gen, m []reg.VecVirtual) []reg.VecVirtual {
		sum1, diff1 := g.sum(m[1], m[2]), g.difference(m[1], m[2])
		sum2, diff2 := g.sum(m[3], m[4]), g.difference(m[3], m[4])
		g.VADDPS(sum1, m[0], m[0])
		g.VADDPS(sum2, m[0], m[0])
		g.VADDPS(sum1, m[5], m[5])
		return []reg.VecVirtual{m[0], g.plus(diff1, two, diff2), g.plus(m[5], four, sum2)}
	}
}

// pixel is the bytes from one pixel of a blocked feature map to the next.
const pixel = block * 4

// tiles starts a function with a stack frame for one tile's scratch, too large for NOSPLIT.
func (g gen) tiles(name, signature string, in, out int) (scratch Mem) {
	g.function(name+g.name, signature, name+g.name+" works like "+name+"Generic.")
	g.Attributes(0)
	return g.AllocLocal(in * out * g.bytes)
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

// toPlanes stores the 36 products' operands, each to its plane: a pointer walks from plane to plane.
func (g gen) toPlanes(dst, plane reg.GPVirtual) func(row, col, disp int, v reg.VecVirtual) {
	p := g.GP64()
	return func(row, col, disp int, v reg.VecVirtual) {
		if row == 0 && col == 0 {
			g.MOVQ(dst, p)
		}
		g.VMOVUPS(v, at(p, disp))
		g.ADDQ(plane, p)
	}
}

// fromPlanes loads column after column of the 36 products.
func (g gen) fromPlanes(src, plane reg.GPVirtual) func(row, col, disp int) Mem {
	top, p, row6 := g.GP64(), g.GP64(), g.GP64()
	g.LEAQ(indexed(plane, plane, 2, 0), row6)
	g.ADDQ(row6, row6)
	return func(row, col, disp int) Mem {
		switch {
		case row == 0 && col == 0:
			g.MOVQ(src, top)
			g.MOVQ(top, p)
		case row == 0:
			g.ADDQ(plane, top)
			g.MOVQ(top, p)
		default:
			g.ADDQ(row6, p)
		}
		return at(p, disp)
	}
}

// pixels addresses a patch of a feature map, rows of it a stride apart.
func pixels(a *rowAddresses) func(row, col, disp int) Mem {
	return func(row, col, disp int) Mem { return a.row(row).Offset(col*pixel + disp) }
}

func taps(base reg.GPVirtual) func(row, col, disp int) Mem {
	return func(row, col, disp int) Mem { return at(base, (row*3+col)*pixel+disp) }
}

func (g gen) storeAt(address func(row, col, disp int) Mem) func(row, col, disp int, v reg.VecVirtual) {
	return func(row, col, disp int, v reg.VecVirtual) { g.VMOVUPS(v, address(row, col, disp)) }
}

// winogradInput: 6x6 patches of a feature map, 4 pixels apart, to 36 planes.
func (g gen) winogradInput() {
	scratch := g.tiles("winogradInput", "(dst *float32, plane int, src *float32, row, n int)", 6, 6)
	dst, plane, row := g.arg("dst"), g.arg("plane"), g.arg("row")
	c := g.constants(4, 5)
	src := g.rowAddresses(6, row)
	src.base = g.arg("src")
	src.derive(g)
	g.eachTile(func() {
		g.transform(tile{6, 6, inputLine(c), pixels(src), g.toPlanes(dst, plane)}, scratch)
	}, advance{dst, pixel}, advance{src.base, 4 * pixel}, advance{src.base5, 4 * pixel})
}

// winogradOutput: 36 planes to 4x4 patches of a feature map, plus bias, through ReLU if flagged.
func (g gen) winogradOutput() {
	scratch := g.tiles("winogradOutput", "(dst *float32, row int, src *float32, plane, n int, bias *float32, flags int)", 6, 4)
	src, plane, row, bias := g.arg("src"), g.arg("plane"), g.arg("row"), g.arg("bias")
	c := g.constants(2, 4, 8)
	floor := g.floor()
	dst := g.rowAddresses(4, row)
	dst.base = g.arg("dst")
	put := g.storeAt(pixels(dst))
	g.eachTile(func() {
		g.transform(tile{6, 4, outputLine(c), g.fromPlanes(src, plane), func(row, col, disp int, v reg.VecVirtual) {
			g.VADDPS(at(bias, disp), v, v)
			g.VMAXPS(v, floor, v)
			put(row, col, disp, v)
		}}, scratch)
	}, advance{src, pixel}, advance{dst.base, 4 * pixel})
}

// winogradGrad: 4x4 patches of an output's gradient to 36 planes.
func (g gen) winogradGrad() {
	scratch := g.tiles("winogradGrad", "(dst *float32, plane int, src *float32, row, n int)", 4, 6)
	dst, plane, row := g.arg("dst"), g.arg("plane"), g.arg("row")
	c := g.constants(1./4, -1./6, 1./6, 1./3)
	src := g.rowAddresses(4, row)
	src.base = g.arg("src")
	g.eachTile(func() {
		g.transform(tile{4, 6, gradLine(c), pixels(src), g.toPlanes(dst, plane)}, scratch)
	}, advance{dst, pixel}, advance{src.base, 4 * pixel})
}

// winogradWeight: 3x3 taps of 16 filters to 36 planes, filter after filter.
func (g gen) winogradWeight() {
	scratch := g.tiles("winogradWeight", "(dst *float32, plane int, src *float32, n int)", 3, 6)
	dst, plane, src := g.arg("dst"), g.arg("plane"), g.arg("src")
	c := g.constants(1./4, -1./6, 1./6, 1./24, 1./12)
	g.eachTile(func() {
		g.transform(tile{3, 6, weightLine(c), taps(src), g.toPlanes(dst, plane)}, scratch)
	}, advance{dst, pixel}, advance{src, 9 * pixel})
}

// winogradWeightGrad: 36 planes to the gradient of 3x3 taps of 16 filters, filter after filter.
func (g gen) winogradWeightGrad() {
	scratch := g.tiles("winogradWeightGrad", "(dst, src *float32, plane, n int)", 6, 3)
	dst, src, plane := g.arg("dst"), g.arg("src"), g.arg("plane")
	c := g.constants(2, 4)
	g.eachTile(func() {
		g.transform(tile{6, 3, weightGradLine(c), g.fromPlanes(src, plane), g.storeAt(taps(dst))}, scratch)
	}, advance{dst, 9 * pixel}, advance{src, pixel})
}

func winograd(g gen) {
	g.winogradInput()
	g.winogradOutput()
	g.winogradGrad()
	g.winogradWeight()
	g.winogradWeightGrad()
}
