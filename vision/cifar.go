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
)

// cifar is a kind of CIFAR's binary files (https://www.cs.toronto.edu/~kriz/cifar.html): records of one byte or two for
// the labels, the last of which is the class, and the red, green and blue planes of a picture of 32 by 32.
type cifar struct {
	labels  int // bytes
	classes int
	names   string // file beside it that names the classes
}

var (
	cifar10  = cifar{1, 10, "batches.meta.txt"}
	cifar100 = cifar{2, 100, "fine_label_names.txt"}
)

const cifarSide = 32

func (c cifar) record() int64 { return int64(c.labels + 3*cifarSide*cifarSide) }

// maxCIFAR bounds a file, to a hundred times CIFAR-100's 50,000 training pictures.
const maxCIFAR = 100 * 50_000 * 3074

// cifarFiles picks the files of a part out of a folder's, nil where it is not CIFAR's.
func cifarFiles(names []string, split Split) []string {
	want := map[Split][]string{
		Test:  {"test_batch.bin", "test.bin"},
		Train: {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin", "train.bin"},
	}[split]
	var files []string
	for _, name := range want {
		if slices.Contains(names, name) {
			files = append(files, name)
		}
	}
	return files
}

// openCIFAR reads the labels of files of one kind. Pictures are read when they are asked for.
func openCIFAR(files ...string) (*Dataset, error) {
	var kind cifar
	var d Dataset
	var begin []int // the number of each file's first picture
	for i, file := range files {
		labels, k, err := readCIFARLabels(file)
		if err != nil {
			return nil, err
		}
		if i > 0 && k != kind {
			return nil, fmt.Errorf("%s is CIFAR-%d, but %s is CIFAR-%d", file, k.classes, files[0], kind.classes)
		}
		kind = k
		begin = append(begin, len(d.labels))
		d.labels = append(d.labels, labels...)
	}
	var err error
	if d.Classes, err = kind.classNames(filepath.Dir(files[0])); err != nil {
		return nil, err
	}
	locate := func(i int) (file string, n int) {
		f, exact := slices.BinarySearch(begin, i)
		if !exact {
			f--
		}
		return files[f], i - begin[f]
	}
	d.name = func(i int) string {
		file, n := locate(i)
		return filepath.Base(file) + "[" + strconv.Itoa(n) + "]"
	}
	d.picture = func(i int) (*Picture, error) {
		file, n := locate(i)
		return kind.read(file, n)
	}
	return &d, nil
}

// readCIFARLabels reads the labels of a file, whose size tells its kind.
func readCIFARLabels(path string) (labels []int, kind cifar, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, kind, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, kind, err
	}
	size := info.Size()
	switch {
	case size == 0 || size > maxCIFAR:
		return nil, kind, fmt.Errorf("%s: CIFAR of %d bytes: want between 1 and %d", path, size, maxCIFAR)
	case size%cifar10.record() == 0:
		kind = cifar10
	case size%cifar100.record() == 0:
		kind = cifar100
	default:
		return nil, kind, fmt.Errorf("%s: %d bytes are no whole number of CIFAR's records: %d bytes for CIFAR-10, %d for CIFAR-100",
			path, size, cifar10.record(), cifar100.record())
	}
	in := bufio.NewReaderSize(file, 1<<20)
	record := make([]byte, kind.record())
	for n := range size / kind.record() {
		if _, err := io.ReadFull(in, record); err != nil {
			return nil, kind, fmt.Errorf("%s: picture %d: %w", path, n, err)
		}
		label := int(record[kind.labels-1])
		if label >= kind.classes {
			return nil, kind, fmt.Errorf("%s: picture %d is of class %d: CIFAR-%d has classes 0 to %d", path, n, label, kind.classes, kind.classes-1)
		}
		labels = append(labels, label)
	}
	return labels, kind, nil
}

// classNames reads the names that lie beside the files; without, classes are called by their numbers.
func (c cifar) classNames(dir string) ([]string, error) {
	text, err := readFile(filepath.Join(dir, c.names), func(r io.Reader) ([]byte, error) {
		return io.ReadAll(io.LimitReader(r, 1<<16))
	})
	if errors.Is(err, os.ErrNotExist) {
		return classNumbers(c.classes), nil
	}
	if err != nil {
		return nil, err
	}
	names, err := ReadLabels(strings.NewReader(strings.TrimSpace(string(text)))) // an empty line ends CIFAR-10's
	if err == nil && len(names) != c.classes {
		err = fmt.Errorf("%d names for %d classes", len(names), c.classes)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, c.names), err)
	}
	return names, nil
}

// classNumbers are the names of classes that have none.
func classNumbers(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = strconv.Itoa(i)
	}
	return names
}

// read reads picture n of a file.
func (c cifar) read(path string, n int) (*Picture, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	planes := make([]byte, 3*cifarSide*cifarSide)
	if _, err := file.ReadAt(planes, int64(n)*c.record()+int64(c.labels)); err != nil {
		return nil, fmt.Errorf("%s: picture %d: %w", path, n, err)
	}
	p := NewPicture(cifarSide, cifarSide, 3)
	for i := range cifarSide * cifarSide {
		for ch := range 3 {
			p.Pix[3*i+ch] = planes[ch*cifarSide*cifarSide+i]
		}
	}
	return p, nil
}
