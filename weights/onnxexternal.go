package weights

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/vggo/vggo/internal/onnx"
	"github.com/vggo/vggo/internal/printable"
)

// externalData opens the files beside a model that hold its larger tensors, each once.
type externalData struct {
	folder string
	file   *File // which closes them
	open   map[string][]byte
}

// fetchExternal gives tensors whose values are in other files these values, mapped.
func (f *File) fetchExternal(model *onnx.Model) error {
	x := externalData{folder: filepath.Dir(f.Path), file: f}
	for i := range model.Graph.Initializers {
		t := &model.Graph.Initializers[i]
		if t.External == nil {
			continue
		}
		raw, err := x.bytes(t)
		if err != nil {
			return fmt.Errorf("%s: tensor %q: %w", f.Path, clipText(t.Name), err)
		}
		*t = *onnx.NewTensor(t.Name, t.Type, t.Dims, raw)
	}
	return nil
}

// maxExternal bounds the files that stay mapped.
const maxExternal = 256

// bytes is the part of an external file that a tensor's values are. The path must stay within the model's folder, also
// by links: a model from a stranger shall not read other files.
func (x *externalData) bytes(t *onnx.Tensor) ([]byte, error) {
	size := t.Type.Size()
	for _, d := range t.Dims {
		if d > 0 && size > math.MaxInt/d {
			return nil, fmt.Errorf("shape %s overflows", printable.Shape(t.Dims))
		}
		size *= d
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
			return nil, fmt.Errorf("external data: %s %q is no number", n.Key, clipText(n.Value))
		}
	}
	if length != uint64(size) {
		return nil, fmt.Errorf("external data of %d bytes for shape %s, which takes %d", length, printable.Shape(t.Dims),
			size)
	}
	data, err := x.mapped(location)
	if err != nil {
		return nil, fmt.Errorf("external data: %w", err)
	}
	if offset > uint64(len(data)) || length > uint64(len(data))-offset {
		return nil, fmt.Errorf("external data: %s has %d bytes, the tensor's end at %d", clipText(location), len(data),
			offset+length)
	}
	return data[offset : offset+length : offset+length], nil
}

func (x *externalData) mapped(location string) ([]byte, error) {
	if data, ok := x.open[location]; ok {
		return data, nil
	}
	if !filepath.IsLocal(location) || strings.Contains(location, "\\") || location == "." {
		return nil, fmt.Errorf("%q is no path within the model's folder", clipText(location))
	}
	if len(x.open) == maxExternal {
		return nil, fmt.Errorf("in more than %d files", maxExternal)
	}
	root, err := os.OpenRoot(x.folder)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	info, err := root.Stat(filepath.FromSlash(location)) // before opening, which waits where it is a pipe
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: not a plain file", clipText(location))
	}
	if err != nil {
		return nil, err
	}
	file, err := root.Open(filepath.FromSlash(location))
	if err != nil {
		return nil, err
	}
	m, err := mapOpened(file)
	if err != nil {
		return nil, err
	}
	if x.open == nil {
		x.open = map[string][]byte{}
	}
	x.open[location] = m.data
	x.file.mapped = append(x.file.mapped, m)
	return m.data, nil
}
