package vision

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"image"
	"image/color"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// dot is a PNG of one pixel.
func dot(t testing.TB, r, g, b uint8) []byte {
	m := image.NewNRGBA(image.Rect(0, 0, 1, 1))
	m.Set(0, 0, color.NRGBA{r, g, b, 255})
	return encoded(t, func(w io.Writer) error { return png.Encode(w, m) })
}

// plant writes files below a new folder.
func plant(t testing.TB, files map[string][]byte) string {
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// classFolderFiles are three pictures of two classes, each with its number as red, and things beside them.
func classFolderFiles(t testing.TB, prefix string) map[string][]byte {
	return map[string][]byte{
		prefix + "dog/b.png":        dot(t, 3, 0, 0),
		prefix + "cat/2.PNG":        dot(t, 1, 0, 0),
		prefix + "cat/10.png":       dot(t, 0, 0, 0),
		prefix + "cat/deeper/1.png": dot(t, 2, 0, 0),
		prefix + "cat/notes.txt":    []byte("not a picture"),
		prefix + "cat/._2.png":      []byte("not one either"),
		prefix + ".git/x.png":       []byte("nor a class"),
	}
}

func archived(t testing.TB, files map[string][]byte) []byte {
	return encoded(t, func(w io.Writer) error {
		z := gzip.NewWriter(w)
		archive := tar.NewWriter(z)
		for name, content := range files {
			if err := archive.WriteHeader(&tar.Header{Name: name, Size: int64(len(content)), Mode: 0o644}); err != nil {
				return err
			}
			if _, err := archive.Write(content); err != nil {
				return err
			}
		}
		if err := archive.Close(); err != nil {
			return err
		}
		return z.Close()
	})
}

// cifarFile is a file of three pictures of classes 7, 0 and 9, of which pixel 33 of the second is 1, 2, 3.
func cifarFile(kind cifar) []byte {
	file := make([]byte, 3*kind.record())
	for i, label := range []byte{7, 0, 9} {
		file[int64(i)*kind.record()+int64(kind.labels)-1] = label
	}
	for c := range 3 {
		file[kind.record()+int64(kind.labels+c*1024+33)] = byte(c + 1)
	}
	return file
}

func checkClassFolders(t *testing.T, d *Dataset) {
	t.Helper()
	if !slices.Equal(d.Classes, []string{"cat", "dog"}) || d.Len() != 4 {
		t.Fatalf("%d pictures of classes %q", d.Len(), d.Classes)
	}
	for i, want := range []string{"cat/10.png", "cat/2.PNG", "cat/deeper/1.png", "dog/b.png"} { // torchvision's order
		if !strings.HasSuffix(filepath.ToSlash(d.Name(i)), want) || d.Label(i) != i/3 {
			t.Errorf("picture %d is %s of class %d, want %s of class %d", i, d.Name(i), d.Label(i), want, i/3)
		}
		p, err := d.Picture(i)
		if err != nil || p.W != 1 || p.Pix[0] != uint8(i) {
			t.Errorf("picture %d is %+v (%v)", i, p, err)
		}
	}
}

func TestClassFolders(t *testing.T) {
	d, err := OpenDataset(plant(t, classFolderFiles(t, "")), Train)
	if err != nil {
		t.Fatal(err)
	}
	checkClassFolders(t, d)
	files := classFolderFiles(t, "val/")
	files["train/bird/1.png"] = dot(t, 9, 9, 9)
	dir := plant(t, files)
	if d, err = OpenDataset(dir, Test); err != nil {
		t.Fatal(err)
	}
	checkClassFolders(t, d)
	if name := filepath.ToSlash(d.Name(0)); name != "val/cat/10.png" {
		t.Errorf("the first picture is called %s", name)
	}
	if d, err = OpenDataset(dir, Train); err != nil || !slices.Equal(d.Classes, []string{"bird"}) {
		t.Errorf("train: %v (%v)", d, err)
	}
}

func TestLinkedClassFolders(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("symbolic links need rights there")
	}
	elsewhere := plant(t, classFolderFiles(t, ""))
	dir := t.TempDir()
	for _, class := range []string{"cat", "dog"} {
		if err := os.Symlink(filepath.Join(elsewhere, class), filepath.Join(dir, class)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(dir, filepath.Join(elsewhere, "cat", "circle")); err != nil {
		t.Fatal(err)
	}
	d, err := OpenDataset(dir, Test)
	if err != nil {
		t.Fatal(err)
	}
	checkClassFolders(t, d)
}

func TestArchive(t *testing.T) {
	both := classFolderFiles(t, "set/test/")
	both["set/train/bird/1.png"] = dot(t, 9, 9, 9)
	for what, files := range map[string]map[string][]byte{
		"classes": classFolderFiles(t, "./"), "wrapped": classFolderFiles(t, "a/b/"), "parts": both,
	} {
		t.Run(what, func(t *testing.T) {
			path := filepath.Join(plant(t, map[string][]byte{"set.tar.gz": archived(t, files)}), "set.tar.gz")
			d, err := OpenDataset(path, Test)
			if err != nil {
				t.Fatal(err)
			}
			checkClassFolders(t, d)
		})
	}
	file := archived(t, classFolderFiles(t, ""))
	size := int64(0)
	for name, content := range classFolderFiles(t, "") {
		if isPicture(name) && !strings.Contains(name, "._") && !strings.HasPrefix(name, ".") {
			size += int64(len(name)+len(content)) + 512
		}
	}
	if _, err := readArchive(bytes.NewReader(file), Test, size); err != nil {
		t.Error(err)
	}
	if _, err := readArchive(bytes.NewReader(file), Test, size-1); err == nil || !strings.Contains(err.Error(), "too large") {
		t.Errorf("a byte too many: %v", err)
	}
}

func TestCIFAR(t *testing.T) {
	for _, kind := range []cifar{cifar10, cifar100} {
		train, test := []string{"data_batch_1.bin", "data_batch_2.bin"}, "test_batch.bin"
		if kind == cifar100 {
			train, test = []string{"train.bin"}, "test.bin"
		}
		names := make([]string, kind.classes)
		for i := range names {
			names[i] = "class " + strconv.Itoa(i)
		}
		files := map[string][]byte{test: cifarFile(kind), kind.names: []byte(strings.Join(names, "\n") + "\n\n")}
		for _, name := range train {
			files[name] = cifarFile(kind)
		}
		dir := plant(t, files)
		d, err := OpenDataset(dir, Test)
		if err != nil {
			t.Fatal(err)
		}
		if d.Len() != 3 || d.Label(0) != 7 || d.Label(1) != 0 || d.Label(2) != 9 || !slices.Equal(d.Classes, names) {
			t.Errorf("%d pictures of classes %q", d.Len(), d.Classes)
		}
		if d, err = OpenDataset(dir, Train); err != nil || d.Len() != 3*len(train) {
			t.Fatalf("train: %+v (%v)", d, err)
		}
		for i := range d.Len() {
			p, err := d.Picture(i)
			if err != nil {
				t.Fatal(err)
			}
			for j, v := range p.Pix {
				want := uint8(0)
				if i%3 == 1 && j/3 == 33 {
					want = uint8(j%3 + 1)
				}
				if v != want {
					t.Fatalf("picture %d: sample %d is %d, want %d", i, j, v, want)
				}
			}
		}
		if want := train[len(train)-1] + "[2]"; d.Name(d.Len()-1) != want {
			t.Errorf("the last picture is %s, want %s", d.Name(d.Len()-1), want)
		}
		alone := plant(t, map[string][]byte{"x.bin": cifarFile(kind)})
		if d, err = OpenDataset(filepath.Join(alone, "x.bin"), Test); err != nil || d.Len() != 3 || len(d.Classes) != kind.classes || d.Classes[9] != "9" {
			t.Errorf("a file alone: %+v (%v)", d, err)
		}
	}
}

func TestIDXPair(t *testing.T) {
	labels := []byte{0, 0, 8, 1, 0, 0, 0, 2, 1, 3}
	for images, labelled := range map[string]string{
		"t10k-images-idx3-ubyte":    "t10k-labels-idx1-ubyte.gz",
		"t10k-images.idx3-ubyte.gz": "t10k-labels.idx1-ubyte",
	} {
		files := map[string][]byte{images: twoImages, labelled: labels, "train-images-idx3-ubyte": {}}
		for name := range files {
			if strings.HasSuffix(name, ".gz") {
				files[name] = gzipped(t, files[name])
			}
		}
		dir := plant(t, files)
		for _, path := range []string{dir, filepath.Join(dir, images)} {
			d, err := OpenDataset(path, Test)
			if err != nil {
				t.Fatal(err)
			}
			p, err := d.Picture(1)
			if d.Len() != 2 || d.Label(1) != 3 || !slices.Equal(d.Classes, []string{"0", "1", "2", "3"}) || d.Name(1) != images+"[1]" {
				t.Errorf("%s: %+v", path, d)
			}
			if err != nil || !slices.Equal(p.Pix, []uint8{40, 50, 60}) {
				t.Errorf("%s: picture 1 is %+v (%v)", path, p, err)
			}
		}
	}
}

func TestOpenDatasetRefuses(t *testing.T) {
	wrong := cifarFile(cifar10)
	wrong[cifar10.record()] = 10
	for _, c := range []struct {
		what, path string // below the folder
		files      map[string][]byte
		split      Split
		want       string
	}{
		{"nothing", "nothing", nil, Test, "nothing"},
		{"empty folder", "", nil, Test, "want class folders"},
		{"pictures without folders", "", map[string][]byte{"a.png": dot(t, 0, 0, 0)}, Test, "want class folders"},
		{"an empty class", "", map[string][]byte{"cat/a.png": nil, "dog/a.txt": nil}, Test, "a class folder without pictures"},
		{"no test part", "", map[string][]byte{"train/cat/a.png": nil}, Test, "no folder test or val, only train"},
		{"no kind", "x.npz", map[string][]byte{"x.npz": nil}, Test, "not a data set"},
		{"CIFAR cut", "x.bin", map[string][]byte{"x.bin": make([]byte, 3072)}, Test, "no whole number"},
		{"CIFAR empty", "x.bin", map[string][]byte{"x.bin": nil}, Test, "CIFAR of 0 bytes"},
		{"CIFAR of class 10", "x.bin", map[string][]byte{"x.bin": wrong}, Test, "picture 1 is of class 10"},
		{"CIFAR of two kinds", "", map[string][]byte{"data_batch_1.bin": cifarFile(cifar10), "train.bin": cifarFile(cifar100)}, Train, "is CIFAR-100, but"},
		{"CIFAR to train on", "", map[string][]byte{"test.bin": cifarFile(cifar100)}, Train, "CIFAR without its files to train on"},
		{"CIFAR with few names", "", map[string][]byte{"test_batch.bin": cifarFile(cifar10), "batches.meta.txt": []byte("cat")}, Test, "1 names for 10 classes"},
		{"IDX without labels", "", map[string][]byte{"t10k-images-idx3-ubyte": twoImages}, Test, "are not there"},
		{"IDX with few labels", "", map[string][]byte{"t10k-images-idx3-ubyte": twoImages, "t10k-labels-idx1-ubyte": {0, 0, 8, 1, 0, 0, 0, 1, 0}}, Test, "not the labels of 2 images"},
		{"IDX labels as images", "images-idx3", map[string][]byte{"images-idx3": {0, 0, 8, 1, 0, 0, 0, 1, 0}}, Test, "is not images"},
		{"IDX to train on", "", map[string][]byte{"t10k-images-idx3-ubyte": twoImages}, Train, "0 files of IDX images to train on"},
		{"tar cut", "x.tgz", map[string][]byte{"x.tgz": archived(t, classFolderFiles(t, ""))[:200]}, Test, "tar: "},
		{"tar of other things", "x.tar.gz", map[string][]byte{"x.tar.gz": archived(t, map[string][]byte{"a.txt": nil, "a.png": nil})}, Test, "no pictures in folders"},
	} {
		dir := plant(t, c.files)
		_, err := OpenDataset(filepath.Join(dir, c.path), c.split)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: error %v, want %q and the path", c.what, err, c.want)
		}
	}
	d, err := OpenDataset(plant(t, map[string][]byte{"cat/a.png": []byte("broken")}), Test)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Picture(0); err == nil || !strings.Contains(err.Error(), "a.png: not a JPEG") {
		t.Errorf("a broken picture: %v", err)
	}
}

// TestDatasetsByMany reads real sets by several goroutines.
func TestDatasetsByMany(t *testing.T) {
	root := os.Getenv("VGGO_TESTDATA")
	if root == "" {
		t.Skip("VGGO_TESTDATA is not set: real data sets are not read")
	}
	for _, c := range []struct {
		path    string
		split   Split
		n       int
		classes []string // some of the first
		shape   Picture
	}{
		{"fashion-mnist", Test, 10_000, []string{"0"}, Picture{W: 28, H: 28, Channels: 1}},
		{"fashion-mnist", Train, 60_000, []string{"0"}, Picture{W: 28, H: 28, Channels: 1}},
		{"cifar10-png.tar.gz", Test, 10_000, []string{"airplane", "automobile", "bird"}, Picture{W: 32, H: 32, Channels: 3}},
	} {
		if testing.Short() && isArchive(c.path) {
			continue // 135 MB: half a minute under the race detector
		}
		d, err := OpenDataset(filepath.Join(root, c.path), c.split)
		if err != nil {
			t.Fatal(err)
		}
		if d.Len() != c.n || len(d.Classes) != 10 || !slices.Equal(d.Classes[:len(c.classes)], c.classes) {
			t.Errorf("%s: %d pictures of classes %q", c.path, d.Len(), d.Classes)
		}
		count := make([]int, len(d.Classes))
		for i := range d.Len() {
			count[d.Label(i)]++
		}
		for class, n := range count {
			if n != c.n/10 {
				t.Errorf("%s: class %d has %d pictures", c.path, class, n)
			}
		}
		var wait sync.WaitGroup
		for g := range 4 {
			wait.Go(func() {
				for i := g; i < 400; i++ {
					p, err := d.Picture(i)
					if err != nil || p.W != c.shape.W || p.H != c.shape.H || p.Channels != c.shape.Channels {
						t.Errorf("%s: %v", d.Name(i), err)
						return
					}
				}
			})
		}
		wait.Wait()
	}
}
