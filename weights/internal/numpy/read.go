// Package numpy reads NumPy's files (.npy, .npz), pickles of its arrays, and writes its archives.
package numpy

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/vggo/vggo/internal/pickle"
	"github.com/vggo/vggo/internal/strict"
	"github.com/vggo/vggo/weights/internal/checkpoint"
	"github.com/vggo/vggo/weights/internal/format"
)

// Reader reads NumPy's files. Of pickles it takes all that nobody before it knows.
var Reader = format.Reader{Name: "NumPy", Knows: knows, Read: read}

// A .npy file (numpy.lib.format) is "\x93NUMPY", a version, the header's length, a Python dict of descr, fortran_order
// and shape, and the values; a .npz is a zip of such files. vggo's own keep their notes in a member of that form too:
// JSON, as bytes.
const (
	magic     = "\x93NUMPY"
	notesName = "__metadata__"

	maxHeader = 1 << 16 // what version 1 can have, and far more than an array of numbers needs
	maxNotes  = 100_000_000
)

func isArray(head []byte) bool { return bytes.HasPrefix(head, []byte(magic)) }

// header is an array's.
type header struct {
	checkpoint.Order
	objects bool // pickled ones instead of values: neither DType nor size is set
	size    int  // bytes of the values
	head    int  // bytes before them
}

var (
	descrField   = regexp.MustCompile(`'descr'\s*:\s*'([<>|=]?)([a-zA-Z][0-9]*)'`)
	fortranField = regexp.MustCompile(`'fortran_order'\s*:\s*(True|False)`)
	shapeField   = regexp.MustCompile(`'shape'\s*:\s*\(([0-9L, ]*)\)`)
)

// readHeader reads the beginning of an array.
func readHeader(data []byte) (a header, err error) {
	if !isArray(data) || len(data) < 12 {
		return a, errors.New("no NumPy array")
	}
	length := 0
	switch version := data[6]; version {
	case 1:
		length, a.head = int(binary.LittleEndian.Uint16(data[8:])), 10
	case 2, 3:
		length, a.head = int(min(binary.LittleEndian.Uint32(data[8:]), 1<<30)), 12
	default:
		return a, fmt.Errorf("NumPy's format version %d: 1 to 3 are known", version)
	}
	if length > maxHeader || length > len(data)-a.head {
		return a, fmt.Errorf("a header of %d bytes", length)
	}
	head := data[a.head : a.head+length]
	a.head += length
	descr, fortran, shape := descrField.FindSubmatch(head), fortranField.FindSubmatch(head), shapeField.FindSubmatch(head)
	if descr == nil || fortran == nil || shape == nil {
		return a, fmt.Errorf("a header without a plain type, order and shape: %q", format.Clip(string(head)))
	}
	if descr[2][0] == 'O' {
		a.objects = true
		return a, nil
	}
	var ok bool
	if a.DType, ok = checkpoint.Types[string(descr[2])]; !ok {
		return a, fmt.Errorf("type %q is not one of numbers", descr[2])
	}
	a.BigEndian = string(descr[1]) == ">"
	a.Fortran = string(fortran[1]) == "True"
	size := uint64(a.DType.Size())
	for _, part := range strings.FieldsFunc(string(shape[1]), func(r rune) bool { return r == ',' || r == ' ' }) {
		n, err := strconv.ParseUint(strings.TrimSuffix(part, "L"), 10, 62)
		if err != nil || len(a.Shape) == format.MaxRank || n > 0 && size > (math.MaxInt/2)/n {
			return a, fmt.Errorf("a shape of (%s)", format.Clip(string(shape[1])))
		}
		size *= n
		a.Shape = append(a.Shape, int(n))
	}
	a.size = int(size)
	return a, nil
}

// tensor is the array under a name. content is the whole file, or makes it.
func (a header) tensor(name string, content func() ([]byte, error), raw []byte) format.Tensor {
	t := format.Tensor{Name: name, Shape: a.Shape, DType: a.DType}
	if raw != nil && a.IsPlain() {
		t.Raw = raw[a.head : a.head+a.size : a.head+a.size]
		return t
	}
	t.Fetch = func() ([]byte, error) {
		data, err := content()
		if err != nil {
			return nil, err
		}
		return a.Plain(data[a.head : a.head+a.size]), nil
	}
	return t
}

// fits is an error unless the values take the bytes behind the header.
func (a header) fits(total int) error {
	if a.size != total-a.head {
		return fmt.Errorf("%d bytes of values, %d by its header", total-a.head, a.size)
	}
	return nil
}

func knows(in *format.Input) bool {
	if in.Members == nil {
		return isArray(in.Data) || pickle.Is(in.Data) || isOldPickle(in.Data)
	}
	for name := range in.Members {
		if strings.HasSuffix(name, ".npy") {
			return true
		}
	}
	return false
}

// isOldPickle knows a dict or a list that Python 2 pickled by its protocols 0 and 1, which have no number of their own.
func isOldPickle(data []byte) bool {
	return slices.ContainsFunc([]string{"(dp", "(lp", "}q\x00", "]q\x00"}, func(begin string) bool {
		return bytes.HasPrefix(data, []byte(begin))
	})
}

func read(in *format.Input) (*format.Contents, error) {
	switch {
	case in.Members != nil:
		return readArchive(in.Members)
	case !isArray(in.Data):
		return readPickle(in.Data, in.Part, "a pickle of objects")
	}
	a, err := readHeader(in.Data)
	if a.objects {
		return readPickle(in.Data[a.head:], in.Part, "it holds pickled objects")
	}
	if err == nil {
		err = a.fits(len(in.Data))
	}
	if err != nil {
		return nil, format.Fail(0, "%v", err)
	}
	array := a.tensor("array", func() ([]byte, error) { return in.Data, nil }, in.Data)
	return &format.Contents{Tensors: []format.Tensor{array}}, nil
}

func readArchive(members map[string]format.Member) (*format.Contents, error) {
	c := &format.Contents{}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		of, isArray := strings.CutSuffix(name, ".npy")
		if !isArray {
			return nil, format.Fail(0, "zip member %q is no NumPy array", format.Clip(name))
		}
		if err := readMember(c, of, members[name]); err != nil {
			return nil, format.Fail(0, "zip member %q: %v", format.Clip(name), err)
		}
	}
	return c, nil
}

func readMember(c *format.Contents, name string, m format.Member) error {
	head := m.Raw
	if head == nil {
		var err error
		if head, err = m.Head(maxHeader + 12); err != nil {
			return err
		}
	}
	a, err := readHeader(head)
	if a.objects { // of numpy.savez, of a dict or a list of arrays
		content, err := m.Bytes()
		if err != nil {
			return err
		}
		_, held, err := unpickle(content[a.head:])
		if err != nil {
			return fmt.Errorf("it holds pickled objects: %w", err)
		}
		c.Tensors = append(c.Tensors, held.Tensors(name)...)
		return nil
	}
	if err == nil {
		err = a.fits(m.Size)
	}
	if err != nil {
		return err
	}
	if name == notesName && a.DType == "U8" && a.size <= maxNotes {
		content, err := m.Bytes()
		if err != nil {
			return err
		}
		return strict.Unmarshal(content[a.head:], &c.Metadata)
	}
	c.Tensors = append(c.Tensors, a.tensor(name, m.Bytes, m.Raw))
	return nil
}

// readPickle reads a pickle of arrays, as numpy.save writes a dict of them and pickle.dump anything.
func readPickle(data []byte, part, what string) (*format.Contents, error) {
	value, held, err := unpickle(data)
	if err != nil {
		return nil, format.Fail(0, "%s: %v", what, err)
	}
	if isLasagne(value) {
		return readLasagne(value, held)
	}
	parts, err := held.Networks(part)
	return &format.Contents{Parts: parts}, err
}

// unpickle is a pickle's value, and what of it holds arrays. One that holds none is an error.
func unpickle(data []byte) (value any, held *checkpoint.Value, err error) {
	globals := pickle.Containers()
	maps.Copy(globals, pickle.NumPy())
	loader := pickle.Loader{Globals: globals, Unknown: pickle.Inert}
	if value, _, err = loader.Load(data); err != nil {
		return nil, nil, err
	}
	held, err = checkpoint.Read(value)
	if err == nil && held == nil {
		err = errors.New("no array of numbers is among them")
	}
	return value, held, err
}
