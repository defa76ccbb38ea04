//go:build !windows

package machine

import "time"

var began = time.Now()

// Now is the time since some moment, by a clock fine enough for a layer.
func Now() time.Duration { return time.Since(began) }
