package durable_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vggo/vggo/internal/durable"
)

// TestWrite: a file is there whole; a failure leaves the old one, and nothing beside it.
func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	text := func(s string, end error) func(io.Writer) error {
		return func(w io.Writer) error {
			if _, err := os.Stat(path); s == "first" && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the name is there before the file is whole: %v", err)
			}
			if _, err := io.WriteString(w, s); err != nil {
				return err
			}
			return end
		}
	}
	broken := errors.New("broken")
	for _, c := range []struct {
		text string
		end  error
		want string
	}{{"first", nil, "first"}, {"second", broken, "first"}, {strings.Repeat("long", 1<<20), broken, "first"},
		{"third", nil, "third"}} {
		if err := durable.Write(path, text(c.text, c.end)); !errors.Is(err, c.end) {
			t.Errorf("%.10s: %v, want %v", c.text, err, c.end)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != c.want {
			t.Errorf("after %.10s the file holds %.10q (%v), want %q", c.text, got, err, c.want)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
			t.Errorf("after %.10s the folder holds %v (%v)", c.text, left, err)
		}
	}
	missing := filepath.Join(dir, "missing", "file")
	if err := durable.Write(missing, text("x", nil)); !errors.Is(err, fs.ErrNotExist) ||
		!strings.HasPrefix(err.Error(), "cannot write "+missing+": ") {
		t.Errorf("a missing folder: %v", err)
	}
}

// TestWriteContext: a write that is given up is its context's cause, and leaves what was there before and nothing
// beside it.
func TestWriteContext(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := durable.WriteBytes(path, []byte("before")); err != nil {
		t.Fatal(err)
	}
	gone := errors.New("gone")
	for after := range 4 {
		ctx, cancel := context.WithCancelCause(t.Context())
		err := durable.WriteContext(ctx, path, func(w io.Writer) error {
			for i := range 3 {
				if i == after {
					cancel(gone)
				}
				if _, err := w.Write(make([]byte, 1000)); err != nil {
					return err
				}
			}
			cancel(gone) // after the last write, before the name
			return nil
		})
		if !errors.Is(err, gone) {
			t.Errorf("given up after %d writes: %v", after, err)
		}
		if text, err := os.ReadFile(path); err != nil || string(text) != "before" {
			t.Errorf("after %d writes the file holds %.20q (%v)", after, text, err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
			t.Errorf("after %d writes the folder holds %v (%v)", after, left, err)
		}
	}
}

// TestStale: a partial file that nobody holds nor has written to for long is removed by the next write there, and no
// other.
func TestStale(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	names := map[string]time.Duration{ // and how old
		"file.partial-abc1":  time.Hour,
		"file.partial-held":  time.Hour,
		"file.partial-young": 0,
		"file.partial":       time.Hour,
		"file.partial-A.txt": time.Hour,
		"other.partial-abc":  time.Hour,
		"file.partial-dir":   time.Hour,
	}
	for name, age := range names {
		full := filepath.Join(dir, name)
		if name == "file.partial-dir" {
			if err := os.Mkdir(full, 0o777); err != nil {
				t.Fatal(err)
			}
		} else if err := os.WriteFile(full, nil, 0o666); err != nil {
			t.Fatal(err)
		}
		when := time.Now().Add(-age)
		if err := os.Chtimes(full, when, when); err != nil {
			t.Fatal(err)
		}
	}
	held, err := os.OpenFile(filepath.Join(dir, "file.partial-held"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if err := durable.TryLock(held); err != nil {
		t.Fatal(err)
	}
	second, err := os.OpenFile(filepath.Join(dir, "file.partial-held"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if err := durable.TryLock(second); !errors.Is(err, durable.ErrLocked) {
		t.Skip("this system has no locks")
	}
	if err := durable.WriteBytes(path, []byte("new")); err != nil {
		t.Fatal(err)
	}
	for name := range names {
		_, err := os.Lstat(filepath.Join(dir, name))
		if gone := errors.Is(err, fs.ErrNotExist); gone != (name == "file.partial-abc1") {
			t.Errorf("%s is gone: %t", name, gone)
		}
	}
}

// TestCheck: what cannot be written is known before, and nothing is left.
func TestCheck(t *testing.T) {
	dir := t.TempDir()
	if err := durable.Check(filepath.Join(dir, "file")); err != nil {
		t.Error(err)
	}
	missing := filepath.Join(dir, "missing", "file")
	if err := durable.Check(missing); !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), "cannot write "+
		missing+": ") {
		t.Errorf("a missing folder: %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("the folder holds %v (%v)", left, err)
	}
}
