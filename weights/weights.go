// Package weights reads and writes files of trained parameters, and finds in them the parameters of an arch.Network
// whatever the library that wrote the file called them.
package weights

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/fault"
	"github.com/vggo/vggo/internal/plainfile"
	"github.com/vggo/vggo/weights/internal/caffe"
	"github.com/vggo/vggo/weights/internal/darknet"
	"github.com/vggo/vggo/weights/internal/format"
	"github.com/vggo/vggo/weights/internal/keras"
	"github.com/vggo/vggo/weights/internal/matlab"
	"github.com/vggo/vggo/weights/internal/mxnet"
	"github.com/vggo/vggo/weights/internal/numpy"
	"github.com/vggo/vggo/weights/internal/onnx"
	"github.com/vggo/vggo/weights/internal/torch"
	"github.com/vggo/vggo/weights/internal/torch7"
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

	list      format.List     // the tensors of the part that is taken, in the order of their data
	contents  format.Contents // but for these; Sized is nil once the pictures' size is known
	described *format.Network // nil for a file of nothing but tensors
	note      struct {        // the network of vggo's own note, once it is asked for
		sync.Once
		placed *arch.Placement
		err    error
	}
	mapped []*mapping
	beside folder
	closed bool
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

// readers lists the formats that Open reads; a file belongs to the first that knows it.
func readers() []format.Reader {
	return slices.Concat([]format.Reader{
		{Name: "safetensors", Knows: isSafetensors, Read: readSafetensors},
		onnx.Reader,
		keras.Reader,
		torch.Reader,
		numpy.Reader,
	}, ofTensorFlow, []format.Reader{ // which has TensorFlow.js' graphs, where it is there
		keras.TensorFlowJS,
		matlab.Reader,
		caffe.Reader,
		torch7.Reader,
		darknet.Reader,
		mxnet.Reader,
	})
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
	f := &File{Path: path, Part: part, mapped: []*mapping{m}}
	f.beside = folder{path: filepath.Dir(path), file: f}
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
	if isIndex(data) {
		if err := f.readIndex(data); err != nil {
			return err
		}
		return f.divide()
	}
	in := &format.Input{Name: filepath.Base(f.Path), Data: data, Part: f.Part, Beside: f.beside.open}
	if format.IsZip(data) {
		f.Format = "zip"
		var err error
		if in.Members, err = format.Members(data); err != nil {
			return f.failed(err)
		}
	}
	for _, reader := range readers() {
		if !reader.Knows(in) || isCoreML(in) {
			continue
		}
		contents, err := reader.Read(in)
		if err != nil {
			return f.failed(err)
		}
		f.contents, f.Metadata = *contents, contents.Metadata
		f.Format = cmp.Or(contents.Format, reader.Name)
		f.noteClasses()
		if err := f.divide(); err != nil {
			return err
		}
		if contents.Network == nil {
			return nil
		}
		return f.describe(contents.Network)
	}
	return f.stranger(in)
}

// failed puts the file's path to a reader's error.
func (f *File) failed(err error) error {
	var broken *format.Error
	var unrunnable *format.UnrunnableError
	switch {
	case errors.As(err, &broken): // which may have been given a text before it
		return &FormatError{f.Path, broken.Offset, strings.TrimSuffix(err.Error(), broken.Error()) + broken.Reason}
	case errors.As(err, &unrunnable):
		return &UnreadableError{Path: f.Path, Err: unrunnable.Err}
	}
	return fmt.Errorf("%s: %w", f.Path, err)
}

// Names lists the tensors in the order of their data in the file.
func (f *File) Names() []string { return f.list.Names() }

// Info returns a tensor's name, shape and type without its Data.
func (f *File) Info(name string) (Tensor, bool) {
	t, ok := f.list.Get(name)
	return Tensor{Name: t.Name, Shape: slices.Clone(t.Shape), DType: t.DType}, ok
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
	if !t.DType.HoldsWeights() { // before the work of fetching
		return Tensor{}, fmt.Errorf("%s: tensor %q: type %s holds no weights: F32, F16, BF16 and F64 do", f.Path,
			name, t.DType)
	}
	stored, _ := f.list.Get(name)
	data, err := stored.Floats()
	if short := f.Check(); short != nil {
		return Tensor{}, short
	}
	if err != nil {
		return Tensor{}, fmt.Errorf("%s: tensor %q: %w", f.Path, name, err)
	}
	t.Data = data
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

// DType is a stored number's type, by its name in safetensors.
type DType = format.DType

// The types that Tensor.Data can be made from.
const (
	F64  = format.F64
	F32  = format.F32
	F16  = format.F16  // IEEE 754 half precision
	BF16 = format.BF16 // the upper half of a float32
)

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

// isWeight knows what may be a layer's weights, and is no count, bias or statistic.
func isWeight(t Tensor) bool { return format.Tensor{Shape: t.Shape, DType: t.DType}.IsWeight() }
