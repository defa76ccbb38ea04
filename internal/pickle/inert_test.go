package pickle

import (
	"errors"
	"maps"
	"reflect"
	"strings"
	"testing"
)

// lenient allows what files that hold more than the caller has use for may have.
func lenient() *Loader {
	globals := Containers()
	maps.Copy(globals, NumPy())
	return &Loader{Globals: globals, Unknown: Inert}
}

// TestInert: somebody's own classes, and containers of Python's library, are data.
func TestInert(t *testing.T) {
	for _, c := range []struct {
		name, pickle string
		want         any
	}{
		{"a class's name", "c__main__\nConfig\n0N.", nil},
		{"a function's name", "ctimm.models\nvgg16\n0N.", nil},
		{"an instance", "c__main__\nConfig\n)\x81}U\x01aK\x01sb.",
			&Object{Class: "__main__.Config", Args: Tuple{}, State: &Dict{Entries: []Entry{{"a", int64(1)}}}}},
		{"an instance of protocol 0", "ccopy_reg\n_reconstructor\n(c__main__\nConfig\nc__builtin__\nobject\nNtR.",
			&Object{Class: "__main__.Config"}},
		{"a dict of its own class", "cyacs.config\nCfgNode\n)\x81U\x01aK\x01s.",
			&Object{Class: "yacs.config.CfgNode", Args: Tuple{}, Dict: Dict{Entries: []Entry{{"a", int64(1)}}}}},
		{"a list of its own class", "cx\nMyList\n)\x81K\x01a.", &Object{Class: "x.MyList", Args: Tuple{},
			List: List{[]any{int64(1)}}}},
		{"a member of an enumeration", "c__main__\nMode\n(U\x03fittR.", &Object{Class: "__main__.Mode",
			Args: Tuple{Bytes("fit")}}},
		{"one of a module of enumerations", "cpytorch_lightning.utilities.enums\nMode\n(K\x01tR.",
			&Object{Class: "pytorch_lightning.utilities.enums.Mode", Args: Tuple{int64(1)}}},
		{"one as Python 3.11 does", "cbuiltins\ngetattr\n(c__main__\nMode\nX\x03\x00\x00\x00FITtR.",
			&Object{Class: "__main__.Mode", Args: Tuple{"FIT"}}},
		{"a method that a scheduler keeps", "c__builtin__\ngetattr\n(ctorch.optim.lr_scheduler\nOneCycleLR\nU\x01atR.",
			&Object{Class: "torch.optim.lr_scheduler.OneCycleLR", Args: Tuple{"a"}}},
		{"a method of an instance", "cbuiltins\ngetattr\n(cx\nY\n)\x81X\x01\x00\x00\x00atR.",
			&Object{Class: "x.Y", Args: Tuple{"a"}}},
		{"a function with some of its arguments", "cfunctools\npartial\n(ctorch.optim\nAdam\ntR0N.", nil},
		{"a type of settings", "ctyping\nAny\n0N.", nil},
		{"a namespace", "cargparse\nNamespace\n)\x81}b.", &Object{Class: "argparse.Namespace", Args: Tuple{},
			State: &Dict{}}},
		{"a path", "cpathlib\nPosixPath\n(U\x01xtR.", &Object{Class: "pathlib.PosixPath", Args: Tuple{Bytes("x")}}},
		{"a counter", "ccollections\nCounter\n(}K\x01K\x02stR.", &Dict{Entries: []Entry{{int64(1), int64(2)}}}},
		{"a default's dict", "ccollections\ndefaultdict\n(c__builtin__\nlist\ntRK\x01K\x02s.",
			&Dict{Entries: []Entry{{int64(1), int64(2)}}}},
		{"a set", "c__builtin__\nset\n(](K\x01etR.", &List{[]any{int64(1)}}},
		{"a queue", "ccollections\ndeque\n(]K\x03tRK\x01a.", &List{[]any{int64(1)}}},
		{"bytes in protocol 2", "c_codecs\nencode\n(V\xff\nX\x06\x00\x00\x00latin1tR.", Bytes("\xff")},
		{"an array",
			"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR(K\x01(K\x02tcnumpy\ndtype\n(U\x02f2I00" +
				"\nI01\ntR(K\x03U\x01>NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tbI01\nU\x04abcdtb.",
			&Array{Type: "f2", BigEndian: true, Shape: []int64{2}, Fortran: true, Values: Bytes("abcd")}},
		{"an array of protocol 5",
			"cnumpy._core.numeric\n_frombuffer\n(\x96\x02\x00\x00\x00\x00\x00\x00\x00abcnumpy\ndtype\n(U\x02u1\x89\x88tRK" +
				"\x02\x85U\x01CtR.",
			&Array{Type: "u1", Shape: []int64{2}, Values: Bytes("ab")}},
	} {
		got, n, err := lenient().Load([]byte(c.pickle))
		if err != nil || n != len(c.pickle) || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %#v after %d bytes (%v), want %#v", c.name, got, n, err, c.want)
		}
	}
}

// TestInertRefuses: whatever runs code where Python loads it is refused by its name, by whichever instruction it is
// called.
func TestInertRefuses(t *testing.T) {
	for _, c := range []struct{ pickle, name string }{
		{"cos\nsystem\n.", "os.system"}, // naming it is enough
		{"cposix\nsystem\n(S'ls'\ntR.", "posix.system"},
		{"cnt\nsystem\n.", "nt.system"},
		{"cbuiltins\neval\n(S'1'\ntR.", "builtins.eval"},
		{"c__builtin__\nexec\n.", "__builtin__.exec"},
		{"cbuiltins\n__import__\n.", "builtins.__import__"},
		{"csubprocess\nPopen\n)\x81.", "subprocess.Popen"},
		{"(S'ls'\nisubprocess\nPopen\n.", "subprocess.Popen"},
		{"(csubprocess\nPopen\no.", "subprocess.Popen"},
		{"cimportlib\nimport_module\n.", "importlib.import_module"},
		{"crunpy\n_run_code\n.", "runpy._run_code"},
		{"cfunctools\npartial\n(cos\nsystem\ntR.", "os.system"},
		{"coperator\nattrgetter\n.", "operator.attrgetter"},
		{"c_io\nFileIO\n.", "_io.FileIO"},
		{"ccommands\ngetoutput\n.", "commands.getoutput"}, // Python 2's
		{"cbuiltins\ngetattr\n(cbuiltins\ndict\nX\x01\x00\x00\x00atR.", "builtins.getattr()"},
		{"cbuiltins\ngetattr\n(c__main__\nMode\n)tR.", "builtins.getattr()"},
		{"c__main__\nMode\n(]tR.", "__main__.Mode()"},
		{"c__main__\nrun\n(K\x01tR.", "__main__.run()"},
		{"cpip\nmain\n(S'install'\ntR.", "pip.main()"},
		{"ctorch.hub\nload\n(S'x'\ntR.", "torch.hub.load()"},
		{"ctorch\nload\n(S'x'\ntR.", "torch.load()"},
		{"cnumpy.testing._private.utils\nrunstring\n(S'x'\ntR.", "numpy.testing._private.utils.runstring()"},
		{"caiohttp.client\nClientSession\n)R.", "aiohttp.client.ClientSession()"},
		{"\x8c\x08aiohttp.\x8c\x01X\x93(K\x01tR.", "aiohttp..X()"},
		{"(K\x01iaiohttp.client\nClientSession\n.", "aiohttp.client.ClientSession()"},
		{"(caiohttp.client\nClientSession\nK\x01o.", "aiohttp.client.ClientSession()"},
		{"\x8c\x02os\x8c\x0bpath.System\x93.", "os.path.System"},
		{"\x8c\x03bdb\x8c\x07Bdb.run\x93.", "bdb.Bdb.run"},
		{"\x8c\x00\x8c\x06system\x93.", ".system"},
		{"ccopyreg\n_reconstructor\n(cos\nsystem\nc__builtin__\nobject\nNtR.", "os.system"},
	} {
		v, _, err := lenient().Load([]byte(c.pickle))
		var refused *RefusedError
		if !errors.As(err, &refused) || refused.Name != c.name {
			t.Errorf("%q: %s (%v), want %s refused", c.pickle, Kind(v), err, c.name)
		}
	}
	for _, c := range []struct{ pickle, reason string }{
		{"cbuiltins\ngetattr\n(cx\nY\nX\x01\x00\x00\x00atR(K\x01tR.", "which is no function"},
		{"cfunctools\npartial\n(cx\nrun\ntR)R.", "which is no function"},
		{"ccopyreg\n_reconstructor\n(c__builtin__\nlist\nc__builtin__\nobject\nNtR.", "is no class of instances"},
		{"c_codecs\nencode\n(V\\u0100\nX\x06\x00\x00\x00latin1tR.", "no text in Latin-1"},
		{"c_codecs\nencode\n(Va\nX\x03\x00\x00\x00hextR.", "no text in Latin-1"},
		{"c__builtin__\nset\n(K\x01tR.", "neither a list nor a tuple"},
		{"cnumpy.core.multiarray\n_reconstruct\n(c__main__\nX\n)U\x01btR.", "a class of its own"},
		{"cnumpy\ndtype\n(U\x02V8\x89\x88tR(K\x03U\x01|N(U\x01at}NtbN.", "several fields"},
		{"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btRK\x01b.", "without version"},
	} {
		if v, _, err := lenient().Load([]byte(c.pickle)); err == nil || !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%q: %s (%v), want %q", c.pickle, Kind(v), err, c.reason)
		}
	}
}

// TestInertBounds: one long text encoded many times does not fill memory.
func TestInertBounds(t *testing.T) {
	text := "X\x00\x00\x10\x00" + strings.Repeat("a", 1<<20) + "\x94"
	again := strings.Repeat("c_codecs\nencode\n(h\x00X\x06\x00\x00\x00latin1tR0", 40)
	if _, _, err := lenient().Load([]byte(text + again + ".")); err == nil ||
		!strings.Contains(err.Error(), "bytes of text to encode") {
		t.Errorf("%v", err)
	}
}

// FuzzInert runs anything under the widest rules.
func FuzzInert(f *testing.F) {
	for _, s := range []string{
		"c__main__\nConfig\n)\x81}U\x01aK\x01sb.", "cyacs.config\nCfgNode\n)\x81U\x01aK\x01s.",
		"c__builtin__\nset\n(](K\x01etR.",
		"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR(K\x01(K\x02tcnumpy\ndtype\n(U\x02f2I00" +
			"\nI01\ntRI01\nU\x04abcdtb.",
		"cbuiltins\ngetattr\n(c__main__\nMode\nX\x03\x00\x00\x00FITtR.", "ccollections\ndeque\n(]K\x03tRK\x01a.",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v, n, err := lenient().Load(data)
		if err == nil && (n < 1 || n > len(data) || Kind(v) == "") {
			t.Fatalf("%d of %d bytes", n, len(data))
		}
	})
}
