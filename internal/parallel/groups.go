package parallel

import (
	"context"
	"iter"
	"runtime"
	"slices"
	"sync"
)

// Groups makes items ready in groups of so many, the items of a group side by side, and the next group while one is in
// use. It ends when ctx is done; what is being made ready then is not given out.
func Groups[Item, Ready any](ctx context.Context, items []Item, size int,
	ready func(ctx context.Context, item Item) Ready) iter.Seq[[]Ready] {
	return func(yield func([]Ready) bool) {
		ctx, stop := context.WithCancel(ctx)
		groups := make(chan []Ready)
		var making sync.WaitGroup
		making.Go(func() {
			defer close(groups)
			for some := range slices.Chunk(items, size) {
				group := make([]Ready, len(some))
				Each(runtime.GOMAXPROCS(0), len(some), func(i int) {
					if ctx.Err() == nil {
						group[i] = ready(ctx, some[i])
					}
				})
				if ctx.Err() != nil {
					return
				}
				select {
				case groups <- group:
				case <-ctx.Done():
					return
				}
			}
		})
		defer making.Wait()
		defer stop()
		for group := range groups {
			if !yield(group) {
				return
			}
		}
	}
}
