package similar

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/vggo/vggo/internal/kernel"
)

// Confirm is what makes candidates duplicates.
type Confirm string

const (
	ByPixels Confirm = "pixels" // their Correlation, or the same bytes
	ByBytes  Confirm = "bytes"  // the same bytes alone
	ByNone   Confirm = "none"   // nothing: pictures that are similar are told, too
)

// Confirms lists them.
func Confirms() []Confirm { return []Confirm{ByPixels, ByBytes, ByNone} }

// Rule says which pairs of pictures are duplicates. DefaultRule is one that was measured.
type Rule struct {
	Cosine  float64 // least, of candidates
	Confirm Confirm
	Pixels  float64 // least Correlation, for ByPixels; LeastPixels or more
}

// DefaultRule finds copies that were compressed, scaled, made lighter or darker, or cropped by 5 %; docs/similar.md
// tells how surely. Candidates are many: how near a network places a picture and its copy depends on the network, and
// the one that comes with vggo was never shown soft pictures. The pixels decide.
func DefaultRule() Rule { return Rule{0.2, ByPixels, 0.97} }

// Pair is two pictures of an index, the one that comes first in it as A.
type Pair struct {
	A, B        int
	Cosine      float64
	Correlation float64 // of their Smalls
	Same        bool    // byte for byte
}

// MaxPairs bounds what Duplicates returns.
const MaxPairs = 1 << 20

// TooManyError is more pairs than Duplicates returns.
type TooManyError struct{ most int }

func (e TooManyError) Error() string { return fmt.Sprintf("there are more than %d pairs", e.most) }

// Duplicates finds all pairs of pictures that a rule takes for the same, in the order of A, then B. Nothing is left to
// chance: each picture is compared with each other, though the cosine is worked out only for those that the dearer
// question, asked first by the dot kernel in float32, does not rule out. threads of 0 are one for each processor.
func (x *Index) Duplicates(ctx context.Context, rule Rule, threads int) ([]Pair, error) {
	return x.duplicates(ctx, rule, threads, MaxPairs)
}

func (x *Index) duplicates(ctx context.Context, rule Rule, threads, most int) ([]Pair, error) {
	set, err := kernel.Active()
	if err != nil {
		return nil, err
	}
	s := &sieve{x: x, rule: rule, set: set, threads: threads, most: most}
	switch rule.Confirm {
	case ByBytes:
	case ByNone:
		s.rows, s.dims, s.least = x.Vectors, x.Dims, rule.Cosine
		err = s.compareAll(ctx, s.byCosine)
	case ByPixels:
		if rule.Pixels < LeastPixels {
			return nil, fmt.Errorf("a correlation of %v: the rule looks at no views below %v", rule.Pixels, LeastPixels)
		}
		s.rows, s.dims, s.least = make([]float32, len(x.Smalls)*points), points, LeastPixels
		s.wholes(ctx)
		err = s.compareAll(ctx, s.byPixels)
	default:
		return nil, fmt.Errorf("nothing confirms by %q", rule.Confirm)
	}
	if err == nil {
		err = s.sameBytes(ctx)
	}
	if err != nil {
		return nil, err
	}
	slices.SortFunc(s.pairs, Pair.compare)
	pairs := slices.CompactFunc(s.pairs, func(p, q Pair) bool { return p.compare(q) == 0 })
	if len(pairs) > most {
		return nil, TooManyError{most}
	}
	return pairs, nil
}

func (p Pair) compare(q Pair) int {
	if p.A != q.A {
		return p.A - q.A
	}
	return p.B - q.B
}

// sieve looks for pairs.
type sieve struct {
	x       *Index
	rule    Rule
	set     *kernel.Set
	threads int
	most    int // pairs

	rows  []float32 // vectors of length 1 or 0, one for each picture
	dims  int
	least float64 // product of two of them

	pairs []Pair
}

// pair looks closely at two pictures, by their vectors and Smalls.
func (s *sieve) pair(a, b int) Pair {
	p := Pair{A: a, B: b, Cosine: dot64(s.x.Vector(a), s.x.Vector(b)), Same: s.x.Pictures[a].Sum == s.x.Pictures[b].Sum}
	if p.Same {
		p.Correlation = 1
	} else {
		p.Correlation = Correlation(&s.x.Smalls[a], &s.x.Smalls[b])
	}
	return p
}

// asked are pictures whose rows' products with picture a's may be least or more, and may be a itself.
type asked struct {
	a     int
	bs    []int
	views []float32 // a's, once they have been asked for
}

// byCosine adds those behind a.
func (s *sieve) byCosine(to []Pair, q *asked) []Pair {
	for _, b := range q.bs {
		if b > q.a && dot64(s.x.Vector(q.a), s.x.Vector(b)) >= s.rule.Cosine {
			to = append(to, s.pair(q.a, b))
		}
	}
	return to
}

// byPixels adds those whose whole pictures correlate with one of a's views. That its whole correlates with one of their
// views is found when it is their turn.
func (s *sieve) byPixels(to []Pair, q *asked) []Pair {
	if len(q.bs) == 0 || len(q.bs) == 1 && q.bs[0] == q.a {
		return to
	}
	if q.views == nil {
		q.views = make([]float32, 0, views*points)
		for _, v := range s.x.Smalls[q.a].all() {
			for _, sample := range v {
				q.views = append(q.views, float32(sample))
			}
		}
	}
	rows := make([]float32, 0, len(q.bs)*points)
	for _, b := range q.bs {
		rows = append(rows, s.rows[b*points:(b+1)*points]...)
	}
	products := make([]float32, views*len(q.bs))
	s.set.Dot(&kernel.Dot{M: views, N: len(q.bs), K: points, A: q.views, ARow: points, B: rows, BRow: points, C: products,
		CRow: len(q.bs)})
	least := float32(s.rule.Pixels - rounding(points+2))
	for i, b := range q.bs {
		largest := products[i]
		for j := i; j < len(products); j += len(q.bs) {
			largest = max(largest, products[j])
		}
		if b == q.a || largest < least || dot64(s.x.Vector(q.a), s.x.Vector(b)) < s.rule.Cosine {
			continue
		}
		if p := s.pair(min(q.a, b), max(q.a, b)); p.Correlation >= s.rule.Pixels {
			to = append(to, p)
		}
	}
	return to
}

// wholes writes each picture's whole view as a row.
func (s *sieve) wholes(ctx context.Context) {
	const chunk = 256
	n := len(s.x.Smalls)
	_ = share(ctx, (n+chunk-1)/chunk, s.threads, func(task int) { // compareAll tells if ctx is done
		for i := task * chunk; i < min((task+1)*chunk, n); i++ {
			for j, v := range s.x.Smalls[i].whole() {
				s.rows[i*points+j] = float32(v)
			}
		}
	})
}

// compareAll asks of each picture about those whose rows' products with its own may be least or more.
func (s *sieve) compareAll(ctx context.Context, ask func([]Pair, *asked) []Pair) error {
	// 64 rows stay in the L2 cache while 256 others pass by.
	const high, wide = 64, 256
	most := int64(2 * s.most) // byPixels finds most of them from both sides
	n := len(s.x.Pictures)
	tasks := (n + high - 1) / high
	found := make([][]Pair, tasks)
	var count atomic.Int64
	least := float32(s.least - rounding(s.dims+2)) // wholes and views are rounded to float32 besides
	err := share(ctx, tasks, s.threads, func(task int) {
		products, bs := make([]float32, high*wide), make([]int, 0, wide)
		from, to := task*high, min((task+1)*high, n)
		asks := make([]asked, to-from)
		for j := 0; j < n && ctx.Err() == nil && count.Load() <= most; j += wide {
			end := min(j+wide, n)
			s.set.Dot(&kernel.Dot{M: to - from, N: end - j, K: s.dims, A: s.rows[from*s.dims : to*s.dims], ARow: s.dims,
				B: s.rows[j*s.dims : end*s.dims], BRow: s.dims, C: products, CRow: wide})
			before := len(found[task])
			for i := range asks {
				bs = bs[:0]
				for b, product := range products[i*wide : i*wide+end-j] {
					if product >= least {
						bs = append(bs, j+b)
					}
				}
				asks[i].a, asks[i].bs = from+i, bs
				found[task] = ask(found[task], &asks[i])
			}
			count.Add(int64(len(found[task]) - before))
		}
	})
	if err == nil && count.Load() > most {
		err = TooManyError{s.most}
	}
	s.pairs = slices.Concat(found...)
	return err
}

// sameBytes adds the pairs of pictures whose files are the same, whatever they show: those of one colour have no
// correlation.
func (s *sieve) sameBytes(ctx context.Context) error {
	bySum := map[Sum][]int{}
	for b, p := range s.x.Pictures {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if len(s.pairs)+len(bySum[p.Sum]) > 4*s.most { // most of which may be known already
			return TooManyError{s.most}
		}
		for _, a := range bySum[p.Sum] {
			s.pairs = append(s.pairs, s.pair(a, b))
		}
		bySum[p.Sum] = append(bySum[p.Sum], b)
	}
	return nil
}
