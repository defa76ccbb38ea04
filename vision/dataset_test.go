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
		file[int64(i)*kind.record()+int64(kind.labelBytes)-1] = label
	}
	for c := range 3 {
		file[kind.record()+int64(kind.labelBytes+c*1024+33)] = byte(c + 1)
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
		if IsPictureName(name) && !strings.Contains(name, "._") && !strings.HasPrefix(name, ".") {
			size += int64(len(name)+len(content)) + 512
		}
	}
	if _, err := readTar(bytes.NewReader(file), "x.tar", Test, size); err != nil {
		t.Error(err)
	}
	if _, err := readTar(bytes.NewReader(file), "x.tar", Test, size-1); err == nil ||
		!strings.Contains(err.Error(), "too large") {
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
		if d, err = OpenDataset(filepath.Join(alone, "x.bin"), Test); err != nil || d.Len() != 3 ||
			len(d.Classes) != kind.classes || d.Classes[9] != "9" {
			t.Errorf("a file alone: %+v (%v)", d, err)
		}
	}
}

// TestPickledCIFAR reads CIFAR's Python version, as Python 2 and Python 3 write it (scripts/gen_cifar.py).
func TestPickledCIFAR(t *testing.T) {
	for _, c := range []struct {
		path   string
		split  Split
		first  int // picture's number in the generator
		labels []int
		named  string // class 9
		last   string // picture's name
	}{
		{"cifar10", Test, 0, []int{7, 9}, "truck", "test_batch[1]"},
		{"cifar10", Train, 2, []int{5, 9, 3, 9}, "truck", "data_batch_2[1]"},
		{"cifar10/data_batch_2", Test, 4, []int{3, 9}, "truck", "data_batch_2[1]"},
		{"cifar100", Test, 0, []int{99, 0}, "fine 9", "test[1]"},
		{"cifar100", Train, 2, []int{99, 2}, "fine 9", "train[1]"},
		{"again-3", Test, 0, []int{7, 9}, "9", "again-3[1]"},
		{"again-4", Test, 0, []int{7, 9}, "9", "again-4[1]"},
		{"again-5", Test, 0, []int{7, 9}, "9", "again-5[1]"},
	} {
		d, err := OpenDataset(filepath.Join("testdata/cifar", c.path), c.split)
		if err != nil {
			t.Error(err)
			continue
		}
		if !slices.Equal(d.labels, c.labels) || d.Classes[9] != c.named || d.Name(d.Len()-1) != c.last {
			t.Errorf("%s: classes %v, the ninth %q; the last picture is %s", c.path, d.labels, d.Classes[9], d.Name(d.Len()-1))
		}
		for i := range d.Len() {
			p, err := d.Picture(i)
			if err != nil || p.W != 32 || p.H != 32 || p.Channels != 3 {
				t.Fatalf("%s: picture %d: %+v (%v)", c.path, i, p, err)
			}
			for j, got := range p.Pix {
				if want := uint8(50*(c.first+i) + 3*(j/3%32) + 5*(j/96) + 70*(j%3)); got != want {
					t.Fatalf("%s: picture %d: sample %d is %d, want %d", c.path, i, j, got, want)
				}
			}
		}
	}
}

// TestPickledCIFARRefuses: a file of CIFAR's with one thing changed, byte by byte.
func TestPickledCIFARRefuses(t *testing.T) {
	whole, err := os.ReadFile("testdata/cifar/cifar10/test_batch")
	if err != nil {
		t.Fatal(err)
	}
	meta, err := os.ReadFile("testdata/cifar/cifar10/batches.meta")
	if err != nil {
		t.Fatal(err)
	}
	again, err := os.ReadFile("testdata/cifar/again-5")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		file, old, new string
		want           string
	}{
		{"whole", "cnumpy.core.multiarray\n_reconstruct\n", "cos\nsystem\n",
			"refuses os.system: loading it would run code; CIFAR's own files hold"},
		{"whole", "cnumpy.core.multiarray\n_reconstruct\n", "cnumpy.core.multiarray\nscalar\n",
			"refuses numpy.core.multiarray.scalar"},
		{"whole", "cnumpy.core.multiarray\n_reconstruct\n", "cnumpy\nndarray\n", "refuses numpy.ndarray()"},
		{"whole", "cnumpy\nndarray\n", "cnumpy\ndtype\n", "an array that is not one of CIFAR's"},
		{"whole", "U\x02u1", "U\x02f4", "an array that is not one of CIFAR's"},
		{"whole", "K\x02M\x00\x0c\x86", "M\x00\x0cK\x02\x86", "2 labels for an array of 3072 x 2"},
		{"whole", "K\x02M\x00\x0c\x86", "K\x03M\x00\x0c\x86", "an array of 3 x 3072 with 6144 values"},
		{"whole", "K\x02M\x00\x0c\x86", "NM\x00\x0c\x86", "an array that is not one of CIFAR's"},
		{"whole", "b\x89T", "b\x88T", "an array that is not one of CIFAR's"}, // Fortran's order
		{"whole", "K\x07K\x09", "K\x07K\x0a", "picture 1: it is of class 10"},
		{"whole", "K\x07K\x09", "J\xff\xff\xff\xffK\x09", "picture 0: it is of class -1"},
		{"whole", "K\x07K\x09", "K\x07U\x019", "picture 1: its label is bytes, not an int"},
		{"whole", "K\x07K\x09", "K\x07", "1 labels for an array of 2 x 3072"},
		{"whole", "U\x06labels", "U\x06LABELS", `want "data" and "labels"`},
		{"whole", "U\x04data", "U\x04DATA", `want "data" and "labels"`},
		{"whole", "U\x06labels", "U\x04dataU\x06labels", "a key without a value"},
		{"whole", "\x80\x02}", "\x80\x02].", "the pickle of a list, not of a dict"},
		{"whole", "u.", "u", "truncated"},
		{"again", "\x8c\x01C", "\x8c\x01F", "an array that is not one of CIFAR's"},
		{"meta", "U\x05truck", "U\x00", "label 10 is empty"},
		{"meta", "U\x05truck", "U\x05\x1b[2JX", "label 10 is not a name"},
		{"meta", "U\x05truck", "K\x05", "label 10 is empty"},
		{"meta", "e", "0e", "no list of 10 names"},
	} {
		files := map[string][]byte{"test_batch": whole}
		name, from := "test_batch", whole
		switch c.file {
		case "meta":
			name, from = "batches.meta", meta
		case "again":
			from = again
		}
		at := bytes.LastIndex(from, []byte(c.old))
		if at < 0 {
			t.Errorf("%s lacks %q", c.file, c.old)
			continue
		}
		files[name] = slices.Concat(from[:at], []byte(c.new), from[at+len(c.old):])
		dir := plant(t, files)
		if _, err := OpenDataset(dir, Test); err == nil || !strings.Contains(err.Error(), c.want) ||
			!strings.Contains(err.Error(), filepath.Join(dir, name)) {
			t.Errorf("%q for %q: %v, want %q and the path", c.new, c.old, err, c.want)
		}
	}
	// Folders of parts, and text, are none of CIFAR's files whatever they are called.
	if d, err := OpenDataset(plant(t, map[string][]byte{"train/cat/a.png": nil, "test/cat/b.png": nil,
		"meta": []byte("text")}), Train); err != nil || d.Len() != 1 {
		t.Errorf("folders of parts: %+v (%v)", d, err)
	}
	if _, err := OpenDataset(plant(t, map[string][]byte{"train": []byte("cat/a.png"), "cat/a.png": nil}),
		Test); err != nil {
		t.Errorf("a list called train: %v", err)
	}
}

// FuzzCIFAR reads damaged pickles of CIFAR's.
func FuzzCIFAR(f *testing.F) {
	paths, err := filepath.Glob("testdata/cifar/*/*")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range append(paths, "testdata/cifar/again-4", "testdata/cifar/again-5") {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		dict, err := unpickle(data)
		if err != nil {
			return
		}
		for _, kind := range []cifar{cifar10, cifar100} {
			if names, err := kind.namesIn(dict); err == nil && len(names) != kind.classes {
				t.Fatalf("%d names for %d classes", len(names), kind.classes)
			}
		}
		part, err := pickledPart(dict)
		if err != nil {
			return
		}
		for i, label := range part.labels {
			planes, err := part.planes(i)
			if err != nil || len(planes) != cifarPlanes || label < 0 || label >= part.kind.classes {
				t.Fatalf("picture %d of class %d has %d bytes (%v)", i, label, len(planes), err)
			}
		}
	})
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
			if d.Len() != 2 || d.Label(1) != 3 || !slices.Equal(d.Classes, []string{"0", "1", "2", "3"}) ||
				d.Name(1) != images+"[1]" {
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
		{"pictures without folders", "", map[string][]byte{"a.png": dot(t, 0, 0, 0)}, Test,
			"its 1 pictures lie in no class folders"},
		{"an empty class", "", map[string][]byte{"cat/a.png": nil, "dog/a.txt": nil}, Test,
			"a class folder without pictures"},
		{"no test part", "", map[string][]byte{"train/cat/a.png": nil}, Test, "there is no part to test on, only train"},
		{"no kind", "x.npz", map[string][]byte{"x.npz": nil}, Test, "not a data set"},
		{"CIFAR cut", "x.bin", map[string][]byte{"x.bin": make([]byte, 3072)}, Test, "no whole number"},
		{"CIFAR empty", "x.bin", map[string][]byte{"x.bin": nil}, Test, "CIFAR of 0 bytes"},
		{"CIFAR of class 10", "x.bin", map[string][]byte{"x.bin": wrong}, Test, "picture 1: it is of class 10"},
		{"CIFAR of two kinds", "", map[string][]byte{"data_batch_1.bin": cifarFile(cifar10),
			"train.bin": cifarFile(cifar100)}, Train, "is CIFAR-100, but"},
		{"CIFAR to train on", "", map[string][]byte{"test.bin": cifarFile(cifar100)}, Train,
			"CIFAR without its files to train on"},
		{"CIFAR with few names", "", map[string][]byte{"test_batch.bin": cifarFile(cifar10),
			"batches.meta.txt": []byte("cat")}, Test, "1 names for 10 classes"},
		{"IDX without labels", "", map[string][]byte{"t10k-images-idx3-ubyte": twoImages}, Test, "are not there"},
		{"IDX with few labels", "", map[string][]byte{"t10k-images-idx3-ubyte": twoImages, "t10k-labels-idx1-ubyte": {0, 0, 8,
			1, 0, 0, 0, 1, 0}}, Test, "not the labels of 2 images"},
		{"IDX labels as images", "images-idx3", map[string][]byte{"images-idx3": {0, 0, 8, 1, 0, 0, 0, 1, 0}}, Test,
			"is not images"},
		{"IDX to train on", "", map[string][]byte{"t10k-images-idx3-ubyte": twoImages}, Train,
			"0 files of IDX images to train on"},
		{"tar cut", "x.tgz", map[string][]byte{"x.tgz": archived(t, classFolderFiles(t, ""))[:200]}, Test, "unexpected EOF"},
		{"tar of other things", "x.tar.gz", map[string][]byte{"x.tar.gz": archived(t, map[string][]byte{"a.txt": nil,
			"a.png": nil})}, Test, "no pictures in folders"},
		{"tar of CIFAR", "x.tar.gz",
			map[string][]byte{"x.tar.gz": archived(t, map[string][]byte{"cifar-10-batches-py/batches.meta": nil})}, Test,
			"CIFAR's files are: unpack it"},
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
