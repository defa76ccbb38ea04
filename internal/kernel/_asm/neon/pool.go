package neon

// newMaxPool writes one row of output pixels of 16 channels. taps are byte offsets from src to each pixel of the
// window.
func newMaxPool() *function {
	f := newLike("maxPool", "(dst, src *float32, stride int, taps *int, ntaps, n int)")
	dst, src, stride := f.param("dst"), f.param("src"), f.param("stride")
	taps, ntaps, n := f.param("taps"), f.param("ntaps"), f.param("n")
	next, at, left, acc := f.x(), f.x(), f.x(), f.vecs(parts)

	f.label("pixel")
	f.movX(next, taps)
	f.nextInt(at, next)
	f.addTo(at, src)
	f.loadBlock(acc, at)
	f.op("SUBS $1, R%d, R%d", ntaps, left)
	f.branch("BEQ %s", "store")
	f.label("tap")
	f.nextInt(at, next)
	f.addTo(at, src)
	for i, v := range f.loaded(at) {
		f.fmax(acc[i], acc[i], v) // a NaN in the window is the result
	}
	f.again(left, "tap")
	f.label("store")
	f.storeBlock(acc, dst)
	f.move(dst, blockBytes)
	f.addTo(src, stride)
	f.again(n, "pixel")
	return f
}

// newMaxPoolGrad: the gradient of each output pixel goes to the first pixel of its window, in scan order, that equals
// the maximum (or is NaN where the maximum is NaN).
func newMaxPoolGrad() *function {
	f := newLike("maxPoolGrad", "(dx, x, y, dy *float32, stride int, taps *int, ntaps, n int)")
	dx, x, y, dy := f.param("dx"), f.param("x"), f.param("y"), f.param("dy")
	stride, taps, ntaps, n := f.param("stride"), f.param("taps"), f.param("ntaps"), f.param("n")
	next, offset, at, left := f.x(), f.x(), f.x(), f.x()
	top, keep := f.vecs(parts), f.vecs(parts) // the maximum; the gradient not yet given away

	f.label("pixel")
	f.loadBlock(top, y)
	f.loadBlock(keep, dy)
	f.movX(next, taps)
	f.movX(left, ntaps)
	f.label("tap")
	f.nextInt(offset, next)
	f.add(at, x, offset)
	v := f.loaded(at)
	f.add(at, dx, offset)
	d := f.loaded(at)
	for i := range v {
		hit, number, topNumber := f.vec(), f.vec(), f.vec()
		f.fcmeq(hit, v[i], top[i])
		f.fcmeq(number, v[i], v[i])
		f.fcmeq(topNumber, top[i], top[i])
		f.or(number, number, topNumber)
		f.orn(hit, hit, number) // equal, or both NaN
		give := f.vec()
		f.and(give, keep[i], hit)
		f.fadd(d[i], d[i], give)
		f.bic(keep[i], keep[i], hit)
	}
	f.storeBlock(d, at)
	f.again(left, "tap")
	f.move(y, blockBytes)
	f.move(dy, blockBytes)
	f.addTo(x, stride)
	f.addTo(dx, stride)
	f.again(n, "pixel")
	return f
}
