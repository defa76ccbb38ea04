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

// newWinners: which pixel of its 2x2 window each maximum is of, the first, in scan order, that equals it or is NaN. It
// is the number of pixels that come before: those that are a number, which is not the maximum, and have none but such
// before them. Where a pixel is NaN the maximum is.
func newWinners() *function {
	f := newLike("winners", "(winners *uint8, y, x *float32, row, n int)")
	winners, y, x, row, n := f.param("winners"), f.param("y"), f.param("x"), f.param("row"), f.param("n")
	right, below := f.x(), f.x()

	f.label("pixel")
	top, winner, before := f.loaded(y), f.vecs(parts), f.vecs(parts)
	f.op("ADD $%d, R%d, R%d", blockBytes, x, right)
	f.add(below, x, row)
	for k, tap := range []X{x, right, below} {
		for i, v := range f.loaded(tap) {
			hit, miss := f.vec(), f.vec()
			f.fcmeq(hit, v, top[i])
			f.fcmeq(miss, v, v)
			f.bic(miss, miss, hit)
			if k == 0 {
				f.mov(before[i], miss)
				f.zero(winner[i])
			} else {
				f.and(before[i], before[i], miss)
			}
			f.subInts(winner[i], winner[i], before[i])
		}
	}
	f.evens(winner[0], winner[0], winner[1], "H8")
	f.evens(winner[2], winner[2], winner[3], "H8")
	f.evens(winner[0], winner[0], winner[2], "B16")
	f.store(winner[0], winners, 0)
	f.move(winners, block)
	f.move(y, blockBytes)
	f.move(x, 2*blockBytes)
	f.again(n, "pixel")
	return f
}

// newUnpool: each value to its winner, zeros to the others. It is added to zero, as maxPoolGrad does.
func newUnpool() *function {
	f := newLike("unpool", "(dx *float32, row int, dy *float32, winners *uint8, n int)")
	dx, row, dy, winners, n := f.param("dx"), f.param("row"), f.param("dy"), f.param("winners"), f.param("n")
	right, below, belowRight, zero, one := f.x(), f.x(), f.x(), f.vec(), f.vec()
	f.zero(zero)
	f.op("VMOVI $1, V%d.B16", one)
	f.widenBytes(one, one)
	f.widenHalves(one, one)

	f.label("pixel")
	grad, winner, low, high := f.loaded(dy), f.vecs(parts), f.vec(), f.vec()
	f.load(high, winners, 0)
	f.widenBytes(low, high)
	f.widenHighBytes(high, high)
	f.widenHalves(winner[0], low)
	f.widenHighHalves(winner[1], low)
	f.widenHalves(winner[2], high)
	f.widenHighHalves(winner[3], high)
	f.op("ADD $%d, R%d, R%d", blockBytes, dx, right)
	f.add(below, dx, row)
	f.op("ADD $%d, R%d, R%d", blockBytes, below, belowRight)
	for k, tap := range []X{dx, right, below, belowRight} {
		hit := f.vecs(parts)
		for i := range hit {
			if k > 0 {
				f.subInts(winner[i], winner[i], one)
			}
			f.cmeq(hit[i], winner[i], zero)
			f.and(hit[i], hit[i], grad[i])
			f.fadd(hit[i], hit[i], zero)
		}
		f.storeBlock(hit, tap)
	}
	f.move(winners, block)
	f.move(dy, blockBytes)
	f.move(dx, 2*blockBytes)
	f.again(n, "pixel")
	return f
}
