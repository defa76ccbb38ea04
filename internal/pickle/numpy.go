package pickle

import "fmt"

// Array is an array of NumPy's as a pickle holds it.
type Array struct {
	Type      string // NumPy's letters for a value: "f4", "u1", "O"
	BigEndian bool
	Shape     []int64
	Fortran   bool  // the first axis changes fastest
	Values    Bytes // as many as shape and type say is for the caller to see
	Objects   *List // instead of Values where Type is "O"
}

// ArrayError is of what is no array of NumPy's, or of a kind of its own.
type ArrayError string

func (e ArrayError) Error() string { return string(e) }

// Type is a numpy.dtype.
type Type struct {
	Letters   string
	BigEndian bool
}

// SetState takes what dtype.__reduce__ tells: version, byte order, and what a type of several fields has beside.
func (t *Type) SetState(state any) error {
	tuple, ok := state.(Tuple)
	if !ok || len(tuple) < 2 {
		return ArrayError("a type without its byte order")
	}
	order := shortText(tuple[1])
	t.BigEndian = order == ">"
	if len(tuple) > 3 && (tuple[2] != nil || tuple[3] != nil) {
		return ArrayError("a type of several fields")
	}
	return nil
}

// SetState takes what ndarray.__reduce__ tells: version, shape, type, whether it lies in Fortran's order, and the
// values.
func (a *Array) SetState(state any) error {
	t, ok := state.(Tuple)
	if !ok || len(t) != 5 {
		return ArrayError("an array without version, shape, type, order and values")
	}
	switch order := t[3].(type) {
	case bool:
		a.Fortran = order
	case int64:
		a.Fortran = order != 0
	default:
		return ArrayError("an array whose order is " + Kind(t[3]))
	}
	return a.set(t[1], t[2], t[4])
}

func (a *Array) set(shape, dtype, values any) error {
	sides, ok := shape.(Tuple)
	of, ok2 := dtype.(*Type)
	if !ok || !ok2 || len(sides) > maxAxes {
		return ArrayError("an array without shape and type")
	}
	a.Shape = make([]int64, len(sides))
	for i, side := range sides {
		if a.Shape[i], ok = side.(int64); !ok || a.Shape[i] < 0 {
			return ArrayError("an array whose shape is not of whole numbers")
		}
	}
	a.Type, a.BigEndian = of.Letters, of.BigEndian
	switch v := values.(type) {
	case Bytes:
		if a.Type == "O" {
			return ArrayError("an array of objects that holds bytes")
		}
		a.Values = v
	case *List:
		if a.Type != "O" {
			return ArrayError("an array of numbers that holds objects")
		}
		a.Objects = v
	default:
		return ArrayError("an array of values that are " + Kind(values))
	}
	return nil
}

const maxAxes = 32 // as NumPy's

// shortText is a name or a letter, which Python 2 wrote as bytes.
func shortText(v any) string {
	switch v := v.(type) {
	case string:
		return v[:min(len(v), 16)]
	case Bytes:
		return string(v[:min(len(v), 16)])
	}
	return ""
}

// NumPy allows what arrays and single numbers are made by, for one load: *Array, *Type, and *Object for a number.
func NumPy() map[string]*Global {
	list := Arrays()
	allow(list, "multiarray.scalar", func(args Tuple) (any, error) {
		return &Object{Class: "numpy.generic", Args: args}, nil
	})
	return list
}

// allow adds a function of NumPy's core, which NumPy 2 calls numpy._core.
func allow(list map[string]*Global, name string, call func(Tuple) (any, error)) {
	for _, core := range []string{"numpy.core.", "numpy._core."} {
		list[core+name] = &Global{Name: core + name, Call: call}
	}
}

// Arrays allows what arrays alone are made by, for one load. _reconstruct makes an empty one that is then given its
// state; from protocol 5 on it is _frombuffer.
func Arrays() map[string]*Global {
	class := &Global{Name: "numpy.ndarray"}
	reconstruct := func(args Tuple) (any, error) {
		if len(args) != 3 || args[0] != class {
			return nil, ArrayError("an array of a class of its own")
		}
		return new(Array), nil
	}
	fromBuffer := func(args Tuple) (any, error) {
		if len(args) != 4 {
			return nil, ArrayError(fmt.Sprint(len(args), " arguments"))
		}
		a := &Array{Fortran: shortText(args[3]) == "F"}
		return a, a.set(args[2], args[1], args[0])
	}
	dtype := func(args Tuple) (any, error) {
		if len(args) == 0 {
			return nil, ArrayError("a type without a name")
		}
		letters := shortText(args[0])
		if letters == "O8" || letters == "O4" { // by the size of a reference
			letters = "O"
		}
		return &Type{Letters: letters}, nil
	}
	list := map[string]*Global{"numpy.ndarray": class, "numpy.dtype": {Name: "numpy.dtype", Call: dtype}}
	allow(list, "multiarray._reconstruct", reconstruct)
	allow(list, "numeric._frombuffer", fromBuffer)
	return list
}
