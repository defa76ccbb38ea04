package neon

import "fmt"

const gemmSignature = "(a *float32, aRow, aCol int, runs *int, nruns, k int, b *float32, bRow, bBlock int, c *float32, cRow, cBlock int, bias, next *float32, flags int)"

// gemm writes the tile of rows x 16 sums. Six rows take 24 registers; with six for numbers of a and two for weights of
// b they are all 32. Numbers of a come by scalar loads and enter the multiply-add by element: a load that broadcasts
// (LD1R) would take a pipe from the multiply-adds on many processors.
func gemm(rows int) *function {
	name := fmt.Sprintf("gemm%dx%dNEON", rows, block)
	f := newFunction(name, gemmSignature,
		fmt.Sprintf("%s works like gemmGeneric for %d rows:", name, rows),
		"c[i][j] = sum over runs t and k of a[runs[t]+i*aRow+k*aCol] * b[(t*K+k)*bRow+j], from bias or c.")
	acc := make([][]V, rows)
	for i := range acc {
		acc[i] = f.vecs(parts)
	}
	f.startSums(acc)

	a, aRow, aCol := f.param("a"), f.param("aRow"), f.param("aCol")
	runs, nruns, k := f.param("runs"), f.param("nruns"), f.param("k")
	b, bRow, next := f.param("b"), f.param("bRow"), f.param("next")
	row := f.multiples(aRow, rows-1)
	at, left, quads := f.x(), f.x(), f.x()

	f.label("run")
	f.nextInt(at, runs)
	f.op("ADD R%d<<2, R%d, R%d", at, a, at)
	f.movX(left, k)

	// Where depth lies side by side, one load of each row serves four steps: fewer instructions, for processors that
	// decode few at a time.
	f.op("CMP $4, R%d", aCol)
	f.branch("BNE %s", "step")
	f.op("LSR $2, R%d, R%d", left, quads)
	f.ifZero(quads, "step")
	f.op("AND $3, R%d", left)
	f.label("quad")
	x := f.vecs(rows)
	f.load(x[0], at, 0)
	for i := 1; i < rows; i++ {
		f.loadAt(x[i], at, row[i])
	}
	for lane := range 4 {
		for half := 0; half < parts; half += 2 {
			w := f.vecs(2)
			f.loadPair(w, b, half*partBytes)
			for i := range rows {
				f.fmlaBy(acc[i][half], w[0], x[i], lane)
				f.fmlaBy(acc[i][half+1], w[1], x[i], lane)
			}
		}
		f.addTo(b, bRow)
		f.prefetch(next, lane*blockBytes)
	}
	f.move(next, 4*blockBytes)
	f.move(at, 4*4)
	f.again(quads, "quad")
	f.ifZero(left, "ran")

	f.label("step")
	w := f.vecs(parts)
	f.loadBlock(w, b)
	f.addTo(b, bRow)
	for i := range rows {
		x := f.vec()
		if i == 0 {
			f.loadFloat(x, at)
		} else {
			f.loadFloatAt(x, at, row[i])
		}
		for j := range acc[i] {
			f.fmlaBy(acc[i][j], w[j], x, 0)
		}
	}
	f.prefetch(next, 0)
	f.move(next, blockBytes)
	f.addTo(at, aCol)
	f.again(left, "step")
	f.label("ran")
	f.again(nruns, "run")

	f.finishSums(acc)
	return f
}

// startSums sets the accumulators to c, to the bias, or to zero.
func (f *function) startSums(acc [][]V) {
	f.unless(accumulate, "frombias")
	f.eachC(len(acc), func(i int, c X) { f.loadBlock(acc[i], c) })
	f.jump("started")

	f.label("frombias")
	bias := f.param("bias")
	f.ifZero(bias, "fromzero")
	f.loadBlock(acc[0], bias)
	for i := 1; i < len(acc); i++ {
		for j, v := range acc[i] {
			f.mov(v, acc[0][j])
		}
	}
	f.jump("started")

	f.label("fromzero")
	for i := range acc {
		for _, v := range acc[i] {
			f.zero(v)
		}
	}
	f.label("started")
}

// finishSums stores the accumulators, through ReLU if the flag says so.
func (f *function) finishSums(acc [][]V) {
	f.unless(relu, "store")
	zero := f.vec()
	f.zero(zero)
	for i := range acc {
		for _, v := range acc[i] {
			f.fmax(v, v, zero)
		}
	}
	f.label("store")
	f.eachC(len(acc), func(i int, c X) { f.storeBlock(acc[i], c) })
}

func (f *function) eachC(rows int, do func(i int, c X)) {
	c, cRow := f.param("c"), f.param("cRow")
	for i := range rows {
		do(i, c)
		if i < rows-1 {
			f.addTo(c, cRow)
		}
	}
}
