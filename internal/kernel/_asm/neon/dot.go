package neon

import "fmt"

const dotSignature = "(a *float32, aRow int, b *%s, bRow, k int, c *float32, cRow int, bias *float32, flags int)"

// dot writes the tile c[rows][cols] = sum over k of a[i][k]*b[j][k]: both operands are read along k, so that a linear
// layer's weights are used where they lie, without packing. cols is 4 or 1.
func dot(rows, cols int, weights number) *function {
	name := fmt.Sprintf("dot%dx%d%sNEON", rows, cols, weights.name)
	f := newFunction(name, fmt.Sprintf(dotSignature, weights.goType),
		fmt.Sprintf("%s works like %s for %d rows and %d columns:", name, weights.generic, rows, cols),
		"c[i][j] = sum over k of a[i][k]*b[j][k], plus bias[j] or c[i][j].")
	acc := make([][]V, rows)
	for i := range acc {
		acc[i] = f.vecs(cols)
		for _, v := range acc[i] {
			f.zero(v)
		}
	}
	a, b := f.pointers("a", "aRow", rows), f.pointers("b", "bRow", cols)
	k := f.param("k")
	step := func(load, loadWeights func(v V, next X)) {
		x := f.vecs(rows)
		for i := range rows {
			load(x[i], a[i])
		}
		for j := range cols {
			w := f.vec()
			loadWeights(w, b[j])
			for i := range rows {
				f.fmla(acc[i][j], x[i], w)
			}
		}
	}
	f.op("SUBS $%d, R%d", parts, k)
	f.branch("BLT %s", "tail")
	f.label("step")
	step(f.loadNext, func(v V, next X) { weights.load(f, v, next) })
	f.op("SUBS $%d, R%d", parts, k)
	f.branch("BGE %s", "step")

	// What is left over joins the first lane; the zeros beside it change no sum.
	f.label("tail")
	f.op("ADDS $%d, R%d", parts, k)
	f.branch("BEQ %s", "sum")
	f.label("one")
	step(f.loadFloatNext, func(v V, next X) { weights.loadOne(f, v, next) })
	f.again(k, "one")

	f.label("sum")
	c, cRow, bias := f.param("c"), f.param("cRow"), f.param("bias")
	for i := range rows {
		sum := acc[i][0]
		if cols == 4 {
			f.faddp(acc[i][0], acc[i][0], acc[i][1])
			f.faddp(acc[i][2], acc[i][2], acc[i][3])
			f.faddp(sum, acc[i][0], acc[i][2])
		} else {
			f.faddp(sum, sum, sum)
			f.faddp(sum, sum, sum)
		}
		add := func(p X) {
			v := f.vec()
			if cols == 4 {
				f.load(v, p, 0)
			} else {
				f.loadFloat(v, p)
			}
			f.fadd(sum, sum, v)
		}
		label := func(name string) string { return fmt.Sprintf("%s%d", name, i) }
		f.unless(accumulate, label("bias"))
		add(c)
		f.jump(label("relu"))
		f.label(label("bias"))
		f.ifZero(bias, label("relu"))
		add(bias)
		f.label(label("relu"))
		f.unless(relu, label("store"))
		zero := f.vec()
		f.zero(zero)
		f.fmax(sum, sum, zero)
		f.label(label("store"))
		if cols == 4 {
			f.store(sum, c, 0)
		} else {
			f.storeFloat(sum, c)
		}
		if i < rows-1 {
			f.addTo(c, cRow)
		}
	}
	return f
}

// pointers are the starts of n rows.
func (f *function) pointers(base, stride string, n int) []X {
	p, step := []X{f.param(base)}, f.param(stride)
	for i := 1; i < n; i++ {
		p = append(p, f.x())
		f.add(p[i], p[i-1], step)
	}
	return p
}
