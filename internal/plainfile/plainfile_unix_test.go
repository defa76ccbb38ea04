//go:build unix

package plainfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestOpenWaitsForNothing: a pipe that nobody writes to, and a device, are refused at once, through a symbolic link
// too.
func TestOpenWaitsForNothing(t *testing.T) {
	dir := t.TempDir()
	pipe, link := filepath.Join(dir, "pipe"), filepath.Join(dir, "link")
	if err := syscall.Mkfifo(pipe, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(pipe, link); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		pipe:        "a pipe, not a plain file: write what it gives into a file first",
		link:        "a pipe, not a plain file: write what it gives into a file first",
		"/dev/zero": "a device, not a plain file",
	} {
		if _, err := Open(path); !errors.As(err, new(*KindError)) || err.Error() != path+": "+want {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestOpenOwnPipe: what a shell makes of <(command) is open already, so that nobody waits.
func TestOpenOwnPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.WriteString(w, "content"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := Open(fmt.Sprintf("/dev/fd/%d", r.Fd()))
	if err != nil && strings.Contains(err.Error(), "no such file") {
		t.Skip("this system has no /dev/fd")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if text, err := io.ReadAll(f); string(text) != "content" || err != nil {
		t.Errorf("%q (%v)", text, err)
	}
}
