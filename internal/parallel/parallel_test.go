package parallel_test

import (
	"context"
	"slices"
	"testing"

	"github.com/vggo/vggo/internal/parallel"
)

func TestEach(t *testing.T) {
	for _, threads := range []int{0, 1, 3, 100} {
		done := make([]int, 10)
		parallel.Each(threads, len(done), func(i int) { done[i]++ })
		if slices.ContainsFunc(done, func(n int) bool { return n != 1 }) {
			t.Errorf("%d threads: tasks were done %v times", threads, done)
		}
	}
	parallel.Each(2, 0, func(int) { t.Error("there is no task") })
}

// TestGroups: all items come in order, whoever looks can stop, and nothing comes once the context is done.
func TestGroups(t *testing.T) {
	items := []int{0, 1, 2, 3, 4, 5, 6}
	double := func(_ context.Context, i int) int { return 2 * i }
	var got []int
	for group := range parallel.Groups(t.Context(), items, 3, double) {
		if len(group) > 3 {
			t.Errorf("a group of %d", len(group))
		}
		got = append(got, group...)
	}
	if want := []int{0, 2, 4, 6, 8, 10, 12}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	for range parallel.Groups(t.Context(), items, 3, double) {
		break
	}
	ctx, stop := context.WithCancel(t.Context())
	groups := 0
	for range parallel.Groups(ctx, items, 2, func(_ context.Context, i int) int {
		if i == 2 {
			stop()
		}
		return i
	}) {
		groups++
	}
	if groups > 1 {
		t.Errorf("%d groups after the context is done", groups)
	}
}
