package weights

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/vggo/vggo/internal/pickle"
)

// torch.save (torch/serialization.py) writes a zip archive since PyTorch 1.6: data.pkl, a pickle whose tensors name
// their storages, and a member data/KEY for each storage. Before, it wrote five pickles in a row (a magic number, a
// version, the system's sizes, the object, the storages' keys) and then each storage, its length before it.

// torchMagic is the first of the old pickles.
const torchMagic = "\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."

// maxPickle bounds data.pkl before it is uncompressed. A tensor takes some 200 bytes of it.
const maxPickle = 64 << 20

// isPickle knows pickles of protocol 2 and later.
func isPickle(head []byte) bool {
	return len(head) > 2 && head[0] == 0x80 && head[1] >= 2 && head[1] <= 5
}

// storage is a run of values that tensors are views of.
type storage struct {
	dtype  DType
	count  int // of values
	raw    []byte
	member member // of a zip archive, where raw is nil
}

func (s *storage) bytes() ([]byte, error) {
	if s.raw != nil {
		return s.raw, nil
	}
	return s.member.bytes()
}

// torchTensor is a view of a storage: offset, strides and count in values of its type.
type torchTensor struct {
	*storage
	dtype        DType
	count        int // of the storage
	offset       int
	size, stride []int
}

// entry is the tensor as the file lists it.
func (t *torchTensor) entry(name string) entry {
	e := entry{name: name, shape: t.size, dtype: t.dtype}
	width := sizes[t.dtype]
	count := product(t.size)
	contiguous, n := true, 1
	for i := len(t.size) - 1; i >= 0; i-- {
		contiguous = contiguous && (t.size[i] == 1 || t.stride[i] == n)
		n *= t.size[i]
	}
	if contiguous && t.raw != nil {
		e.raw = t.raw[t.offset*width : (t.offset+count)*width : (t.offset+count)*width]
		return e
	}
	e.fetch = func() ([]byte, error) {
		from, err := t.bytes()
		if err != nil {
			return nil, err
		}
		if contiguous {
			return from[t.offset*width : (t.offset+count)*width], nil
		}
		out := make([]byte, 0, count*width)
		var walk func(axis, at int)
		walk = func(axis, at int) {
			if axis == len(t.size) {
				out = append(out, from[at*width:(at+1)*width]...)
				return
			}
			for i := range t.size[axis] {
				walk(axis+1, at+i*t.stride[axis])
			}
		}
		if count > 0 {
			walk(0, t.offset)
		}
		return out, nil
	}
	return e
}

func readTorchZip(f *File, members map[string]member, prefix string) error {
	if order, ok := members[prefix+"byteorder"]; ok && string(order.raw) == "big" {
		return &FormatError{f.Path, 0, "written on a big-endian machine: load it with PyTorch there and save it again"}
	}
	object := members[prefix+"data.pkl"]
	if object.size > maxPickle {
		return &FormatError{f.Path, 0, fmt.Sprintf("%sdata.pkl has %d bytes: the most is %d", clipText(prefix), object.size,
			maxPickle)}
	}
	content, err := object.bytes()
	if err != nil {
		return fmt.Errorf("%s: %w", f.Path, err)
	}
	storages := map[string]*storage{}
	loader := torchLoader(func(dtype DType, key string, count int) (*storage, error) {
		if s, ok := storages[key]; ok && s.dtype == dtype && s.count == count {
			return s, nil
		}
		m, ok := members[prefix+"data/"+key]
		if !ok {
			return nil, fmt.Errorf("storage %q is not in the archive", clipText(key))
		}
		if m.size != count*sizes[dtype] {
			return nil, fmt.Errorf("storage %q of %d values of type %s has %d bytes", clipText(key), count, dtype, m.size)
		}
		s := &storage{dtype: dtype, count: count, raw: m.raw, member: m}
		storages[key] = s
		return s, nil
	})
	value, _, err := loader.Load(content)
	if err != nil {
		return f.torchError("data.pkl: ", 0, err)
	}
	return f.addPickled(value)
}

// readPickle reads torch.save's old format, and of other pickles those of NumPy's arrays.
func readPickle(f *File, data []byte) error {
	if !bytes.Contains(data[:min(len(data), 64)], []byte(torchMagic)) {
		f.Format = "NumPy"
		return readArrays(f, data, "a pickle of objects")
	}
	storages := map[string]*storage{}
	loader := torchLoader(func(dtype DType, key string, count int) (*storage, error) {
		s, ok := storages[key]
		if !ok {
			s = &storage{dtype: dtype, count: count}
			storages[key] = s
		}
		if s.dtype != dtype || s.count != count {
			return nil, fmt.Errorf("storage %q has two types or lengths", clipText(key))
		}
		return s, nil
	})
	at := 0
	var values [5]any // magic number, version, system, object, keys
	for i := range values {
		value, n, err := loader.Load(data[at:])
		if err != nil {
			return f.torchError("", at, err)
		}
		values[i] = value
		at += n
	}
	if system, ok := values[2].(*pickle.Dict); ok {
		if little, _ := system.Get("little_endian"); little == false {
			return &FormatError{f.Path, 0, "written on a big-endian machine: load it with PyTorch there and save it again"}
		}
	}
	keys, ok := values[4].(*pickle.List)
	if !ok {
		return &FormatError{f.Path, int64(at), "no list of storages"}
	}
	for _, k := range keys.Items {
		key, _ := text(k)
		s, ok := storages[key]
		fail := func(format string, args ...any) error {
			return &FormatError{f.Path, int64(at), fmt.Sprintf("storage %q ", clipText(key)) + fmt.Sprintf(format, args...)}
		}
		if !ok {
			return fail("is of no tensor")
		}
		if len(data)-at < 8 {
			return fail("is cut off: the file ends at byte %d", len(data))
		}
		count := binary.LittleEndian.Uint64(data[at:])
		at += 8
		if count != uint64(s.count) {
			return fail("has %d values, its tensors want %d", count, s.count)
		}
		size := s.count * sizes[s.dtype]
		if size > len(data)-at {
			return fail("is cut off: its values end at byte %d, the file at %d", at+size, len(data))
		}
		s.raw = data[at : at+size : at+size]
		at += size
	}
	for _, key := range slices.Sorted(maps.Keys(storages)) {
		if s := storages[key]; s.raw == nil && s.count > 0 {
			return &FormatError{f.Path, int64(at), fmt.Sprintf("storage %q is not in the file", clipText(key))}
		}
	}
	return f.addPickled(values[3])
}

// stateDict is what to do about a file that holds more than tensors.
const stateDict = "; tensors alone come from torch.save(model.state_dict(), path) in Python"

// torchError says where a pickle broke, and what to do about one that holds more than tensors.
func (f *File) torchError(part string, at int, err error) error {
	var broken *pickle.Error
	if errors.As(err, &broken) {
		at, err = at+broken.Offset, broken.Err
	}
	reason := part + err.Error()
	var refused *pickle.RefusedError
	if errors.As(err, &refused) {
		reason += stateDict
	}
	return &FormatError{f.Path, int64(at), reason}
}
