package neon

// number is how weights lie in memory. Four of them are multiplied as float32.
type number struct {
	name    string // within function names
	goType  string
	generic string                       // the portable dot product of them
	gemm    string                       // the portable tile of them
	bytes   int                          // of each
	load    func(f *function, v V, at X) // four; the pointer moves on
	loadOne func(f *function, v V, at X) // one, and zeros
	// loadPair loads parts n and n+1 of the block at a pointer.
	loadPair func(f *function, v []V, at X, n int)
}

var (
	float32s = number{"", "float32", "dotGeneric", "gemmGeneric", 4, (*function).loadNext, (*function).loadFloatNext,
		func(f *function, v []V, at X, n int) { f.loadPair(v, at, n*partBytes) }}
	float16s = halves("F16", (*function).fcvtl)
	// bfloat16s are the upper halves of float32s.
	bfloat16s = halves("BF16", (*function).shll)
)

func halves(name string, widen func(f *function, d, n V)) number {
	return number{name, "uint16", "dotHalfGeneric", "gemmHalfGeneric", 2,
		func(f *function, v V, at X) {
			f.op("FMOVD.P %d(R%d), F%d", partBytes/2, at, v)
			widen(f, v, v)
		},
		func(f *function, v V, at X) {
			bits := f.x()
			f.op("MOVHU.P 2(R%d), R%d", at, bits)
			f.op("FMOVS R%d, F%d", bits, v)
			widen(f, v, v)
		},
		func(f *function, v []V, at X, n int) {
			f.op("FLDPD %d(R%d), (F%d, F%d)", n*partBytes/2, at, v[0], v[1])
			widen(f, v[0], v[0])
			widen(f, v[1], v[1])
		}}
}

func newWiden() *function {
	f := newLike("widen", "(dst *float32, src *uint16, n int)")
	dst, src := f.param("dst"), f.param("src")
	f.forEachBlock([]X{dst}, func() {
		v := f.vecs(parts)
		for _, x := range v {
			float16s.load(f, x, src)
		}
		f.storeBlock(v, dst)
	})
	return f
}

func newNarrow() *function {
	f := newLike("narrow", "(dst *uint16, src *float32, n int)")
	dst, src := f.param("dst"), f.param("src")
	f.forEachBlock([]X{src}, func() {
		for _, v := range f.loaded(src) {
			f.fcvtn(v, v)
			f.op("FMOVD.P F%d, %d(R%d)", v, partBytes/2, dst)
		}
	})
	return f
}
