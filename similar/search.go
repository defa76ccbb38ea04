package similar

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"

	"github.com/vggo/vggo/internal/kernel"
	"github.com/vggo/vggo/internal/parallel"
)

// Hit is a picture that was found.
type Hit struct {
	Index  int     `json:"index"` // into Index.Pictures
	Path   string  `json:"path"`
	Cosine float64 `json:"cosine"` // of its vector and the one that was looked for, in float64
}

// Find returns the n pictures whose vectors are nearest to one of length 1, the nearest first and of equally near ones
// the first in the index. It is exact, by products in float64. threads of 0 are one for each processor.
//
// All vectors are read once, by the dot kernel in float32; those that its rounding leaves in question are multiplied
// again. n is at least 1.
func (x *Index) Find(ctx context.Context, vector []float32, n, threads int) ([]Hit, error) {
	if len(vector) != x.Dims || n < 1 {
		return nil, fmt.Errorf("%d nearest to a vector of %d numbers, in an index of vectors of %d", n, len(vector), x.Dims)
	}
	if square := dot64(vector, vector); square != 0 && !(math.Abs(square-1) < unit) {
		return nil, fmt.Errorf("nearest to a vector of length %.4g, not 1", math.Sqrt(square))
	}
	set, err := kernel.Active()
	if err != nil {
		return nil, err
	}
	rows := len(x.Pictures)
	scores := make([]float32, rows)
	const chunk = 1024
	err = share(ctx, (rows+chunk-1)/chunk, threads, func(task int) {
		from, to := task*chunk, min((task+1)*chunk, rows)
		set.Dot(&kernel.Dot{M: 1, N: to - from, K: x.Dims, A: vector, ARow: x.Dims, B: x.Vectors[from*x.Dims : to*x.Dims],
			BRow: x.Dims, C: scores[from:to], CRow: to - from})
	})
	if err != nil || rows == 0 {
		return nil, err
	}
	least := float64(kth(scores, min(n, rows))) - float64(2*rounding(x.Dims))
	var hits []Hit
	for i, s := range scores {
		if float64(s) >= least {
			hits = append(hits, Hit{i, x.Pictures[i].Path, dot64(vector, x.Vector(i))})
		}
	}
	slices.SortStableFunc(hits, func(a, b Hit) int { return cmp.Compare(b.Cosine, a.Cosine) })
	return hits[:min(n, len(hits))], nil
}

// rounding bounds how far a product of k float32 by the kernel, in whatever order and fused or not, is from the exact
// one of vectors of length 1: gamma(k) = k·u/(1 − k·u), u = 2^-24 (Higham, Accuracy and Stability of Numerical
// Algorithms, section 3.1), times the sum of |a·b|, which is 1 + unit at most by Cauchy and Schwarz.
func rounding(k int) float64 {
	const u = 1.0 / (1 << 24)
	ku := float64(float64(k) * u)
	return float64(ku / (1 - ku) * (1 + unit))
}

// dot64 is a product in float64, added up from the first number to the last. Products of two float32 are exact.
func dot64(a, b []float32) float64 {
	sum := 0.0
	for i, x := range a {
		sum += float64(float64(x) * float64(b[i]))
	}
	return sum
}

// kth is the k-th largest of values, k from 1 to as many as there are, by a heap whose root is the smallest of the
// largest.
func kth(values []float32, k int) float32 {
	heap := slices.Clone(values[:k])
	sift := func(i int) {
		for {
			child := 2*i + 1
			if child >= k {
				return
			}
			if child+1 < k && heap[child+1] < heap[child] {
				child++
			}
			if heap[i] <= heap[child] {
				return
			}
			heap[i], heap[child] = heap[child], heap[i]
			i = child
		}
	}
	for i := k/2 - 1; i >= 0; i-- {
		sift(i)
	}
	for _, v := range values[k:] {
		if v > heap[0] {
			heap[0] = v
			sift(0)
		}
	}
	return heap[0]
}

// share has so many threads take tasks 0 to n-1, until ctx is done. What a task does must not depend on who takes it.
func share(ctx context.Context, n, threads int, job func(task int)) error {
	if threads < 1 {
		threads = runtime.GOMAXPROCS(0)
	}
	parallel.Each(threads, n, func(task int) {
		if ctx.Err() == nil {
			job(task)
		}
	})
	return ctx.Err()
}
