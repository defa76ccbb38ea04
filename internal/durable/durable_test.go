package durable_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
	}{{"first", nil, "first"}, {"second", broken, "first"}, {strings.Repeat("long", 1<<20), broken, "first"}, {"third", nil, "third"}} {
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
	if err := durable.Write(missing, text("x", nil)); !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), "cannot write "+missing+": ") {
		t.Errorf("a missing folder: %v", err)
	}
}
