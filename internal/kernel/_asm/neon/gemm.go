package neon

import "fmt"

// gemmSignature wants the type of b and, where that is another, of next beside the bias.
const gemmSignature = "(a *float32, aRow, aCol int, runs *int, nruns, k int, b *%s, bRow, bBlock int, c " +
	"*float32, cRow, cBlock int, bias%s, next *%[1]s, flags int)"

// tile is a gemm that is being written: its sums, and what its loops read and move.
type tile struct {
	*function
	numbers                                 number // of b
	acc                                     [][]V
	at, aRow, aCol, bRow, next, left, fours X
	row, col                                []X // multiples of aRow and aCol
	b                                       []X // its rows for four steps of depth
}

// gemm writes the tile of rows x 16 sums. Six rows take 24 registers; with six for numbers of a and two for weights of
// b they are all 32. Numbers of a come by scalar loads and enter the multiply-add by element: a load that broadcasts
// (LD1R) would take a pipe from the multiply-adds on many processors.
//
// Where depth or rows lie side by side, one load serves four numbers, and four steps of depth make an iteration. The
// order of loads and the rest is for a core that starts three micro-operations a cycle, those of one instruction
// together: a pair of weights is three, a load of a is two and has an instruction of one beside it.
func gemm(rows int, numbers number) *function {
	name, bias := fmt.Sprintf("gemm%dx%d%sNEON", rows, block, numbers.name), ""
	if numbers.bytes == 2 {
		bias = " *float32"
	}
	f := newFunction(name, fmt.Sprintf(gemmSignature, numbers.goType, bias),
		fmt.Sprintf("%s works like %s for %d rows:", name, numbers.gemm, rows),
		"c[i][j] = sum over runs t and k of a[runs[t]+i*aRow+k*aCol] * b[(t*K+k)*bRow+j], from bias or c.")
	acc := make([][]V, rows)
	for i := range acc {
		acc[i] = f.vecs(parts)
	}
	f.startSums(acc)

	a, runs, nruns, k := f.param("a"), f.param("runs"), f.param("nruns"), f.param("k")
	t := tile{
		function: f, numbers: numbers, acc: acc, at: f.x(), left: f.x(), fours: f.x(),
		aRow: f.param("aRow"), aCol: f.param("aCol"), bRow: f.param("bRow"), next: f.param("next"),
		b: []X{f.param("b"), f.x(), f.x(), f.x()},
	}
	t.row, t.col = f.multiples(t.aRow, rows-1), f.multiples(t.aCol, len(t.b)-1)

	f.label("run")
	f.nextInt(t.at, runs)
	f.op("ADD R%d<<2, R%d, R%d", t.at, a, t.at)
	f.movX(t.left, k)
	f.op("LSR $2, R%d, R%d", t.left, t.fours)
	f.ifZero(t.fours, "step")
	for i := 1; i < len(t.b); i++ {
		f.add(t.b[i], t.b[i-1], t.bRow)
	}
	f.op("CMP $4, R%d", t.aCol)
	f.branch("BNE %s", "apart")
	t.depthBeside()
	f.jump("rest")

	f.label("apart")
	if rows > 1 {
		f.op("CMP $4, R%d", t.aRow)
		f.branch("BNE %s", "step")
	}
	t.rowsBeside()

	f.label("rest")
	f.ifZero(t.left, "ran")
	t.steps()
	f.label("ran")
	f.again(nruns, "run")

	f.finishSums(acc)
	return f
}

// depthBeside takes four steps at a time where depth lies side by side: in convolutions, in Winograd's products.
func (t *tile) depthBeside() {
	t.op("AND $3, R%d", t.left)
	t.label("deep")
	x := t.vecs(len(t.acc))
	for i, beside := range []func(){
		func() { t.prefetch(t.next, 0) },
		func() { t.prefetch(t.next, block*t.numbers.bytes) },
		func() { t.prefetch(t.next, 2*block*t.numbers.bytes) },
		func() { t.prefetch(t.next, 3*block*t.numbers.bytes) },
		func() { t.move(t.next, 4*block*t.numbers.bytes) },
		func() { t.op("SUBS $1, R%d", t.fours) },
	} {
		if i < len(x) {
			t.loadLanes(x[i], 4, t.at, t.row, i)
		}
		beside()
	}
	for step := range t.b {
		t.multiply(step, func(row int) (V, int) { return x[row], step })
	}
	for _, b := range t.b {
		t.moveFour(b, t.bRow)
	}
	t.move(t.at, 4*4)
	t.branch("BNE %s", "deep")
}

// rowsBeside takes four steps at a time where rows lie side by side, as channels do in weight gradients: for each step
// a load takes four of them, or two, or one.
func (t *tile) rowsBeside() {
	rows, wide := len(t.acc), 4
	for wide > rows {
		wide /= 2
	}
	from := []X{t.at} // the first row of each load
	if rows > wide {
		from = append(from, t.x())
		t.op("ADD $%d, R%d, R%d", 4*wide, t.at, from[1])
	}
	t.op("AND $3, R%d", t.left)
	t.label("wide")
	for step := range t.b {
		x := t.vecs(len(from))
		for i, beside := range []func(){
			func() { t.prefetch(t.next, step*block*t.numbers.bytes) },
			func() {
				if step == 0 {
					t.op("SUBS $1, R%d", t.fours)
				} else {
					t.moveFour(t.b[step-1], t.bRow)
				}
			},
		} {
			if i < len(from) {
				t.loadLanes(x[i], min(wide, rows-i*wide), from[i], t.col, step)
			}
			beside()
		}
		t.multiply(step, func(row int) (V, int) { return x[row/wide], row % wide })
	}
	t.moveFour(t.b[len(t.b)-1], t.bRow)
	for _, at := range from {
		t.moveFour(at, t.aCol)
	}
	t.move(t.next, 4*block*t.numbers.bytes)
	t.branch("BNE %s", "wide")
}

// multiply adds the products of one of four steps; number tells the vector and the lane of a row's number of a.
func (t *tile) multiply(step int, number func(row int) (V, int)) {
	for half := 0; half < parts; half += 2 {
		w := t.vecs(2)
		t.numbers.loadPair(t.function, w, t.b[step], half)
		for i := range t.acc {
			x, lane := number(i)
			t.fmlaBy(t.acc[i][half], w[0], x, lane)
			t.fmlaBy(t.acc[i][half+1], w[1], x, lane)
		}
	}
}

// moveFour moves a pointer by four strides.
func (t *tile) moveFour(x, stride X) { t.op("ADD R%d<<2, R%d", stride, x) }

// steps takes one step at a time, whatever the strides.
func (t *tile) steps() {
	t.label("step")
	w := t.vecs(parts)
	t.numbers.loadPair(t.function, w[:2], t.b[0], 0)
	t.numbers.loadPair(t.function, w[2:], t.b[0], 2)
	t.addTo(t.b[0], t.bRow)
	for i := range t.acc {
		x := t.vec()
		t.loadLanes(x, 1, t.at, t.row, i)
		for j := range t.acc[i] {
			t.fmlaBy(t.acc[i][j], w[j], x, 0)
		}
	}
	t.prefetch(t.next, 0)
	t.move(t.next, block*t.numbers.bytes)
	t.addTo(t.at, t.aCol)
	t.again(t.left, "step")
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
