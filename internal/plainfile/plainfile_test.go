package plainfile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := os.WriteFile(path, []byte("content"), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(f); string(text) != "content" || err != nil {
		t.Errorf("%q (%v)", text, err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	var kind *KindError
	if _, err := Open(dir); !errors.As(err, &kind) || err.Error() != dir+": a folder, not a plain file" {
		t.Errorf("a folder: %v", err)
	}
	var named *fs.PathError
	if _, err := Open(path + "x"); !errors.Is(err, fs.ErrNotExist) || !errors.As(err, &named) || named.Op != "open" ||
		named.Path != path+"x" {
		t.Errorf("nothing: %v", err)
	}
}

// A folder's name is no pattern, only its files' are matched.
func TestLike(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "runs [old]")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, name := range []string{"a.partial-1", "b.partial-2", "c"} {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		want = append(want, path)
	}
	if got, err := Like(folder, "*.partial-*"); err != nil || !slices.Equal(got, want[:2]) {
		t.Errorf("%q (%v), not %q", got, err, want[:2])
	}
	if got, err := Like(filepath.Join(folder, "none"), "*"); err != nil || len(got) > 0 {
		t.Errorf("%q (%v) in a folder that is not there", got, err)
	}
}
