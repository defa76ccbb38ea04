package vggo_test

import (
	"encoding/binary"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/printable"
	"github.com/vggo/vggo/vision"
)

// holes writes a safetensors file of VGG-16 whose weights are all 0: a header and a hole of 553 MB, which takes no
// disk.
func holes(t *testing.T) string {
	t.Helper()
	net, err := arch.Builtin("vgg16")
	if err != nil {
		t.Fatal(err)
	}
	placed, err := net.Place(net.Input)
	if err != nil {
		t.Fatal(err)
	}
	tensors, at := map[string]any{}, 0
	for _, layer := range placed.Layers {
		for _, p := range layer.Params {
			tensors[p.Name] = map[string]any{"dtype": "F32", "shape": p.Shape, "data_offsets": []int{at, at + 4*p.Count()}}
			at += 4 * p.Count()
		}
	}
	header, err := json.Marshal(tensors)
	if err != nil {
		t.Fatal(err)
	}
	header = append(header, strings.Repeat(" ", -len(header)&7)...)
	path := filepath.Join(t.TempDir(), "vgg16.safetensors")
	if err := os.WriteFile(path, append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...),
		0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, int64(8+len(header)+at)); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestLowMemoryOfAProcess classifies by VGG-16 in a process of its own, whose memory but for mapped files stays under
// 250 MB.
func TestLowMemoryOfAProcess(t *testing.T) {
	if path := os.Getenv("VGGO_LOW_MEMORY_WEIGHTS"); path != "" {
		lowMemoryProcess(t, path)
		return
	}
	if testing.Short() {
		t.Skip("runs VGG-16, which takes a minute on portable kernels")
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestLowMemoryOfAProcess$", "-test.v")
	cmd.Env = append(os.Environ(), "VGGO_LOW_MEMORY_WEIGHTS="+holes(t))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	_, rest, _ := strings.Cut(string(out), "private bytes: ")
	line, _, _ := strings.Cut(rest, "\n")
	private, err := strconv.ParseInt(line, 10, 64)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s of private memory", printable.Bytes(private))
	if private > 250e6 || private < vggo.LowMemoryLimit/2 {
		t.Errorf("%d bytes of private memory, want at most 250 MB, and half of what is allowed: else it is not measured",
			private)
	}
}

// lowMemoryProcess tells its private memory while the model is open: nothing that it has taken is given back by then.
func lowMemoryProcess(t *testing.T, path string) {
	m, err := vggo.Open(path, vggo.Options{Network: "vgg16", LowMemory: true})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if _, err := m.ClassifyAll(t.Context(), []*vision.Picture{vision.FromImage(noise(1, 640, 480))}); err != nil {
		t.Fatal(err)
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "RssAnon:")
	line, _, _ := strings.Cut(rest, " kB")
	kilobytes, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("private bytes: %d", kilobytes<<10)
}
