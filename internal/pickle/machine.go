package pickle

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
)

// machine is Python's pickle machine: a stack with marks in it, and a memo of values to use again.
type machine struct {
	loader *Loader
	data   []byte
	at     int
	stack  []any
	marks  []int // heights of the stack
	memo   map[uint64]any
	text   int // bytes of strings made so far
}

// The instructions, by Python's letters and names (pickletools.py).
const (
	opMark           = '('
	opStop           = '.'
	opPop            = '0'
	opPopMark        = '1'
	opDup            = '2'
	opFloat          = 'F'
	opInt            = 'I'
	opBinInt         = 'J'
	opBinInt1        = 'K'
	opLong           = 'L'
	opBinInt2        = 'M'
	opNone           = 'N'
	opPersID         = 'P'
	opBinPersID      = 'Q'
	opReduce         = 'R'
	opString         = 'S'
	opBinString      = 'T'
	opShortBinString = 'U'
	opUnicode        = 'V'
	opBinUnicode     = 'X'
	opAppend         = 'a'
	opBuild          = 'b'
	opGlobal         = 'c'
	opDict           = 'd'
	opEmptyDict      = '}'
	opAppends        = 'e'
	opGet            = 'g'
	opBinGet         = 'h'
	opInst           = 'i'
	opLongBinGet     = 'j'
	opList           = 'l'
	opEmptyList      = ']'
	opObj            = 'o'
	opPut            = 'p'
	opBinPut         = 'q'
	opLongBinPut     = 'r'
	opSetItem        = 's'
	opTuple          = 't'
	opEmptyTuple     = ')'
	opSetItems       = 'u'
	opBinFloat       = 'G'

	opProto    = 0x80 // protocol 2
	opNewObj   = 0x81
	opExt1     = 0x82
	opExt2     = 0x83
	opExt4     = 0x84
	opTuple1   = 0x85
	opTuple2   = 0x86
	opTuple3   = 0x87
	opNewTrue  = 0x88
	opNewFalse = 0x89
	opLong1    = 0x8a
	opLong4    = 0x8b

	opBinBytes      = 'B' // protocol 3
	opShortBinBytes = 'C'

	opShortBinUnicode = 0x8c // protocol 4
	opBinUnicode8     = 0x8d
	opBinBytes8       = 0x8e
	opEmptySet        = 0x8f
	opAddItems        = 0x90
	opFrozenSet       = 0x91
	opNewObjEx        = 0x92
	opStackGlobal     = 0x93
	opMemoize         = 0x94
	opFrame           = 0x95

	opByteArray8     = 0x96 // protocol 5
	opNextBuffer     = 0x97
	opReadOnlyBuffer = 0x98
)

// step runs one instruction and reports whether it was the last.
func (m *machine) step() (stop bool, err error) {
	op, err := m.take(1)
	if err != nil {
		return false, err
	}
	switch op[0] {
	case opStop:
		return true, nil
	case opProto:
		version, err := m.take(1)
		if err == nil && version[0] > 5 {
			err = fmt.Errorf("protocol %d: known are 0 to 5", version[0])
		}
		return false, err
	case opFrame: // how many bytes to read at once, no limit to what follows
		_, err := m.number(8)
		return false, err

	case opNone:
		m.push(nil)
	case opNewTrue:
		m.push(true)
	case opNewFalse:
		m.push(false)
	case opInt, opLong:
		return false, m.textInt()
	case opBinInt:
		v, err := m.number(4)
		m.push(int64(int32(v)))
		return false, err
	case opBinInt1:
		return false, m.unsigned(1)
	case opBinInt2:
		return false, m.unsigned(2)
	case opLong1:
		return false, m.long(1)
	case opLong4:
		return false, m.long(4)
	case opFloat:
		line, err := m.line()
		if err != nil {
			return false, err
		}
		v, err := strconv.ParseFloat(line, 64)
		m.push(v)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			return false, fmt.Errorf("not a float: %q", line[:min(len(line), 40)])
		}
	case opBinFloat:
		b, err := m.take(8)
		if err != nil {
			return false, err
		}
		m.push(math.Float64frombits(binary.BigEndian.Uint64(b)))

	case opString:
		return false, m.quoted()
	case opShortBinString, opShortBinBytes:
		return false, m.bytes(1)
	case opBinString, opBinBytes:
		return false, m.bytes(4)
	case opBinBytes8, opByteArray8:
		return false, m.bytes(8)
	case opUnicode:
		return false, m.escaped()
	case opShortBinUnicode:
		return false, m.unicode(1)
	case opBinUnicode:
		return false, m.unicode(4)
	case opBinUnicode8:
		return false, m.unicode(8)

	case opMark:
		m.marks = append(m.marks, len(m.stack))
	case opPop:
		if len(m.stack) == m.floor() && len(m.marks) > 0 {
			m.marks = m.marks[:len(m.marks)-1]
			return false, nil
		}
		_, err := m.pop()
		return false, err
	case opPopMark:
		_, err := m.popMark()
		return false, err
	case opDup:
		v, err := m.top()
		m.push(v)
		return false, err

	case opGet:
		line, err := m.line()
		if err != nil {
			return false, err
		}
		n, err := strconv.ParseUint(line, 10, 32)
		return false, errors.Join(err, m.get(n))
	case opBinGet:
		n, err := m.number(1)
		return false, errors.Join(err, m.get(n))
	case opLongBinGet:
		n, err := m.number(4)
		return false, errors.Join(err, m.get(n))
	case opPut:
		line, err := m.line()
		if err != nil {
			return false, err
		}
		n, err := strconv.ParseUint(line, 10, 32)
		return false, errors.Join(err, m.put(n))
	case opBinPut:
		n, err := m.number(1)
		return false, errors.Join(err, m.put(n))
	case opLongBinPut:
		n, err := m.number(4)
		return false, errors.Join(err, m.put(n))
	case opMemoize:
		return false, m.put(uint64(len(m.memo)))

	case opEmptyTuple:
		m.push(Tuple{})
	case opTuple1:
		return false, m.tuple(1)
	case opTuple2:
		return false, m.tuple(2)
	case opTuple3:
		return false, m.tuple(3)
	case opTuple, opFrozenSet:
		items, err := m.popMark()
		m.push(Tuple(items))
		return false, err
	case opEmptyList, opEmptySet:
		m.push(new(List))
	case opList:
		items, err := m.popMark()
		m.push(&List{items})
		return false, err
	case opAppend:
		v, err := m.pop()
		if err != nil {
			return false, err
		}
		return false, m.extend([]any{v})
	case opAppends, opAddItems:
		items, err := m.popMark()
		if err != nil {
			return false, err
		}
		return false, m.extend(items)
	case opEmptyDict:
		m.push(new(Dict))
	case opDict:
		items, err := m.popMark()
		if err != nil {
			return false, err
		}
		m.push(new(Dict))
		return false, m.setItems(items)
	case opSetItem:
		pair, err := m.popN(2)
		if err != nil {
			return false, err
		}
		return false, m.setItems(pair)
	case opSetItems:
		items, err := m.popMark()
		if err != nil {
			return false, err
		}
		return false, m.setItems(items)

	case opGlobal:
		module, err := m.line()
		if err != nil {
			return false, err
		}
		name, err := m.line()
		if err != nil {
			return false, err
		}
		return false, m.global(module, name)
	case opStackGlobal:
		pair, err := m.popN(2)
		if err != nil {
			return false, err
		}
		module, ok1 := nameText(pair[0])
		name, ok2 := nameText(pair[1])
		if !ok1 || !ok2 {
			return false, fmt.Errorf("a name made of %s and %s", Kind(pair[0]), Kind(pair[1]))
		}
		return false, m.global(module, name)
	case opInst:
		module, err := m.line()
		if err != nil {
			return false, err
		}
		name, err := m.line()
		if err != nil {
			return false, err
		}
		args, err := m.popMark()
		if err != nil {
			return false, err
		}
		if err := m.global(module, name); err != nil {
			return false, err
		}
		class, err := m.pop()
		if err != nil {
			return false, err
		}
		return false, m.call(class, Tuple(args))
	case opObj:
		items, err := m.popMark()
		if err != nil {
			return false, err
		}
		if len(items) == 0 {
			return false, errors.New("an object of no class")
		}
		return false, m.call(items[0], Tuple(items[1:]))
	case opReduce:
		pair, err := m.popN(2)
		if err != nil {
			return false, err
		}
		return false, m.call(pair[0], pair[1])
	case opNewObj:
		pair, err := m.popN(2)
		if err != nil {
			return false, err
		}
		return false, m.instance(pair[0], pair[1])
	case opNewObjEx:
		three, err := m.popN(3)
		if err != nil {
			return false, err
		}
		if named, ok := three[2].(*Dict); !ok || len(named.Entries) > 0 {
			return false, errors.New("arguments by name")
		}
		return false, m.instance(three[0], three[1])
	case opBuild:
		return false, m.build()
	case opPersID:
		line, err := m.line()
		if err != nil {
			return false, err
		}
		return false, m.persistent(line)
	case opBinPersID:
		id, err := m.pop()
		if err != nil {
			return false, err
		}
		return false, m.persistent(id)
	case opExt1, opExt2, opExt4:
		return false, errors.New("a name by its number in a registry (EXT): only names are allowed")
	case opNextBuffer, opReadOnlyBuffer:
		return false, errors.New("a buffer outside of the pickle")
	default:
		return false, fmt.Errorf("no instruction %#02x", op[0])
	}
	return false, nil
}

var errTruncated = errors.New("truncated: the pickle ends within an instruction, or without STOP")

func (m *machine) push(v any) { m.stack = append(m.stack, v) }

// floor is the height of the last mark, below which nothing is popped.
func (m *machine) floor() int {
	if len(m.marks) == 0 {
		return 0
	}
	return m.marks[len(m.marks)-1]
}

var errEmpty = errors.New("the stack holds too little for an instruction")

func (m *machine) top() (any, error) {
	if len(m.stack) == m.floor() {
		return nil, errEmpty
	}
	return m.stack[len(m.stack)-1], nil
}

func (m *machine) pop() (any, error) {
	v, err := m.top()
	if err == nil {
		m.stack = m.stack[:len(m.stack)-1]
	}
	return v, err
}

// popN pops n values, which stay valid until the next push.
func (m *machine) popN(n int) ([]any, error) {
	if len(m.stack)-m.floor() < n {
		return nil, errEmpty
	}
	height := len(m.stack) - n
	values := m.stack[height:]
	m.stack = m.stack[:height]
	return values, nil
}

// popMark pops what was pushed since the last mark, and the mark.
func (m *machine) popMark() ([]any, error) {
	if len(m.marks) == 0 {
		return nil, errors.New("no mark on the stack")
	}
	items := slices.Clone(m.stack[m.floor():])
	m.stack = m.stack[:m.floor()]
	m.marks = m.marks[:len(m.marks)-1]
	return items, nil
}

func (m *machine) tuple(n int) error {
	values, err := m.popN(n)
	m.push(Tuple(slices.Clone(values)))
	return err
}

func (m *machine) get(n uint64) error {
	v, ok := m.memo[n]
	if !ok {
		return fmt.Errorf("nothing in the memo under %d", n)
	}
	m.push(v)
	return nil
}

func (m *machine) put(n uint64) error {
	v, err := m.top()
	m.memo[n] = v
	return err
}

// extend appends to the list on top of the stack.
func (m *machine) extend(items []any) error {
	v, err := m.top()
	if err != nil {
		return err
	}
	list, ok := v.(*List)
	if o, is := v.(*Object); is {
		list, ok = &o.List, true
	}
	if !ok {
		return fmt.Errorf("items for %s, which is no list", Kind(v))
	}
	list.Items = append(list.Items, items...)
	return nil
}

// setItems puts keys and values in turn into the dict on top of the stack.
func (m *machine) setItems(items []any) error {
	v, err := m.top()
	if err != nil {
		return err
	}
	d, ok := v.(*Dict)
	if o, is := v.(*Object); is {
		d, ok = &o.Dict, true
	}
	if !ok {
		return fmt.Errorf("keys for %s, which is no dict", Kind(v))
	}
	if len(items)%2 != 0 {
		return errors.New("a key without a value")
	}
	for i := 0; i < len(items); i += 2 {
		key := items[i]
		if b, ok := key.(Bytes); ok {
			if key, err = m.string(b); err != nil {
				return err
			}
		}
		d.Set(key, items[i+1])
	}
	return nil
}

// nameText is part of a global's name. Python 2 wrote it as bytes.
func nameText(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, len(v) <= maxKey
	case Bytes:
		return string(v[:min(len(v), maxKey)]), len(v) <= maxKey
	}
	return "", false
}

func (m *machine) global(module, name string) error {
	full := module + "." + name
	g := m.loader.Globals[full]
	if g == nil && m.loader.Unknown != nil {
		g = m.loader.Unknown(full)
	}
	if g == nil {
		return &RefusedError{full}
	}
	m.push(g)
	return nil
}

func (m *machine) call(class, args any) error {
	g, ok := class.(*Global)
	if !ok {
		return fmt.Errorf("%s is called, which is no function", Kind(class))
	}
	return m.apply(g, g.Call, args)
}

// instance makes one of a class.
func (m *machine) instance(class, args any) error {
	g, ok := class.(*Global)
	if !ok {
		return fmt.Errorf("%s is called, which is no function", Kind(class))
	}
	if g.Make == nil {
		return m.apply(g, g.Call, args)
	}
	return m.apply(g, g.Make, args)
}

func (m *machine) apply(g *Global, function func(Tuple) (any, error), args any) error {
	if function == nil {
		return &RefusedError{g.Name + "()"}
	}
	tuple, ok := args.(Tuple)
	if !ok {
		return fmt.Errorf("arguments of %s are %s, no tuple", g.Name, Kind(args))
	}
	v, err := function(tuple)
	if err != nil {
		return fmt.Errorf("%s: %w", printable(g.Name), err)
	}
	m.push(v)
	return nil
}

// build gives the object below the top of the stack the state on top. An OrderedDict's state is attributes of its own
// (PyTorch keeps versions of modules there), which hold nothing of the dict.
func (m *machine) build() error {
	state, err := m.pop()
	if err != nil {
		return err
	}
	v, err := m.top()
	if err != nil {
		return err
	}
	switch v := v.(type) {
	case *Dict:
		return nil
	case Stateful:
		return v.SetState(state)
	}
	return fmt.Errorf("a state for %s, which takes none", Kind(v))
}

func (m *machine) persistent(id any) error {
	if m.loader.Persistent == nil {
		return errors.New("a value kept outside of the pickle")
	}
	v, err := m.loader.Persistent(id)
	if err != nil {
		return err
	}
	m.push(v)
	return nil
}
