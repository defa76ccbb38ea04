package pickle

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// loader allows an ordered dict and a class of objects that keep their state.
func loader() *Loader {
	return &Loader{
		Globals: map[string]*Global{
			"collections.OrderedDict": {Name: "collections.OrderedDict", Call: OrderedDict()},
			"some.Class": {Name: "some.Class", Call: func(args Tuple) (any, error) {
				return &object{args: args},
					nil
			}},
			"some.name": {Name: "some.name"},
		},
		Persistent: func(id any) (any, error) {
			if id == "lost" {
				return nil, errors.New("not found")
			}
			return Tuple{"persistent", id}, nil
		},
	}
}

type object struct {
	args  Tuple
	state any
}

func (o *object) SetState(state any) error {
	o.state = state
	return nil
}

// TestProtocols reads one value as Python wrote it by each protocol (scripts/gen_pickles.py).
func TestProtocols(t *testing.T) {
	long := func(shift uint) *big.Int { return new(big.Int).Lsh(big.NewInt(1), shift) }
	want := map[string]any{
		"none":  nil,
		"bools": []any{true, false},
		"ints": []any{int64(0), int64(1), int64(-1), int64(255), int64(256), int64(65535), int64(65536), int64(-70000),
			int64(1 << 31),
			int64(1 << 40), int64(math.MinInt64), long(63), long(80), new(big.Int).Neg(long(80))},
		"floats": []any{0.5, -1e300, math.Inf(1)},
		"text":   []any{"", "conv1/w", "Zürich 东京 🎓", "a\nb\\u0041'", strings.Repeat("x", 300)},
		"tuples": []any{Tuple{}, Tuple{int64(1)}, Tuple{int64(1), int64(2)}, Tuple{int64(1), int64(2), int64(3)},
			Tuple{int64(1), int64(2), int64(3), int64(4)}},
		"bytes":     []any{Bytes{}, Bytes("\x00\xff"), Bytes(strings.Repeat("y", 300))},
		"bytearray": Bytes("abc"),
	}
	since := map[string]int{"bytes": 3, "bytearray": 5, "sets": 4}
	for protocol := range 6 {
		data, err := os.ReadFile(filepath.Join("testdata", fmt.Sprintf("protocol%d.pkl", protocol)))
		if err != nil {
			t.Fatal(err)
		}
		v, n, err := loader().Load(append(data, "more"...))
		if err != nil || n != len(data) {
			t.Fatalf("protocol %d: %d of %d bytes (%v)", protocol, n, len(data), err)
		}
		d := v.(*Dict)
		for key, want := range want {
			got, ok := d.Get(key)
			if protocol < since[key] {
				continue
			}
			if list, is := got.(*List); is {
				got = list.Items
			}
			if !ok || !reflect.DeepEqual(got, want) {
				t.Errorf("protocol %d: %s is %v, want %v", protocol, key, got, want)
			}
		}
		items := func(key string) []any {
			v, _ := d.Get(key)
			return v.(*List).Items
		}
		if shared := items("shared"); shared[0].(*List) != shared[1].(*List) || shared[0].(*List).Items[0] != "shared" {
			t.Errorf("protocol %d: one list has become two", protocol)
		}
		if itself, _ := d.Get("itself"); itself.(*List).Items[0] != itself {
			t.Errorf("protocol %d: a list that holds itself does not", protocol)
		}
		if ordered, _ := d.Get("ordered"); !slices.Equal(ordered.(*Dict).Entries, []Entry{{"b", int64(1)}, {"a", int64(2)}}) {
			t.Errorf("protocol %d: an ordered dict is %v", protocol, ordered)
		}
		many, _ := d.Get("many")
		for i, e := range many.(*Dict).Entries {
			if e.Key != strconv.Itoa(i) || e.Value != int64(i*i) {
				t.Fatalf("protocol %d: entry %d is %v", protocol, i, e)
			}
		}
		if protocol >= 4 {
			if sets := items("sets"); !reflect.DeepEqual(sets, []any{&List{[]any{int64(5)}}, Tuple{int64(6)}}) {
				t.Errorf("protocol %d: sets are %v", protocol, sets)
			}
		}
	}
}

// TestLoad reads instructions that Python 3's pickles lack.
func TestLoad(t *testing.T) {
	for _, c := range []struct {
		name, pickle string
		want         any
	}{
		{"Python 2's str", "U\x02ab.", Bytes("ab")},
		{"a long one", "T\x02\x00\x00\x00ab.", Bytes("ab")},
		{"as repr", `S'a\x00\n\\\'"'` + "\n.", Bytes("a\x00\n\\'\"")},
		{"as a key", "}U\x01aNs.", &Dict{Entries: []Entry{{"a", nil}}}},
		{"a key twice", "(U\x01aNX\x01\x00\x00\x00aK\x01d.", &Dict{Entries: []Entry{{"a", int64(1)}}}},
		{"other keys", "()N)Nd.", &Dict{Entries: []Entry{{Tuple{}, nil}, {Tuple{}, nil}}}},
		{"LONG", "L5L\n.", int64(5)},
		{"INT as bool", "I01\n.", true},
		{"LONG1 of nothing", "\x8a\x00.", int64(0)},
		{"LONG4", "\x8b\x02\x00\x00\x00\x00\x80.", int64(-32768)},
		{"raw-unicode-escape", "Va\\u00e9\\U0001F393\xe9\\n\n.", "aé🎓é\\n"},
		{"POP of a mark", "N(0.", nil},
		{"POP_MARK", "N(NN1.", nil},
		{"DUP", "K\x012\x86.", Tuple{int64(1), int64(1)}},
		{"INST", "(K\x01isome\nClass\n.", &object{args: Tuple{int64(1)}}},
		{"OBJ", "(csome\nClass\nK\x01o.", &object{args: Tuple{int64(1)}}},
		{"NEWOBJ and BUILD", "csome\nClass\n)\x81K\x01b.", &object{args: Tuple{}, state: int64(1)}},
		{"NEWOBJ_EX", "csome\nClass\n)}\x92.", &object{args: Tuple{}}},
		{"STACK_GLOBAL", "\x8c\x04some\x8c\x05Class\x93)R.", &object{args: Tuple{}}},
		{"STACK_GLOBAL by Python 2's", "U\x04someU\x05Class\x93)R.", &object{args: Tuple{}}},
		{"a dict's state", "}Nb.", &Dict{}},
		{"pairs", "ccollections\nOrderedDict\n(](](U\x01bK\x01eK\x02K\x03\x86etR.",
			&Dict{Entries: []Entry{{"b", int64(1)}, {int64(2), int64(3)}}}},
		{"a backslash before an escape", "V\\\\u0041\n.", `\\u0041`},
		{"PERSID", "Pid\n.", Tuple{"persistent", "id"}},
		{"BINPERSID", "K\x05Q.", Tuple{"persistent", int64(5)}},
		{"FRAME", "\x80\x04\x95\x01\x00\x00\x00\x00\x00\x00\x00N.", nil},
	} {
		got, n, err := loader().Load([]byte(c.pickle))
		if err != nil || n != len(c.pickle) || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %#v after %d bytes (%v), want %#v", c.name, got, n, err, c.want)
		}
	}
}

// TestOrderedDict makes dicts as Python 2 pickled ordered ones: of lists of pairs.
func TestOrderedDict(t *testing.T) {
	call := OrderedDict()
	pairs := &List{[]any{&List{[]any{Bytes("b"), int64(1)}}, Tuple{"a", int64(2)}}}
	v, err := call(Tuple{pairs})
	if err != nil || !slices.Equal(v.(*Dict).Entries, []Entry{{"b", int64(1)}, {"a", int64(2)}}) {
		t.Errorf("%v (%v)", v, err)
	}
	d := new(Dict)
	if v, err := call(Tuple{d}); err != nil || v != d {
		t.Errorf("of a dict: %v (%v)", v, err)
	}
	for _, args := range []Tuple{{nil}, {pairs, pairs}, {&List{[]any{nil}}}, {&List{[]any{Tuple{"a"}}}},
		{&List{[]any{Tuple{Bytes(make([]byte, 2000)), nil}}}}} {
		if v, err := call(args); err == nil {
			t.Errorf("of %v: %v", args, v)
		}
	}
	// One list given many times is bounded by what all calls copy.
	large := &List{slices.Repeat([]any{Tuple{"a", nil}}, maxInstructions/2)}
	for i := range 3 {
		if _, err := call(Tuple{large}); (err == nil) != (i == 0) {
			t.Errorf("call %d: %v", i, err)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	for _, c := range []struct{ pickle, reason string }{
		{"cbuiltins\neval\n.", "byte 0: refuses builtins.eval: loading it would run code"},
		{"c__builtin__\neval\n(S'1'\ntR.", "refuses __builtin__.eval"},
		{"\x8c\x02os\x8c\x06system\x93.", "refuses os.system"},
		{"(S'x'\ni__builtin__\nexec\n.", "refuses __builtin__.exec"},
		{"ca\x01b\nc\n.", `refuses "a\x01b.c"`},
		{"c" + strings.Repeat("a", 500) + "\nb\n.", "refuses " + strings.Repeat("a", 100) + "…: loading"},
		{"csome\nname\n)R.", "refuses some.name()"},
		{"\x82\x01.", "registry"},
		{"\x97.", "outside"},
		{"N)R.", "None is called"},
		{"csome\nClass\n]R.", "arguments of some.Class are a list, no tuple"},
		{"csome\nClass\n)}NNs\x92.", "by name"},
		{"(o.", "an object of no class"},
		{"K\x01\x8c\x01a\x93.", "a name made of an int and a str"},
		{"]Nb.", "a state for a list"},
		{"NNa.", "items for None"},
		{"](NNu.", "keys for a list"},
		{"}(Nu.", "a key without a value"},
		{"h\x05.", "nothing in the memo under 5"},
		{"gx\n.", "nvalid syntax"},
		{"Plost\n.", "not found"},
		{".", "too little"},
		{"a.", "too little"},
		{"N(s.", "too little"}, // not below the mark
		{"N(R.", "too little"},
		{"Nt.", "no mark"},
		{"", "truncated"},
		{"N", "truncated"},
		{"X\xff\xff\xff\x7fa", "truncated"},
		{"\x8e\xff\xff\xff\xff\xff\xff\xff\xffa", "truncated"},
		{"\x8d\xff\xff\xff\xff\xff\xff\xff\x7fa", "truncated"},
		{"cos", "truncated"},
		{"\x80\x06.", "protocol 6"},
		{"\xff.", "no instruction 0xff"},
		{"I1x\n.", "not an int"},
		{"L" + strings.Repeat("9", 1000) + "L\n.", "not an int"},
		{"\x8b\x00\x01\x00\x00.", "an int of 256 bytes"},
		{"Fx\n.", "not a float"},
		{"X\x01\x00\x00\x00\xff.", "not UTF-8"},
		{"Sabc\n.", "without its quotes"},
		{"S'a\\'\n.", "within an escape"},
		{"S'\\xg'\n.", "broken escape"},
		{"S'\\q'\n.", "repr does not print"},
		{"V\\u12\n.", "broken escape"},
		{"V\\UFFFFFFFF\n.", "broken escape"},
	} {
		v, _, err := loader().Load([]byte(c.pickle))
		if err == nil || !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%.40q: %s (%v), want %q", c.pickle, Kind(v), err, c.reason)
		}
	}
}

// TestBounds: what would take time or memory beyond measure is refused, or takes little.
func TestBounds(t *testing.T) {
	var keys strings.Builder
	for i := range 250000 {
		keys.WriteString("J" + string([]byte{byte(i), byte(i >> 8), byte(i >> 16), 0}) + "N")
	}
	repeated := func(before, s string, n int, after string) string { return before + strings.Repeat(s, n) + after }
	for _, c := range []struct {
		name, pickle, reason string
		most                 uint64 // bytes
	}{
		{"a loop of instructions", repeated("", "N0", maxInstructions, "."), "more than 1048576 instructions", 4 << 20},
		{"a stack", repeated("", "N", maxInstructions+1, "."), "more than 1048576 instructions", 128 << 20},
		{"marks", repeated("", "(", maxInstructions+1, "."), "more than 1048576 instructions", 128 << 20},
		{"dicts", repeated("", "}\x94", maxInstructions/2, "."), "more than 1048576 instructions", 220 << 20},
		{"dicts of one key", repeated("(", "}K\x01Ns", maxInstructions/5, "t."), "", 220 << 20},
		{"lists of themselves", repeated("]\x94", "h\x00a", maxInstructions/3, "."), "", 220 << 20},
		{"one text as many keys", repeated("U\xff"+strings.Repeat("k", 255)+"\x94}", "h\x00Ns", 200000, "."), "bytes of text",
			64 << 20},
		{"many keys", "}(" + keys.String() + "u.", "", 220 << 20},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _, err := loader().Load([]byte(c.pickle))
		runtime.ReadMemStats(&after)
		if c.reason != "" && (err == nil || !strings.Contains(err.Error(), c.reason)) || c.reason == "" && err != nil {
			t.Errorf("%s: %v, want %q", c.name, err, c.reason)
		}
		// Stacks and maps are copied as they grow: what is allocated in all is more than what is held at a time.
		if took := after.TotalAlloc - before.TotalAlloc; took > c.most {
			t.Errorf("%s: allocates %d MB, want at most %d", c.name, took>>20, c.most>>20)
		}
	}
}

// FuzzPickle runs anything. What it makes is not walked: it may be endless.
func FuzzPickle(f *testing.F) {
	paths, err := filepath.Glob("testdata/*.pkl")
	if err != nil || len(paths) != 6 {
		f.Fatalf("%v (%v)", paths, err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for _, s := range []string{
		"(K\x01isome\nClass\n.", "csome\nClass\n)\x81K\x01b.",
		"ccollections\nOrderedDict\n(](](U\x01bK\x01eaK\x02K\x03\x86aetR.",
		"\x8c\x04some\x8c\x05Class\x93)}\x92.", "Pid\n.", "K\x05Q.", "Va\\u00e9\\U0001F393\n.", `S'a\x00\n\\'` + "\n.",
		"N(0]\x8f(K\x01\x90\x91.",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v, n, err := loader().Load(data)
		var broken *Error
		switch {
		case err != nil && (!errors.As(err, &broken) || broken.Offset > len(data) || err.Error() == ""):
			t.Fatalf("%v", err)
		case err == nil && (n < 1 || n > len(data) || Kind(v) == ""):
			t.Fatalf("%d of %d bytes", n, len(data))
		}
	})
}
