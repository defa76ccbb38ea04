// Package torch reads PyTorch's files: what torch.save writes.
package torch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/vggo/vggo/internal/pickle"
	"github.com/vggo/vggo/weights/internal/checkpoint"
	"github.com/vggo/vggo/weights/internal/format"
)

// torch.save (torch/serialization.py) writes a zip archive since PyTorch 1.6: data.pkl, a pickle whose tensors name
// their storages, and a member data/KEY for each storage. Before, it wrote five pickles in a row (a magic number, a
// version, the system's sizes, the object, the storages' keys) and then each storage, its length before it.

// magic is the first of the old pickles.
const magic = "\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."

// maxPickle bounds data.pkl before it is uncompressed. A tensor takes some 200 bytes of it.
const maxPickle = 64 << 20

// Reader reads what torch.save writes, in both its forms.
var Reader = format.Reader{Name: "PyTorch", Knows: knows, Read: read}

func knows(in *format.Input) bool {
	if in.Members == nil {
		return pickle.Is(in.Data) && bytes.Contains(in.Data[:min(len(in.Data), 64)], []byte(magic))
	}
	for name := range in.Members {
		if strings.HasSuffix(name, objectName) {
			return true
		}
	}
	return false
}

func read(in *format.Input) (*format.Contents, error) {
	var value any
	var program script
	var err error
	if in.Members == nil {
		value, err = readOld(in.Data)
	} else {
		value, program, err = readZip(in.Members)
	}
	if err != nil {
		return nil, err
	}
	held, err := checkpoint.Read(value)
	if err != nil {
		return nil, format.Fail(0, "%v", err)
	}
	if held == nil {
		for name := range in.Members {
			if strings.Contains(name, "/constants/0") {
				return nil, format.Fail(0, "a program that torch.jit.freeze or optimize_for_mobile has made, whose weights are "+
					"constants without names: save the one that it was made of")
			}
		}
		return &format.Contents{}, nil
	}
	parts, err := held.Networks(in.Part)
	c := &format.Contents{Parts: parts}
	if root := wholeModule(value); root != nil && err == nil && len(parts) == 1 {
		describe(c, root, program, parts[0].Tensors)
		return c, nil
	}
	for i := range parts {
		if m := held.Module(parts[i].Name); m != nil {
			parts[i].Unknown, parts[i].Unrunnable = suspect(m, program)
		}
	}
	return c, err
}

// wholeModule is the module that a file is or, in a dict of a training script's, holds; nil where there is none or
// several.
func wholeModule(value any) (root *pickle.Object) {
	if o, ok := value.(*pickle.Object); ok && checkpoint.IsModule(o) {
		return o
	}
	d, ok := value.(*pickle.Dict)
	if !ok {
		return nil
	}
	for _, e := range d.Entries {
		if o, ok := e.Value.(*pickle.Object); ok && checkpoint.IsModule(o) {
			if root != nil {
				return nil
			}
			root = o
		}
	}
	return root
}

// storage is a run of values that tensors are views of.
type storage struct {
	dtype  format.DType
	count  int // of values
	raw    []byte
	member format.Member // of a zip archive, where raw is nil
}

func (s *storage) bytes() ([]byte, error) {
	if s.raw != nil {
		return s.raw, nil
	}
	return s.member.Bytes()
}

// tensor is a view of a storage.
type tensor struct {
	*storage
	format.View
}

// Entry is the tensor as the file lists it.
func (t *tensor) Entry() format.Tensor { return t.Tensor(t.raw, t.bytes) }

// objectName ends the name of the archive's pickle, whose folder the others are in.
const objectName = "data.pkl"

func readZip(members map[string]format.Member) (value any, program script, err error) {
	var name string
	for n := range members {
		if strings.HasSuffix(n, objectName) {
			if name != "" {
				return nil, nil, format.Fail(0, "two pickles: more than one name ends in data.pkl")
			}
			name = n
		}
	}
	prefix := strings.TrimSuffix(name, objectName)
	has := func(name string) bool { _, ok := members[prefix+name]; return ok }
	if has("constants.pkl") { // TorchScript
		if program, err = readScript(members, prefix); err != nil {
			return nil, nil, err
		}
	}
	if order, ok := members[prefix+"byteorder"]; ok && string(order.Raw) == "big" {
		return nil, nil, errBigEndian
	}
	object := members[name]
	if object.Size > maxPickle {
		return nil, nil, format.Fail(0, "%s has %d bytes: the most is %d", format.Clip(name), object.Size, maxPickle)
	}
	content, err := object.Bytes()
	if err != nil {
		return nil, nil, err
	}
	storages := map[string]*storage{}
	loader := loader(func(dtype format.DType, key string, count int) (*storage, error) {
		if s, ok := storages[key]; ok && s.dtype == dtype && s.count == count {
			return s, nil
		}
		m, ok := members[prefix+"data/"+key]
		if !ok {
			return nil, fmt.Errorf("storage %q is not in the archive", format.Clip(key))
		}
		if m.Size != count*dtype.Size() {
			return nil, fmt.Errorf("storage %q of %d values of type %s has %d bytes", format.Clip(key), count, dtype, m.Size)
		}
		s := &storage{dtype: dtype, count: count, raw: m.Raw, member: m}
		storages[key] = s
		return s, nil
	})
	value, _, err = loader.Load(content)
	if err != nil {
		return nil, nil, broken("data.pkl: ", 0, err)
	}
	return value, program, nil
}

// readOld reads torch.save's old format.
func readOld(data []byte) (any, error) {
	storages := map[string]*storage{}
	loader := loader(func(dtype format.DType, key string, count int) (*storage, error) {
		s, ok := storages[key]
		if !ok {
			s = &storage{dtype: dtype, count: count}
			storages[key] = s
		}
		if s.dtype != dtype || s.count != count {
			return nil, fmt.Errorf("storage %q has two types or lengths", format.Clip(key))
		}
		return s, nil
	})
	at := 0
	var values [5]any // magic number, version, system, object, keys
	for i := range values {
		value, n, err := loader.Load(data[at:])
		if err != nil {
			return nil, broken("", at, err)
		}
		values[i] = value
		at += n
	}
	if system, ok := values[2].(*pickle.Dict); ok {
		if little, _ := system.Get("little_endian"); little == false {
			return nil, errBigEndian
		}
	}
	keys, ok := values[4].(*pickle.List)
	if !ok {
		return nil, format.Fail(int64(at), "no list of storages")
	}
	for _, k := range keys.Items {
		key, _ := text(k)
		s, ok := storages[key]
		fail := func(text string, args ...any) (any, error) {
			return nil, format.Fail(int64(at), "storage %q %s", format.Clip(key), fmt.Sprintf(text, args...))
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
		size := s.count * s.dtype.Size()
		if size > len(data)-at {
			return fail("is cut off: its values end at byte %d, the file at %d", at+size, len(data))
		}
		s.raw = data[at : at+size : at+size]
		at += size
	}
	for _, key := range slices.Sorted(maps.Keys(storages)) {
		if s := storages[key]; s.raw == nil && s.count > 0 {
			return nil, format.Fail(int64(at), "storage %q is not in the file", format.Clip(key))
		}
	}
	return values[3], nil
}

var errBigEndian = format.Fail(0, "written on a big-endian machine: load it with PyTorch there and save it again")

// broken says where a pickle broke, and what to do about one that holds more than tensors.
func broken(part string, at int, err error) error {
	var where *pickle.Error
	if errors.As(err, &where) {
		at, err = at+where.Offset, where.Err
	}
	remedy := ""
	if errors.As(err, new(*pickle.RefusedError)) {
		remedy = checkpoint.StateDict
	}
	return format.Fail(int64(at), "%s%v%s", part, err, remedy)
}
