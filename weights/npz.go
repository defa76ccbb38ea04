package weights

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/vggo/vggo/internal/pickle"
)

// A .npy file (numpy.lib.format) is "\x93NUMPY", a version, the header's length, a Python dict of descr, fortran_order
// and shape, and the values; a .npz is a zip of such files. vggo's own keep their notes in a member of that form too:
// JSON, as bytes.
const (
	npyMagic = "\x93NUMPY"
	npyNotes = "__metadata__.npy"

	maxNPYHeader = 1 << 16 // what version 1 can have, and far more than an array of numbers needs
)

func isNPY(head []byte) bool { return bytes.HasPrefix(head, []byte(npyMagic)) }

// npyTypes are the types of numbers by NumPy's letters.
var npyTypes = map[string]DType{
	"f8": F64, "f4": F32, "f2": F16, "b1": "BOOL", "u1": "U8", "i1": "I8", "u2": "U16", "i2": "I16", "u4": "U32",
	"i4": "I32", "u8": "U64", "i8": "I64",
	"c8": "C64",
}

// npyArray is a header.
type npyArray struct {
	dtype     DType
	bigEndian bool
	fortran   bool
	objects   bool // pickled ones instead of values: neither dtype nor size is set
	shape     []int
	size      int // bytes of the values
	head      int // bytes before them
}

var (
	npyDescr   = regexp.MustCompile(`'descr'\s*:\s*'([<>|=]?)([a-zA-Z][0-9]*)'`)
	npyFortran = regexp.MustCompile(`'fortran_order'\s*:\s*(True|False)`)
	npyShape   = regexp.MustCompile(`'shape'\s*:\s*\(([0-9L, ]*)\)`)
)

// readNPYHeader reads the beginning of an array.
func readNPYHeader(data []byte) (a npyArray, err error) {
	if !isNPY(data) || len(data) < 12 {
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
	if length > maxNPYHeader || length > len(data)-a.head {
		return a, fmt.Errorf("a header of %d bytes", length)
	}
	head := data[a.head : a.head+length]
	a.head += length
	descr, fortran, shape := npyDescr.FindSubmatch(head), npyFortran.FindSubmatch(head), npyShape.FindSubmatch(head)
	if descr == nil || fortran == nil || shape == nil {
		return a, fmt.Errorf("a header without a plain type, order and shape: %q", clipText(string(head)))
	}
	if descr[2][0] == 'O' {
		a.objects = true
		return a, nil
	}
	var ok bool
	if a.dtype, ok = npyTypes[string(descr[2])]; !ok {
		return a, fmt.Errorf("type %q is not one of numbers", descr[2])
	}
	a.bigEndian = string(descr[1]) == ">"
	a.fortran = string(fortran[1]) == "True"
	size := uint64(sizes[a.dtype])
	for _, part := range strings.FieldsFunc(string(shape[1]), func(r rune) bool { return r == ',' || r == ' ' }) {
		n, err := strconv.ParseUint(strings.TrimSuffix(part, "L"), 10, 62)
		if err != nil || len(a.shape) == maxRank || n > 0 && size > (math.MaxInt/2)/n {
			return a, fmt.Errorf("a shape of (%s)", clipText(string(shape[1])))
		}
		size *= n
		a.shape = append(a.shape, int(n))
	}
	a.size = int(size)
	return a, nil
}

// entry is the array under a name. content is the whole file, or makes it.
func (a npyArray) entry(name string, content func() ([]byte, error), raw []byte) entry {
	e := entry{name: name, shape: a.shape, dtype: a.dtype}
	if raw != nil && !a.fortran && !a.bigEndian {
		e.raw = raw[a.head : a.head+a.size : a.head+a.size]
		return e
	}
	e.fetch = func() ([]byte, error) {
		data, err := content()
		if err != nil {
			return nil, err
		}
		return a.plain(data[a.head : a.head+a.size]), nil
	}
	return e
}

// plain puts values into little-endian row-major order.
func (a npyArray) plain(data []byte) []byte {
	width := sizes[a.dtype]
	if a.fortran && len(a.shape) > 1 {
		out := make([]byte, len(data))
		at := make([]int, len(a.shape)) // of the value, the first axis changing fastest
		for from := 0; from < len(data); from += width {
			to := 0
			for i, n := range a.shape {
				to = to*n + at[i]
			}
			copy(out[to*width:], data[from:from+width])
			for i := range at {
				if at[i]++; at[i] < a.shape[i] {
					break
				}
				at[i] = 0
			}
		}
		data = out
	}
	if a.bigEndian {
		data = slices.Clone(data)
		for v := range slices.Chunk(data, width) {
			slices.Reverse(v)
		}
	}
	return data
}

// readNPY reads a single array, whose name is "array".
func readNPY(f *File, data []byte) error {
	a, err := readNPYHeader(data)
	if a.objects {
		return readArrays(f, data[a.head:], "it holds pickled objects")
	}
	if err == nil && a.size != len(data)-a.head {
		err = fmt.Errorf("%d bytes of values, %d by its header", len(data)-a.head, a.size)
	}
	if err != nil {
		return &FormatError{f.Path, 0, err.Error()}
	}
	return f.add(a.entry("array", func() ([]byte, error) { return data, nil }, data))
}

func readNPZ(f *File, members map[string]member) error {
	for _, name := range sortedNames(members) {
		m := members[name]
		of, isArray := strings.CutSuffix(name, ".npy")
		if !isArray {
			return &FormatError{f.Path, 0, fmt.Sprintf("zip member %q is no NumPy array", clipText(name))}
		}
		fail := func(err error) error {
			return &FormatError{f.Path, 0, fmt.Sprintf("zip member %q: %v", clipText(name), err)}
		}
		head := m.raw
		if head == nil {
			var err error
			if head, err = m.head(maxNPYHeader + 12); err != nil {
				return fail(err)
			}
		}
		a, err := readNPYHeader(head)
		if a.objects {
			if err := f.addObjects(of, m, a.head); err != nil {
				return fail(err)
			}
			continue
		}
		if err == nil && a.size != m.size-a.head {
			err = fmt.Errorf("%d bytes of values, %d by its header", m.size-a.head, a.size)
		}
		if err != nil {
			return fail(err)
		}
		if name == npyNotes && a.dtype == "U8" && a.size <= maxHeader {
			content, err := m.bytes()
			if err == nil {
				err = json.Unmarshal(content[a.head:], &f.Metadata)
			}
			if err != nil {
				return fail(err)
			}
			continue
		}
		if err := f.add(a.entry(of, m.bytes, m.raw)); err != nil {
			return fail(err)
		}
	}
	return nil
}

// addObjects lists the arrays in a member that numpy.savez made of a dict or a list of arrays.
func (f *File) addObjects(name string, m member, head int) error {
	content, err := m.bytes()
	if err != nil {
		return err
	}
	root, err := unpickleArrays(content[head:])
	if err != nil {
		return fmt.Errorf("it holds pickled objects: %w", err)
	}
	for _, e := range root.flatten(name, nil) {
		if err := f.add(e); err != nil {
			return err
		}
	}
	return nil
}

// readArrays reads a pickle of arrays, as numpy.save writes a dict of them and pickle.dump anything.
func readArrays(f *File, data []byte, what string) error {
	root, err := unpickleArrays(data)
	if err != nil {
		return &FormatError{f.Path, 0, fmt.Sprintf("%s: %v", what, err)}
	}
	return f.addRoot(root)
}

// unpickleArrays is what of a pickle holds arrays. One that holds none is an error.
func unpickleArrays(data []byte) (*node, error) {
	globals := pickle.Containers()
	maps.Copy(globals, pickle.NumPy())
	loader := pickle.Loader{Globals: globals, Unknown: pickle.Inert}
	value, _, err := loader.Load(data)
	if err != nil {
		return nil, err
	}
	w := walker{barren: map[any]bool{}}
	root, err := w.node("", value, 0)
	if err == nil && root == nil {
		err = errors.New("no array of numbers is among them")
	}
	return root, err
}

func sortedNames(members map[string]member) []string {
	names := make([]string, 0, len(members))
	for name := range members {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// head is the beginning of a compressed member, of up to n bytes.
func (m member) head(n int) ([]byte, error) {
	r, err := m.open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, int64(min(n, m.size))))
}
