package vision

import (
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// planted are the files of a list: "train/cat" is a folder with a picture of its own, "notes.txt" a file without one.
func planted(t testing.TB, list string) map[string][]byte {
	files := map[string][]byte{}
	for _, name := range strings.Fields(list) {
		switch {
		case IsPictureName(name):
			files[name] = dot(t, 1, 2, 3)
		case strings.HasSuffix(name, ".txt"):
			files[name] = []byte("no picture")
		default:
			files[name+"/1.png"] = dot(t, 1, 2, 3)
			files[name+"/2.png"] = dot(t, 1, 2, 3)
		}
	}
	return files
}

func zipOf(t testing.TB, files map[string][]byte) []byte {
	return encoded(t, func(w io.Writer) error {
		z := zip.NewWriter(w)
		for name, content := range files {
			f, err := z.Create(name)
			if err != nil {
				return err
			}
			if _, err := f.Write(content); err != nil {
				return err
			}
		}
		return z.Close()
	})
}

// TestDatasetParts: which part is taken to learn from and to test on, of folders, tar and zip archives.
func TestDatasetParts(t *testing.T) {
	for _, c := range []struct {
		files       string
		train, test string // the part taken; "!…" an error that says so, "" no parts
		classes     string
		passed      string
	}{
		{"train/a train/b test/a test/b", "train", "test", "a b", ""},
		{"Training/a Training/b Testing/a Testing/b", "Training", "Testing", "a b", ""},
		{"train/a train/b valid/a valid/b", "train", "valid", "a b", ""},
		{"Train/a Train/b Test/a Test/b", "Train", "Test", "a b", ""},
		{"TRAIN/a TRAIN/b TEST/a TEST/b", "TRAIN", "TEST", "a b", ""},
		{"training/a training/b validation/a validation/b testing/a testing/b", "training", "testing", "a b", ""},
		{"trn/a trn/b val/a val/b", "trn", "val", "a b", ""},
		{"train/a train/b dev/a dev/b eval/a eval/b test/a test/b", "train", "test", "a b", ""},
		{"train/a train/b holdout/a holdout/b", "train", "holdout", "a b", ""},
		{"train/a train/b hold_out/a hold_out/b", "train", "hold_out", "a b", ""},
		{"train_set/a train_set/b test_set/a test_set/b", "train_set", "test_set", "a b", ""},
		{"training_set/training_set/a training_set/training_set/b test_set/test_set/a test_set/test_set/b", "training_set",
			"test_set", "a b", ""},
		{"Train_data/a Train_data/b Test-Images/a Test-Images/b", "Train_data", "Test-Images", "a b", ""},
		{"trainSet/a trainSet/b testSet/a testSet/b", "trainSet", "testSet", "a b", ""},
		{"train2017/a train2017/b val2017/a val2017/b", "train2017", "val2017", "a b", ""},
		{"1_train/a 1_train/b 2_test/a 2_test/b", "1_train", "2_test", "a b", ""},
		{"训练集/a 训练集/b 测试集/a 测试集/b", "训练集", "测试集", "a b", ""},
		{"seg_train/seg_train/a seg_train/seg_train/b seg_test/seg_test/a seg_test/seg_test/b seg_pred/seg_pred/1.jpg",
			"seg_train", "seg_test", "a b", "seg_pred"},
		{"cars_train/a cars_train/b cars_test/a cars_test/b", "cars_train", "cars_test", "a b", ""},
		{"asl_alphabet_train/asl_alphabet_train/a asl_alphabet_train/asl_alphabet_train/b " +
			"asl_alphabet_test/asl_alphabet_test/1.jpg", "asl_alphabet_train", "!lie in no class folders", "a b", ""},
		{"data/train/a data/train/b data/test/a data/test/b", "data/train", "data/test", "a b", ""},
		{"train/images/a train/images/b test/images/a test/images/b", "train", "test", "a b", ""},
		{"chest/__MACOSX/1.png chest/chest/train/a chest/chest/train/b chest/train/a chest/train/b chest/val/a chest/val/b",
			"chest/train", "chest/val", "a b", "chest __MACOSX"},
		{"train/a train/b test/1.png test/2.png", "train", "!the 2 pictures in test lie in no class folders", "a b", ""},
		{"train/a train/b test/1.png val/a val/b", "train", "val", "a b", ""},
		{"train/a train/b test/a test/b predict annotations/x/y extra", "train", "test", "a b", "annotations extra predict"},
		{"train/a train/b single_prediction", "train", "!no part to test on, only train", "a b", "single_prediction"},
		{"train/a train/b other/a other/b", "train", "!no part to test on, only train", "a b", "other"},
		{"tRAIN/a tRAIN/b TeSt/a TeSt/b", "tRAIN", "TeSt", "a b", ""},
		{"treino/a treino/b teste/a teste/b", "treino", "teste", "a b", ""},
		{"entrenamiento/a entrenamiento/b validación/a validación/b prueba/a prueba/b", "entrenamiento", "prueba", "a b", ""},
		{"images/train/a images/train/b images/val/a images/val/b labels/train", "images/train", "images/val",
			"a b", "labels"},
		{"images/a images/b annotations/x", "", "", "a b", "annotations"},
		{"images/a images/b mask", "", "", "a b", "mask"},
		{"with_mask without_mask", "", "", "with_mask without_mask", ""},
		{"Learning/a Learning/b Testing/a Testing/b", "!there is no part to train on, only Testing, beside Learning",
			"Testing", "a b", "Learning"},
		{"art/a art/b photo/a photo/b sketch/a sketch/b cartoon/a cartoon/b", "!hold the same folders (a and b)",
			"!hold the same folders (a and b)", "", ""},
		{"train/a train/b other/x other/y", "!is it a part, or a class?", "!is it a part, or a class?", "", ""},
		{"train/a train/b Train2/a Train2/b test/a test/b", "!each a part to train on", "test", "a b", ""},
		{"train/1.png test/1.png", "!lie in no class folders", "!lie in no class folders", "", ""},
		{"set1/a set1/b set1/c set2/a set2/b", "!set1 and set2 hold the same folders (a, b and c)",
			"!are they parts of a data set, or classes?", "", ""},
		{"cat/train cat/test dog/train dog/test", "!parts below classes are not read apart",
			"!parts below classes are not read apart", "", ""},
		// Classes, whatever their names mean elsewhere.
		{"bus train car", "", "", "bus car train", ""},
		{"bullet_train steam_train", "", "", "bullet_train steam_train", ""},
		{"train_station test_tube", "", "", "test_tube train_station", ""},
		{"value valley", "", "", "valley value", ""},
		{"a/images b/images", "", "", "a b", ""},
		{"a/s1 a/s2 b/1.png b/s1 b/s2", "", "", "a b", ""},
		{"a/s1 a/s2 b/t1 b/t2", "", "", "a b", ""},
	} {
		files := planted(t, c.files)
		dir := plant(t, files)
		archives := plant(t, map[string][]byte{"x.tar.gz": archived(t, files), "X.ZIP": zipOf(t, files)})
		for _, path := range []string{dir, filepath.Join(archives, "x.tar.gz"), filepath.Join(archives, "X.ZIP")} {
			for split, want := range map[Split]string{Train: c.train, Test: c.test} {
				d, err := OpenDataset(path, split)
				if fault, ok := strings.CutPrefix(want, "!"); ok {
					if err == nil || !strings.Contains(err.Error(), fault) || !strings.Contains(err.Error(), path) &&
						!errors.As(err, new(*PartsError)) {
						t.Errorf("%s of %s in %s: error %v, want %q", split, c.files, filepath.Base(path), err, fault)
					}
					continue
				}
				if err != nil {
					t.Errorf("%s of %s in %s: %v", split, c.files, filepath.Base(path), err)
					continue
				}
				if d.Part != want || !slices.Equal(d.Classes, strings.Fields(c.classes)) ||
					!slices.Equal(d.Passed, strings.Fields(c.passed)) {
					t.Errorf("%s of %s in %s: part %q of classes %q, beside %q; want %q, %s, %q", split, c.files, filepath.Base(path),
						d.Part, d.Classes, d.Passed, want, c.classes, c.passed)
				}
				if (d.Why != "") != (split == Test && want != "" && partKind(want) != Test) {
					t.Errorf("%s of %s: why %q", split, c.files, d.Why)
				}
				if p, err := d.Picture(d.Len() - 1); err != nil || p.W != 1 {
					t.Errorf("%s: %v", d.Name(d.Len()-1), err)
				}
			}
		}
	}
}

func partKind(name string) Split {
	split, _, _ := partOf(filepath.Base(name))
	return split
}

// TestWholeAndValidation: what is a part by its name can be looked at as a class, and a part for validation is found
// where there is one.
func TestWholeAndValidation(t *testing.T) {
	dir := plant(t, planted(t, "set1/a set1/b set2/a set2/b"))
	if d, err := OpenDataset(dir, Whole); err != nil || !slices.Equal(d.Classes, []string{"set1", "set2"}) ||
		d.Len() != 8 {
		t.Errorf("whole: %+v (%v)", d, err)
	}
	var parts *PartsError
	if _, err := OpenDataset(dir, Test); !errors.As(err, &parts) ||
		!slices.Equal(parts.Folders, []string{"set1", "set2"}) || !slices.Equal(parts.Parts, parts.Folders) {
		t.Errorf("unknown parts: %+v (%v)", parts, err)
	}
	dir = plant(t, planted(t, "Train/a Train/b Valid/a Valid/b test/a test/b"))
	if d, err := OpenDataset(dir, Validation); err != nil || d.Part != "Valid" || len(d.Parts) != 3 || d.Why != "" {
		t.Errorf("validation: %+v (%v)", d, err)
	}
	dir = plant(t, planted(t, "train/a train/b test/a test/b"))
	if _, err := OpenDataset(dir, Validation); err == nil ||
		!strings.Contains(err.Error(), "no part to validate on, only test and train") {
		t.Errorf("no validation: %v", err)
	}
}

func TestOneClass(t *testing.T) {
	dir := plant(t, planted(t, "high/set/a high/set/b high/set/c low/a/1 beside/b"))
	for _, c := range []struct{ path, want string }{
		{"high", `all pictures are of one class, "set", whose folder holds a, b and c: is the folder named one too high?`},
		{"low",
			`all pictures are of one class, "a", and beside low there is beside and high: is the folder named one too low?`},
		{"high/set", ""},
	} {
		d, err := OpenDataset(filepath.Join(dir, c.path), Train)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.OneClass(); (err == nil) != (c.want == "") || err != nil && err.Error() != filepath.Join(dir, c.path)+
			": "+c.want {
			t.Errorf("%s: %v, want %q", c.path, err, c.want)
		}
	}
	same := plant(t, map[string][]byte{"images-idx3": twoImages, "labels-idx1": {0, 0, 8, 1, 0, 0, 0, 2, 3, 3}})
	d, err := OpenDataset(filepath.Join(same, "images-idx3"), Train)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.OneClass(); err == nil || err.Error() != `all pictures are of one class, "3"` {
		t.Errorf("IDX: %v", err)
	}
}

// TestZipRefuses: an archive that is damaged, or whose files lie about themselves, is an error and costs no memory.
func TestZipRefuses(t *testing.T) {
	whole := zipOf(t, planted(t, "cat dog"))
	at := bytes.Index(whole, []byte("PK\x01\x02"))
	damaged := slices.Clone(whole)
	damaged[at-40] ^= 0xff // in the last picture
	encrypted := slices.Clone(whole)
	for i := bytes.Index(encrypted, []byte("PK\x01\x02")); i >= 0; {
		encrypted[i+8] |= 1
		next := bytes.Index(encrypted[i+4:], []byte("PK\x01\x02"))
		if next < 0 {
			break
		}
		i += 4 + next
	}
	for _, c := range []struct {
		what string
		file []byte
		want string
	}{
		{"no zip", []byte("text"), "not a valid zip file"},
		{"cut", whole[:len(whole)-30], "not a valid zip file"},
		{"encrypted", encrypted, "is encrypted: unpack it"},
		{"flat", zipOf(t, planted(t, "1.png 2.png")), "no pictures in folders"},
		{"CIFAR", zipOf(t, map[string][]byte{"c/batches.meta": nil}), "unpack it and name its folder"},
		{"deep", zipOf(t, planted(t, strings.Repeat("a/", 100)+"b")), "more than 64 folders deep"},
	} {
		path := filepath.Join(plant(t, map[string][]byte{"x.zip": c.file}), "x.zip")
		if _, err := OpenDataset(path, Test); err == nil || !strings.Contains(err.Error(), c.want) ||
			!strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want %q and the path", c.what, err, c.want)
		}
	}
	bomb := filepath.Join(plant(t,
		map[string][]byte{"x.zip": zipOf(t, map[string][]byte{"cat/1.png": make([]byte, defaultBytes+1)})}), "x.zip")
	if d, err := OpenDataset(bomb, Test); err != nil {
		t.Error(err)
	} else if _, err := d.Picture(0); err == nil ||
		!strings.Contains(err.Error(), "a picture of more than 134217728 bytes") {
		t.Errorf("a bomb: %v", err)
	}
	d, err := OpenDataset(filepath.Join(plant(t, map[string][]byte{"x.zip": damaged}), "x.zip"), Test)
	if err != nil {
		t.Fatal(err)
	}
	failed := 0
	for i := range d.Len() {
		if _, err := d.Picture(i); err != nil {
			failed++
		}
	}
	if failed != 1 {
		t.Errorf("%d pictures of a damaged archive fail, want one", failed)
	}
}

// TestTorchvisionFolders: MNIST lies two folders down, packed and unpacked, and CIFAR one.
func TestTorchvisionFolders(t *testing.T) {
	labels := []byte{0, 0, 8, 1, 0, 0, 0, 2, 1, 3}
	files := map[string][]byte{}
	for _, part := range []string{"train-", "t10k-"} {
		images, labelled := "x/MNIST/raw/"+part+"images-idx3-ubyte", "x/MNIST/raw/"+part+"labels-idx1-ubyte"
		files[images], files[labelled] = twoImages, labels
		files[images+".gz"], files[labelled+".gz"] = gzipped(t, twoImages), gzipped(t, labels)
	}
	files["y/cifar-10-batches-bin/test_batch.bin"] = cifarFile(cifar10)
	dir := plant(t, files)
	if d, err := OpenDataset(filepath.Join(dir, "x"), Test); err != nil || d.Len() != 2 ||
		d.Part != "t10k-images-idx3-ubyte" || len(d.Parts) != 2 {
		t.Errorf("MNIST: %+v (%v)", d, err)
	}
	if d, err := OpenDataset(filepath.Join(dir, "y"), Test); err != nil || d.Len() != 3 || d.Part != "test_batch.bin" {
		t.Errorf("CIFAR: %+v (%v)", d, err)
	}
}

// TestIDXParts: names before the part's, as EMNIST's, do not hide it.
func TestIDXParts(t *testing.T) {
	labels := []byte{0, 0, 8, 1, 0, 0, 0, 2, 1, 3}
	files := map[string][]byte{}
	for _, part := range []string{"emnist-letters-train-", "emnist-letters-test-"} {
		files[part+"images-idx3-ubyte"], files[part+"labels-idx1-ubyte"] = twoImages, labels
	}
	dir := plant(t, files)
	for split, want := range map[Split]string{Train: "emnist-letters-train-images-idx3-ubyte",
		Test: "emnist-letters-test-images-idx3-ubyte"} {
		d, err := OpenDataset(dir, split)
		if err != nil || d.Part != want || len(d.Parts) != 2 || !d.Numbered {
			t.Errorf("%s: %+v (%v)", split, d, err)
		}
	}
}
