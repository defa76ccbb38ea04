package torch

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"math/bits"
	"strings"

	"github.com/vggo/vggo/internal/pickle"
	"github.com/vggo/vggo/weights/internal/format"
)

// types are the storages by the class that a pickle names.
var types = map[string]format.DType{
	"DoubleStorage": format.F64, "FloatStorage": format.F32, "HalfStorage": format.F16, "BFloat16Storage": format.BF16,
	"LongStorage": "I64", "IntStorage": "I32", "ShortStorage": "I16", "CharStorage": "I8", "ByteStorage": "U8",
	"BoolStorage":         "BOOL",
	"ComplexFloatStorage": "C64", "UntypedStorage": "U8", "storage.UntypedStorage": "U8",
}

// dtypes are the types that a tensor of an untyped storage names.
var dtypes = map[string]format.DType{
	"torch.float64": format.F64, "torch.float32": format.F32, "torch.float16": format.F16, "torch.bfloat16": format.BF16,
	"torch.int64": "I64", "torch.int32": "I32", "torch.int16": "I16", "torch.int8": "I8", "torch.uint8": "U8",
	"torch.bool":   "BOOL",
	"torch.uint16": "U16", "torch.uint32": "U32", "torch.uint64": "U64",
	"torch.float8_e4m3fn": "F8_E4M3", "torch.float8_e5m2": "F8_E5M2", "torch.complex64": "C64",
}

var errQuantised = errors.New("a quantised tensor: in Python, save the network before it is quantised, or " +
	"tensor.dequantize() of each")

// loader reads a pickle whose storages find gives. Beside tensors it knows what training scripts keep with them:
// containers, numbers and settings, as data.
func loader(find func(dtype format.DType, key string, count int) (*storage, error)) *pickle.Loader {
	globals := pickle.Containers()
	maps.Copy(globals, pickle.NumPy())
	add := func(name string, call func(pickle.Tuple) (any, error)) {
		globals["torch."+name] = &pickle.Global{Name: "torch." + name, Call: call}
	}
	for class := range types {
		add(class, nil)
	}
	first := func(args pickle.Tuple) (any, error) {
		if len(args) == 0 {
			return nil, errors.New("no argument")
		}
		return args[0], nil
	}
	nothing := func(args pickle.Tuple) (any, error) { return &pickle.Object{Class: "torch", Args: args}, nil }
	refuse := func(reason string) func(pickle.Tuple) (any, error) {
		return func(pickle.Tuple) (any, error) { return nil, errors.New(reason) }
	}
	add("device", nothing)
	add("serialization._get_layout", nothing)
	add("Size", first)
	for _, list := range []string{"intlist", "doublelist", "boollist", "tensorlist"} { // of TorchScript
		add("jit._pickle.build_"+list, first)
	}
	add("_utils._rebuild_parameter", first)
	add("_utils._rebuild_parameter_with_state", first)
	add("_utils._rebuild_tensor", rebuildTensor)
	add("_utils._rebuild_tensor_v2", rebuildTensor)
	add("_utils._rebuild_tensor_v3", rebuildTyped)
	add("_utils._rebuild_device_tensor_from_numpy", first) // of a TPU or a Mac's GPU
	add("_tensor._rebuild_from_type_v2", rebuildSubclass)
	add("_utils._rebuild_qtensor", func(pickle.Tuple) (any, error) { return nil, errQuantised })
	add("_utils._rebuild_sparse_tensor", refuse("a sparse tensor: in Python, save tensor.to_dense()"))
	add("_utils._rebuild_meta_tensor_no_storage", refuse("a tensor of the device meta, which has no values"))
	return &pickle.Loader{Globals: globals, Unknown: pickle.Inert, Persistent: func(id any) (any, error) {
		parts, ok := id.(pickle.Tuple)
		if ok && len(parts) == 4 { // a class with the text of its program, which the old format notes and nobody runs
			if kind, _ := text(parts[0]); kind == "module" {
				return parts[1], nil
			}
		}
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
		dtype, ok := types[strings.TrimPrefix(class.Name, "torch.")]
		if strings.Contains(class.Name, ".QInt") || strings.Contains(class.Name, ".QUInt") {
			return nil, errQuantised
		}
		if !ok {
			return nil, fmt.Errorf("a storage of class %s", pickle.Kind(class))
		}
		if hi, lo := bits.Mul64(uint64(count), uint64(dtype.Size())); hi != 0 || lo > math.MaxInt/2 {
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
	return viewOf(s, s.dtype, args)
}

// viewOf is a tensor of a storage whose values are of a type: (storage, offset, size, stride).
func viewOf(s *storage, dtype format.DType, args pickle.Tuple) (any, error) {
	offset, ok := args[1].(int64)
	size, ok1 := wholes(args[2])
	stride, ok2 := wholes(args[3])
	if !ok || !ok1 || !ok2 || len(size) != len(stride) || offset < 0 {
		return nil, errors.New("a tensor whose offset, size and strides are not whole numbers")
	}
	t := &tensor{s, format.View{DType: dtype, Offset: int(offset), Size: size, Stride: stride}}
	return t, t.Check(s.count * s.dtype.Size() / dtype.Size())
}

// wholes reads a tuple of numbers from 0 to 2^62.
func wholes(v any) ([]int, bool) {
	tuple, ok := v.(pickle.Tuple)
	if !ok || len(tuple) > format.MaxRank {
		return nil, false
	}
	list := make([]int, len(tuple))
	for i, v := range tuple {
		n, ok := v.(int64)
		if !ok || n < 0 || n > math.MaxInt/2 {
			return nil, false
		}
		list[i] = int(n)
	}
	return list, true
}

// rebuildTyped is torch._utils._rebuild_tensor_v3(storage, offset, size, stride, requires_grad, hooks, dtype, …): the
// storage is of bytes.
func rebuildTyped(args pickle.Tuple) (any, error) {
	if len(args) < 7 {
		return nil, fmt.Errorf("%d arguments", len(args))
	}
	s, ok := args[0].(*storage)
	class, ok2 := args[6].(*pickle.Global)
	if !ok || !ok2 || s.dtype.Size() != 1 {
		return nil, fmt.Errorf("a tensor of %s and type %s", pickle.Kind(args[0]), pickle.Kind(args[6]))
	}
	dtype, ok := dtypes[class.Name]
	if !ok {
		return nil, fmt.Errorf("a tensor of type %s", pickle.Kind(class))
	}
	return viewOf(s, dtype, args)
}

// rebuildSubclass is torch._tensor._rebuild_from_type_v2(function, class, args, state): a tensor with attributes, or of
// a class of its own.
func rebuildSubclass(args pickle.Tuple) (any, error) {
	if len(args) < 3 {
		return nil, fmt.Errorf("%d arguments", len(args))
	}
	function, ok := args[0].(*pickle.Global)
	inner, ok2 := args[2].(pickle.Tuple)
	if !ok || !ok2 {
		return nil, fmt.Errorf("a tensor made by %s of %s", pickle.Kind(args[0]), pickle.Kind(args[2]))
	}
	switch function.Name {
	case "torch._utils._rebuild_tensor_v2":
		return rebuildTensor(inner)
	case "torch._utils._rebuild_tensor_v3":
		return rebuildTyped(inner)
	}
	return nil, fmt.Errorf("a tensor made by %s", pickle.Kind(function))
}
