package neon

import "fmt"

// What an instruction writes comes first. Encodings are those of the Arm Architecture Reference Manual, chapter C7.

// three is an instruction of three vectors.
func (f *function) three(word uint32, name string, d, n, m V) {
	f.wordOp(word, name+" v%d.4s, v%d.4s, v%d.4s", d, n, m)
}

func (f *function) fadd(d, n, m V)  { f.three(0x4e20d400, "fadd", d, n, m) }
func (f *function) fsub(d, n, m V)  { f.three(0x4ea0d400, "fsub", d, n, m) }
func (f *function) faddp(d, n, m V) { f.three(0x6e20d400, "faddp", d, n, m) }

// fmax is NaN where either is.
func (f *function) fmax(d, n, m V) { f.three(0x4e20f400, "fmax", d, n, m) }

// fcvtl widens four float16, shll four bfloat16, fcvtn makes float16 of four float32.
func (f *function) fcvtl(d, n V) { f.wordOp(0x0e217800, "fcvtl v%d.4s, v%d.4h", d, n) }
func (f *function) shll(d, n V)  { f.wordOp(0x2e613800, "shll v%d.4s, v%d.4h, #16", d, n) }
func (f *function) fcvtn(d, n V) { f.wordOp(0x0e216800, "fcvtn v%d.4h, v%d.4s", d, n) }

// fcmeq sets the bits of lanes that are equal; NaN equals nothing.
func (f *function) fcmeq(d, n, m V) { f.three(0x4e20e400, "fcmeq", d, n, m) }

// fcmle0 sets the bits of lanes at most 0, which NaN is not.
func (f *function) fcmle0(d, n V) { f.wordOp(0x6ea0d800, "fcmle v%d.4s, v%d.4s, #0", d, n) }

// bic is n and not m, orn is n or not m.
func (f *function) bic(d, n, m V) { f.wordOp(0x4e601c00, "bic v%d.16b, v%d.16b, v%d.16b", d, n, m) }
func (f *function) orn(d, n, m V) { f.wordOp(0x4ee01c00, "orn v%d.16b, v%d.16b, v%d.16b", d, n, m) }

func (f *function) and(d, n, m V) { f.op("VAND V%d.B16, V%d.B16, V%d.B16", m, n, d) }
func (f *function) or(d, n, m V)  { f.op("VORR V%d.B16, V%d.B16, V%d.B16", m, n, d) }
func (f *function) mov(d, n V)    { f.op("VMOV V%d.B16, V%d.B16", n, d) }
func (f *function) zero(d V)      { f.op("VEOR V%d.B16, V%d.B16, V%d.B16", d, d, d) }

// cmeq sets the bits of lanes of 32 that are equal, subInts is their difference.
func (f *function) cmeq(d, n, m V)    { f.op("VCMEQ V%d.S4, V%d.S4, V%d.S4", m, n, d) }
func (f *function) subInts(d, n, m V) { f.op("VSUB V%d.S4, V%d.S4, V%d.S4", m, n, d) }

// evens are the lanes of even number of n, then those of m, of an arrangement such as H8.
func (f *function) evens(d, n, m V, lanes string) {
	f.op("VUZP1 V%d."+lanes+", V%d."+lanes+", V%d."+lanes, m, n, d)
}

// widenBytes and its kin make lanes of twice the bits of the lower half of lanes, or of the higher; what is new is 0.
func (f *function) widenBytes(d, n V)      { f.op("VUXTL V%d.B8, V%d.H8", n, d) }
func (f *function) widenHighBytes(d, n V)  { f.op("VUXTL2 V%d.B16, V%d.H8", n, d) }
func (f *function) widenHalves(d, n V)     { f.op("VUXTL V%d.H4, V%d.S4", n, d) }
func (f *function) widenHighHalves(d, n V) { f.op("VUXTL2 V%d.H8, V%d.S4", n, d) }

// fmla is d += n*m, in one rounding.
func (f *function) fmla(d, n, m V) { f.op("VFMLA V%d.S4, V%d.S4, V%d.S4", m, n, d) }

// byElement is an instruction of two vectors and one lane of a third.
func (f *function) byElement(word uint32, name string, d, n, m V, lane int) {
	word |= uint32(lane&1)<<21 | uint32(lane>>1)<<11
	f.wordOp(word, fmt.Sprintf("%s v%%d.4s, v%%d.4s, v%%d.s[%d]", name, lane), d, n, m)
}

// fmlaBy is d += n*m[lane], fmlsBy d -= n*m[lane], fmulBy d = n*m[lane].
func (f *function) fmlaBy(d, n, m V, lane int) { f.byElement(0x4f801000, "fmla", d, n, m, lane) }
func (f *function) fmlsBy(d, n, m V, lane int) { f.byElement(0x4f805000, "fmls", d, n, m, lane) }
func (f *function) fmulBy(d, n, m V, lane int) { f.byElement(0x4f809000, "fmul", d, n, m, lane) }

// load and store move a vector, loadNext also moves the pointer behind it.
func (f *function) load(d V, base X, disp int)  { f.op("FMOVQ %d(R%d), F%d", disp, base, d) }
func (f *function) store(s V, base X, disp int) { f.op("FMOVQ F%d, %d(R%d)", s, disp, base) }
func (f *function) loadNext(d V, base X)        { f.op("FMOVQ.P %d(R%d), F%d", partBytes, base, d) }

// loadAt loads a vector from base + index, which Go's FMOVQ cannot.
func (f *function) loadAt(d V, base, index X) {
	f.wordOp(0x3ce06800, "ldr q%d, [x%d,x%d]", d, base, index)
}

// loadLanes loads one, two or four lanes from base plus a multiple of an index and clears the others.
func (f *function) loadLanes(d V, lanes int, base X, multiples []X, n int) {
	name := map[int]string{1: "FMOVS", 2: "FMOVD", 4: "FMOVQ"}[lanes]
	switch {
	case n == 0:
		f.op(name+" (R%d), F%d", base, d)
	case lanes == parts:
		f.loadAt(d, base, multiples[n])
	default:
		f.op(name+" (R%d)(R%d), F%d", base, multiples[n], d)
	}
}

// loadFloat and its kin move one float; loads clear the other lanes.
func (f *function) loadFloat(d V, base X)     { f.op("FMOVS (R%d), F%d", base, d) }
func (f *function) loadFloatNext(d V, base X) { f.op("FMOVS.P 4(R%d), F%d", base, d) }
func (f *function) storeFloat(s V, base X)    { f.op("FMOVS F%d, (R%d)", s, base) }

// loadPair loads two vectors that lie side by side.
func (f *function) loadPair(v []V, base X, disp int) {
	f.op("FLDPQ %d(R%d), (F%d, F%d)", disp, base, v[0], v[1])
}

// loadBlock and storeBlock move the four vectors of a pixel.
func (f *function) loadBlock(v []V, base X) {
	f.loadPair(v[:2], base, 0)
	f.loadPair(v[2:], base, 2*partBytes)
}

func (f *function) storeBlock(v []V, base X) {
	f.op("FSTPQ (F%d, F%d), (R%d)", v[0], v[1], base)
	f.op("FSTPQ (F%d, F%d), %d(R%d)", v[2], v[3], 2*partBytes, base)
}

// nextInt loads an int and moves the pointer behind it.
func (f *function) nextInt(d, base X) { f.op("MOVD.P 8(R%d), R%d", base, d) }

func (f *function) prefetch(base X, disp int) { f.op("PRFM %d(R%d), PLDL2KEEP", disp, base) }

func (f *function) movX(d, n X)    { f.op("MOVD R%d, R%d", n, d) }
func (f *function) add(d, n, m X)  { f.op("ADD R%d, R%d, R%d", m, n, d) }
func (f *function) sub(d, n, m X)  { f.op("SUB R%d, R%d, R%d", m, n, d) }
func (f *function) addTo(d, n X)   { f.add(d, d, n) }
func (f *function) set(d X, n int) { f.op("MOVD $%d, R%d", n, d) }

// move adds a number of bytes to a pointer.
func (f *function) move(d X, bytes int) {
	if bytes < 0 {
		f.op("SUB $%d, R%d", -bytes, d)
	} else if bytes > 0 {
		f.op("ADD $%d, R%d", bytes, d)
	}
}

// multiples are 1 to n times x in registers; there is no register for 0.
func (f *function) multiples(x X, n int) []X {
	m := []X{0, x}
	for i := 2; i <= n; i++ {
		m = append(m, f.x())
		f.add(m[i], m[i-1], x)
	}
	return m
}

// again counts n down and goes back to a label until it is 0.
func (f *function) again(n X, label string) {
	f.op("SUBS $1, R%d", n)
	f.branch("BNE %s", label)
}

func (f *function) jump(label string)             { f.branch("JMP %s", label) }
func (f *function) ifZero(x X, label string)      { f.branch("CBZ R%d, %s", label, x) }
func (f *function) unless(flag int, label string) { f.flag("TBZ", flag, label) }
func (f *function) when(flag int, label string)   { f.flag("TBNZ", flag, label) }

// Bits of a function's flags; they must agree with package kernel's.
const (
	accumulate = 0 // start from what c holds instead of the bias
	relu       = 1 // store max(0, c)
)

// flag branches by a bit of the parameter flags.
func (f *function) flag(name string, bit int, label string) {
	f.branch(name+" $%d, R%d, %s", label, bit, f.param("flags"))
}
