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

// instructions are those of Python's machine, by their letters; the names are Python's too (pickletools.py). STOP is
// step's.
var instructions = [256]func(m *machine){
	'N': func(m *machine) { m.push(nil) },                                                    // NONE
	'I': func(m *machine) { m.textInt(true) },                                                // INT
	'L': func(m *machine) { m.textInt(false) },                                               // LONG
	'J': func(m *machine) { m.push(int64(int32(m.number(4)))) },                              // BININT
	'K': func(m *machine) { m.push(int64(m.number(1))) },                                     // BININT1
	'M': func(m *machine) { m.push(int64(m.number(2))) },                                     // BININT2
	'F': (*machine).textFloat,                                                                // FLOAT
	'G': func(m *machine) { m.push(math.Float64frombits(bits.ReverseBytes64(m.number(8)))) }, // BINFLOAT, big-endian

	'S': (*machine).quoted,                 // STRING
	'T': func(m *machine) { m.bytes(4) },   // BINSTRING
	'U': func(m *machine) { m.bytes(1) },   // SHORT_BINSTRING
	'V': (*machine).escaped,                // UNICODE
	'X': func(m *machine) { m.unicode(4) }, // BINUNICODE

	'(': func(m *machine) { m.marks = append(m.marks, len(m.stack)) }, // MARK
	'0': (*machine).discard,                                           // POP
	'1': func(m *machine) { m.popMark() },                             // POP_MARK
	'2': func(m *machine) { m.push(m.top()) },                         // DUP

	'g': func(m *machine) { m.get(m.key()) },     // GET
	'h': func(m *machine) { m.get(m.number(1)) }, // BINGET
	'j': func(m *machine) { m.get(m.number(4)) }, // LONG_BINGET
	'p': func(m *machine) { m.put(m.key()) },     // PUT
	'q': func(m *machine) { m.put(m.number(1)) }, // BINPUT
	'r': func(m *machine) { m.put(m.number(4)) }, // LONG_BINPUT

	')': func(m *machine) { m.push(Tuple{}) },            // EMPTY_TUPLE
	't': (*machine).markedTuple,                          // TUPLE
	']': func(m *machine) { m.push(new(List)) },          // EMPTY_LIST
	'l': func(m *machine) { m.push(&List{m.popMark()}) }, // LIST
	'a': func(m *machine) { m.extend([]any{m.pop()}) },   // APPEND
	'e': func(m *machine) { m.extend(m.popMark()) },      // APPENDS
	'}': func(m *machine) { m.push(new(Dict)) },          // EMPTY_DICT
	'd': (*machine).markedDict,                           // DICT
	's': func(m *machine) { m.setItems(m.popN(2)) },      // SETITEM
	'u': func(m *machine) { m.setItems(m.popMark()) },    // SETITEMS

	'c': func(m *machine) { m.push(m.global(m.line(), m.line())) }, // GLOBAL
	'i': (*machine).inst,                                           // INST
	'o': (*machine).object,                                         // OBJ
	'R': (*machine).reduce,                                         // REDUCE
	'b': (*machine).build,                                          // BUILD
	'P': func(m *machine) { m.persistent(m.line()) },               // PERSID
	'Q': func(m *machine) { m.persistent(m.pop()) },                // BINPERSID

	// protocol 2
	0x80: (*machine).protocol,                // PROTO
	0x81: (*machine).newObject,               // NEWOBJ
	0x82: (*machine).registered,              // EXT1
	0x83: (*machine).registered,              // EXT2
	0x84: (*machine).registered,              // EXT4
	0x85: func(m *machine) { m.tuple(1) },    // TUPLE1
	0x86: func(m *machine) { m.tuple(2) },    // TUPLE2
	0x87: func(m *machine) { m.tuple(3) },    // TUPLE3
	0x88: func(m *machine) { m.push(true) },  // NEWTRUE
	0x89: func(m *machine) { m.push(false) }, // NEWFALSE
	0x8a: func(m *machine) { m.long(1) },     // LONG1
	0x8b: func(m *machine) { m.long(4) },     // LONG4

	// protocol 3
	'B': func(m *machine) { m.bytes(4) }, // BINBYTES
	'C': func(m *machine) { m.bytes(1) }, // SHORT_BINBYTES

	// protocol 4
	0x8c: func(m *machine) { m.unicode(1) },               // SHORT_BINUNICODE
	0x8d: func(m *machine) { m.unicode(8) },               // BINUNICODE8
	0x8e: func(m *machine) { m.bytes(8) },                 // BINBYTES8
	0x8f: func(m *machine) { m.push(new(List)) },          // EMPTY_SET
	0x90: func(m *machine) { m.extend(m.popMark()) },      // ADDITEMS
	0x91: (*machine).markedTuple,                          // FROZENSET
	0x92: (*machine).newObjectEx,                          // NEWOBJ_EX
	0x93: (*machine).stackGlobal,                          // STACK_GLOBAL
	0x94: func(m *machine) { m.put(uint64(len(m.memo))) }, // MEMOIZE
	0x95: func(m *machine) { m.number(8) },                // FRAME: bytes to read at once, and no limit

	// protocol 5
	0x96: func(m *machine) { m.bytes(8) }, // BYTEARRAY8
	0x97: (*machine).outside,              // NEXT_BUFFER
	0x98: (*machine).outside,              // READONLY_BUFFER
}

// step runs one instruction and reports whether it was the last.
func (m *machine) step() (stop bool) {
	const opStop = '.'
	op := m.byte()
	switch do := instructions[op]; {
	case op == opStop:
		return true
	case do == nil:
		m.failf("no instruction %#02x", op)
	default:
		do(m)
	}
	return false
}

func (m *machine) protocol() {
	if version := m.byte(); version > 5 {
		m.failf("protocol %d: known are 0 to 5", version)
	}
}

func (m *machine) textFloat() {
	line := m.line()
	v, err := strconv.ParseFloat(line, 64)
	m.push(v)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		m.failf("not a float: %q", line[:min(len(line), 40)])
	}
}

// discard takes the top of the stack off, or a mark.
func (m *machine) discard() {
	if len(m.stack) == m.floor() && len(m.marks) > 0 {
		m.marks = m.marks[:len(m.marks)-1]
		return
	}
	m.pop()
}

func (m *machine) markedTuple() { m.push(Tuple(m.popMark())) }

func (m *machine) markedDict() {
	items := m.popMark()
	m.push(new(Dict))
	m.setItems(items)
}

func (m *machine) stackGlobal() {
	pair := m.popN(2)
	module, ok1 := nameText(pair[0])
	name, ok2 := nameText(pair[1])
	if !ok1 || !ok2 {
		m.failf("a name made of %s and %s", Kind(pair[0]), Kind(pair[1]))
	}
	m.push(m.global(module, name))
}

func (m *machine) inst() {
	module, name := m.line(), m.line()
	args := m.popMark()
	m.call(m.global(module, name), Tuple(args))
}

func (m *machine) object() {
	items := m.popMark()
	if len(items) == 0 {
		m.fail(errors.New("an object of no class"))
		return
	}
	m.call(items[0], Tuple(items[1:]))
}

func (m *machine) reduce() {
	pair := m.popN(2)
	m.call(pair[0], pair[1])
}

func (m *machine) newObject() {
	pair := m.popN(2)
	m.instance(pair[0], pair[1])
}

func (m *machine) newObjectEx() {
	three := m.popN(3)
	if named, ok := three[2].(*Dict); !ok || len(named.Entries) > 0 {
		m.fail(errors.New("arguments by name"))
	}
	m.instance(three[0], three[1])
}

func (m *machine) registered() {
	m.fail(errors.New("a name by its number in a registry (EXT): only names are allowed"))
}

func (m *machine) outside() { m.fail(errors.New("a buffer outside of the pickle")) }

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
