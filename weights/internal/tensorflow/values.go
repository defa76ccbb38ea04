package tensorflow

import (
	"encoding/binary"
	"fmt"

	"github.com/vggo/vggo/weights/internal/format"
	"github.com/vggo/vggo/weights/internal/proto"
)

// dtypes are TensorFlow's (tensorflow/core/framework/types.proto) of which a tensor may be.
var dtypes = map[float64]format.DType{1: format.F32, 2: format.F64, 3: "I32", 4: "U8", 5: "I16", 6: "I8", 8: "C64",
	9: "I64", 10: "BOOL", 14: format.BF16, 17: "U16", 19: format.F16, 22: "U32", 23: "U64"}

// shapeOf is a TensorShapeProto, with -1 for a side that is open.
func shapeOf(m proto.Message) (shape []int) {
	for _, v := range m["dim"] {
		shape = append(shape, int(v.Message.Number("size", 0)))
	}
	return shape
}

// tensorOf is a tensor of a checkpoint's first edition. ok is false for what holds no weights and is not listed.
func tensorOf(name string, kind, data proto.Message) (t format.Tensor, ok bool, err error) {
	t = format.Tensor{Name: name, Shape: shapeOf(kind.Message("shape")), DType: dtypes[kind.Number("dtype", 0)]}
	if t.DType != format.F32 && t.DType != format.F64 || data == nil {
		return t, t.DType == format.F32 || t.DType == format.F64, nil
	}
	t.Raw, err = packed(data, t.DType)
	if size, fits := format.Size(t.Shape, t.DType.Size(), len(t.Raw)); err == nil && (!fits || size != len(t.Raw)) {
		err = format.Fail(0, "%q of shape %v in %d bytes", format.Clip(name), t.Shape, len(t.Raw))
	}
	return t, true, err
}

// packed is the values of a TensorProto as bytes, where they lie so.
func packed(m proto.Message, dtype format.DType) ([]byte, error) {
	list := m["content"]
	if len(list) == 0 {
		list = m[map[format.DType]string{format.F32: "float", format.F64: "double"}[dtype]]
	}
	switch len(list) {
	case 0:
		return nil, nil
	case 1:
		return list[0].Bytes, nil
	}
	return nil, format.Fail(0, "a tensor's values in %d pieces", len(list))
}

// maxRepeated bounds what one value of a graph's constant is repeated to.
const maxRepeated = 1 << 18

// constantOf is a TensorProto of a graph. Where it has fewer values than its shape holds, the last is repeated; where
// it has none, they are 0 (tensorflow/core/framework/tensor.proto).
func constantOf(name string, m proto.Message) (format.Tensor, error) {
	t := format.Tensor{Name: name, Shape: shapeOf(m.Message("shape")), DType: dtypes[m.Number("dtype", 0)]}
	if t.DType == "" {
		return t, fmt.Errorf("of TensorFlow's type %v, which no network computes with", m.Number("dtype", 0))
	}
	have, err := packed(m, t.DType)
	if err != nil {
		return t, err
	}
	var whole []proto.Value
	for _, field := range []string{"int", "int64", "bool", "half", "uint32", "uint64"} { // half: the bits of 16-bit floats
		whole = append(whole, m[field]...)
	}
	if have != nil && whole != nil {
		return t, fmt.Errorf("with values of two types")
	}
	for _, v := range whole {
		have = binary.LittleEndian.AppendUint64(have, uint64(int64(v.Number)))[:len(have)+t.DType.Size()]
	}
	each := t.DType.Size()
	if size, ok := format.Size(t.Shape, each, len(have)); ok && size == len(have) {
		t.Raw = have
		return t, nil
	}
	size, ok := format.Size(t.Shape, each, each*maxRepeated)
	if !ok || len(have) > size || len(have)%each != 0 || m.Has("content") {
		return t, fmt.Errorf("of shape %v, it has %d bytes of values", t.Shape, len(have))
	}
	t.Fetch = func() ([]byte, error) {
		values := append(make([]byte, 0, size), have...)
		last := make([]byte, each)
		copy(last, have[max(len(have)-each, 0):])
		for len(values) < size {
			values = append(values, last...)
		}
		return values, nil
	}
	return t, nil
}
