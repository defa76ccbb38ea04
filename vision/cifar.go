package vision

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/vggo/vggo/internal/plainfile"
)

// cifar is one of CIFAR's two sets (https://www.cs.toronto.edu/~kriz/cifar.html). Its binary version is records of one
// byte or two for the labels, the last of which is the class, and the red, green and blue planes of a picture of 32 by
// 32; its Python version, pickled dicts.
type cifar struct {
	classes int

	labelBytes int    // of a record
	names      string // the text beside the records that names the classes

	labelsKey, metaFile, namesKey string // in a dict, and the names in the one that lies beside it
}

var (
	cifar10  = cifar{10, 1, "batches.meta.txt", "labels", "batches.meta", "label_names"}
	cifar100 = cifar{100, 2, "fine_label_names.txt", "fine_labels", "meta", "fine_label_names"}
)

const (
	cifarSide   = 32
	cifarPlanes = 3 * cifarSide * cifarSide // bytes of a picture
)

func (c cifar) record() int64 { return int64(c.labelBytes + cifarPlanes) }

// maxCIFAR bounds a binary file, to a hundred times CIFAR-100's 50,000 training pictures.
const maxCIFAR int64 = 100 * 50_000 * 3074

// cifarParts are what the files of the parts are called, in the binary version with .bin at the end.
var cifarParts = map[Split][]string{
	Test:  {"test_batch", "test"},
	Train: {"data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "train"},
}

// cifarFiles finds the files of each part among a folder's, none where it is not CIFAR's. Where both versions lie side
// by side the binary one is taken.
func cifarFiles(dir string, names []string) map[Split][]string {
	for _, ending := range []string{cifarEnding, ""} {
		parts := map[Split][]string{}
		for split, called := range cifarParts {
			for _, name := range called {
				file := filepath.Join(dir, name+ending)
				if slices.Contains(names, name+ending) && (ending != "" || isPickle(file)) { // else perhaps a folder
					parts[split] = append(parts[split], file)
				}
			}
		}
		if len(parts) > 0 {
			return parts
		}
	}
	return nil
}

const cifarEnding = ".bin"

// openCIFARPart opens the files of one part.
func openCIFARPart(dir string, parts map[Split][]string, split Split) (*Dataset, error) {
	if split == Whole {
		return nil, fmt.Errorf("%s: CIFAR's files are parts and no classes: name one of them", dir)
	}
	if parts[split] == nil {
		return nil, &PartsError{Path: dir, Fault: fmt.Sprintf("CIFAR without its files to %s on", split)}
	}
	d, err := openCIFAR(parts[split]...)
	if err != nil {
		return nil, err
	}
	for _, of := range []Split{Train, Test} {
		var names []string
		for _, file := range parts[of] {
			names = append(names, filepath.Base(file))
		}
		if len(names) == 0 {
			continue
		}
		name := strings.Join(names, ", ")
		d.Parts = append(d.Parts, Part{name, of})
		if of == split {
			d.Part = name
		}
	}
	return d, nil
}

// cifarPart is a file of CIFAR's.
type cifarPart struct {
	kind   cifar
	labels []int
	planes func(n int) ([]byte, error) // of picture n
}

// openCIFAR opens files of one set and one version.
func openCIFAR(files ...string) (*Dataset, error) {
	open, names := openPickledCIFAR, cifar.pickledNames
	if strings.HasSuffix(files[0], cifarEnding) {
		open, names = openBinaryCIFAR, cifar.textNames
	}
	var d Dataset
	parts := make([]cifarPart, len(files))
	begin := make([]int, len(files)) // the number of each file's first picture
	for i, file := range files {
		var err error
		if parts[i], err = open(file); err != nil {
			return nil, err
		}
		if kind := parts[i].kind; kind != parts[0].kind {
			return nil, fmt.Errorf("%s is CIFAR-%d, but %s is CIFAR-%d", file, kind.classes, files[0], parts[0].kind.classes)
		}
		begin[i] = len(d.labels)
		d.labels = append(d.labels, parts[i].labels...)
	}
	var err error
	if d.Classes, err = names(parts[0].kind, filepath.Dir(files[0])); err != nil {
		return nil, err
	}
	d.Numbered = AreNumbers(d.Classes)
	locate := func(i int) (file, n int) {
		file, exact := slices.BinarySearch(begin, i)
		if !exact {
			file--
		}
		return file, i - begin[file]
	}
	d.name = func(i int) string {
		file, n := locate(i)
		return filepath.Base(files[file]) + "[" + strconv.Itoa(n) + "]"
	}
	d.picture = func(i int) (*Picture, error) {
		file, n := locate(i)
		planes, err := parts[file].planes(n)
		if err != nil {
			return nil, fmt.Errorf("%s: picture %d: %w", files[file], n, err)
		}
		p := NewPicture(cifarSide, cifarSide, 3)
		for i := range cifarSide * cifarSide {
			for ch := range 3 {
				p.Pix[3*i+ch] = planes[ch*cifarSide*cifarSide+i]
			}
		}
		return p, nil
	}
	return &d, nil
}

// openBinaryCIFAR reads the labels of a file, whose size tells its kind. Pictures are read when they are asked for.
func openBinaryCIFAR(path string) (part cifarPart, err error) {
	file, err := plainfile.Open(path)
	if err != nil {
		return part, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return part, err
	}
	size := info.Size()
	switch {
	case size == 0 || size > maxCIFAR:
		return part, fmt.Errorf("%s: CIFAR of %d bytes: want between 1 and %d", path, size, maxCIFAR)
	case size%cifar10.record() == 0:
		part.kind = cifar10
	case size%cifar100.record() == 0:
		part.kind = cifar100
	default:
		return part,
			fmt.Errorf("%s: %d bytes are no whole number of CIFAR's records: %d bytes for CIFAR-10, %d for CIFAR-100",
				path, size, cifar10.record(), cifar100.record())
	}
	in := bufio.NewReaderSize(file, 1<<20)
	record := make([]byte, part.kind.record())
	for n := range size / part.kind.record() {
		if _, err := io.ReadFull(in, record); err != nil {
			return part, fmt.Errorf("%s: picture %d: %w", path, n, err)
		}
		label := int(record[part.kind.labelBytes-1])
		if err := part.kind.checkLabel(label); err != nil {
			return part, fmt.Errorf("%s: picture %d: %w", path, n, err)
		}
		part.labels = append(part.labels, label)
	}
	part.planes = func(n int) ([]byte, error) {
		file, err := plainfile.Open(path)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		planes := make([]byte, cifarPlanes)
		_, err = file.ReadAt(planes, int64(n)*part.kind.record()+int64(part.kind.labelBytes))
		return planes, err
	}
	return part, nil
}

func (c cifar) checkLabel(label int) error {
	if label < 0 || label >= c.classes {
		return fmt.Errorf("it is of class %d: CIFAR-%d has classes 0 to %d", label, c.classes, c.classes-1)
	}
	return nil
}

// textNames reads the names that lie beside binary files; without, classes are called by their numbers.
func (c cifar) textNames(dir string) ([]string, error) {
	path := filepath.Join(dir, c.names)
	text, err := plainfile.Read(path, func(r io.Reader) ([]byte, error) {
		return io.ReadAll(io.LimitReader(r, 1<<16))
	})
	if errors.Is(err, os.ErrNotExist) {
		return classNumbers(c.classes), nil
	}
	if err != nil {
		return nil, err
	}
	labels, err := readLabels(strings.NewReader(strings.TrimSpace(string(text)))) // an empty line ends CIFAR-10's
	if err == nil && len(labels.Names) != c.classes {
		err = fmt.Errorf("%d names for %d classes", len(labels.Names), c.classes)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return labels.Names, nil
}

// classNumbers are the names of classes that have none.
func classNumbers(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = strconv.Itoa(i)
	}
	return names
}
