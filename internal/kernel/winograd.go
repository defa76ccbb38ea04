package kernel

import "github.com/vggo/vggo/internal/winograd"

// winogradFuncs is a Set's transforms for one tile size m; see winogradGeneric.
type winogradFuncs struct {
	input      func(dst *float32, plane int, src *float32, row, n int)
	output     func(dst *float32, row int, src *float32, plane, n int, bias *float32, flags int)
	grad       func(dst *float32, plane int, src *float32, row, n int)
	weight     func(dst *float32, plane int, src *float32, n int)
	weightGrad func(dst, src *float32, plane, n int)
}

const pixelBytes = Block * 4

// winogradGeneric returns the transforms of an algorithm. Each takes n tiles: pixels of a feature map lie row bytes
// apart from one row of it to the next, values of a tile plane bytes apart from one plane to the next; from tile to
// tile it is one tile's width in a feature map, one pixel in a plane, nine among taps.
func winogradGeneric(a *winograd.Algorithm) winogradFuncs {
	input, output, weight := narrow(a.Input), narrow(a.Output), narrow(a.Weight)
	grad, weightGrad := narrow(a.Grad), narrow(a.WeightGrad)
	side, step := a.Side, a.Tile*pixelBytes
	pixels := func(p *float32, row int) grid { return grid{p, row, pixelBytes} }
	planes := func(p *float32, plane int) grid { return grid{p, side * plane, plane} }
	taps := func(p *float32) grid { return grid{p, winograd.Taps * pixelBytes, pixelBytes} }
	const allTaps = winograd.Taps * winograd.Taps * pixelBytes
	return winogradFuncs{
		input: func(dst *float32, plane int, src *float32, row, n int) {
			for t := range n {
				transform(input, pixels(add(src, t*step), row), planes(add(dst, t*pixelBytes), plane))
			}
		},
		output: func(dst *float32, row int, src *float32, plane, n int, bias *float32, flags int) {
			b := lanes(bias)
			for t := range n {
				out := pixels(add(dst, t*step), row)
				transform(output, planes(add(src, t*pixelBytes), plane), out)
				for i := range a.Tile {
					for j := range a.Tile {
						for l, y := range out.at(i, j) {
							y += b[l]
							if flags&flagReLU != 0 {
								y = rectify(y)
							}
							out.at(i, j)[l] = y
						}
					}
				}
			}
		},
		grad: func(dst *float32, plane int, src *float32, row, n int) {
			for t := range n {
				transform(grad, pixels(add(src, t*step), row), planes(add(dst, t*pixelBytes), plane))
			}
		},
		weight: func(dst *float32, plane int, src *float32, n int) {
			for t := range n {
				transform(weight, taps(add(src, t*allTaps)), planes(add(dst, t*pixelBytes), plane))
			}
		},
		weightGrad: func(dst, src *float32, plane, n int) {
			for t := range n {
				transform(weightGrad, planes(add(src, t*pixelBytes), plane), taps(add(dst, t*allTaps)))
			}
		},
	}
}

// algorithms are those of winograd.Tiles.
var algorithms = func() (all [len(winograd.Tiles)]*winograd.Algorithm) {
	for i, tile := range winograd.Tiles {
		all[i] = winograd.F(tile)
	}
	return all
}()

func allWinogradGeneric() (all [len(winograd.Tiles)]winogradFuncs) {
	for i, a := range algorithms {
		all[i] = winogradGeneric(a)
	}
	return all
}

func narrow(m [][]float64) [][]float32 {
	n := make([][]float32, len(m))
	for i, row := range m {
		for _, x := range row {
			n[i] = append(n[i], float32(x))
		}
	}
	return n
}

// grid is a tile's elements: 16 lanes each, a row and a column stride apart, in bytes.
type grid struct {
	p        *float32
	row, col int
}

func (g grid) at(i, j int) *[Block]float32 { return lanes(add(g.p, i*g.row+j*g.col)) }

// transform is m x mᵀ for each of 16 lanes.
func transform(m [][]float32, x, out grid) {
	const side = 8 // of the largest tile's patch
	n := len(m[0])
	var half [side * side][Block]float32
	for i, coefficients := range m {
		for col := range n {
			combine(&half[i*n+col], coefficients, add(x.p, col*x.col), x.row)
		}
	}
	for i := range m {
		for j, coefficients := range m {
			combine(out.at(i, j), coefficients, &half[i*n][0], pixelBytes)
		}
	}
}

// combine stores the sum of coefficients[k] times the 16 floats k*stride bytes from x. Half of the sums at a time fit
// into registers.
func combine(sums *[Block]float32, coefficients []float32, x *float32, stride int) {
	for l := 0; l < Block; l += 8 {
		var s0, s1, s2, s3, s4, s5, s6, s7 float32
		for k, c := range coefficients {
			if c == 0 {
				continue // or an Inf would spread to where it does not belong
			}
			v := (*[8]float32)(lanes(add(x, k*stride))[l:])
			s0 += float32(c * v[0])
			s1 += float32(c * v[1])
			s2 += float32(c * v[2])
			s3 += float32(c * v[3])
			s4 += float32(c * v[4])
			s5 += float32(c * v[5])
			s6 += float32(c * v[6])
			s7 += float32(c * v[7])
		}
		*(*[8]float32)(sums[l:]) = [8]float32{s0, s1, s2, s3, s4, s5, s6, s7}
	}
}

// Winograd is a Set's transforms for one tile size. Feature maps and planes are blocked; strides are in floats. plane
// is from one plane to the next, tile t of plane p lies at p*plane + 16*t; row is from one row of a feature map to the
// next.
type Winograd struct {
	*winograd.Algorithm
	winogradFuncs
}

// Winograd returns the transforms for tiles of so many outputs along each axis, one of winograd.Tiles.
func (s *Set) Winograd(tile int) *Winograd {
	for i, a := range algorithms {
		if a.Tile == tile {
			return &Winograd{a, s.winograd[i]}
		}
	}
	panic("kernel: no Winograd algorithm for this tile")
}

// reach panics unless the block that starts at last lies within s.
func reach(s []float32, what string, last int) {
	if last+Block > len(s) {
		panic("kernel: winograd transform beyond its " + what)
	}
}

func (w *Winograd) reachPlanes(s []float32, plane, n int) {
	reach(s, "planes", (w.Planes()-1)*plane+(n-1)*Block)
}

// reachMap checks n squares of a feature map, a tile apart.
func (w *Winograd) reachMap(s []float32, row, side, n int) {
	reach(s, "feature map", (side-1)*row+((n-1)*w.Tile+side-1)*Block)
}

func reachTaps(s []float32, n int) { reach(s, "taps", (winograd.Taps*winograd.Taps*n-1)*Block) }

// Input takes n patches of a feature map, the first at src[0], each a tile further, to planes.
func (w *Winograd) Input(dst []float32, plane int, src []float32, row, n int) {
	w.reachPlanes(dst, plane, n)
	w.reachMap(src, row, w.Side, n)
	w.input(&dst[0], 4*plane, &src[0], 4*row, n)
}

// Output takes n tiles of planes to a feature map, the first at dst[0], each a tile further, adds the bias of the 16
// channels, and takes ReLU if asked.
func (w *Winograd) Output(dst []float32, row int, src []float32, plane, n int, bias *[Block]float32, relu bool) {
	w.reachPlanes(src, plane, n)
	w.reachMap(dst, row, w.Tile, n)
	flags := 0
	if relu {
		flags = flagReLU
	}
	w.output(&dst[0], 4*row, &src[0], 4*plane, n, local(bias), flags)
}

// Grad takes n tiles of an output's gradient to planes, as Input takes patches.
func (w *Winograd) Grad(dst []float32, plane int, src []float32, row, n int) {
	w.reachPlanes(dst, plane, n)
	w.reachMap(src, row, w.Tile, n)
	w.grad(&dst[0], 4*plane, &src[0], 4*row, n)
}

// Weight takes n times the 3x3 taps of 16 filters, [n][9][16], to planes of [n][16].
func (w *Winograd) Weight(dst []float32, plane int, src []float32, n int) {
	w.reachPlanes(dst, plane, n)
	reachTaps(src, n)
	w.weight(&dst[0], 4*plane, &src[0], n)
}

// WeightGrad takes planes of [n][16] to the gradients of n times the 3x3 taps of 16 filters, [n][9][16].
func (w *Winograd) WeightGrad(dst, src []float32, plane, n int) {
	w.reachPlanes(src, plane, n)
	reachTaps(dst, n)
	w.weightGrad(&dst[0], &src[0], 4*plane, n)
}
