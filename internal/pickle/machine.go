package pickle

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
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

	err error // the first that an instruction met; its values are none, and nothing is called any more
}

// fail ends the load.
func (m *machine) fail(err error) {
	if m.err == nil {
		m.err = err
	}
}

func (m *machine) failf(format string, args ...any) { m.fail(fmt.Errorf(format, args...)) }

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
func (m *machine) step() (stop bool) {
	switch op := m.byte(); op {
	case opStop:
		return true
	case opProto:
		if version := m.byte(); version > 5 {
			m.failf("protocol %d: known are 0 to 5", version)
		}
	case opFrame: // how many bytes to read at once, no limit to what follows
		m.number(8)

	case opNone:
		m.push(nil)
	case opNewTrue:
		m.push(true)
	case opNewFalse:
		m.push(false)
	case opInt, opLong:
		m.textInt(op == opInt)
	case opBinInt:
		m.push(int64(int32(m.number(4))))
	case opBinInt1:
		m.push(int64(m.number(1)))
	case opBinInt2:
		m.push(int64(m.number(2)))
	case opLong1:
		m.long(1)
	case opLong4:
		m.long(4)
	case opFloat:
		line := m.line()
		v, err := strconv.ParseFloat(line, 64)
		m.push(v)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			m.failf("not a float: %q", line[:min(len(line), 40)])
		}
	case opBinFloat:
		m.push(math.Float64frombits(bits.ReverseBytes64(m.number(8)))) // big-endian

	case opString:
		m.quoted()
	case opShortBinString, opShortBinBytes:
		m.bytes(1)
	case opBinString, opBinBytes:
		m.bytes(4)
	case opBinBytes8, opByteArray8:
		m.bytes(8)
	case opUnicode:
		m.escaped()
	case opShortBinUnicode:
		m.unicode(1)
	case opBinUnicode:
		m.unicode(4)
	case opBinUnicode8:
		m.unicode(8)

	case opMark:
		m.marks = append(m.marks, len(m.stack))
	case opPop:
		if len(m.stack) == m.floor() && len(m.marks) > 0 {
			m.marks = m.marks[:len(m.marks)-1]
			break
		}
		m.pop()
	case opPopMark:
		m.popMark()
	case opDup:
		m.push(m.top())

	case opGet:
		m.get(m.key())
	case opBinGet:
		m.get(m.number(1))
	case opLongBinGet:
		m.get(m.number(4))
	case opPut:
		m.put(m.key())
	case opBinPut:
		m.put(m.number(1))
	case opLongBinPut:
		m.put(m.number(4))
	case opMemoize:
		m.put(uint64(len(m.memo)))

	case opEmptyTuple:
		m.push(Tuple{})
	case opTuple1:
		m.tuple(1)
	case opTuple2:
		m.tuple(2)
	case opTuple3:
		m.tuple(3)
	case opTuple, opFrozenSet:
		m.push(Tuple(m.popMark()))
	case opEmptyList, opEmptySet:
		m.push(new(List))
	case opList:
		m.push(&List{m.popMark()})
	case opAppend:
		m.extend([]any{m.pop()})
	case opAppends, opAddItems:
		m.extend(m.popMark())
	case opEmptyDict:
		m.push(new(Dict))
	case opDict:
		items := m.popMark()
		m.push(new(Dict))
		m.setItems(items)
	case opSetItem:
		m.setItems(m.popN(2))
	case opSetItems:
		m.setItems(m.popMark())

	case opGlobal:
		m.push(m.global(m.line(), m.line()))
	case opStackGlobal:
		pair := m.popN(2)
		module, ok1 := nameText(pair[0])
		name, ok2 := nameText(pair[1])
		if !ok1 || !ok2 {
			m.failf("a name made of %s and %s", Kind(pair[0]), Kind(pair[1]))
		}
		m.push(m.global(module, name))
	case opInst:
		module, name := m.line(), m.line()
		args := m.popMark()
		m.call(m.global(module, name), Tuple(args))
	case opObj:
		items := m.popMark()
		if len(items) == 0 {
			m.fail(errors.New("an object of no class"))
			break
		}
		m.call(items[0], Tuple(items[1:]))
	case opReduce:
		pair := m.popN(2)
		m.call(pair[0], pair[1])
	case opNewObj:
		pair := m.popN(2)
		m.instance(pair[0], pair[1])
	case opNewObjEx:
		three := m.popN(3)
		if named, ok := three[2].(*Dict); !ok || len(named.Entries) > 0 {
			m.fail(errors.New("arguments by name"))
		}
		m.instance(three[0], three[1])
	case opBuild:
		m.build()
	case opPersID:
		m.persistent(m.line())
	case opBinPersID:
		m.persistent(m.pop())
	case opExt1, opExt2, opExt4:
		m.fail(errors.New("a name by its number in a registry (EXT): only names are allowed"))
	case opNextBuffer, opReadOnlyBuffer:
		m.fail(errors.New("a buffer outside of the pickle"))
	default:
		m.failf("no instruction %#02x", op)
	}
	return false
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

func (m *machine) top() any {
	if len(m.stack) == m.floor() {
		m.fail(errEmpty)
		return nil
	}
	return m.stack[len(m.stack)-1]
}

func (m *machine) pop() any { return m.popN(1)[0] }

// popN pops n values, which stay valid until the next push.
func (m *machine) popN(n int) []any {
	height := len(m.stack) - n
	if height < m.floor() {
		m.fail(errEmpty)
		return make([]any, n)
	}
	values := m.stack[height:]
	m.stack = m.stack[:height]
	return values
}

// popMark pops what was pushed since the last mark, and the mark.
func (m *machine) popMark() []any {
	if len(m.marks) == 0 {
		m.fail(errors.New("no mark on the stack"))
		return nil
	}
	items := slices.Clone(m.stack[m.floor():])
	m.stack = m.stack[:m.floor()]
	m.marks = m.marks[:len(m.marks)-1]
	return items
}

func (m *machine) tuple(n int) { m.push(Tuple(slices.Clone(m.popN(n)))) }

func (m *machine) get(n uint64) {
	v, ok := m.memo[n]
	if !ok {
		m.failf("nothing in the memo under %d", n)
	}
	m.push(v)
}

func (m *machine) put(n uint64) { m.memo[n] = m.top() }

// extend appends to the list on top of the stack.
func (m *machine) extend(items []any) {
	switch v := m.top().(type) {
	case *List:
		v.Items = append(v.Items, items...)
	case *Object:
		v.List.Items = append(v.List.Items, items...)
	default:
		m.failf("items for %s, which is no list", Kind(v))
	}
}

// setItems puts keys and values in turn into the dict on top of the stack.
func (m *machine) setItems(items []any) {
	var d *Dict
	switch v := m.top().(type) {
	case *Dict:
		d = v
	case *Object:
		d = &v.Dict
	default:
		m.failf("keys for %s, which is no dict", Kind(v))
		return
	}
	if len(items)%2 != 0 {
		m.fail(errors.New("a key without a value"))
		return
	}
	for i := 0; i < len(items); i += 2 {
		key := items[i]
		if b, ok := key.(Bytes); ok {
			key = m.string(b)
		}
		d.Set(key, items[i+1])
	}
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

// global is the class or function of a name.
func (m *machine) global(module, name string) *Global {
	if m.err != nil {
		return nil
	}
	full := module + "." + name
	g := m.loader.Globals[full]
	if g == nil && m.loader.Unknown != nil {
		g = m.loader.Unknown(full)
	}
	if g == nil {
		m.fail(&RefusedError{full})
	}
	return g
}

func (m *machine) call(class, args any) {
	if g := m.callable(class); g != nil {
		m.apply(g, g.Call, args)
	}
}

// instance makes one of a class.
func (m *machine) instance(class, args any) {
	g := m.callable(class)
	switch {
	case g == nil:
	case g.Make == nil:
		m.apply(g, g.Call, args)
	default:
		m.apply(g, g.Make, args)
	}
}

func (m *machine) callable(class any) *Global {
	g, ok := class.(*Global)
	if !ok {
		m.failf("%s is called, which is no function", Kind(class))
	}
	return g
}

func (m *machine) apply(g *Global, function func(Tuple) (any, error), args any) {
	if function == nil {
		m.fail(&RefusedError{g.Name + "()"})
	}
	tuple, ok := args.(Tuple)
	if !ok {
		m.failf("arguments of %s are %s, no tuple", g.Name, Kind(args))
	}
	if m.err != nil {
		return
	}
	v, err := function(tuple)
	if err != nil {
		m.failf("%s: %w", printable(g.Name), err)
	}
	m.push(v)
}

// build gives the object below the top of the stack the state on top. An OrderedDict's state is attributes of its own
// (PyTorch keeps versions of modules there), which hold nothing of the dict.
func (m *machine) build() {
	state := m.pop()
	switch v := m.top().(type) {
	case *Dict:
	case Stateful:
		if m.err == nil {
			m.err = v.SetState(state)
		}
	default:
		m.failf("a state for %s, which takes none", Kind(v))
	}
}

func (m *machine) persistent(id any) {
	if m.loader.Persistent == nil {
		m.fail(errors.New("a value kept outside of the pickle"))
	}
	if m.err != nil {
		return
	}
	v, err := m.loader.Persistent(id)
	if err != nil {
		m.fail(err)
	}
	m.push(v)
}
