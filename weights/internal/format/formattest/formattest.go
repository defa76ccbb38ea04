// Package formattest holds readers of files to what package format promises of them.
package formattest

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/weights/internal/format"
)

// File is a file of weights/testdata/formats, with those beside it.
func File(t testing.TB, name string) *format.Input {
	t.Helper()
	folder := filepath.Join("..", "..", "testdata", "formats")
	data, err := os.ReadFile(filepath.Join(folder, name))
	if err != nil {
		t.Fatal(err)
	}
	return &format.Input{Name: name, Data: data, Beside: func(name string) ([]byte, error) {
		return os.ReadFile(filepath.Join(folder, name))
	}}
}

// Bytes is an input of nothing but bytes.
func Bytes(name string, data []byte) *format.Input {
	return &format.Input{Name: name, Data: data, Beside: func(string) ([]byte, error) { return nil, fs.ErrNotExist }}
}

// ours is some network with every kind of layer that has parameters.
var ours = &arch.Network{Name: "ours", Input: arch.Shape{C: 3, H: 9, W: 9}, Layers: []arch.Layer{
	{Name: "conv1", Op: arch.Conv{Out: 4, NoBias: true, Window: arch.Window{Kernel: arch.Square(3), Pad: arch.Pad(1)}}},
	{Name: "bn1", Op: arch.BatchNorm{}},
	{Name: "flatten", Op: arch.Flatten{}},
	{Name: "fc2", Op: arch.Linear{Out: 5}},
}}

// Use reads an input, if the reader knows it, and everything that it then has: values, the network for pictures of
// their size or of another, names. Shapes must be those of the values.
func Use(t testing.TB, r format.Reader, in *format.Input) error {
	if len(in.Data) == 0 || !r.Knows(in) {
		return nil
	}
	c, err := r.Read(in)
	if err != nil {
		return err
	}
	net := c.Network
	if c.Sized != nil {
		if net, err = c.Sized(arch.Shape{C: max(c.Channels, 1), H: 32, W: 32}); err != nil {
			net = nil // a size that is not possible
		}
	}
	tensors := c.Tensors
	if net != nil {
		tensors = append(tensors[:len(tensors):len(tensors)], net.Derived...)
		if _, err := net.Network.Place(net.Network.Input); err != nil {
			t.Errorf("%s describes a network that is not possible: %v", in.Name, err)
		}
	}
	for _, tensor := range tensors {
		raw, err := tensor.Bytes()
		if want := format.Product(tensor.Shape) * tensor.DType.Size(); err == nil && len(raw) != want {
			t.Errorf("%s: tensor %q of shape %v and type %s has %d bytes", in.Name, tensor.Name, tensor.Shape, tensor.DType,
				len(raw))
		}
	}
	if c.Naming != nil {
		placed, err := ours.Place(ours.Input)
		if err != nil {
			t.Fatal(err)
		}
		c.Naming(placed.Layers)
	}
	return nil
}

// mostMemory bounds what reading a small broken file may take, beside the file.
const mostMemory = 16 << 20

// Hostile cuts a small file off at each of its bytes, and changes each of them: reading it must come to an end, in
// little memory. Some of both may be a file still, most are none.
func Hostile(t *testing.T, r format.Reader, in *format.Input) {
	t.Helper()
	if err := Use(t, r, in); err != nil {
		t.Fatal(err)
	}
	if !r.Knows(in) {
		t.Fatalf("%s is not known", in.Name)
	}
	whole := in.Data
	var before, after runtime.MemStats
	try := func(data []byte, what string, at int) {
		runtime.ReadMemStats(&before)
		broken := *in
		broken.Data = data
		_ = Use(t, r, &broken)
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > mostMemory {
			t.Errorf("%s, %s byte %d: %d bytes of memory were taken", in.Name, what, at, took)
		}
	}
	for n := range len(whole) {
		try(whole[:n:n], "cut off at", n)
		data := bytes.Clone(whole)
		data[n] ^= 0x81
		try(data, "changed at", n)
	}
}

// Fuzz tries a reader on whatever comes of some small files.
func Fuzz(f *testing.F, r format.Reader, names ...string) {
	for _, name := range names {
		f.Add(File(f, name).Data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) <= 1<<20 {
			_ = Use(t, r, Bytes("fuzz"+filepath.Ext(names[0]), data))
		}
	})
}
