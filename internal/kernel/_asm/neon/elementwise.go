package neon

import (
	"fmt"
	"math"
)

// Element-wise kernels take n, a count of blocks of 16 floats. Callers keep buffers padded to whole blocks.

// newLike starts a function of the Set that the portable set has too.
func newLike(name, signature string) *function {
	return newFunction(name+"NEON", signature, name+"NEON works like "+name+"Generic.")
}

// forEachBlock runs body once per block; the pointers then advance.
func (f *function) forEachBlock(pointers []X, body func()) {
	n := f.param("n")
	f.ifZero(n, "done")
	f.label("blocks")
	body()
	for _, p := range pointers {
		f.move(p, blockBytes)
	}
	f.again(n, "blocks")
	f.label("done")
}

// loaded is the block at p in registers.
func (f *function) loaded(p X) []V {
	v := f.vecs(parts)
	f.loadBlock(v, p)
	return v
}

// floor is what a function with flags takes the maximum with: 0 for ReLU, else -Inf, for max(-Inf, x) is x, NaN
// included.
func (f *function) floor() V {
	floor, bits := f.vec(), f.x()
	f.set(bits, 0)
	f.when(relu, "floor")
	f.set(bits, int(math.Float32bits(float32(math.Inf(-1)))))
	f.label("floor")
	f.op("VDUP R%d, V%d.S4", bits, floor)
	return floor
}

func newReLU() *function {
	f := newLike("relu", "(dst, src *float32, n int)")
	dst, src, zero := f.param("dst"), f.param("src"), f.vec()
	f.zero(zero)
	f.forEachBlock([]X{dst, src}, func() {
		v := f.loaded(src)
		for _, x := range v {
			f.fmax(x, x, zero)
		}
		f.storeBlock(v, dst)
	})
	return f
}

func newReLUGrad() *function {
	f := newLike("reluGrad", "(grad, y *float32, n int)")
	grad, y := f.param("grad"), f.param("y")
	f.forEachBlock([]X{grad, y}, func() {
		mask, g := f.loaded(y), f.loaded(grad)
		for i, m := range mask {
			f.fcmle0(m, m)
			f.bic(g[i], g[i], m)
		}
		f.storeBlock(g, grad)
	})
	return f
}

func newAxpy() *function {
	f := newLike("axpy", "(y, x *float32, n int, alpha float32)")
	y, x, alpha := f.param("y"), f.param("x"), f.vec()
	f.op("FMOVS alpha+%d(FP), F%d", f.offset("alpha"), alpha)
	f.forEachBlock([]X{y, x}, func() {
		sum, v := f.loaded(y), f.loaded(x)
		for i := range sum {
			f.fmlaBy(sum[i], v[i], alpha, 0)
		}
		f.storeBlock(sum, y)
	})
	return f
}

func newMulAdd() *function {
	f := newLike("mulAdd", "(y, a, b *float32, n int)")
	y, a, b := f.param("y"), f.param("a"), f.param("b")
	f.forEachBlock([]X{y, a, b}, func() {
		sum, v, w := f.loaded(y), f.loaded(a), f.loaded(b)
		for i := range sum {
			f.fmla(sum[i], v[i], w[i])
		}
		f.storeBlock(sum, y)
	})
	return f
}

func newScaleShift() *function {
	f := newLike("scaleShift", "(dst, src, scale, shift *float32, n, flags int)")
	dst, src := f.param("dst"), f.param("src")
	scale, shift := f.loaded(f.param("scale")), f.loaded(f.param("shift"))
	floor := f.floor()
	f.forEachBlock([]X{dst, src}, func() {
		v, y := f.loaded(src), f.vecs(parts)
		for i := range v {
			f.mov(y[i], shift[i])
			f.fmla(y[i], v[i], scale[i])
			f.fmax(y[i], y[i], floor)
		}
		f.storeBlock(y, dst)
	})
	return f
}

func newSumLanes() *function {
	f := newLike("sumLanes", "(sum, src *float32, n int)")
	sum, src := f.param("sum"), f.param("src")
	acc := f.loaded(sum)
	f.forEachBlock([]X{src}, func() { f.addBlock(acc, src) })
	f.storeBlock(acc, sum)
	return f
}

// addBlock adds the block at p to the accumulators.
func (f *function) addBlock(acc []V, p X) {
	for i, v := range f.loaded(p) {
		f.fadd(acc[i], acc[i], v)
	}
}

func newDotLanes() *function {
	f := newLike("dotLanes", "(sum, a, b *float32, n int)")
	sum, a, b := f.param("sum"), f.param("a"), f.param("b")
	acc := f.loaded(sum)
	f.forEachBlock([]X{a, b}, func() {
		v, w := f.loaded(a), f.loaded(b)
		for i := range acc {
			f.fmla(acc[i], v[i], w[i])
		}
	})
	f.storeBlock(acc, sum)
	return f
}

// newPeak makes 24 chains: four pipes with a latency of four need 16, and the loop's end hides behind the rest.
func newPeak() *function {
	const chains = 24
	f := newFunction("peakNEON", "(steps int)",
		fmt.Sprintf("peakNEON runs steps times %d independent multiply-adds of %d lanes.", chains, parts))
	steps, acc, x := f.param("steps"), f.vecs(chains), f.vec()
	for _, v := range append(acc, x) {
		f.zero(v)
	}
	f.label("step")
	for _, v := range acc {
		f.fmla(v, x, x)
	}
	f.again(steps, "step")
	return f
}

func newRead() *function {
	f := newFunction("readNEON", "(src *float32, n int)",
		"readNEON loads n blocks of 16 floats and adds them up; the sum is dropped.")
	src, acc := f.param("src"), f.vecs(parts)
	for _, v := range acc {
		f.zero(v)
	}
	f.forEachBlock([]X{src}, func() { f.addBlock(acc, src) })
	return f
}
