package train_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/vggo/vggo/train"
)

// TestSmallDisk fills a real file system, of 1 MiB, under a run: it stops, loses nothing, and goes on when there is
// room.
func TestSmallDisk(t *testing.T) {
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("mounting a file system needs root: %v (TestFullDisk does without)", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	})
	o := train.Options{Recipe: tiny(), Train: tinySet, Folder: t.TempDir()}
	want, _ := run(t, o)

	ballast := filepath.Join(disk, "ballast")
	o.Folder = filepath.Join(disk, "run")
	filling := o
	filling.Report = func(r train.Report) {
		if r.Step != 11 || r.Saved != "" || r.Validation != nil {
			return
		}
		f, err := os.Create(ballast)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for err == nil {
			_, err = f.Write(make([]byte, 512))
		}
	}
	trainer, err := train.New(filling)
	if err != nil {
		t.Fatal(err)
	}
	_, err = trainer.Run(t.Context())
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("%v, want a full disk", err)
	}
	t.Log(err)
	trainer.Close()
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	saved, err := train.ReadSaved(o.Folder)
	if err != nil {
		t.Fatal(err)
	}
	if saved.Step == 0 {
		t.Error("the checkpoints before the full disk are gone")
	}
	again, err := train.Resume(o, saved)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if _, err := again.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(read(t, filepath.Join(o.Folder, train.ModelFile)), want) {
		t.Error("after a full disk the run ends with other bits")
	}
}

// TestFeaturesOnSmallDisk: where what is kept of frozen layers finds no room, the run goes on without, to the same
// bits, and says so.
func TestFeaturesOnSmallDisk(t *testing.T) {
	var counted int
	var said []string
	o := keeping(t, &counted, &said)
	want, _ := run(t, o)
	disk := filepath.Join(t.TempDir(), "run", train.FeaturesFolder)
	if err := os.MkdirAll(disk, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=20k"); err != nil {
		t.Skipf("mounting a file system needs root: %v (TestKeptFaults does without)", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	})
	said, o.Folder = nil, filepath.Dir(disk)
	got, _ := run(t, o)
	if !bytes.Equal(got, want) {
		t.Error("other bits on a full disk")
	}
	if len(said) != 2 || !strings.Contains(said[1], "features cannot be kept: ") ||
		!strings.Contains(said[1], "no space left on device") {
		t.Errorf("said is %q", said)
	}
	if left, _ := os.ReadDir(disk); len(left) != 0 {
		t.Errorf("left are %v", left)
	}
}
