package hub

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

// site is a server with one file on it, and faults.
type site struct {
	*httptest.Server
	content []byte
	tag     string
	// fault answers request n, counted from 0, and returns true; or leaves it to the site.
	fault func(n int, w http.ResponseWriter, r *http.Request) bool

	mu     sync.Mutex
	ranges []string // of the requests so far
}

// content is the file, drawn once: a site only reads it.
var content = sync.OnceValue(func() []byte {
	data := make([]byte, 3<<20+17)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range data {
		data[i] = byte(random.Uint32())
	}
	return data
})

func newSite(t *testing.T) *site {
	s := &site{content: content(), tag: `"one"`}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	n, fault := len(s.ranges), s.fault
	s.ranges = append(s.ranges, r.Header.Get("Range"))
	s.mu.Unlock()
	if fault == nil || !fault(n, w, r) {
		s.serve(w, r)
	}
}

// serve is the site without fault.
func (s *site) serve(w http.ResponseWriter, r *http.Request) {
	if s.tag != "" {
		w.Header().Set("ETag", s.tag)
	}
	http.ServeContent(w, r, "file", time.Time{}, bytes.NewReader(s.content))
}

// cut promises the whole file from where it was asked for, sends some bytes of it and drops the connection.
func (s *site) cut(w http.ResponseWriter, r *http.Request, bytes int) {
	s.serve(&cutter{ResponseWriter: w, left: bytes}, r)
	panic(http.ErrAbortHandler)
}

// cutter passes on so many bytes, and no more.
type cutter struct {
	http.ResponseWriter
	left int
}

func (c *cutter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p[:min(len(p), c.left)])
	c.left -= n
	_ = http.NewResponseController(c.ResponseWriter).Flush()
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	return n, err
}

// asked are the ranges of all requests.
func (s *site) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.ranges)
}

func (s *site) entry() Entry {
	return Entry{
		Name: "test", File: "test.pth", URL: Cited[string]{Value: s.URL + "/test.pth"},
		Size:     Cited[Size]{Value: exactly(int64(len(s.content)))},
		Checksum: Cited[Checksum]{Value: Checksum(fmt.Sprintf("sha256:%x", sha256.Sum256(s.content)))},
	}
}

// still is a timer that never fires by itself.
type still struct{}

func (still) Reset(time.Duration) bool { return true }
func (still) Stop() bool               { return true }

// newTestPuller downloads to a folder, without a clock. What it would have slept is kept in slept.
func newTestPuller(dir string, slept *[]time.Duration) *puller {
	p := newPuller(Options{Dir: dir})
	p.newTimer = func(time.Duration, func()) timer { return still{} }
	p.sleep = func(ctx context.Context, d time.Duration) error {
		if slept != nil {
			*slept = append(*slept, d)
		}
		return ctx.Err()
	}
	return p
}

// inspect wants the whole file under its name or nothing, and beside it only what belongs there.
func inspect(t *testing.T, dir string, s *site) (whole bool) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		switch f.Name() {
		case "test.pth":
			got, err := os.ReadFile(filepath.Join(dir, "test.pth"))
			if err != nil || !bytes.Equal(got, s.content) {
				t.Errorf("test.pth has %d bytes that are not the file's (%v)", len(got), err)
			}
			whole = true
		case "test.pth.sha256", "test.pth.partial", "test.pth.partial.json", ".test.pth.lock":
		default:
			t.Errorf("%s is left", f.Name())
		}
	}
	if whole && len(files) > 3 || whole && Recorded(filepath.Join(dir, "test.pth")) != fmt.Sprintf("%x",
		sha256.Sum256(s.content)) {
		t.Errorf("beside the whole file: %v", files)
	}
	return whole
}

// kept is how many bytes a later call can go on from.
func kept(dir string) int64 {
	info, err := os.Stat(filepath.Join(dir, "test.pth.partial"))
	if err != nil {
		return 0
	}
	return info.Size()
}
