package weights

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"math"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// zipOf makes an archive of members, by name and content in turn.
func zipOf(t testing.TB, method uint16, members ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for i := 0; i < len(members); i += 2 {
		m, err := w.CreateHeader(&zip.FileHeader{Name: members[i], Method: method})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Write([]byte(members[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// torchCall pickles one tensor {"a": rebuild(storage "0" of so many float32, offset, size, strides)}; numbers below
// 256.
func torchCall(values, offset int, size, strides []int) string {
	number := func(n int) string { return "K" + string([]byte{byte(n)}) }
	tuple := func(list []int) string {
		s := "("
		for _, n := range list {
			s += number(n)
		}
		return s + "t"
	}
	return "\x80\x02}X\x01\x00\x00\x00actorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorag" +
		"e\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu" +
		number(values) + "tQ" + number(offset) + tuple(size) + tuple(strides) + "\x89NtRs."
}

// TestTorchViews reads tensors that are views of a storage of the values 0 to 7.
func TestTorchViews(t *testing.T) {
	var values []byte
	for i := range 8 {
		values = binary.LittleEndian.AppendUint32(values, math.Float32bits(float32(i)))
	}
	for _, c := range []struct {
		offset        int
		size, strides []int
		want          []float32
		reason        string
	}{
		{0, []int{8}, []int{1}, []float32{0, 1, 2, 3, 4, 5, 6, 7}, ""},
		{2, []int{2, 3}, []int{3, 1}, []float32{2, 3, 4, 5, 6, 7}, ""},
		{0, []int{2, 3}, []int{1, 2}, []float32{0, 2, 4, 1, 3, 5}, ""}, // Fortran's order
		{1, []int{2, 2, 2}, []int{0, 1, 3}, []float32{1, 4, 2, 5, 1, 4, 2, 5}, ""},
		{7, []int{8}, []int{0}, slices.Repeat([]float32{7}, 8), ""}, // expanded
		{7, []int{9}, []int{0}, nil, "in a storage of 8 values"},    // beyond what the storage takes
		{3, nil, nil, []float32{3}, ""},
		{5, []int{1, 2}, []int{99, 1}, []float32{5, 6}, ""}, // the stride of one element is nothing
		{200, []int{0, 3}, []int{1, 1}, nil, ""},            // nothing lies anywhere
		{8, nil, nil, nil, "ends at value"},
		{1, []int{8}, []int{1}, nil, "a tensor that ends at value 9 of a storage of 8"},
		{0, []int{2, 3}, []int{6, 1}, nil, "ends at value"},
		{0, []int{255, 255, 255, 2}, []int{0, 0, 0, 0}, nil, "in a storage of 8 values"},
		{0, slices.Repeat([]int{255}, 16), slices.Repeat([]int{0}, 16), nil, "in a storage of 8 values"},
		{0, []int{2}, []int{1, 1}, nil, "strides"},
	} {
		for _, method := range []uint16{zip.Store, zip.Deflate} {
			f, err := Open(store(t, zipOf(t, method, "x/data.pkl", torchCall(8, c.offset, c.size, c.strides), "x/byteorder",
				"little", "x/data/0", string(values))))
			if c.reason != "" {
				if err == nil || !strings.Contains(err.Error(), c.reason) {
					t.Errorf("%v: %v, want %q", c, err, c.reason)
				}
				continue
			}
			if err != nil {
				t.Errorf("%v: %v", c, err)
				continue
			}
			got, err := f.Tensor("a")
			if err != nil || !slices.Equal(got.Data, c.want) || !slices.Equal(got.Shape, c.size) {
				t.Errorf("%v, method %d: %v %v (%v)", c, method, got.Shape, got.Data, err)
			}
			f.Close()
		}
	}
}

// TestArchivesRefused: what is wrong with an archive is said, before memory is taken.
func TestArchivesRefused(t *testing.T) {
	pickled := torchCall(2, 0, []int{2}, []int{1})
	array := func(head string, values int) string {
		head += strings.Repeat(" ", 127-10-len(head)) + "\n"
		return "\x93NUMPY" + "\x01\x00" + string([]byte{byte(len(head)), 0}) + head + string(make([]byte, values))
	}
	plain := array("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", 8)
	deflated := zipOf(t, zip.Deflate, "a.npy", array("{'descr': '<f4', 'fortran_order': False, 'shape': (2000,), }", 8000))
	inflating := zipOf(t, zip.Deflate, "x/data.pkl", strings.Repeat("0", 64<<20+1))
	flags := zipOf(t, zip.Store, "a.npy", plain)
	flags[bytes.Index(flags, []byte("PK\x01\x02"))+8] |= 1
	method := zipOf(t, zip.Store, "a.npy", plain)
	method[bytes.Index(method, []byte("PK\x01\x02"))+10] = 14
	wrongSum := bytes.Clone(deflated)
	wrongSum[bytes.Index(wrongSum, []byte("PK\x01\x02"))+16] ^= 1
	claims := bytes.Clone(deflated)
	binary.LittleEndian.PutUint32(claims[bytes.Index(claims, []byte("PK\x01\x02"))+24:], 1<<31)
	for _, c := range []struct {
		name, reason string
		data         []byte
	}{
		{"twice", `"a.npy": occurs twice`, zipOf(t, zip.Store, "a.npy", plain, "a.npy", plain)},
		{"encrypted", "encrypted", flags},
		{"method", "compressed by method 14", method},
		{"claims", "bytes cannot hold 2147483648", claims},
		{"sum", "checksum error", wrongSum},
		{"big pickle", "the most is 67108864", inflating},
		{"two pickles", "two pickles", zipOf(t, zip.Store, "a/data.pkl", pickled, "b/data.pkl", pickled)},
		{"no storage", `storage "0" is not in the archive`, zipOf(t, zip.Store, "a/data.pkl", pickled)},
		{"short storage", "of type F32 has 7 bytes", zipOf(t, zip.Store, "a/data.pkl", pickled, "a/data/0", "1234567")},
		{"order", "written on a big-endian machine", zipOf(t, zip.Store, "a/data.pkl", pickled, "a/byteorder", "big")},
		{"program", "a program of more than 4194304 bytes", zipOf(t, zip.Deflate, "a/data.pkl", pickled, "a/constants.pkl",
			"",
			"a/code/__torch__.py", strings.Repeat(" ", 4<<20+1))},
		{"nothing", `no tensor "a"`, zipOf(t, zip.Store, "a/data.pkl", "\x80\x02}.")},
		{"itself", "it may hold itself", zipOf(t, zip.Store, "a/data.pkl", "\x80\x02]q\x00h\x00a.")},
		{"cut", "zip archive", deflated[:len(deflated)-30]},
		{"stranger", "neither PyTorch", zipOf(t, zip.Store, "a.txt", "")},
		{"npy size", "8 bytes of values, 12 by its header", zipOf(t, zip.Store, "a.npy",
			array("{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", 8))},
		{"npy structure", "without a plain type", zipOf(t, zip.Store, "a.npy",
			array("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }", 8))},
		{"npy text", `type "U2" is not one of numbers`, zipOf(t, zip.Store, "a.npy",
			array("{'descr': '<U2', 'fortran_order': False, 'shape': (1,), }", 8))},
		{"npy objects", "holds pickled objects", zipOf(t, zip.Store, "a.npy",
			array("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", 8))},
		{"npy shape", "a shape of", zipOf(t, zip.Store, "a.npy",
			array("{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904,4), }", 8))},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f, err := Open(store(t, c.data))
		if err == nil {
			_, err = f.Tensor("a")
			f.Close()
		}
		runtime.ReadMemStats(&after)
		if err == nil || !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%s: %v, want %q", c.name, err, c.reason)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > uint64(4<<20+2*len(c.data)) {
			t.Errorf("%s takes %d bytes", c.name, took)
		}
	}
}

// TestWriteNPZNames: names beyond ASCII are marked as what they are, and NumPy reads them so.
func TestWriteNPZNames(t *testing.T) {
	path := filepath.Join(t.TempDir(), "w.npz")
	tensors := []Tensor{{Name: "größe/w", Shape: []int{1}, Data: []float32{1}}}
	if err := WriteNPZ(t.Context(), path, tensors, nil); err != nil {
		t.Fatal(err)
	}
	r, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if m := r.File[0]; m.Name != "größe/w.npy" || m.NonUTF8 {
		t.Errorf("member %q, not UTF-8: %v", m.Name, m.NonUTF8)
	}
	if f := open(t, path); f.Names()[0] != "größe/w" {
		t.Errorf("names %q", f.Names())
	}
}
