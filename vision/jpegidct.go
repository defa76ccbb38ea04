package vision

// block is 8 rows of 8 coefficients.
type block [64]int16

// inverse makes a block's samples by the inverse cosine transform of libjpeg's default method (jidctint.c, after
// Loeffler, Ligtenberg and Moschytz, 1989), to the bit: columns, then rows, in integers of 13 bits of fraction, of
// which 2 are kept in between.
func (p *jpegPlane) inverse(b *block, x, y int) {
	const kept = 2
	var work [64]int32
	q := &p.quant
	for i := range 8 {
		if b[8+i]|b[16+i]|b[24+i]|b[32+i]|b[40+i]|b[48+i]|b[56+i] == 0 {
			v := int32(b[i]) * q[i] << kept
			for j := i; j < 64; j += 8 {
				work[j] = v
			}
			continue
		}
		e, o := butterflies(int32(b[i])*q[i], int32(b[8+i])*q[8+i], int32(b[16+i])*q[16+i], int32(b[24+i])*q[24+i],
			int32(b[32+i])*q[32+i], int32(b[40+i])*q[40+i], int32(b[48+i])*q[48+i], int32(b[56+i])*q[56+i])
		const shift = 13 - kept
		const half = 1 << (shift - 1)
		for j := range 4 {
			work[8*j+i] = (e[j] + o[j] + half) >> shift
			work[8*(7-j)+i] = (e[j] - o[j] + half) >> shift
		}
	}
	to := p.pix[8*y*p.stride+8*x:]
	for i := range 8 {
		w := work[8*i:][:8]
		e, o := butterflies(w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7])
		const shift = 13 + kept + 3
		const half = 1<<(shift-1) + 128<<shift // and samples are told as their distance from 128
		row := to[i*p.stride:][:8]
		for j := range 4 {
			row[j] = clamp((e[j] + o[j] + half) >> shift)
			row[7-j] = clamp((e[j] - o[j] + half) >> shift)
		}
	}
}

// butterflies is the transform of 8 values, its even and odd parts: value j of the result is even[j]+odd[j], value 7-j
// is even[j]-odd[j].
func butterflies(v0, v1, v2, v3, v4, v5, v6, v7 int32) (even, odd [4]int32) {
	// Factors of 13 bits of fraction: cosines and their sums.
	a := (v2 + v6) * 4433
	low, high := a-v6*15137, a+v2*6270
	sum, difference := (v0+v4)<<13, (v0-v4)<<13
	even = [4]int32{sum + high, difference + low, difference - low, sum - high}

	all := (v7 + v3 + v5 + v1) * 9633
	z1, z2 := (v7+v1)*-7373, (v5+v3)*-20995
	z3, z4 := (v7+v3)*-16069+all, (v5+v1)*-3196+all
	odd = [4]int32{v1*12299 + z1 + z4, v3*25172 + z2 + z3, v5*16819 + z2 + z4, v7*2446 + z1 + z3}
	return even, odd
}
