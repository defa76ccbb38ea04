package plainfile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
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
