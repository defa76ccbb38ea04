package hub

import (
	"crypto/md5"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestNoChecksum: the first download's SHA-256 is kept, and later holds the file.
func TestNoChecksum(t *testing.T) {
	s, dir := newSite(t), t.TempDir()
	e := s.entry()
	e.Checksum, e.Size = Cited[Checksum]{}, Cited[Size]{}
	if _, err := newTestPuller(dir, nil).pull(t.Context(), e); err != nil || !inspect(t, dir, s) {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "test.pth")
	if want := fmt.Sprintf("%x", sha256.Sum256(s.content)); Recorded(path) != want {
		t.Errorf("recorded %q, want %q", Recorded(path), want)
	}
	write(t, path, s.content[1:])
	var mismatch *mismatchError
	if _, err := newTestPuller(dir, nil).pull(t.Context(), e); !errors.As(err, &mismatch) {
		t.Errorf("a changed file: %v", err)
	}
	// A connection that closes does not tell a whole file from a cut one, and here nothing else does.
	s.fault = func(_ int, w http.ResponseWriter, _ *http.Request) bool {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return true
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.0 200 OK\r\n\r\nhalf of it")
		return true
	}
	if _, err := newTestPuller(t.TempDir(), nil).pull(t.Context(), e); err == nil ||
		!strings.Contains(err.Error(), "does not tell the file's length") {
		t.Errorf("without length or checksum: %v", err)
	}
}

// TestMD5: Keras tells that.
func TestMD5(t *testing.T) {
	s, dir := newSite(t), t.TempDir()
	e := s.entry()
	e.Size, e.Checksum.Value = Cited[Size]{}, Checksum(fmt.Sprintf("md5:%x", md5.Sum(s.content)))
	if _, err := newTestPuller(dir, nil).pull(t.Context(), e); err != nil || !inspect(t, dir, s) {
		t.Error(err)
	}
	e.Checksum.Value = "md5:00000000000000000000000000000000"
	if _, err := newTestPuller(t.TempDir(), nil).pull(t.Context(), e); err == nil ||
		!strings.Contains(err.Error(), "its MD5 is ") {
		t.Error(err)
	}
}

// TestPointer: a Git LFS pointer tells checksum and size before the file is asked for.
func TestPointer(t *testing.T) {
	s := newSite(t)
	sum, size := sha256.Sum256(s.content), int64(len(s.content))
	pointer := func(sum [32]byte, size int64) string {
		return fmt.Sprintf("version https://git-lfs.github.com/spec/v1\noid sha256:%x\nsize %d\n", sum, size)
	}
	for _, c := range []struct{ name, text, fails string }{
		{"right", pointer(sum, size), ""},
		{"of another file", pointer([32]byte{}, size), "not the published file"},
		{"of another size", pointer(sum, size+1), "the server offers 3145745 bytes"},
		{"of a size that the page does not tell", pointer(sum, 2*size), "its Git LFS pointer tells 6291490 bytes"},
		{"a page", "<html>", "its Git LFS pointer: it is no Git LFS pointer"},
		{"endless", pointer(sum, size) + strings.Repeat("x", 1<<20), "its Git LFS pointer: it is no Git LFS pointer"},
	} {
		dir := t.TempDir()
		s.fault = func(_ int, w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/pointer" {
				io.WriteString(w, c.text)
			}
			return r.URL.Path == "/pointer"
		}
		e := s.entry()
		e.Checksum, e.Pointer = Cited[Checksum]{}, s.URL+"/pointer"
		e.Size.Value = Size{size - 10, size + 10}
		_, err := newTestPuller(dir, nil).pull(t.Context(), e)
		if whole := inspect(t, dir, s); whole != (c.fails == "") || (err == nil) != whole || err != nil &&
			!strings.Contains(err.Error(), c.fails) {
			t.Errorf("%s: %v, want %q", c.name, err, c.fails)
		}
	}
}

// TestDowngrade: no redirect leads out of TLS.
func TestDowngrade(t *testing.T) {
	s, dir := newSite(t), t.TempDir()
	secure := httptest.NewTLSServer(http.RedirectHandler(s.URL+"/?signature=secret", http.StatusFound))
	defer secure.Close()
	p := newTestPuller(dir, nil)
	p.client = secure.Client()
	p.client.CheckRedirect = checkRedirect
	e := s.entry()
	e.URL.Value = secure.URL
	if _, err := p.pull(t.Context(), e); err == nil || !strings.Contains(err.Error(), "redirects from https to http://") ||
		strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
	// A certificate that nobody vouches for is not tried again.
	var slept []time.Duration
	secure.Config.ErrorLog = nil
	if _, err := newTestPuller(dir, &slept).pull(t.Context(), e); err == nil ||
		!strings.Contains(err.Error(), "certificate") || slept != nil {
		t.Errorf("%v, after %v", err, slept)
	}
	if len(s.asked()) != 0 || inspect(t, dir, s) {
		t.Errorf("asked for %q", s.asked())
	}
}

// TestProxy: the environment's proxy is asked.
func TestProxy(t *testing.T) {
	transport := newClient().Transport.(*http.Transport)
	if transport.Proxy == nil || !transport.DisableCompression {
		t.Error("no proxy, or compression")
	}
}

func write(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
}
