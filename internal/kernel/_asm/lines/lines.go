// Package lines compiles the matrices of Winograd's transforms into sums, for whichever processor writes them as
// instructions. A line is a column or a row of a tile; pairs of points ±p share the even and odd parts of their sums.
package lines

// Sum is a linear combination of values: inputs of a line, then what its group shares.
type Sum []Term

type Term struct {
	Value       int
	Coefficient float64
}

// Group is outputs of a line that share work.
type Group struct {
	Shared  []Sum // over inputs
	Outputs []Output
}

type Output struct {
	Index int
	Sum   Sum // value n+i is Shared[i]
}

// Groups compiles a matrix: output i of the line is the sum of m[i][j] times input j.
func Groups(m [][]float64) []Group {
	n := len(m[0])
	if pairs := columnPairs(m); len(pairs) > 0 {
		return byParity(m, pairs)
	}
	var all []Group
	done := make([]bool, len(m))
	for i := range m {
		if done[i] {
			continue
		}
		j, sign := partner(m, i)
		if j < 0 {
			all = append(all, Group{Outputs: []Output{{i, row(m[i])}}})
			continue
		}
		// The points p and -p: the same even part, opposite odd parts.
		done[j] = true
		var even, odd Sum
		for _, t := range row(m[i]) {
			if t.Value%2 == 0 {
				even = append(even, t)
			} else {
				odd = append(odd, t)
			}
		}
		second := Sum{{n, sign}, {n + 1, -sign}}
		all = append(all, Group{[]Sum{even, odd}, []Output{{i, Sum{{n, 1}, {n + 1, 1}}}, {j, second}}})
	}
	return all
}

func row(coefficients []float64) Sum {
	var s Sum
	for j, c := range coefficients {
		if c != 0 {
			s = append(s, Term{j, c})
		}
	}
	return s
}

// partner finds the row after i that is row i with the sign of every other column changed, times sign.
func partner(m [][]float64, i int) (j int, sign float64) {
	for j := i + 1; j < len(m); j++ {
		for _, sign := range []float64{1, -1} {
			same, mixed := true, [2]bool{}
			for c := range m[i] {
				want := sign * m[i][c]
				if c%2 == 1 {
					want = -want
				}
				same = same && m[j][c] == want
				mixed[c%2] = mixed[c%2] || m[i][c] != 0
			}
			if same && mixed[0] && mixed[1] {
				return j, sign
			}
		}
	}
	return -1, 0
}

// columnPairs lists the columns of the points p and -p: even rows have the same coefficient in both, odd rows the
// opposite.
func columnPairs(m [][]float64) (pairs [][2]int) {
	for a := range m[0] {
		for b := a + 1; b < len(m[0]); b++ {
			paired, any := true, false
			for i := range m {
				want := m[i][a]
				if i%2 == 1 {
					want = -want
				}
				paired = paired && m[i][b] == want
				any = any || i > 0 && want != 0
			}
			if paired && any {
				pairs = append(pairs, [2]int{a, b})
			}
		}
	}
	return pairs
}

// byParity makes groups of even outputs, which need the sums of paired inputs, and of odd ones, which need the
// differences.
func byParity(m [][]float64, pairs [][2]int) (all []Group) {
	n := len(m[0])
	for parity := range 2 {
		for i := parity; i < len(m); i += 2 * groupRows {
			var g Group
			sign := float64(1 - 2*parity)
			for _, p := range pairs {
				g.Shared = append(g.Shared, Sum{{p[0], 1}, {p[1], sign}})
			}
			for k := i; k < min(len(m), i+2*groupRows); k += 2 {
				alone := append([]float64(nil), m[k]...)
				var s Sum
				for q, p := range pairs {
					s = append(s, Term{n + q, m[k][p[0]]})
					alone[p[0]], alone[p[1]] = 0, 0
				}
				g.Outputs = append(g.Outputs, Output{k, append(s, row(alone)...)})
			}
			all = append(all, g)
		}
	}
	return all
}

// groupRows bounds the outputs of a group: two rows of eight vectors leave half of 32 registers for the rest.
const groupRows = 2

// Machine writes instructions. R is a register of it, O an operand: a register, or what can be loaded.
type Machine[O, R any] interface {
	// Operand is a register as an operand; last means that it may be overwritten.
	Operand(v R, last bool) O
	// Spare is the register of an operand that may be overwritten.
	Spare(x O) (v R, ok bool)
	// Own is x in a register that may be overwritten.
	Own(x O) R
	// Plus is y + x, Minus is y - x, Times is k*x, TimesPlus is k*x + y, each in such a register.
	Plus(x, y O) R
	Minus(x, y O) R
	Times(k float64, x O) R
	TimesPlus(k float64, x, y O) R
	// Add is acc += k*x.
	Add(k float64, x O, acc R)
}

// combine computes a sum. It begins with two terms, one of them with coefficient 1 if there is such, and adds the
// others.
func combine[O, R any](m Machine[O, R], s Sum, get func(i int) O) R {
	s = append(Sum(nil), s...)
	first := func(want func(float64) bool) bool {
		for i, t := range s {
			if want(t.Coefficient) {
				s[0], s[i] = s[i], s[0]
				return true
			}
		}
		return false
	}
	var acc R
	switch {
	case len(s) == 1 && s[0].Coefficient == 1:
		return m.Own(get(s[0].Value))
	case !first(func(c float64) bool { return c == 1 }):
		first(func(c float64) bool { return c > 0 })
		acc = m.Times(s[0].Coefficient, get(s[0].Value))
		s = s[1:]
	default:
		unit, k, x := get(s[0].Value), s[1].Coefficient, get(s[1].Value)
		spare, ok := m.Spare(unit)
		switch {
		case k == 1:
			acc = m.Plus(x, unit)
		case k == -1:
			acc = m.Minus(x, unit)
		case ok:
			acc = spare
			m.Add(k, x, acc)
		default:
			acc = m.TimesPlus(k, x, unit)
		}
		s = s[2:]
	}
	for _, t := range s {
		m.Add(t.Coefficient, get(t.Value), acc)
	}
	return acc
}

// Compute writes a group of a line of n inputs, which get gives and whose registers are not overwritten.
func Compute[O, R any](m Machine[O, R], g Group, n int, get func(i int) O, put func(index int, v R)) {
	shared := make([]R, len(g.Shared))
	uses := make([]int, len(g.Shared))
	for i, s := range g.Shared {
		shared[i] = combine(m, s, get)
	}
	for _, o := range g.Outputs {
		for _, t := range o.Sum {
			if t.Value >= n {
				uses[t.Value-n]++
			}
		}
	}
	for _, o := range g.Outputs {
		put(o.Index, combine(m, o.Sum, func(i int) O {
			if i < n {
				return get(i)
			}
			uses[i-n]--
			return m.Operand(shared[i-n], uses[i-n] == 0)
		}))
	}
}
