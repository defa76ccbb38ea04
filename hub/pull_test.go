package hub

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vggo/vggo/internal/durable"
)

// TestFaults: whatever the server does, there is the whole file or none, and once it behaves the file arrives to the
// bit.
func TestFaults(t *testing.T) {
	const half = 3 << 19
	status := func(code int, header ...string) func(int, http.ResponseWriter, *http.Request) bool {
		return func(n int, w http.ResponseWriter, _ *http.Request) bool {
			if n > 0 {
				return false
			}
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(code)
			return true
		}
	}
	always := func(do func(s *site, w http.ResponseWriter, r *http.Request)) func(s *site) {
		return func(s *site) {
			s.fault = func(_ int, w http.ResponseWriter, r *http.Request) bool { do(s, w, r); return true }
		}
	}
	once := func(do func(s *site, w http.ResponseWriter, r *http.Request)) func(s *site) {
		return func(s *site) {
			s.fault = func(n int, w http.ResponseWriter, r *http.Request) bool {
				if n == 0 {
					do(s, w, r)
				}
				return n == 0
			}
		}
	}
	// second has the first answer cut in the middle, and do for the next.
	second := func(do func(s *site, w http.ResponseWriter, r *http.Request)) func(s *site) {
		return func(s *site) {
			s.fault = func(n int, w http.ResponseWriter, r *http.Request) bool {
				switch n {
				case 0:
					s.cut(w, r, half)
				case 1:
					do(s, w, r)
				}
				return n < 2
			}
		}
	}
	after := "bytes=" + strconv.Itoa(half) + "-"
	for _, c := range []struct {
		name   string
		set    func(s *site)
		change func(e *Entry)
		fails  string // what the error says; empty where the file arrives
		asked  []string
		slept  []time.Duration
		kept   int64
	}{
		{name: "none", asked: []string{""}},
		{name: "connection dropped", set: once(func(s *site, w http.ResponseWriter, r *http.Request) { s.cut(w, r, half) }),
			asked: []string{"", after}, slept: []time.Duration{time.Second}},
		{name: "dropped before the answer",
			set:   once(func(*site, http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }),
			asked: []string{"", ""}, slept: []time.Duration{time.Second}},
		{name: "dropped at every megabyte", set: always(func(s *site, w http.ResponseWriter, r *http.Request) {
			s.cut(w,
				r, 1<<20)
		}),
			asked: []string{"", "bytes=1048576-", "bytes=2097152-", "bytes=3145728-"},
			slept: []time.Duration{time.Second, time.Second, time.Second}},
		{name: "dropped without progress", set: always(func(s *site, w http.ResponseWriter, r *http.Request) {
			s.cut(w,
				r, 1000)
		}),
			fails: "broke off after 6000 bytes of 3.1 MB: the connection broke off (6 tries)", kept: 6000,
			slept: []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second}},
		{name: "ranges ignored, dropped", set: always(func(s *site, w http.ResponseWriter, r *http.Request) {
			r.Header.Del("Range")
			s.cut(w, r, half)
		}), fails: "broke off after 1.6 MB of 3.1 MB: the connection broke off (6 tries)", kept: half},
		{name: "ranges ignored", set: second(func(s *site, w http.ResponseWriter, r *http.Request) {
			r.Header.Del("Range")
			s.serve(w, r)
		}), asked: []string{"", after}},
		{name: "no validator", set: func(s *site) {
			s.tag = ""
			s.fault = func(n int, w http.ResponseWriter, r *http.Request) bool {
				if n == 0 {
					s.cut(w, r, half)
				}
				return false
			}
		}, asked: []string{"", ""}},
		{name: "another place", set: second(func(s *site, w http.ResponseWriter, r *http.Request) {
			r.Header.Set("Range", "bytes=5-")
			s.serve(w, r)
		}), asked: []string{"", after, ""}},
		{name: "another file's part", set: second(func(s *site, w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", half, len(s.content)-1, len(s.content)))
			w.Header().Set("ETag", `"two"`)
			w.WriteHeader(http.StatusPartialContent)
			w.Write(make([]byte, len(s.content)-half))
		}), asked: []string{"", after, ""}},
		{name: "part of another length", set: second(func(s *site, w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", half, len(s.content), len(s.content)+1))
			w.Header().Set("ETag", s.tag)
			w.WriteHeader(http.StatusPartialContent)
		}), asked: []string{"", after, ""}},
		{name: "no such range", set: second(func(s *site, w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
		}), asked: []string{"", after, ""}},
		{name: "part unasked", set: once(func(s *site, w http.ResponseWriter, r *http.Request) {
			r.Header.Set("Range", "bytes=0-99")
			s.serve(w, r)
		}), fails: "sends a part of the file, and was asked for the whole", asked: []string{""}},
		{name: "range not readable", set: second(func(s *site, w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Range", "bytes 9-5/7")
			w.WriteHeader(http.StatusPartialContent)
		}), fails: `the range "bytes 9-5/7"`, kept: half},
		{name: "too long", set: always(func(s *site, w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "99999999999")
			w.Write(s.content)
		}), fails: "offers 99999999999 bytes, and the file has 3.1 MB: nothing was downloaded", asked: []string{""}},
		{name: "too short", set: always(func(s *site, w http.ResponseWriter, r *http.Request) { w.Write(s.content[:100]) }),
			fails: "offers 100 bytes", asked: []string{""}},
		{name: "login page", set: always(func(s *site, w http.ResponseWriter, r *http.Request) {
			io.WriteString(w,
				"<html>pay here")
		}),
			fails: "it is a web page, perhaps of a network that wants a login", asked: []string{""}},
		{name: "promise not kept", set: always(func(s *site, w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", s.tag)
			w.Header().Set("Content-Length", strconv.Itoa(len(s.content)))
			w.Write(s.content[:100])
		}), fails: "broke off after 100 bytes of 3.1 MB", kept: 100},
		{name: "endless", set: always(func(s *site, w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", s.tag)
			for r.Context().Err() == nil { // in chunks, without a length
				w.Write(make([]byte, 1<<16))
				http.NewResponseController(w).Flush()
			}
		}), fails: "sends more than the 3145745 bytes that the file may have: nothing is kept", asked: []string{""}},
		{name: "length untold", set: always(func(s *site, w http.ResponseWriter, r *http.Request) {
			http.NewResponseController(w).Flush()
			w.Write(s.content)
		}), asked: []string{""}},
		{name: "length untold, short", set: always(func(s *site, w http.ResponseWriter, r *http.Request) {
			http.NewResponseController(w).Flush()
			w.Write(s.content[:7])
		}), fails: "the server sent 7 bytes, and the file has 3.1 MB (6 tries)"},
		{name: "wrong bytes", set: always(func(s *site, w http.ResponseWriter,
			r *http.Request) {
			w.Write(make([]byte, len(s.content)))
		}),
			fails: "what was downloaded is not the published file: its SHA256 is ", asked: []string{""}},
		{name: "changed meanwhile", set: func(s *site) {
			old := bytes.Repeat([]byte("old"), len(s.content)/3+1)[:len(s.content)]
			s.fault = func(n int, w http.ResponseWriter, r *http.Request) bool {
				if n == 0 {
					(&site{content: old, tag: `"old"`}).cut(w, r, half)
				}
				return false
			}
		}, asked: []string{"", after}},
		{name: "redirected", set: once(func(s *site, w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/there",
				http.StatusFound)
		}),
			asked: []string{"", ""}},
		{name: "redirected for ever", set: always(func(s *site, w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/again?signature=secret", http.StatusFound)
		}), fails: "leads through more than 10 redirects", asked: make([]string, 11)},
		{name: "429", set: func(s *site) { s.fault = status(429, "Retry-After", "7") }, asked: []string{"", ""},
			slept: []time.Duration{7 * time.Second}},
		{name: "503 until a date", set: func(s *site) {
			s.fault = status(503, "Retry-After", "Thu, 26 Nov 2026 12:00:09 GMT", "Date", "Thu, 26 Nov 2026 12:00:00 GMT")
		}, asked: []string{"", ""}, slept: []time.Duration{9 * time.Second}},
		{name: "503 for an hour", set: func(s *site) { s.fault = status(503, "Retry-After", "3600") },
			fails: "answers 503 Service Unavailable, and asks to wait for 1h0m0s", asked: []string{""}},
		{name: "500 for ever", set: always(func(s *site, w http.ResponseWriter, r *http.Request) { w.WriteHeader(500) }),
			fails: "answers 500 Internal Server Error (6 tries)", asked: make([]string, 6)},
		{name: "404", set: func(s *site) { s.fault = status(404) }, fails: "answers 404 Not Found", asked: []string{""}},
		{name: "only digits of its name", change: func(e *Entry) { e.Checksum.Value = e.Checksum.Value[:len("sha256:")+8] },
			asked: []string{""}},
		{name: "other digits in its name", change: func(e *Entry) { e.Checksum.Value = "sha256:0123abcd" },
			fails: "begins with ", asked: []string{""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, dir := newSite(t), t.TempDir()
			if c.set != nil {
				c.set(s)
			}
			e := s.entry()
			if c.change != nil {
				c.change(&e)
			}
			var slept []time.Duration
			path, err := newTestPuller(dir, &slept).pull(t.Context(), e)
			whole := inspect(t, dir, s)
			switch {
			case c.fails == "" && (err != nil || !whole || path != filepath.Join(dir, "test.pth")):
				t.Errorf("%q, %v", path, err)
			case c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails) || whole || path != ""):
				t.Errorf("%q, %v; want an error that says %q", path, err, c.fails)
			case err != nil && strings.Contains(err.Error(), "secret"):
				t.Errorf("%v tells a redirect's address", err)
			}
			if c.asked != nil && !slices.Equal(s.asked(), c.asked) {
				t.Errorf("asked for %q, want %q", s.asked(), c.asked)
			}
			if c.slept != nil && !slices.Equal(slept, c.slept) {
				t.Errorf("waited for %v, want %v", slept, c.slept)
			}
			if got := kept(dir); got != c.kept {
				t.Errorf("%d bytes are kept, want %d", got, c.kept)
			}
			// Now the server behaves.
			s.fault = nil
			before := len(s.asked())
			if _, err := newTestPuller(dir, nil).pull(t.Context(), s.entry()); err != nil || !inspect(t, dir, s) {
				t.Errorf("afterwards: %v", err)
			}
			if c.kept > 0 && s.asked()[before] != fmt.Sprintf("bytes=%d-", c.kept) {
				t.Errorf("afterwards it is asked for %q: nothing is made of the %d bytes kept", s.asked()[before:], c.kept)
			}
		})
	}
}

// TestStall: a connection on which nothing moves is given up, and the next goes on.
func TestStall(t *testing.T) {
	for _, c := range []struct {
		name  string
		bytes int
	}{{"in the middle", 1 << 20}, {"before the answer", 0}} {
		t.Run(c.name, func(t *testing.T) {
			s, dir := newSite(t), t.TempDir()
			reached := make(chan struct{}) // the first request stands still
			s.fault = func(n int, w http.ResponseWriter, r *http.Request) bool {
				if n > 0 {
					return false
				}
				if c.bytes > 0 {
					s.serve(&cutter{ResponseWriter: w, left: c.bytes}, r)
				} else {
					close(reached)
				}
				<-r.Context().Done()
				return true
			}
			p := newTestPuller(dir, nil)
			var fire func()
			p.newTimer = func(d time.Duration, f func()) timer {
				if d != stallAfter {
					t.Errorf("the timer is set to %v", d)
				}
				if fire == nil {
					fire = f
					if c.bytes == 0 {
						go func() { <-reached; f() }()
					}
				}
				return still{}
			}
			p.Progress = func(done, total int64) {
				if done == int64(c.bytes) {
					fire()
				}
			}
			var said []string
			p.Notice = func(text string) { said = append(said, text) }
			if _, err := p.pull(t.Context(), s.entry()); err != nil || !inspect(t, dir, s) {
				t.Fatal(err)
			}
			if want := "less than 30 KiB came in 30s: again in 1s"; !slices.Equal(said, []string{want}) {
				t.Errorf("said %q, want %q", said, want)
			}
			if asked := s.asked(); len(asked) != 2 || c.bytes > 0 && asked[1] != fmt.Sprintf("bytes=%d-", c.bytes) {
				t.Errorf("asked for %q", asked)
			}
		})
	}
}

// TestDrip: bytes that come one by one buy a connection no time; so much of them within the time does.
func TestDrip(t *testing.T) {
	s, dir := newSite(t), t.TempDir()
	s.fault = func(n int, w http.ResponseWriter, r *http.Request) bool {
		if n > 0 {
			return false
		}
		s.serve(&cutter{ResponseWriter: w, left: 100}, r)
		<-r.Context().Done()
		return true
	}
	p := newTestPuller(dir, nil)
	counted := &countingTimer{}
	p.newTimer = func(_ time.Duration, f func()) timer {
		if counted.fire == nil {
			counted.fire = f
		}
		return counted
	}
	first, resets := true, 0
	p.Progress = func(done, total int64) {
		if first && done == 100 {
			if resets = counted.resets; resets > 1 {
				t.Errorf("100 bytes buy time %d times", resets)
			}
			first = false
			counted.fire()
		}
	}
	if _, err := p.pull(t.Context(), s.entry()); err != nil || !inspect(t, dir, s) {
		t.Fatal(err)
	}
	if most := len(s.content)/leastBytes + 1; counted.resets <= resets+1 || counted.resets-resets > most {
		t.Errorf("%d bytes buy time %d times, want up to %d", len(s.content), counted.resets-resets, most)
	}
}

// countingTimer counts how often it is given more time.
type countingTimer struct {
	fire   func()
	resets int
}

func (c *countingTimer) Reset(time.Duration) bool { c.resets++; return true }
func (c *countingTimer) Stop() bool               { return true }

// TestCancel: Ctrl-C keeps what there is.
func TestCancel(t *testing.T) {
	s, dir := newSite(t), t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	p := newTestPuller(dir, nil)
	p.Progress = func(done, total int64) {
		if total != int64(len(s.content)) {
			t.Errorf("of %d bytes", total)
		}
		if done > 1<<20 {
			cancel()
		}
	}
	_, err := p.pull(ctx, s.entry())
	var broken *InterruptedError
	if !errors.Is(err, context.Canceled) || !errors.As(err, &broken) || broken.Have != kept(dir) || broken.Have <= 1<<20 ||
		inspect(t, dir, s) {
		t.Fatalf("%v, %d bytes kept", err, kept(dir))
	}
	if _, err := newTestPuller(dir, nil).pull(t.Context(), s.entry()); err != nil || !inspect(t, dir, s) {
		t.Fatal(err)
	}
	if broken.Have == int64(len(s.content)) { // all of it was on its way before the cancelling was noticed
		return
	}
	if want := fmt.Sprintf("bytes=%d-", broken.Have); len(s.asked()) != 2 || s.asked()[1] != want {
		t.Errorf("asked for %q, want %q", s.asked(), want)
	}
}

// TestResumeAnywhere: a process that was killed after any number of bytes leaves something to go on from.
func TestResumeAnywhere(t *testing.T) {
	s := newSite(t)
	size := len(s.content)
	for _, have := range []int{0, 1, 1000, size / 2, size - 1, size} {
		for _, spoilt := range []bool{false, true} {
			dir := t.TempDir()
			part := slices.Clone(s.content[:have])
			if spoilt && have > 0 {
				part[have/2] ^= 1
			}
			write(t, filepath.Join(dir, "test.pth.partial"), part)
			write(t, filepath.Join(dir, "test.pth.partial.json"), fmt.Appendf(nil, `{"url":%q,"validator":%q,"total":%d}`,
				s.entry().URL.Value, s.tag, size))
			before := len(s.asked())
			if _, err := newTestPuller(dir, nil).pull(t.Context(), s.entry()); err != nil || !inspect(t, dir, s) {
				t.Fatalf("from %d bytes, spoilt: %v: %v", have, spoilt, err)
			}
			want := []string{fmt.Sprintf("bytes=%d-", have)}
			switch have {
			case 0:
				want = []string{""}
			case size:
				want = nil
			}
			if spoilt && have > 0 {
				want = append(want, "")
			}
			if asked := s.asked()[before:]; !slices.Equal(asked, want) {
				t.Errorf("from %d bytes, spoilt: %v: asked for %q, want %q", have, spoilt, asked, want)
			}
		}
	}
}

// TestForeignPartial: bytes whose state is not that of this file are not gone on from.
func TestForeignPartial(t *testing.T) {
	s := newSite(t)
	url, size := s.entry().URL.Value, len(s.content)
	for _, c := range []struct {
		state string
		bytes int
	}{
		{"", 100},
		{"{", 100},
		{fmt.Sprintf(`{"url":"https://elsewhere.example/","validator":%q,"total":%d}`, s.tag, size), 100},
		{fmt.Sprintf(`{"url":%q,"validator":"","total":%d}`, url, size), 100},
		{fmt.Sprintf(`{"url":%q,"validator":%q,"total":%d}`, url, s.tag, size+1), 100},
		{fmt.Sprintf(`{"url":%q,"validator":%q,"total":-1}`, url, s.tag), 100},
		{fmt.Sprintf(`{"url":%q,"validator":%q,"total":50}`, url, s.tag), 100},
		{fmt.Sprintf(`{"url":%q,"validator":%q,"total":0}`, url, s.tag), size + 1},
		{strings.Repeat(" ", 1<<17), 100},
	} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "test.pth.partial"), make([]byte, c.bytes))
		write(t, filepath.Join(dir, "test.pth.partial.json"), []byte(c.state))
		before := len(s.asked())
		if _, err := newTestPuller(dir, nil).pull(t.Context(), s.entry()); err != nil || !inspect(t, dir, s) {
			t.Errorf("%.80s: %v", c.state, err)
		}
		if asked := s.asked()[before:]; !slices.Equal(asked, []string{""}) {
			t.Errorf("%.80s: asked for %q", c.state, asked)
		}
	}
}

// TestDiskFull names the cause and keeps what was written.
func TestDiskFull(t *testing.T) {
	if len(durable.FullDisk) == 0 {
		t.Skip("a full disk is not told apart on this system")
	}
	s, dir := newSite(t), t.TempDir()
	p := newTestPuller(dir, nil)
	p.output = func(w io.Writer) io.Writer { return &smallDisk{w, 1 << 20} }
	_, err := p.pull(t.Context(), s.entry())
	if err == nil || !strings.Contains(err.Error(), "broke off after 1.0 MB of 3.1 MB: the disk is full: ") ||
		inspect(t, dir, s) {
		t.Fatal(err)
	}
	if kept(dir) != 1<<20 || len(s.asked()) != 1 {
		t.Errorf("%d bytes are kept, asked for %q", kept(dir), s.asked())
	}
	if _, err := newTestPuller(dir, nil).pull(t.Context(), s.entry()); err != nil || !inspect(t, dir, s) {
		t.Error(err)
	}
}

// smallDisk has room for so many bytes.
type smallDisk struct {
	io.Writer
	room int
}

func (d *smallDisk) Write(p []byte) (int, error) {
	n, err := d.Writer.Write(p[:min(len(p), d.room)])
	d.room -= n
	if err == nil && n < len(p) {
		err = &os.PathError{Op: "write", Path: "disk", Err: durable.FullDisk[0]}
	}
	return n, err
}

// TestTakeTurns: of many calls for one file, one downloads it.
func TestTakeTurns(t *testing.T) {
	s, dir := newSite(t), t.TempDir()
	const callers = 4
	var waiting sync.WaitGroup // until all others stand before the lock
	waiting.Add(callers - 1)
	s.fault = func(int, http.ResponseWriter, *http.Request) bool { waiting.Wait(); return false }
	done := make(chan struct{}, callers)
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			p := newTestPuller(dir, nil)
			var once sync.Once
			p.sleep = func(context.Context, time.Duration) error {
				once.Do(waiting.Done)
				<-done // handed on by who has finished
				done <- struct{}{}
				return nil
			}
			if _, err := p.pull(t.Context(), s.entry()); err != nil {
				t.Error(err)
			}
			select {
			case done <- struct{}{}:
			default:
			}
		})
	}
	all.Wait()
	if !inspect(t, dir, s) || len(s.asked()) != 1 {
		t.Errorf("%d downloads", len(s.asked()))
	}
}

// TestAlreadyThere: a file that is there is checked, never replaced.
func TestAlreadyThere(t *testing.T) {
	s, dir := newSite(t), t.TempDir()
	if _, err := newTestPuller(dir, nil).pull(t.Context(), s.entry()); err != nil {
		t.Fatal(err)
	}
	if _, err := newTestPuller(dir, nil).pull(t.Context(), s.entry()); err != nil || len(s.asked()) != 1 {
		t.Errorf("again: %v, asked for %q", err, s.asked())
	}
	path := filepath.Join(dir, "test.pth")
	for _, other := range [][]byte{[]byte("my own"), make([]byte, len(s.content))} {
		write(t, path, other)
		_, err := newTestPuller(dir, nil).pull(t.Context(), s.entry())
		var mismatch *mismatchError
		if !errors.As(err, &mismatch) || mismatch.Path != path {
			t.Errorf("%d other bytes: %v", len(other), err)
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, other) {
			t.Errorf("%d other bytes were changed (%v)", len(other), err)
		}
	}
	if len(s.asked()) != 1 {
		t.Errorf("asked for %q", s.asked())
	}
}
