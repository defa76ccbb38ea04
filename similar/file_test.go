package similar

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/vggo/vggo/vision"
	"github.com/vggo/vggo/weights"
)

func small(t testing.TB) *Index {
	t.Helper()
	x := random(t, 2, 5, 6)
	x.Note = Note{"vgg16", "0123", "vgg16.pth", "pool5", vision.ImageNet(224, 224).Parts()}
	copied(x, 2)
	for i := range x.Pictures {
		x.Pictures[i].Path, x.Pictures[i].Bytes, x.Pictures[i].Modified = "图/<a&b>\n\""+x.Pictures[i].Path, 1<<40, -5
	}
	return x
}

// written is the bytes of an index.
func written(t testing.TB, x *Index) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x")
	if err := x.Write(path); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// TestFile: an index is read as it was written, and begins as the array that vggo features writes.
func TestFile(t *testing.T) {
	for _, x := range []*Index{small(t), {Dims: 3, Vectors: []float32{}, Pictures: []Picture{}, Smalls: []Small{}}} {
		file := written(t, x)
		got, err := read(bytes.NewReader(file), int64(len(file)))
		if err != nil || !reflect.DeepEqual(got, x) {
			t.Errorf("%v:\n%+v\nwant\n%+v", err, got, x)
		}
		if !bytes.HasPrefix(file, weights.NPYHeader(len(x.Pictures), x.Dims)) {
			t.Error("it does not begin with an array of vectors")
		}
	}
}

// TestDamaged: no byte of an index can be lost or turned without being noticed.
func TestDamaged(t *testing.T) {
	file := written(t, small(t))
	var damaged *DamagedError
	for n := range len(file) {
		if n > 1000 && n < 5*Side*Side && n%13 != 0 { // within the small pictures
			continue
		}
		if _, err := read(bytes.NewReader(file[:n]), int64(n)); !errors.As(err, &damaged) {
			t.Fatalf("cut off after %d bytes: %v", n, err)
		}
		flipped := bytes.Clone(file)
		flipped[n] ^= 1
		if x, err := read(bytes.NewReader(flipped), int64(len(file))); !errors.As(err, &damaged) {
			t.Fatalf("turned at byte %d: %v, %v", n, x, err)
		}
	}
	if _, err := read(bytes.NewReader(append(file, '\n')), int64(len(file)+1)); !errors.As(err, &damaged) {
		t.Errorf("with a byte behind it: %v", err)
	}
}

// TestForeign: what is no index is told from one that is damaged, and sizes that a file makes up take no memory.
func TestForeign(t *testing.T) {
	x := small(t)
	array := append(weights.NPYHeader(2, 3), make([]byte, 24)...)
	huge := append(weights.NPYHeader(2_000_000_000, 1_000_000), make([]byte, 99)...)
	long := small(t)
	for i := range long.Vectors {
		long.Vectors[i] *= 1.01
	}
	for _, c := range []struct {
		name    string
		file    []byte
		foreign bool
		want    string
	}{
		{"nothing", nil, true, "too short"},
		{"text", []byte(strings.Repeat("a line\n", 100)), true, "does not begin"},
		{"an array", array, true, "an array alone"},
		{"three axes", append(weights.NPYHeader(2, 3, 4), make([]byte, 96)...), true, "does not begin"},
		{"no dimensions", append(weights.NPYHeader(2, 0), make([]byte, 96)...), true, "does not begin"},
		{"huge", huge, false, "2000000000 vectors"},
		{"other notes", append(written(t, x)[:len(weights.NPYHeader(0, 0))+4*5*6], huge...), false, "do not follow"},
		{"vectors that are too long", written(t, long), false, "has the length 1.01"},
	} {
		path := filepath.Join(t.TempDir(), "x")
		if err := os.WriteFile(path, c.file, 0o666); err != nil {
			t.Fatal(err)
		}
		_, err := Open(path)
		var damaged *DamagedError
		if !errors.As(err, &damaged) || damaged.Foreign != c.foreign || !strings.Contains(err.Error(), c.want) ||
			!strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func FuzzIndex(f *testing.F) {
	f.Add(written(f, small(f)))
	f.Add(weights.NPYHeader(1, 1))
	f.Fuzz(func(t *testing.T, file []byte) {
		x, err := read(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			return
		}
		if again := written(t, x); !bytes.Equal(again, file) {
			y, err := read(bytes.NewReader(again), int64(len(again)))
			if err != nil || !reflect.DeepEqual(x, y) {
				t.Errorf("%v: written anew it is another index", err)
			}
		}
	})
}
