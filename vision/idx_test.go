package vision

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var twoImages = []byte{0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3, 10, 20, 30, 40, 50, 60}

func gzipped(t testing.TB, content []byte) []byte {
	return encoded(t, func(w io.Writer) error {
		z := gzip.NewWriter(w)
		if _, err := z.Write(content); err != nil {
			return err
		}
		return z.Close()
	})
}

func TestReadIDX(t *testing.T) {
	for name, file := range map[string][]byte{"plain": twoImages, "gzip": gzipped(t, twoImages)} {
		x, err := ReadIDX(bytes.NewReader(file))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if x.Len() != 2 || !slices.Equal(x.Dims, []int{2, 1, 3}) {
			t.Errorf("%s: dimensions %v", name, x.Dims)
		}
		p, err := x.Picture(1)
		if err != nil || p.W != 3 || p.H != 1 || p.Channels != 1 || !slices.Equal(p.Pix, []uint8{40, 50, 60}) {
			t.Errorf("%s: image 1 is %+v (%v)", name, p, err)
		}
		for _, i := range []int{-1, 2} {
			if _, err := x.Picture(i); err == nil {
				t.Errorf("%s: there is an image %d", name, i)
			}
		}
	}
	labels, err := ReadIDX(bytes.NewReader([]byte{0, 0, 8, 1, 0, 0, 0, 2, 7, 9}))
	if err != nil || !slices.Equal(labels.Data, []uint8{7, 9}) {
		t.Errorf("labels %v (%v)", labels, err)
	}
	if _, err := labels.Picture(0); err == nil {
		t.Error("a label is a picture")
	}
}

func TestReadIDXRefuses(t *testing.T) {
	zipped := gzipped(t, twoImages)
	for _, c := range []struct {
		what string
		file []byte
		want string
	}{
		{"empty", nil, "header is truncated"},
		{"text", []byte("hello"), `begins "hell"`},
		{"no dimensions", []byte{0, 0, 8, 0}, "not an IDX file"},
		{"nine dimensions", []byte{0, 0, 8, 9}, "not an IDX file"},
		{"floats", []byte{0, 0, 0x0d, 1, 0, 0, 0, 1, 0, 0, 0, 0}, "type 0x0d"},
		{"dimension cut", twoImages[:9], "header is truncated"},
		{"values cut", twoImages[:20], "truncated after 4 of 6 values"},
		{"too many", append(slices.Clone(twoImages), 1), "goes on after its 6 values"},
		{"zero", []byte{0, 0, 8, 1, 0, 0, 0, 0}, "dimension 0 is 0"},
		{"bomb", []byte{0, 0, 8, 3, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0}, "dimension 1 is 65536"},
		{"promise", []byte{0, 0, 8, 1, 0x3f, 0xff, 0xff, 0xff, 1}, "truncated after 1 of 1073741823 values"},
		{"gzip cut", zipped[:len(zipped)-12], "truncated"},
		{"gzip without its sum", zipped[:len(zipped)-5], "truncated within its gzip checksum"},
		{"gzip broken", append(slices.Clone(zipped[:len(zipped)-1]), 99), "gzip: invalid checksum"},
	} {
		if _, err := ReadIDX(bytes.NewReader(c.file)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.what, err, c.want)
		}
	}
}

func TestFashionMNIST(t *testing.T) {
	root := os.Getenv("VGGO_TESTDATA")
	if root == "" {
		t.Skip("VGGO_TESTDATA is not set: Fashion-MNIST is not read")
	}
	dir := filepath.Join(root, "fashion-mnist")
	images, err := ReadIDXFile(filepath.Join(dir, "t10k-images-idx3-ubyte.gz"))
	if err != nil {
		t.Fatal(err)
	}
	labels, err := ReadIDXFile(filepath.Join(dir, "t10k-labels-idx1-ubyte.gz"))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(images.Dims, []int{10000, 28, 28}) || !slices.Equal(labels.Dims, []int{10000}) {
		t.Fatalf("images %v, labels %v", images.Dims, labels.Dims)
	}
	var count [10]int
	for _, l := range labels.Data {
		count[l]++
	}
	for class, n := range count {
		if n != 1000 {
			t.Errorf("class %d has %d images, want 1000", class, n)
		}
	}
}

func FuzzIDX(f *testing.F) {
	f.Add(twoImages)
	f.Add(gzipped(f, twoImages))
	f.Add([]byte{0, 0, 8, 1, 0x3f, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, file []byte) {
		x, err := ReadIDX(bytes.NewReader(file))
		if err != nil {
			return
		}
		size := 1
		for _, d := range x.Dims {
			size *= d
		}
		if size != len(x.Data) || len(x.Dims) == 0 || x.Len() < 1 {
			t.Fatalf("dimensions %v with %d values", x.Dims, len(x.Data))
		}
	})
}
