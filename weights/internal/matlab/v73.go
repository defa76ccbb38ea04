package matlab

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/vggo/vggo/weights/internal/hdf5"
)

// In a file of MATLAB 7.3 a variable is a dataset or a group of the root, and the attribute MATLAB_class says what it
// is. A struct is a group of its fields; cells, and each field of an array of structs, are datasets of references to
// what lies in the group #refs#. HDF5's order of axes is the reverse of MATLAB's: values lie as MATLAB has them.

const hdf5At = 512

func isV73(head []byte) bool {
	return len(head) > hdf5At && bytes.HasPrefix(head, []byte("MATLAB 7.3")) && hdf5.Is(head[hdf5At:])
}

type v73 struct {
	file   *hdf5.File
	values int
}

func readV73(data []byte) ([]variable, error) {
	file, err := hdf5.Read(data)
	if err != nil {
		return nil, err
	}
	root, err := file.Root()
	if err != nil {
		return nil, err
	}
	links, err := root.Links()
	if err != nil {
		return nil, err
	}
	r := &v73{file: file}
	var list []variable
	for _, link := range links {
		if link.Name == "#refs#" || link.Name == "#subsystem#" {
			continue
		}
		o, err := root.Open(link)
		if err != nil {
			return nil, err
		}
		v, err := r.value(o, 0)
		if err != nil {
			return nil, fmt.Errorf("variable %q: %w", link.Name, err)
		}
		list = append(list, variable{link.Name, v})
	}
	return list, nil
}

func (r *v73) value(o *hdf5.Object, depth int) (*value, error) {
	if r.values++; depth > maxDepth || r.values > maxValues {
		return nil, errDeep
	}
	class, err := attribute(o, "MATLAB_class")
	if err != nil {
		return nil, err
	}
	if o.IsGroup() {
		return r.structs(o, class, depth)
	}
	d, err := o.Dataset()
	if err != nil {
		return nil, err
	}
	v := &value{dims: slices.Clone(d.Shape)}
	slices.Reverse(v.dims)
	empty, err := o.Attribute("MATLAB_empty")
	if err != nil {
		return nil, err
	}
	if empty != nil { // the dataset is its dimensions
		v.dims = []int{0, 0}
	}
	switch {
	case class == "cell":
		v.class = cell
		if empty == nil {
			v.cells, err = r.refer(d, depth)
		}
		return v, err
	case class == "struct":
		v.class = structure
		return v, nil
	case class == "char":
		v.class = char
		if empty == nil {
			raw, err := d.Raw()
			if err != nil {
				return nil, err
			}
			v.text = utf16Text(raw)
		}
		return v, nil
	}
	if v.numbers.DType = d.DType(); v.numbers.DType.Size() == 0 {
		return v, nil
	}
	v.class = number
	if empty == nil {
		if v.numbers.Raw = d.Plain(); v.numbers.Raw == nil {
			v.numbers.Fetch = d.Little
		}
	}
	return v, nil
}

// attribute is an attribute of text.
func attribute(o *hdf5.Object, name string) (string, error) {
	a, err := o.Attribute(name)
	if err != nil || a == nil {
		return "", err
	}
	texts, err := a.Strings()
	if err != nil || len(texts) != 1 {
		return "", err
	}
	return texts[0], nil
}

// structs reads a group: one struct, or several whose fields are datasets of references.
func (r *v73) structs(o *hdf5.Object, class string, depth int) (*value, error) {
	if class != "" && class != "struct" {
		return &value{class: other}, nil
	}
	links, err := o.Links()
	if err != nil {
		return nil, err
	}
	v := &value{class: structure, dims: []int{1, 1}}
	var columns [][]*value
	for _, link := range links {
		member, err := o.Open(link)
		if err != nil {
			return nil, err
		}
		var column []*value
		if d, of := plainReferences(member); d != nil {
			v.dims = of
			column, err = r.refer(d, depth)
		} else {
			column = make([]*value, 1)
			column[0], err = r.value(member, depth+1)
		}
		if err != nil {
			return nil, fmt.Errorf("field %q: %w", link.Name, err)
		}
		v.fields = append(v.fields, link.Name)
		columns = append(columns, column)
	}
	for i := range v.count() {
		for _, column := range columns {
			if len(column) != v.count() {
				return nil, errors.New("structs whose fields are not as many")
			}
			v.cells = append(v.cells, column[i])
		}
	}
	return v, nil
}

// plainReferences is an object's dataset of references that is no cell array, and its dimensions.
func plainReferences(o *hdf5.Object) (*hdf5.Dataset, []int) {
	if o.IsGroup() {
		return nil, nil
	}
	class, err := o.Attribute("MATLAB_class")
	if err != nil || class != nil {
		return nil, nil
	}
	d, err := o.Dataset()
	if err != nil || d.Class != hdf5.Reference {
		return nil, nil
	}
	dims := slices.Clone(d.Shape)
	slices.Reverse(dims)
	return d, dims
}

// refer reads what a dataset of references points at.
func (r *v73) refer(d *hdf5.Dataset, depth int) ([]*value, error) {
	if d.Class != hdf5.Reference {
		return nil, errors.New("cells that are no references")
	}
	raw, err := d.Raw()
	if err != nil {
		return nil, err
	}
	var list []*value
	for ref := range slices.Chunk(raw, d.Size) {
		o, err := r.file.Object(binary.LittleEndian.Uint64(ref))
		if err != nil {
			return nil, err
		}
		v, err := r.value(o, depth+1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}
