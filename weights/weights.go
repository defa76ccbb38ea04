// Package weights reads and writes files of trained parameters, and finds in them the parameters of an arch.Network
// whatever the library that wrote the file called them.
package weights

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/fault"
	"github.com/vggo/vggo/internal/hdf5"
	"github.com/vggo/vggo/internal/onnx"
	"github.com/vggo/vggo/internal/plainfile"
	"github.com/vggo/vggo/internal/printable"
)

// Tensor is a named array in a file: float32 values in row-major order. Convolution weights are O,I,H,W and linear
// weights O,I, as in PyTorch.
type Tensor struct {
	Name  string
	Shape []int // empty for a scalar
	DType DType // how the file stores it
	Data  []float32
}

// File is an open file of weights. Its methods other than Close and Resolve may be called from several goroutines.
type File struct {
	Path     string
	Format   string            // "safetensors"
	Metadata map[string]string // the file's own notes
	// Part is the part of a file of several networks' weights that was taken, and Others are those that were not. A file
	// that holds one network's has neither, and a checkpoint the key to its only one.
	Part   string
	Others []Part

	parts     []part  // as the format's reader finds them; nil once one is taken, and for formats that know none
	entries   []entry // in the order of their data
	index     map[string]int
	described *described // nil for a file of nothing but tensors
	note      struct {   // the network of vggo's own note, once it is asked for
		sync.Once
		placed *arch.Placement
		err    error
	}
	// leavesOpen describes the network of a file that says nothing of its pictures' size, for one; nil for all others, and
	// once that is done.
	leavesOpen func(input arch.Shape) error
	channels   int              // of the pictures whose size is open; 0 where these are open too
	unreadable *UnreadableError // the network that the file describes cannot be run
	unknown    string           // what is known of a file that describes no network; else empty
	// named is how the file's own order of layers names a network's parameters; nil for formats that keep none.
	named  func(placed []arch.Placed) naming
	mapped []*mapping
	beside string // the folder that the file lies in, whose files an index may name; empty for bytes
	closed bool
}

// entry is a tensor not yet read.
type entry struct {
	name  string
	shape []int
	dtype DType
	raw   []byte // little-endian values, row-major, as long as shape and dtype say
	// fetch makes raw where the file does not hold it in one piece: compressed, in chunks, transposed. Reading the file
	// has bounded its size already.
	fetch func() ([]byte, error)
}

// add takes a tensor into the file's list. It refuses what no network has: a name twice, a size beyond the address
// space.
func (f *File) add(e entry) error {
	if len(f.entries) == maxTensors {
		return fmt.Errorf("more than %d tensors", maxTensors)
	}
	if err := checkName(e.name); err != nil {
		return err
	}
	if _, twice := f.index[e.name]; twice {
		return fmt.Errorf("%q occurs twice", e.name)
	}
	if len(e.shape) > maxRank {
		return fmt.Errorf("tensor %q has %d dimensions: the most is %d", e.name, len(e.shape), maxRank)
	}
	bytes := uint64(sizes[e.dtype])
	for _, d := range e.shape {
		hi, lo := bits.Mul64(bytes, uint64(d))
		if d < 0 || hi != 0 || lo > math.MaxInt {
			return fmt.Errorf("tensor %q: shape %s overflows", e.name, printable.Shape(e.shape))
		}
		bytes = lo
	}
	if f.index == nil {
		f.index = make(map[string]int)
	}
	f.index[e.name] = len(f.entries)
	f.entries = append(f.entries, e)
	return nil
}

// FormatError is a file that breaks the rules of its format.
type FormatError struct {
	Path   string
	Offset int64 // byte of the file
	Reason string
}

func (e *FormatError) Error() string {
	reason := e.Reason
	if len(reason) > maxReason { // it may quote a broken file, which may hold anything of any length
		reason = strings.ToValidUTF8(reason[:maxReason], "") + "…"
	}
	return fmt.Sprintf("%s: byte %d: %s", e.Path, e.Offset, reason)
}

const maxReason = 300

// format is one that Open reads.
type format struct {
	name  string
	knows func(head []byte) bool
	read  func(f *File, data []byte) error
}

// formats lists them; a file belongs to the first that knows its opening bytes.
func formats() []format {
	return []format{
		{"safetensors", isSafetensors, readSafetensors},
		{"ONNX", onnx.IsModel, readONNX},
		{"HDF5", hdf5.Is, readHDF5},
		{"zip", isZip, readZip}, // which says whose
		{"PyTorch", isPickle, readPickle},
		{"NumPy", isNPY, readNPY},
		{"shards", isIndex, readIndex}, // which says of what
	}
}

// Open opens a file of weights. The file is mapped into memory where the system can, so opening 500 MB costs what its
// header costs; one that is shortened while it is open gives errors (replacing it by a rename, as Write does, is
// harmless). A path may also be the index of a file in shards (model.safetensors.index.json), or the folder that it
// lies in. Of a file with several networks' weights, Part says which is taken: plain ones before averaged ones. Errors
// are *FormatError or of package os.
func Open(path string) (*File, error) { return OpenPart(path, "") }

// OpenPart is Open for one part of a file: the key of a checkpoint, "model_ema" for one, keys with dots between them,
// or the words that tensors' names begin with. The empty part is Open's choice. A part that is not there is a
// *PartError.
func OpenPart(path, part string) (*File, error) {
	path, err := indexIn(path)
	if err != nil {
		return nil, err
	}
	file, err := plainfile.Open(path)
	if err != nil {
		return nil, err
	}
	m, err := mapOpened(file)
	if err != nil {
		return nil, err
	}
	f := &File{Path: path, Part: part, mapped: []*mapping{m}, beside: filepath.Dir(path)}
	if err := fault.Catch(func() error { return f.read(m.data) }); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Read is Open for the bytes of a file, which name stands for in errors. They must not change until Close.
func Read(name string, data []byte) (*File, error) { return ReadPart(name, data, "") }

// ReadPart is OpenPart for the bytes of a file.
func ReadPart(name string, data []byte, part string) (*File, error) {
	f := &File{Path: name, Part: part}
	return f, f.read(data)
}

// read goes by what a file holds, and by its name only where that says nothing.
func (f *File) read(data []byte) error {
	if len(data) == 0 {
		return &FormatError{f.Path, 0, "the file is empty"}
	}
	for _, format := range formats() {
		if format.knows(data) {
			f.Format = format.name
			if err := format.read(f, data); err != nil {
				return err
			}
			return f.divide()
		}
	}
	return f.stranger(data)
}

// Names lists the tensors in the order of their data in the file.
func (f *File) Names() []string {
	names := make([]string, len(f.entries))
	for i, e := range f.entries {
		names[i] = e.name
	}
	return names
}

// Info returns a tensor's name, shape and type without its Data.
func (f *File) Info(name string) (Tensor, bool) {
	i, ok := f.index[name]
	if !ok {
		return Tensor{}, false
	}
	e := f.entries[i]
	return Tensor{Name: e.name, Shape: slices.Clone(e.shape), DType: e.dtype}, true
}

// Tensor returns a tensor with its Data. Stored as F32 and aligned, Data is the mapped file itself: it must not be
// written to nor used after Close. Otherwise it is a copy, converted from F16, BF16 or F64. Other types are an error.
func (f *File) Tensor(name string) (Tensor, error) {
	if f.closed {
		return Tensor{}, fmt.Errorf("%s: %w", f.Path, os.ErrClosed)
	}
	t, ok := f.Info(name)
	if !ok {
		return Tensor{}, fmt.Errorf("%s: no tensor %q", f.Path, name)
	}
	e := f.entries[f.index[name]]
	if !holdsWeights(t.DType) { // before the work of fetching
		return Tensor{}, fmt.Errorf("%s: tensor %q: type %s holds no weights: F32, F16, BF16 and F64 do", f.Path,
			name, t.DType)
	}
	err := fault.Catch(func() (err error) {
		raw := e.raw
		if e.fetch != nil {
			raw, err = e.fetch()
		}
		if err == nil {
			t.Data = t.DType.decode(raw)
		}
		return err
	})
	if short := f.Check(); short != nil {
		return Tensor{}, short
	}
	if err != nil {
		return Tensor{}, fmt.Errorf("%s: tensor %q: %w", f.Path, name, err)
	}
	return t, nil
}

// Check is an error if the file has been shortened since it was opened. Reading a Tensor's Data then faults where whole
// pages are gone, which a Plan of package nn makes an error of, but the rest of the last page reads as zeros: who has
// computed with Data asks afterwards.
func (f *File) Check() error {
	if f.closed {
		return fmt.Errorf("%s: %w", f.Path, os.ErrClosed)
	}
	for _, m := range f.mapped {
		if err := m.check(); err != nil {
			return err
		}
	}
	return nil
}

// SHA256 is the checksum of a file that was opened by its path and is one file. Of bytes and of shards ok is false, and
// of what cannot be read any more.
func (f *File) SHA256() (sum [sha256.Size]byte, ok bool) {
	if len(f.mapped) != 1 {
		return sum, false
	}
	err := fault.Catch(func() error { sum = sha256.Sum256(f.mapped[0].data); return nil })
	return sum, err == nil && f.Check() == nil
}

// Close unmaps the file. Closing twice is harmless.
func (f *File) Close() (err error) {
	for _, m := range f.mapped {
		err = errors.Join(err, m.unmap())
	}
	f.mapped, f.closed = nil, true
	return err
}

// plainSize is a plain file's size; a directory, pipe or device is refused.
func plainSize(file *os.File) (int, error) {
	info, err := file.Stat()
	switch {
	case err != nil:
		return 0, err
	case info.IsDir():
		return 0, fmt.Errorf("%s: a folder, not a plain file", file.Name())
	case !info.Mode().IsRegular():
		return 0, fmt.Errorf("%s: not a plain file", file.Name())
	case int64(int(info.Size())) != info.Size():
		return 0, fmt.Errorf("%s: %d bytes do not fit this machine's address space", file.Name(), info.Size())
	}
	return int(info.Size()), nil
}
