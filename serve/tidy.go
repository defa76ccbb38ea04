package serve

import (
	"context"
	"runtime"
	"runtime/debug"
	runtimemetrics "runtime/metrics"
	"time"
)

// Memory that load has taken is given back once it is over. Go's own collector would come after two minutes, and the
// system would have the memory back minutes after that.
const (
	tidyEvery  = 5 * time.Second
	quietAfter = 20 * time.Second // without requests, what is laid out for those that seldom come goes too
)

// tidyAgain is how often a quiet server looks again while it has more than before: connections close some time after
// their requests.
const tidyAgain = 6

// tidy gives memory back until ctx is done.
func (s *Server) tidy(ctx context.Context) {
	debug.FreeOSMemory() // loading leaves much behind
	idle := residentBytes()
	var done int64     // requests that had come when there was nothing left to do
	again := tidyAgain // times that more is tried while nothing happens
	tick := time.NewTicker(s.tidyEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		forgotten := s.visits.Forget(time.Now().Add(-s.KeptFor))
		if id := s.learner.silent(); id != "" && s.endRun(id) {
			forgotten = true
		}
		asked := s.asked.Load()
		if asked == done && !forgotten {
			continue
		}
		quiet := asked == s.answered.Load() && time.Since(time.Unix(0, s.heard.Load())) > s.quietAfter
		if quiet {
			if residentBytes() <= idle+idle/4 || again == 0 {
				done, again = asked, tidyAgain
			} else {
				again--
			}
			if l := s.loaded.Load(); l != nil {
				for _, m := range l.models {
					m.Trim()
				}
			}
		}
		// A large picture that is being decoded would take it all again.
		if (quiet || residentBytes() > idle+idle/4) && !s.decode.busy() {
			runtime.GC() // pools let go in two steps
			debug.FreeOSMemory()
		}
	}
}

// residentBytes is what the Go runtime has from the system and has not given back.
func residentBytes() uint64 {
	samples := []runtimemetrics.Sample{{Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/released:bytes"}}
	runtimemetrics.Read(samples)
	return samples[0].Value.Uint64() - samples[1].Value.Uint64()
}
