package onnx

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"

	"github.com/vggo/vggo/internal/printable"
	"github.com/vggo/vggo/weights/internal/format"
	"github.com/vggo/vggo/weights/internal/onnx/wire"
)

// fetchExternal gives tensors whose values are in other files these values, mapped.
func fetchExternal(in *format.Input, model *wire.Model) error {
	for i := range model.Graph.Initializers {
		t := &model.Graph.Initializers[i]
		if t.External == nil {
			continue
		}
		raw, err := external(in, t)
		if err != nil {
			return fmt.Errorf("tensor %q: %w", format.Clip(t.Name), err)
		}
		*t = *wire.NewTensor(t.Name, t.Type, t.Dims, raw)
	}
	return nil
}

// external is the part of another file that a tensor's values are.
func external(in *format.Input, t *wire.Tensor) ([]byte, error) {
	size, ok := t.Size()
	if !ok {
		return nil, fmt.Errorf("shape %s overflows", printable.Shape(t.Dims))
	}
	var location string
	var offset, length uint64 = 0, uint64(size)
	for _, n := range t.External {
		var err error
		switch n.Key {
		case "location":
			location = n.Value
		case "offset":
			offset, err = strconv.ParseUint(n.Value, 10, strconv.IntSize-1)
		case "length":
			length, err = strconv.ParseUint(n.Value, 10, strconv.IntSize-1)
		}
		if err != nil {
			return nil, fmt.Errorf("external data: %s %q is no number", n.Key, format.Clip(n.Value))
		}
	}
	if length != uint64(size) {
		return nil, fmt.Errorf("external data of %d bytes for shape %s, which takes %d", length, printable.Shape(t.Dims),
			size)
	}
	data, err := in.Beside(location)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("its values are in a file of their own, %s, which is not beside the model", location)
	case err != nil:
		return nil, fmt.Errorf("external data: %w", err)
	}
	if offset > uint64(len(data)) || length > uint64(len(data))-offset {
		return nil, fmt.Errorf("external data: %s has %d bytes, the tensor's end at %d", format.Clip(location), len(data),
			offset+length)
	}
	return data[offset : offset+length : offset+length], nil
}
