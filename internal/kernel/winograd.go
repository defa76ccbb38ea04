package kernel

// WinogradPlanes is the number of products in a tile of F(4x4,3x3) and of F(3x3,4x4): 6x6 instead of 4*4*9 = 144.
const WinogradPlanes = 36

// The matrices of both algorithms for the points 0, 1, -1, 2, -2 and infinity (Lavin & Gray 2015, arXiv 1509.09308,
// section 4). Convolving a 3x3 filter w with a 6x6 tile d gives the 4x4 tile
//
//	outputMatrix [ (weightMatrix w weightMatrixᵀ) ⊙ (inputMatrix d inputMatrixᵀ) ] outputMatrixᵀ
//
// and the gradient of the filter from a 4x4 tile y of the output's gradient is
//
//	weightGradMatrix [ (gradMatrix y gradMatrixᵀ) ⊙ (inputMatrix d inputMatrixᵀ) ] weightGradMatrixᵀ
var (
	inputMatrix = [][]float32{
		{4, 0, -5, 0, 1, 0},
		{0, -4, -4, 1, 1, 0},
		{0, 4, -4, -1, 1, 0},
		{0, -2, -1, 2, 1, 0},
		{0, 2, -1, -2, 1, 0},
		{0, 4, 0, -5, 0, 1},
	}
	outputMatrix = [][]float32{
		{1, 1, 1, 1, 1, 0},
		{0, 1, -1, 2, -2, 0},
		{0, 1, 1, 4, 4, 0},
		{0, 1, -1, 8, -8, 1},
	}
	weightMatrix = [][]float32{
		{1. / 4, 0, 0},
		{-1. / 6, -1. / 6, -1. / 6},
		{-1. / 6, 1. / 6, -1. / 6},
		{1. / 24, 1. / 12, 1. / 6},
		{1. / 24, -1. / 12, 1. / 6},
		{0, 0, 1},
	}
	gradMatrix = [][]float32{
		{1. / 4, 0, 0, 0},
		{-1. / 6, -1. / 6, -1. / 6, -1. / 6},
		{-1. / 6, 1. / 6, -1. / 6, 1. / 6},
		{1. / 24, 1. / 12, 1. / 6, 1. / 3},
		{1. / 24, -1. / 12, 1. / 6, -1. / 3},
		{0, 0, 0, 1},
	}
	weightGradMatrix = [][]float32{
		{1, 1, 1, 1, 1, 0},
		{0, 1, -1, 2, -2, 0},
		{0, 1, 1, 4, 4, 1},
	}
)

// transform is m x mᵀ for each of 16 lanes; load and store address element (row, column).
func transform(m [][]float32, load, store func(row, col int) *[Block]float32) {
	n := len(m[0])
	var half [WinogradPlanes][Block]float32
	for i, coefficients := range m {
		for col := range n {
			out := &half[i*n+col]
			for k, c := range coefficients {
				if c == 0 {
					continue // or an Inf would spread to where it does not belong
				}
				for l, x := range load(k, col) {
					out[l] += c * x
				}
			}
		}
	}
	for i := range m {
		for j, coefficients := range m {
			var sum [Block]float32
			for k, c := range coefficients {
				if c == 0 {
					continue
				}
				for l, x := range &half[i*n+k] {
					sum[l] += c * x
				}
			}
			*store(i, j) = sum
		}
	}
}

// grid addresses elements a row and a column stride apart, in bytes.
func grid(p *float32, row, col int) func(i, j int) *[Block]float32 {
	return func(i, j int) *[Block]float32 { return lanes(add(p, i*row+j*col)) }
}

const pixelBytes = Block * 4

// winogradInputGeneric takes n 6x6 patches of a feature map, 4 pixels apart, to 36 planes: row bytes from one row of the
// map to the next, plane bytes from one plane to the next, a pixel from one tile to the next within a plane.
func winogradInputGeneric(dst *float32, plane int, src *float32, row, n int) {
	for t := range n {
		transform(inputMatrix, grid(add(src, t*4*pixelBytes), row, pixelBytes), grid(add(dst, t*pixelBytes), 6*plane, plane))
	}
}

// winogradOutputGeneric takes n tiles of 36 planes to 4x4 patches of a feature map, adds the bias, and ReLU if flagged.
func winogradOutputGeneric(dst *float32, row int, src *float32, plane, n int, bias *float32, flags int) {
	b := lanes(bias)
	for t := range n {
		out := grid(add(dst, t*4*pixelBytes), row, pixelBytes)
		transform(outputMatrix, grid(add(src, t*pixelBytes), 6*plane, plane), out)
		for i := range 4 {
			for j := range 4 {
				for l, y := range out(i, j) {
					y += b[l]
					if flags&flagReLU != 0 {
						y = rectify(y)
					}
					out(i, j)[l] = y
				}
			}
		}
	}
}

// winogradGradGeneric takes n 4x4 patches of an output's gradient, 4 pixels apart, to 36 planes.
func winogradGradGeneric(dst *float32, plane int, src *float32, row, n int) {
	for t := range n {
		transform(gradMatrix, grid(add(src, t*4*pixelBytes), row, pixelBytes), grid(add(dst, t*pixelBytes), 6*plane, plane))
	}
}

// winogradWeightGeneric takes the 3x3 taps of n times 16 filters, [n][9][16], to 36 planes of [n][16].
func winogradWeightGeneric(dst *float32, plane int, src *float32, n int) {
	for t := range n {
		transform(weightMatrix, grid(add(src, t*9*pixelBytes), 3*pixelBytes, pixelBytes), grid(add(dst, t*pixelBytes), 6*plane, plane))
	}
}

// winogradWeightGradGeneric takes n tiles of 36 planes to the gradients of 3x3 taps, [n][9][16].
func winogradWeightGradGeneric(dst, src *float32, plane, n int) {
	for t := range n {
		transform(weightGradMatrix, grid(add(src, t*pixelBytes), 6*plane, plane), grid(add(dst, t*9*pixelBytes), 3*pixelBytes, pixelBytes))
	}
}

// reach panics unless the block that starts at last lies within s.
func reach(s []float32, what string, last int) {
	if last+Block > len(s) {
		panic("kernel: winograd transform beyond its " + what)
	}
}

// WinogradInput takes n 6x6 patches of a blocked feature map, the first at src[0], each 4 pixels further, to 36 planes: tile t
// of plane p lies at dst[p*plane+16*t]. row is from one row of the map to the next. All in floats.
func (s *Set) WinogradInput(dst []float32, plane int, src []float32, row, n int) {
	reach(dst, "planes", (WinogradPlanes-1)*plane+(n-1)*Block)
	reach(src, "feature map", 5*row+((n-1)*4+5)*Block)
	s.winogradInput(&dst[0], 4*plane, &src[0], 4*row, n)
}

// WinogradOutput takes n tiles of 36 planes to 4x4 patches of a feature map, the first at dst[0], each 4 pixels further, adds
// the bias of the 16 channels, and takes ReLU if asked.
func (s *Set) WinogradOutput(dst []float32, row int, src []float32, plane, n int, bias *[Block]float32, relu bool) {
	reach(src, "planes", (WinogradPlanes-1)*plane+(n-1)*Block)
	reach(dst, "feature map", 3*row+((n-1)*4+3)*Block)
	flags := 0
	if relu {
		flags = flagReLU
	}
	s.winogradOutput(&dst[0], 4*row, &src[0], 4*plane, n, local(bias), flags)
}

// WinogradGrad takes n 4x4 patches of an output's gradient, as WinogradInput takes 6x6 ones.
func (s *Set) WinogradGrad(dst []float32, plane int, src []float32, row, n int) {
	reach(dst, "planes", (WinogradPlanes-1)*plane+(n-1)*Block)
	reach(src, "feature map", 3*row+((n-1)*4+3)*Block)
	s.winogradGrad(&dst[0], 4*plane, &src[0], 4*row, n)
}

// WinogradWeight takes n times the 3x3 taps of 16 filters, [n][9][16], to 36 planes of [n][16].
func (s *Set) WinogradWeight(dst []float32, plane int, src []float32, n int) {
	reach(dst, "planes", (WinogradPlanes-1)*plane+(n-1)*Block)
	reach(src, "taps", (9*n-1)*Block)
	s.winogradWeight(&dst[0], 4*plane, &src[0], n)
}

// WinogradWeightGrad takes 36 planes of [n][16] to the gradients of n times the 3x3 taps of 16 filters, [n][9][16].
func (s *Set) WinogradWeightGrad(dst, src []float32, plane, n int) {
	reach(src, "planes", (WinogradPlanes-1)*plane+(n-1)*Block)
	reach(dst, "taps", (9*n-1)*Block)
	s.winogradWeightGrad(&dst[0], &src[0], 4*plane, n)
}
