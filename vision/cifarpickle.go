package vision

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/vggo/vggo/internal/pickle"
	"github.com/vggo/vggo/internal/plainfile"
)

// A file of CIFAR's Python version is the pickle of a dict: "data", a NumPy array of N x 3072 bytes, each row the red,
// green and blue planes of a picture, and "labels" or, of CIFAR-100, "fine_labels", a list of N numbers. The published
// files are Python 2's, of protocol 2; copies that Python 3 has written again hold the same by newer instructions.

// maxPickled bounds a file, which is kept in memory: three times CIFAR-100's 50,000 training pictures.
const maxPickled = 1 << 29

// isPickle looks for PROTO, with which pickles of protocol 2 and later begin.
func isPickle(path string) bool {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() { // a pipe would have to be waited for
		return false
	}
	head, err := plainfile.Read(path, func(r io.Reader) (head [2]byte, err error) {
		_, err = io.ReadFull(r, head[:])
		return head, err
	})
	return err == nil && head[0] == 0x80 && 2 <= head[1] && head[1] <= 5
}

// loadPickled reads a file and the dict in it.
func loadPickled(path string) (*pickle.Dict, error) {
	file, err := plainfile.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > maxPickled {
		return nil, fmt.Errorf("%s: a pickle of %d bytes: the most is %d", path, info.Size(), maxPickled)
	}
	data := make([]byte, info.Size())
	if _, err := io.ReadFull(file, data); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	dict, err := unpickle(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return dict, nil
}

func unpickle(data []byte) (*pickle.Dict, error) {
	value, _, err := (&pickle.Loader{Globals: pickle.Arrays()}).Load(data)
	switch {
	case errors.As(err, new(*pickle.RefusedError)):
		return nil, fmt.Errorf("%w; CIFAR's own files hold numbers, text and NumPy's arrays of bytes", err)
	case errors.As(err, new(pickle.ArrayError)):
		return nil, fmt.Errorf("%w (%w)", errArray, err)
	case err != nil:
		return nil, err
	}
	dict, ok := value.(*pickle.Dict)
	if !ok {
		return nil, fmt.Errorf("the pickle of %s, not of a dict as CIFAR's are", pickle.Kind(value))
	}
	return dict, nil
}

func openPickledCIFAR(path string) (cifarPart, error) {
	dict, err := loadPickled(path)
	if err != nil {
		return cifarPart{}, err
	}
	part, err := pickledPart(dict)
	if err != nil {
		return part, fmt.Errorf("%s: %w", path, err)
	}
	return part, nil
}

var errArray = errors.New("an array that is not one of CIFAR's: want two dimensions, unsigned bytes, row by row")

// pickledPart finds pictures and labels in a file's dict.
func pickledPart(dict *pickle.Dict) (part cifarPart, err error) {
	part.kind = cifar100
	labels, ok := dict.Get(part.kind.labelsKey)
	if !ok {
		part.kind = cifar10
		labels, ok = dict.Get(part.kind.labelsKey)
	}
	data, ok2 := dict.Get("data")
	if !ok || !ok2 {
		return part,
			errors.New(`the pickle of a dict, but none of CIFAR's pictures: want "data" and "labels" or "fine_labels" in it`)
	}
	array, ok := data.(*pickle.Array)
	list, ok2 := labels.(*pickle.List)
	if !ok || !ok2 {
		return part, fmt.Errorf("pictures are %s and labels %s: want an array and a list", pickle.Kind(data),
			pickle.Kind(labels))
	}
	if array.Type != "u1" || array.Fortran || len(array.Shape) != 2 {
		return part, errArray
	}
	rows, columns, size := array.Shape[0], array.Shape[1], int64(len(array.Values))
	if rows < 1 || size%rows != 0 || size/rows != columns {
		return part, fmt.Errorf("an array of %d x %d with %d values", rows, columns, size)
	}
	n := int(rows)
	if columns != cifarPlanes || len(list.Items) != n {
		return part, fmt.Errorf("%d labels for an array of %d x %d: want one for each row, of %d bytes", len(list.Items),
			rows, columns, cifarPlanes)
	}
	part.labels = make([]int, n)
	for i, item := range list.Items {
		label, ok := item.(int64)
		if !ok {
			return part, fmt.Errorf("picture %d: its label is %s, not an int", i, pickle.Kind(item))
		}
		part.labels[i] = int(min(max(label, -1), 1<<30)) // where an int has 32 bits
		if err := part.kind.checkLabel(part.labels[i]); err != nil {
			return part, fmt.Errorf("picture %d: %w", i, err)
		}
	}
	part.planes = func(n int) ([]byte, error) { return array.Values[n*cifarPlanes : (n+1)*cifarPlanes], nil }
	return part, nil
}

// pickledNames reads the names that lie beside pickled files; without, classes are called by their numbers.
func (c cifar) pickledNames(dir string) ([]string, error) {
	path := filepath.Join(dir, c.metaFile)
	dict, err := loadPickled(path)
	if errors.Is(err, os.ErrNotExist) {
		return classNumbers(c.classes), nil
	}
	if err != nil {
		return nil, err
	}
	names, err := c.namesIn(dict)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return names, nil
}

// namesIn reads them from the dict.
func (c cifar) namesIn(dict *pickle.Dict) ([]string, error) {
	value, _ := dict.Get(c.namesKey)
	list, ok := value.(*pickle.List)
	if !ok || len(list.Items) != c.classes {
		return nil, fmt.Errorf("no list of %d names under %q", c.classes, c.namesKey)
	}
	names := make([]string, c.classes)
	for i, item := range list.Items {
		switch item := item.(type) {
		case string:
			names[i] = item
		case pickle.Bytes: // Python 2's str
			names[i] = string(item[:min(len(item), maxLabel+1)])
		}
		if err := checkLabel(i, names[i]); err != nil {
			return nil, err
		}
	}
	return names, nil
}
