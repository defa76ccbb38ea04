package pickle

import (
	"errors"
	"fmt"
)

// Array is an array of NumPy's as a pickle holds it.
type Array struct {
	Type      string // NumPy's letters for a value: "f4", "u1", "O"
	BigEndian bool
	Shape     []int64
	Fortran   bool  // the first axis changes fastest
	Values    Bytes // as many as shape and type say is for the caller to see
	Objects   *List // instead of Values where Type is "O"
}

// Type is a numpy.dtype.
type Type struct {
	Letters   string
	BigEndian bool
}

// SetState takes what dtype.__reduce__ tells: version, byte order, and what a type of several fields has beside.
func (t *Type) SetState(state any) error {
	tuple, ok := state.(Tuple)
	if !ok || len(tuple) < 2 {
		return errors.New("a type without its byte order")
	}
	order := shortText(tuple[1])
	t.BigEndian = order == ">"
	if len(tuple) > 3 && (tuple[2] != nil || tuple[3] != nil) {
		return errors.New("a type of several fields")
	}
	return nil
}

// SetState takes what ndarray.__reduce__ tells: version, shape, type, whether it lies in Fortran's order, and the
// values.
func (a *Array) SetState(state any) error {
	t, ok := state.(Tuple)
	if !ok || len(t) != 5 {
		return errors.New("an array without version, shape, type, order and values")
	}
	switch order := t[3].(type) {
	case bool:
		a.Fortran = order
	case int64:
		a.Fortran = order != 0
	default:
		return fmt.Errorf("an array whose order is %s", Kind(t[3]))
	}
	return a.set(t[1], t[2], t[4])
}

func (a *Array) set(shape, dtype, values any) error {
	sides, ok := shape.(Tuple)
	of, ok2 := dtype.(*Type)
	if !ok || !ok2 || len(sides) > maxAxes {
		return errors.New("an array without shape and type")
	}
	a.Shape = make([]int64, len(sides))
	for i, side := range sides {
		if a.Shape[i], ok = side.(int64); !ok || a.Shape[i] < 0 {
			return errors.New("an array whose shape is not of whole numbers")
		}
	}
	a.Type, a.BigEndian = of.Letters, of.BigEndian
	switch v := values.(type) {
	case Bytes:
		if a.Type == "O" {
			return errors.New("an array of objects that holds bytes")
		}
		a.Values = v
	case *List:
		if a.Type != "O" {
			return errors.New("an array of numbers that holds objects")
		}
		a.Objects = v
	default:
		return fmt.Errorf("an array of values that are %s", Kind(values))
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
// _reconstruct makes an empty array that is then given its state; from protocol 5 on it is _frombuffer. NumPy 2 has
// both in numpy._core.
func NumPy() map[string]*Global {
	class := &Global{Name: "numpy.ndarray"}
	reconstruct := func(args Tuple) (any, error) {
		if len(args) != 3 || args[0] != class {
			return nil, errors.New("an array of a class of its own")
		}
		return new(Array), nil
	}
	fromBuffer := func(args Tuple) (any, error) {
		if len(args) != 4 {
			return nil, fmt.Errorf("%d arguments", len(args))
		}
		a := &Array{Fortran: shortText(args[3]) == "F"}
		return a, a.set(args[2], args[1], args[0])
	}
	scalar := func(args Tuple) (any, error) { return &Object{Class: "numpy.generic", Args: args}, nil }
	dtype := func(args Tuple) (any, error) {
		if len(args) == 0 {
			return nil, errors.New("a type without a name")
		}
		letters := shortText(args[0])
		if letters == "O8" || letters == "O4" { // by the size of a reference
			letters = "O"
		}
		return &Type{Letters: letters}, nil
	}
	list := map[string]*Global{"numpy.ndarray": class, "numpy.dtype": {Name: "numpy.dtype", Call: dtype}}
	for _, core := range []string{"numpy.core.", "numpy._core."} {
		for name, call := range map[string]func(Tuple) (any, error){"multiarray._reconstruct": reconstruct,
			"numeric._frombuffer": fromBuffer, "multiarray.scalar": scalar} {
			list[core+name] = &Global{Name: core + name, Call: call}
		}
	}
	return list
}
