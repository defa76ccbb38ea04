// Package pickle reads Python's pickles without running anything. A pickle is a program for a small stack machine, and
// its instructions GLOBAL and REDUCE call any function that Python can import. Here a name means one of the Go
// functions that the caller allows, or the pickle is refused.
//
// The machine is that of Python's pickletools.py, protocols 0 to 5. Python's values become
//
//	None, bool, float       nil, bool, float64
//	int                     int64, beyond 64 bits *big.Int
//	str                     string
//	bytes, bytearray        Bytes, and so is the str of Python 2
//	list, set               *List
//	tuple, frozenset        Tuple
//	dict                    *Dict
//	classes and functions   *Global
//	their objects           what the caller's function makes: *Object for classes that nothing is known of
//	NumPy's arrays          *Array
//
// Lists and dicts may hold themselves, and one may be held from many places: who walks a value has to count its steps.
package pickle

import (
	"errors"
	"fmt"
	"math/big"
)

// The limits bound what a load takes, beside the input, to about 200 bytes for each instruction and the text: 220 MB.
// An instruction takes a fixed amount of time and memory, so that time and memory grow no faster than the input does.
const (
	maxInstructions = 1 << 20 // a tensor takes about 40, one of CIFAR-10's pictures 6
	maxText         = 1 << 24 // bytes of all strings together
	maxLong         = 255     // bytes of an int, as many as LONG1 can have
)

// Bytes is a view of the pickle, and must not be written to.
type Bytes []byte

// List is a list or a set; a set keeps what it is given, in that order.
type List struct{ Items []any }

// Tuple is a tuple or a frozenset.
type Tuple []any

// Dict is a dict, in the order that its keys first came in.
type Dict struct {
	Entries []Entry
	index   map[any]int // of scalar keys, once a search would take long
}

// Entry is a key and its value. Keys of type Bytes have become strings, so that Python 2's names are found.
type Entry struct{ Key, Value any }

// Global is a class or function that a pickle may name.
type Global struct {
	Name string // "collections.OrderedDict"
	// Call returns what calling it with args makes. It must take a fixed amount of time and memory or bound what all calls
	// of one load take together: an argument may be large and be given many times. nil: it can be named, not called.
	Call func(args Tuple) (any, error)
	// Make returns a new instance of a class, whose __init__ Python would not run (instruction NEWOBJ); bounded as Call
	// is. nil: as Call.
	Make func(args Tuple) (any, error)
}

// Stateful is an object to which a pickle can give a state (instruction BUILD, Python's __setstate__).
type Stateful interface {
	SetState(state any) error
}

// Loader says what a pickle may hold.
type Loader struct {
	Globals    map[string]*Global        // by Python's full name
	Unknown    func(name string) *Global // of another name; nil, or what returns nil: it is refused
	Persistent func(id any) (any, error) // makes what is kept outside of the pickle; nil: nothing is
}

// Error is a broken pickle.
type Error struct {
	Offset int // byte of the input
	Err    error
}

func (e *Error) Error() string { return fmt.Sprintf("byte %d: %v", e.Offset, e.Err) }
func (e *Error) Unwrap() error { return e.Err }

// RefusedError is a name that the Loader does not allow.
type RefusedError struct{ Name string }

func (e *RefusedError) Error() string {
	return fmt.Sprintf("refuses %s: loading it would run code", printable(e.Name))
}

// printable shortens a name from a pickle, and quotes it if it is not plain ASCII.
func printable(name string) string {
	if len(name) > 100 {
		name = name[:100] + "…"
	}
	for _, c := range name {
		if (c <= ' ' || c > '~') && c != '…' {
			return fmt.Sprintf("%q", name)
		}
	}
	return name
}

// Load runs the pickle at the head of data and returns its value and its length. Errors are *Error.
func (l *Loader) Load(data []byte) (value any, length int, err error) {
	m := machine{loader: l, data: data, memo: make(map[uint64]any)}
	for range maxInstructions {
		begin := m.at
		stop := m.step()
		if stop {
			value = m.pop()
		}
		if m.err != nil {
			return nil, 0, &Error{begin, m.err}
		}
		if stop {
			return value, m.at, nil
		}
	}
	return nil, 0, &Error{m.at, fmt.Errorf("more than %d instructions", maxInstructions)}
}

// Get returns the value of a key that is text.
func (d *Dict) Get(key string) (any, bool) {
	if i, ok := d.find(key); ok {
		return d.Entries[i].Value, true
	}
	return nil, false
}

// Set gives a key a value. Python would call tuples of the same values one key; here each is another.
func (d *Dict) Set(key, value any) {
	if scalar(key) {
		if i, ok := d.find(key); ok {
			d.Entries[i].Value = value
			return
		}
		if d.index != nil {
			d.index[key] = len(d.Entries)
		}
	}
	d.Entries = append(d.Entries, Entry{key, value})
}

// find looks a scalar key up; beyond a few entries by an index, or building a dict of n keys would take n² steps.
func (d *Dict) find(key any) (int, bool) {
	const few = 8
	if d.index == nil && len(d.Entries) > few {
		d.index = make(map[any]int, 2*len(d.Entries))
		for i, e := range d.Entries {
			if scalar(e.Key) {
				d.index[e.Key] = i
			}
		}
	}
	if d.index != nil {
		i, ok := d.index[key]
		return i, ok
	}
	for i, e := range d.Entries {
		if e.Key == key { // of other types than key, or comparable as key is
			return i, true
		}
	}
	return 0, false
}

func scalar(key any) bool {
	switch key.(type) {
	case nil, bool, int64, float64, string:
		return true
	}
	return false
}

// OrderedDict is a Python dict class's Call for one load: without arguments, with a dict (which it shares rather than
// copies) or with a list of pairs, which is how Python 2 pickled collections.OrderedDict.
func OrderedDict() func(args Tuple) (any, error) {
	pairs := 0
	return func(args Tuple) (any, error) {
		if len(args) == 0 {
			return new(Dict), nil
		}
		if d, ok := args[0].(*Dict); ok && len(args) == 1 {
			return d, nil
		}
		list, ok := args[0].(*List)
		if !ok || len(args) != 1 {
			return nil, errors.New("a dict made of neither a dict nor a list of pairs")
		}
		if pairs += len(list.Items); pairs > maxInstructions { // one list can be given many times
			return nil, fmt.Errorf("dicts of more than %d pairs", maxInstructions)
		}
		d := new(Dict)
		for _, item := range list.Items {
			var pair []any
			switch item := item.(type) {
			case Tuple:
				pair = item
			case *List:
				pair = item.Items
			}
			if len(pair) != 2 {
				return nil, errors.New("a dict made of something else than pairs")
			}
			key := pair[0]
			if b, ok := key.(Bytes); ok {
				if len(b) > maxKey {
					return nil, fmt.Errorf("a key of %d bytes", len(b))
				}
				key = string(b)
			}
			d.Set(key, pair[1])
		}
		return d, nil
	}
}

// maxKey bounds a key made of bytes, of which one view can be made a key many times.
const maxKey = 1 << 10

// Kind names a value's type for messages. Values themselves are not printed: they may be endless.
func Kind(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		return "a bool"
	case int64, *big.Int:
		return "an int"
	case float64:
		return "a float"
	case string:
		return "a str"
	case Bytes:
		return "bytes"
	case *List:
		return "a list"
	case Tuple:
		return "a tuple"
	case *Dict:
		return "a dict"
	case *Global:
		return printable(v.Name)
	case *Object:
		return "an object of class " + printable(v.Class)
	case *Array:
		return "an array"
	}
	return "an object"
}

// Is knows pickles of protocol 2 and later.
func Is(head []byte) bool {
	return len(head) > 2 && head[0] == 0x80 && head[1] >= 2 && head[1] <= 5
}
