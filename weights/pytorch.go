package weights

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"github.com/vggo/vggo/internal/pickle"
)

// torch.save (torch/serialization.py) writes a zip archive since PyTorch 1.6: data.pkl, a pickle whose tensors name their storages,
// and a member data/KEY for each storage. Before, it wrote five pickles in a row (a magic number, a version, the system's sizes, the
// object, the storages' keys) and then each storage, its length before it.

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

// torchTensor is a view of a storage: offset and strides in values.
type torchTensor struct {
	*storage
	offset       int
	size, stride []int
}

// torchTypes are the storages by the class that a pickle names.
var torchTypes = map[string]DType{
	"DoubleStorage": F64, "FloatStorage": F32, "HalfStorage": F16, "BFloat16Storage": BF16,
	"LongStorage": "I64", "IntStorage": "I32", "ShortStorage": "I16", "CharStorage": "I8", "ByteStorage": "U8", "BoolStorage": "BOOL",
}

// inert is an object that holds no tensor: a device, a NumPy scalar.
type inert struct{}

func (inert) SetState(any) error { return nil }

// torchLoader reads a pickle whose storages find gives.
func torchLoader(find func(dtype DType, key string, count int) (*storage, error)) *pickle.Loader {
	globals := map[string]*pickle.Global{}
	add := func(name string, call func(pickle.Tuple) (any, error)) {
		globals[name] = &pickle.Global{Name: name, Call: call}
	}
	for class := range torchTypes {
		add("torch."+class, nil)
	}
	for _, name := range []string{"float64", "double", "float32", "float", "float16", "half", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool", "strided", "contiguous_format"} {
		add("torch."+name, nil)
	}
	nothing := func(pickle.Tuple) (any, error) { return inert{}, nil }
	for _, name := range []string{"torch.device", "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar", "numpy.dtype", "_codecs.encode"} {
		add(name, nothing)
	}
	first := func(args pickle.Tuple) (any, error) {
		if len(args) == 0 {
			return nil, errors.New("no argument")
		}
		return args[0], nil
	}
	add("torch.Size", first)
	add("torch._utils._rebuild_parameter", first)
	add("torch._utils._rebuild_parameter_with_state", first)
	add("torch._utils._rebuild_tensor", rebuildTensor)
	add("torch._utils._rebuild_tensor_v2", rebuildTensor)
	add("collections.OrderedDict", pickle.OrderedDict())
	return &pickle.Loader{Globals: globals, Persistent: func(id any) (any, error) {
		parts, ok := id.(pickle.Tuple)
		if !ok || len(parts) < 5 {
			return nil, fmt.Errorf("a reference to %s outside, not to a storage", pickle.Kind(id))
		}
		kind, _ := text(parts[0])
		class, _ := parts[1].(*pickle.Global)
		key, isText := text(parts[2])
		count, isInt := parts[4].(int64)
		if kind != "storage" || class == nil || !isText || !isInt || count < 0 {
			return nil, errors.New("a storage without class, key and length")
		}
		if len(parts) > 5 && parts[5] != nil {
			return nil, errors.New("a view of a storage, as PyTorch before 0.2 wrote: it is not read")
		}
		dtype, ok := torchTypes[strings.TrimPrefix(class.Name, "torch.")]
		if !ok {
			return nil, fmt.Errorf("a storage of class %s", class.Name)
		}
		if hi, lo := bits.Mul64(uint64(count), uint64(sizes[dtype])); hi != 0 || lo > 1<<62 {
			return nil, fmt.Errorf("a storage of %d values", count)
		}
		return find(dtype, key, int(count))
	}}
}

func text(v any) (string, bool) {
	if b, ok := v.(pickle.Bytes); ok {
		return string(b), true
	}
	s, ok := v.(string)
	return s, ok
}

// rebuildTensor is torch._utils._rebuild_tensor(storage, offset, size, stride, …).
func rebuildTensor(args pickle.Tuple) (any, error) {
	if len(args) < 4 {
		return nil, fmt.Errorf("%d arguments", len(args))
	}
	s, ok := args[0].(*storage)
	if !ok {
		return nil, fmt.Errorf("a tensor of %s, no storage", pickle.Kind(args[0]))
	}
	t := &torchTensor{storage: s}
	offset, ok := args[1].(int64)
	size, ok1 := wholes(args[2])
	stride, ok2 := wholes(args[3])
	if !ok || !ok1 || !ok2 || len(size) != len(stride) || offset < 0 {
		return nil, errors.New("a tensor whose offset, size and strides are not whole numbers")
	}
	t.offset, t.size, t.stride = int(offset), size, stride
	return t, t.check()
}

// wholes reads a tuple of numbers from 0 to 2^62.
func wholes(v any) ([]int, bool) {
	tuple, ok := v.(pickle.Tuple)
	if !ok || len(tuple) > maxRank {
		return nil, false
	}
	list := make([]int, len(tuple))
	for i, v := range tuple {
		n, ok := v.(int64)
		if !ok || n < 0 || n > 1<<62 {
			return nil, false
		}
		list[i] = int(n)
	}
	return list, true
}

// check sees that the view lies in its storage, and takes no more values than it has: one that repeats some, as expand makes, could
// be of any size.
func (t *torchTensor) check() error {
	count, last := uint64(1), uint64(t.offset)
	for i, n := range t.size {
		hi, lo := bits.Mul64(count, uint64(n))
		if hi != 0 || lo > uint64(t.count) {
			return fmt.Errorf("a tensor of size %v in a storage of %d values", t.size, t.count)
		}
		count = lo
		if n > 0 {
			hi, lo = bits.Mul64(uint64(n-1), uint64(t.stride[i]))
			if last += lo; hi != 0 || last > 1<<62 {
				return fmt.Errorf("a tensor of strides %v", t.stride)
			}
		}
	}
	if count > 0 && last >= uint64(t.count) {
		return fmt.Errorf("a tensor that ends at value %d of a storage of %d", last+1, t.count)
	}
	return nil
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
		return &FormatError{f.Path, 0, fmt.Sprintf("%sdata.pkl has %d bytes: the most is %d", clipText(prefix), object.size, maxPickle)}
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
	return f.addTorch(value)
}

// readPickle reads torch.save's old format, and says of other pickles that they are none.
func readPickle(f *File, data []byte) error {
	f.Format = "PyTorch"
	if !bytes.Contains(data[:min(len(data), 64)], []byte(torchMagic)) {
		return &FormatError{f.Path, 0, "a pickle, but none of torch.save's: it is not run"}
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
	return f.addTorch(values[3])
}

// torchError says where a pickle broke, and what to do about one that holds more than tensors.
func (f *File) torchError(part string, at int, err error) error {
	var broken *pickle.Error
	if errors.As(err, &broken) {
		at, err = at+broken.Offset, broken.Err
	}
	reason := part + err.Error()
	var refused *pickle.RefusedError
	if errors.As(err, &refused) {
		reason += "; tensors alone come from torch.save(model.state_dict(), path) in Python"
	}
	return &FormatError{f.Path, int64(at), reason}
}

// checkpoints are the keys under which training scripts keep the weights beside their own state.
var checkpoints = []string{"state_dict", "model_state_dict", "model_state", "model", "net", "weights"}

// addTorch lists an object's tensors: a dict's under its keys, with dots between those of dicts in dicts. Of a training script's
// checkpoint, which is a dict without tensors of its own, the model's dict alone is taken. A name's beginning "module.", which
// DataParallel gives to all, is left out.
func (f *File) addTorch(value any) error {
	if d, ok := value.(*pickle.Dict); ok && !slices.ContainsFunc(d.Entries, func(e pickle.Entry) bool { _, is := e.Value.(*torchTensor); return is }) {
		for _, key := range checkpoints {
			if v, ok := d.Get(key); ok {
				if inner, ok := v.(*pickle.Dict); ok {
					value = inner
					break
				}
			}
		}
	}
	found := map[string]*torchTensor{}
	var order []string
	steps := 0
	var walk func(v any, name string, depth int) error
	walk = func(v any, name string, depth int) error {
		if steps++; steps > 4*maxTensors || depth > maxRank {
			return fmt.Errorf("more than %d values, or deeper than %d: it may hold itself", 4*maxTensors, maxRank)
		}
		below := func(key string) string {
			if name == "" {
				return key
			}
			return name + "." + key
		}
		switch v := v.(type) {
		case *torchTensor:
			if name == "" {
				name = "tensor"
			}
			if found[name] != nil {
				return fmt.Errorf("two tensors are called %q", clipText(name))
			}
			if len(name) > maxName {
				return checkName(name)
			}
			found[name] = v
			order = append(order, name)
		case *pickle.Dict:
			for _, e := range v.Entries {
				key := ""
				switch k := e.Key.(type) {
				case string:
					key = k
				case int64:
					key = strconv.FormatInt(k, 10)
				default:
					continue
				}
				if len(key) > maxName {
					return checkName(key)
				}
				if err := walk(e.Value, below(key), depth+1); err != nil {
					return err
				}
			}
		case *pickle.List:
			for i, item := range v.Items {
				if err := walk(item, below(strconv.Itoa(i)), depth+1); err != nil {
					return err
				}
			}
		case pickle.Tuple:
			for i, item := range v {
				if err := walk(item, below(strconv.Itoa(i)), depth+1); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if err := walk(value, "", 0); err != nil {
		return &FormatError{f.Path, 0, err.Error()}
	}
	parallel := len(order) > 0
	for name := range maps.Keys(found) {
		parallel = parallel && strings.HasPrefix(name, "module.")
	}
	for _, name := range order {
		shown := name
		if parallel {
			shown = strings.TrimPrefix(name, "module.")
		}
		if err := f.add(found[name].entry(shown)); err != nil {
			return &FormatError{f.Path, 0, err.Error()}
		}
	}
	return nil
}
