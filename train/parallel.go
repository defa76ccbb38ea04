package train

import "github.com/vggo/vggo/internal/parallel"

// each does tasks side by side.
func each(threads, n int, do func(task int)) { parallel.Each(threads, n, do) }
