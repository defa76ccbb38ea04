package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestFullDisk: on a full disk, and on one that cannot be written to, every command that writes a file says so in one
// line and leaves what was there before, and nothing beside it.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("a small disk takes root: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	boot := "../../docs/examples/boot.png"
	commands := [][]string{ // the file to be written comes last
		{"arch", "vgg16", "--format", "svg", "-o", "o.svg"},
		{"convert", tinyWeights, "o.safetensors"}, {"convert", tinyWeights, "o.npz"}, {"convert", tinyWeights, "o.onnx"},
		{"explain", boot, "-o", "o.png"},
		{"features", boot, "--layer", "relu1_1", "-o", "o.npy"},
		{"features", boot, "--layer", "relu1_1", "--shard", "0/1", "-o", "o.npy"},
		{"classify", boot, "-o", "o.json"}, {"classify", boot, "--shard", "0/1", "-o", "o.json"},
		{"bench", "--model", "tinyvgg", "--steps", "1", "--burn-in", "0", "--batch", "1", "--mode", "forward", "-o", "o.txt"},
		{"similar", "index", boot, "--restart", "-o", "o.index"},
		{"calibrate", "-o", "costs.json"}, // which is not there
		{"pull", "vgg16", "--dir", "models"},
	}
	for _, args := range commands {
		if last := args[len(args)-1]; strings.HasPrefix(last, "o.") {
			if err := os.WriteFile(filepath.Join(dir, last), []byte("before"), 0o666); err != nil {
				t.Fatal(err)
			}
		}
	}
	filler, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	for block := make([]byte, 4096); ; {
		if _, err := filler.Write(block); err != nil {
			break
		}
	}
	filler.Close()
	for _, disk := range []struct {
		name, want string
		flags      uintptr
	}{{"full", "no space left on device", 0}, {"read-only", "read-only file system", unix.MS_REMOUNT | unix.MS_RDONLY}} {
		if disk.flags != 0 {
			if err := unix.Mount("tmpfs", dir, "tmpfs", disk.flags, ""); err != nil {
				t.Fatal(err)
			}
		}
		for _, args := range commands {
			last := args[len(args)-1]
			if last == "costs.json" && disk.flags == 0 {
				continue // an empty file is made, and then minutes are measured
			}
			path := filepath.Join(dir, last)
			code, stdout, stderr := vggo(t.Context(), append(args[:len(args)-1:len(args)-1], path)...)
			told, named := 0, last
			if slices.Contains(args, "--shard") {
				named = "o.shard-0-of-1.jsonl"
			}
			for line := range strings.Lines(stderr) {
				if strings.HasPrefix(line, "vggo: ") && strings.Contains(line, disk.want) && strings.Count(line, named) == 1 {
					told++
				}
			}
			if code != exitFailure || told != 1 || stdout != "" && args[0] != "bench" {
				t.Errorf("%s, %v: exit %d, %s%s", disk.name, args, code, stdout, stderr)
			}
			if strings.HasPrefix(last, "o.") {
				if text, err := os.ReadFile(path); err != nil || string(text) != "before" {
					t.Errorf("%s, %v: the file holds %.20q (%v)", disk.name, args, text, err)
				}
			}
			entries, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, entry := range entries {
				inside, _ := os.ReadDir(filepath.Join(dir, entry.Name()))
				if entry.Name() != "filler" && !strings.HasPrefix(entry.Name(), "o.") && (entry.Name() != "models" ||
					len(inside) > 0) || strings.Contains(entry.Name(), "partial") {
					t.Errorf("%s, %v leaves %s %v", disk.name, args, entry.Name(), inside)
				}
			}
		}
	}
}
