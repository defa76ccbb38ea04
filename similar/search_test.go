package similar

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"reflect"
	"runtime"
	"slices"
	"testing"

	"github.com/vggo/vggo/internal/kernel"
)

// random is an index of n vectors, of which each seventh is one that was there before, and one is 0.
func random(t testing.TB, seed uint64, n, dims int) *Index {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	x := &Index{Dims: dims, Vectors: make([]float32, n*dims), Pictures: make([]Picture, n), Smalls: make([]Small, n)}
	for i := range n {
		x.Pictures[i].Path = fmt.Sprint(i)
		x.Pictures[i].Sum[0], x.Pictures[i].Sum[1] = byte(i), byte(i>>8)
		v := x.Vector(i)
		if i%7 == 6 {
			copy(v, x.Vector(r.IntN(i)))
			continue
		}
		if i == 3 {
			continue
		}
		square := 0.0
		for j := range v {
			v[j] = float32(r.NormFloat64())
			square += float64(v[j]) * float64(v[j])
		}
		for j := range v {
			v[j] = float32(float64(v[j]) / math.Sqrt(square))
		}
	}
	return x
}

// nearestOf is what Find should return, by sorting all products in float64.
func nearestOf(x *Index, vector []float32, n int) []Hit {
	var all []Hit
	for i, p := range x.Pictures {
		cosine := 0.0
		for j, v := range x.Vector(i) {
			cosine += float64(v) * float64(vector[j])
		}
		all = append(all, Hit{i, p.Path, cosine})
	}
	slices.SortStableFunc(all, func(a, b Hit) int {
		switch {
		case a.Cosine > b.Cosine:
			return -1
		case a.Cosine < b.Cosine:
			return 1
		}
		return 0
	})
	return all[:min(n, len(all))]
}

// TestFind: the nearest are those of a search in float64, ties in order, whatever the threads.
func TestFind(t *testing.T) {
	for _, c := range []struct{ pictures, dims int }{{1, 1}, {5, 3}, {7, 17}, {1030, 64}, {1500, 255}, {1025, 512}} {
		x := random(t, uint64(c.dims), c.pictures, c.dims)
		for _, of := range []int{0, c.pictures / 2, c.pictures - 1} {
			all := nearestOf(x, x.Vector(of), c.pictures)
			for _, n := range []int{1, 10, c.pictures, c.pictures + 5} {
				want := all[:min(n, len(all))]
				for _, threads := range []int{1, 8} {
					got, err := x.Find(t.Context(), x.Vector(of), n, threads)
					if err != nil || !slices.Equal(got, want) {
						t.Fatalf("%d x %d, %d nearest to %d on %d threads: %v\n%v\nwant\n%v", c.pictures, c.dims, n, of, threads, err,
							got, want)
					}
				}
			}
		}
	}
}

// TestFindIsNumPys: with ties everywhere (scripts/gen_similar_golden.py).
func TestFindIsNumPys(t *testing.T) {
	text, err := os.ReadFile("testdata/nearest.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Signs []string
		Found []struct {
			Query  int
			Index  []int
			Cosine []float64
		}
	}
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	x := &Index{Dims: len(golden.Signs[0]), Pictures: make([]Picture, len(golden.Signs))}
	for _, row := range golden.Signs {
		for _, sign := range row {
			x.Vectors = append(x.Vectors, map[rune]float32{'0': -1.0 / 8, '1': 1.0 / 8}[sign])
		}
	}
	for _, want := range golden.Found {
		for _, n := range []int{1, 25, len(want.Index)} {
			got, err := x.Find(t.Context(), x.Vector(want.Query), n, 0)
			if err != nil || len(got) != n {
				t.Fatalf("%d of %d found: %v", len(got), n, err)
			}
			for i, h := range got {
				if h.Index != want.Index[i] || h.Cosine != want.Cosine[i] {
					t.Errorf("rank %d of %d near %d is %+v, NumPy's %d with %v", i, n, want.Query, h, want.Index[i], want.Cosine[i])
				}
			}
		}
	}
}

func TestFindRefuses(t *testing.T) {
	x := random(t, 1, 10, 8)
	for _, c := range []struct{ dims, n int }{{7, 1}, {8, 0}, {8, -1}} {
		if _, err := x.Find(t.Context(), make([]float32, c.dims), c.n, 1); err == nil {
			t.Errorf("%d nearest to a vector of %d numbers are found", c.n, c.dims)
		}
	}
	for _, v := range []float32{0.5, float32(math.NaN())} {
		if _, err := x.Find(t.Context(), []float32{v, 0, 0, 0, 0, 0, 0, 0}, 1, 1); err == nil {
			t.Errorf("a vector of length %v is looked for", v)
		}
	}
	empty := &Index{Dims: 8}
	if hits, err := empty.Find(t.Context(), make([]float32, 8), 3, 1); err != nil || len(hits) > 0 {
		t.Errorf("an empty index gives %v, %v", hits, err)
	}
}

// copied gives an index Smalls: soft random pictures, of which each fifth is another's copy, lighter and moved.
func copied(x *Index, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 2))
	for i := range x.Smalls {
		s := &x.Smalls[i]
		if i%5 == 4 {
			from := &x.Smalls[r.IntN(i)]
			shift, gain := r.IntN(2), 0.8+0.4*r.Float64()
			for y := range Side {
				for j := range Side {
					s[y*Side+j] = uint8(min(255, gain*float64(from[y*Side+min(j+shift, Side-1)])))
				}
			}
			continue
		}
		var grid [5][5]float64
		for y := range grid {
			for j := range grid[y] {
				grid[y][j] = 200 * r.Float64()
			}
		}
		for y := range Side {
			for j := range Side {
				fy, fx := float64(y)/8, float64(j)/8
				gy, gx := int(fy), int(fx)
				fy, fx = fy-float64(gy), fx-float64(gx)
				s[y*Side+j] = uint8((1-fy)*((1-fx)*grid[gy][gx]+fx*grid[gy][gx+1]) + fy*((1-fx)*grid[gy+1][gx]+
					fx*grid[gy+1][gx+1]))
			}
		}
	}
}

// TestDuplicates: the pairs are those that a look at each pair finds, whatever the threads.
func TestDuplicates(t *testing.T) {
	x := random(t, 3, 150, 24)
	copied(x, 3)
	x.Smalls[20], x.Smalls[21] = Small{}, Small{} // flat, and the same file
	x.Pictures[21].Sum = x.Pictures[20].Sum
	var all []Pair
	for a := range x.Pictures {
		for b := a + 1; b < len(x.Pictures); b++ {
			p := Pair{a, b, dot64(x.Vector(a), x.Vector(b)), Correlation(&x.Smalls[a], &x.Smalls[b]),
				x.Pictures[a].Sum == x.Pictures[b].Sum}
			if p.Same {
				p.Correlation = 1
			}
			all = append(all, p)
		}
	}
	for _, rule := range []Rule{DefaultRule(), {-1, ByPixels, 0.8}, {0.6, ByNone, 0}, {0, ByBytes, 0}} {
		var want []Pair
		for _, p := range all {
			near := p.Cosine >= rule.Cosine
			if p.Same || near && rule.Confirm == ByNone || near && rule.Confirm == ByPixels && p.Correlation >= rule.Pixels {
				want = append(want, p)
			}
		}
		if least := map[Confirm]int{ByPixels: 5, ByNone: 20, ByBytes: 1}[rule.Confirm]; len(want) < least {
			t.Fatalf("%+v: %d pairs are too few to tell anything", rule, len(want))
		}
		for _, threads := range []int{1, 8} {
			got, err := x.Duplicates(t.Context(), rule, threads)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%+v on %d threads: %v: %d pairs, want %d", rule, threads, err, len(got), len(want))
			}
		}
	}
}

func TestDuplicatesRefuses(t *testing.T) {
	x := random(t, 3, 30, 8)
	for _, rule := range []Rule{{0, ByPixels, 0.5}, {0, "lpips", 0.9}, {}} {
		if _, err := x.Duplicates(t.Context(), rule, 1); err == nil {
			t.Errorf("%+v is taken", rule)
		}
	}
	const same = 25 // 300 pairs
	many := &Index{Dims: 1, Vectors: make([]float32, same), Pictures: make([]Picture, same), Smalls: make([]Small, same)}
	for i := range many.Vectors {
		many.Vectors[i] = 1
	}
	for _, confirm := range Confirms() {
		if pairs, err := many.duplicates(t.Context(), Rule{0.5, confirm, 0.9}, 2, 300); err != nil || len(pairs) != 300 {
			t.Errorf("by %s: %d pairs of 300: %v", confirm, len(pairs), err)
		}
		for _, most := range []int{10, 299} {
			if _, err := many.duplicates(t.Context(), Rule{0.5, confirm, 0.9}, 2, most); err != (TooManyError{most}) {
				t.Errorf("by %s: 300 pairs of %d at most: %v", confirm, most, err)
			}
		}
	}
}

// BenchmarkFind looks for the ten nearest of 100,000 vectors of 512, and tells how much of the read bandwidth that
// takes: every vector is read once.
func BenchmarkFind(b *testing.B) {
	const pictures, dims = 100_000, 512
	set, err := kernel.Active()
	if err != nil {
		b.Fatal(err)
	}
	x := random(b, 1, pictures, dims)
	bandwidth := set.ReadBandwidth(runtime.GOMAXPROCS(0))
	for b.Loop() {
		if _, err := x.Find(b.Context(), x.Vector(5), 10, 0); err != nil {
			b.Fatal(err)
		}
	}
	rate := 4 * pictures * dims * float64(b.N) / float64(b.Elapsed().Nanoseconds())
	b.ReportMetric(rate, "GB/s")
	b.ReportMetric(100*rate/bandwidth, "%bandwidth")
}

// BenchmarkDuplicates looks for copies among 10,000 pictures.
func BenchmarkDuplicates(b *testing.B) {
	x := random(b, 1, 10_000, 512)
	copied(x, 1)
	for b.Loop() {
		if _, err := x.Duplicates(b.Context(), DefaultRule(), 0); err != nil {
			b.Fatal(err)
		}
	}
}
