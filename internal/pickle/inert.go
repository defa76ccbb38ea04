package pickle

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// Object is an instance of a class that is known by its name alone, and what the pickle gave it. Nothing of the class
// is run, so it is data and no more.
type Object struct {
	Class string
	Args  Tuple // of __new__
	State any   // a dict of attributes, mostly
	Dict  Dict  // of a class of dicts
	List  List  // of a class of lists
}

// SetState keeps the state.
func (o *Object) SetState(state any) error {
	o.State = state
	return nil
}

// Inert is a Loader's Unknown for files that hold more than the caller has use for: a class of somebody's own may be
// named, and its instances are *Object. Instances come about by NEWOBJ, which in Python runs no __init__; what a pickle
// calls (REDUCE) may be anything, so calls stay refused, except those that make one member of an enumeration. Names of
// Python's own library are refused too: what is harmless among them is in Containers.
func Inert(name string) *Global {
	module, class := split(name)
	top, _, _ := strings.Cut(module, ".")
	if module == "" || class == "" || library[top] {
		return nil
	}
	g := &Global{Name: name, Make: func(args Tuple) (any, error) { return &Object{Class: name, Args: args}, nil }}
	if isEnumeration(name) {
		g.Call = func(args Tuple) (any, error) {
			if len(args) == 1 && plain(args[0]) {
				return &Object{Class: name, Args: args}, nil
			}
			return nil, &RefusedError{name + "()"}
		}
	}
	return g
}

// split parts a name at the last dot before the class: classes in classes have names with dots, and begin in upper
// case.
func split(name string) (module, class string) {
	parts := strings.Split(name, ".")
	for i := 1; i < len(parts)-1; i++ {
		if c := strings.TrimLeft(parts[i], "_"); c != "" && unicode.IsUpper(rune(c[0])) {
			return strings.Join(parts[:i], "."), strings.Join(parts[i:], ".")
		}
	}
	last := len(parts) - 1
	return strings.Join(parts[:last], "."), parts[last]
}

// isEnumeration knows the classes whose members are pickled as a call with their value: those of modules made for them,
// and of the program that wrote the pickle, which no other program can find.
func isEnumeration(name string) bool {
	module, class := split(name)
	top, _, _ := strings.Cut(module, ".")
	if library[top] || class == "" || !unicode.IsUpper(rune(class[0])) || strings.Contains(class, ".") {
		return false
	}
	switch module {
	case "__main__", "torchvision.transforms.functional", "transformers.trainer_utils", "transformers.training_args":
		return true
	}
	last := module[strings.LastIndexByte(module, '.')+1:]
	return last == "enums" || last == "enum"
}

// plain is a value that holds no other.
func plain(v any) bool {
	switch v.(type) {
	case nil, bool, int64, float64, string, Bytes:
		return true
	}
	return false
}

// Containers are the classes of Python's own library that hold values and do nothing, for one load. Dicts of every kind
// become *Dict, sets and queues *List, and what holds no other value *Object.
func Containers() map[string]*Global {
	list := map[string]*Global{}
	add := func(call, made func(args Tuple) (any, error), names ...string) {
		for _, name := range names {
			list[name] = &Global{Name: name, Call: call, Make: made}
		}
	}
	dict := OrderedDict()
	add(dict, nil, "collections.OrderedDict", "collections.Counter")
	add(func(Tuple) (any, error) { return new(Dict), nil }, nil, "collections.defaultdict")
	add(items, nil, "collections.deque", "builtins.set", "builtins.frozenset", "__builtin__.set", "__builtin__.frozenset",
		"sets.Set")
	for _, name := range []string{
		"argparse.Namespace", "types.SimpleNamespace", "builtins.complex", "builtins.slice", "builtins.range",
		"builtins.bytearray", "builtins.object",
		"__builtin__.complex", "__builtin__.slice", "__builtin__.xrange", "__builtin__.bytearray", "__builtin__.object",
		"datetime.datetime", "datetime.date", "datetime.time", "datetime.timedelta", "datetime.timezone",
		"pathlib.Path", "pathlib.PosixPath", "pathlib.WindowsPath", "pathlib.PurePath", "pathlib.PurePosixPath",
		"pathlib.PureWindowsPath", "pathlib._local.PosixPath", "pathlib._local.WindowsPath",
		"pathlib._local.PurePosixPath", "pathlib._local.PureWindowsPath",
		"decimal.Decimal", "fractions.Fraction", "uuid.UUID", "functools.partial", // which is a note of a call and makes none
	} {
		make := func(args Tuple) (any, error) { return &Object{Class: name, Args: args}, nil }
		add(make, make, name)
	}
	// named, as a default's factory is
	for _, name := range []string{"dict", "list", "tuple", "int", "float", "str", "bool", "bytes", "type", "long",
		"unicode"} {
		add(nil, nil, "builtins."+name, "__builtin__."+name)
	}
	add(nil, nil, "typing.Any") // which OmegaConf's settings note as their type
	add(reconstructor, nil, "copyreg._reconstructor", "copy_reg._reconstructor")
	add(latin1(), nil, "_codecs.encode")
	add(member, nil, "builtins.getattr", "__builtin__.getattr")
	return list
}

// member is getattr(class, name): a member of an enumeration as Python 3.11 pickles it, or a method, as which a
// scheduler keeps its curve. It is looked up nowhere, and what comes of it cannot be called.
func member(args Tuple) (any, error) {
	if len(args) == 2 {
		name, text := args[1].(string)
		if b, ok := args[1].(Bytes); ok {
			name, text = string(b), true
		}
		switch of := args[0].(type) {
		case *Global:
			if text && of.Make != nil {
				return &Object{Class: of.Name, Args: Tuple{name}}, nil
			}
		case *Object:
			if text {
				return &Object{Class: of.Class, Args: Tuple{name}}, nil
			}
		}
	}
	return nil, &RefusedError{"builtins.getattr()"}
}

// items is a set or a queue of what the first argument lists.
func items(args Tuple) (any, error) {
	if len(args) == 0 {
		return new(List), nil
	}
	switch v := args[0].(type) {
	case *List:
		return &List{v.Items[:len(v.Items):len(v.Items)]}, nil // shared until one is added to
	case Tuple:
		return &List{v[:len(v):len(v)]}, nil
	}
	return nil, errors.New("a set or queue made of neither a list nor a tuple")
}

// reconstructor is copyreg._reconstructor(class, base, state), by which protocols 0 and 1 make instances: NEWOBJ with
// more words.
func reconstructor(args Tuple) (any, error) {
	if len(args) != 3 {
		return nil, fmt.Errorf("%d arguments", len(args))
	}
	class, ok := args[0].(*Global)
	if !ok || class.Make == nil {
		return nil, fmt.Errorf("%s is no class of instances", Kind(args[0]))
	}
	return class.Make(nil)
}

// latin1 is _codecs.encode, by which Python 3 writes bytes in protocols that have none: text in Latin-1. All calls of a
// load together are bounded, as one text may be encoded many times.
func latin1() func(args Tuple) (any, error) {
	total := 0
	return func(args Tuple) (any, error) {
		if len(args) != 2 {
			return nil, fmt.Errorf("%d arguments", len(args))
		}
		text, ok := args[0].(string)
		name, _ := args[1].(string)
		if name = strings.ReplaceAll(name, "-", ""); !ok || name != "latin1" {
			return nil, errors.New("bytes that are no text in Latin-1")
		}
		if total += len(text); total > 2*maxText {
			return nil, fmt.Errorf("more than %d bytes of text to encode", 2*maxText)
		}
		out := make(Bytes, 0, len(text))
		for _, r := range text {
			if r > 0xff {
				return nil, errors.New("bytes that are no text in Latin-1")
			}
			out = append(out, byte(r))
		}
		return out, nil
	}
}

// library holds the top names of Python's own library: 3.11's sys.stdlib_module_names, what later versions added, and
// Python 2's.
var library = func() map[string]bool {
	list := map[string]bool{}
	for _, name := range strings.Fields(libraryNames) {
		list[name] = true
	}
	return list
}()

const libraryNames = `
__builtin__ __future__ _abc _aix_support _android_support _apple_support _ast _asyncio _bisect _blake2 _bootlocale
_bootsubprocess _bz2 _codecs _codecs_cn _codecs_hk _codecs_iso2022 _codecs_jp _codecs_kr _codecs_tw _collections
_collections_abc _colorize _compat_pickle _compression _contextvars _crypt _csv _ctypes _curses _curses_panel
_datetime _dbm _decimal _elementtree _frozen_importlib _frozen_importlib_external _functools _gdbm _hashlib _heapq
_imp _interpchannels _interpqueues _interpreters _io _ios_support _json _locale _lsprof _lzma _markupbase _md5 _msi
_multibytecodec _multiprocessing _opcode _opcode_metadata _operator _osx_support _overlapped _peg_parser _pickle
_posixshmem _posixsubprocess _py_abc _pydecimal _pyio _pyrepl _queue _random _scproxy _sha1 _sha256 _sha3 _sha512
_signal _sitebuiltins _socket _sqlite3 _sre _ssl _stat _statistics _string _strptime _struct _suggestions _symtable
_sysconfig _testcapi _testinternalcapi _thread _threading_local _tkinter _tokenize _tracemalloc _typing _uuid
_warnings _weakref _weakrefset _winapi _winreg _zoneinfo _zstd abc aifc annotationlib antigravity anydbm argparse
array ast asynchat asyncio asyncore atexit audioop base64 BaseHTTPServer Bastion bdb binascii binhex bisect bsddb
builtins bz2 calendar cgi CGIHTTPServer cgitb chunk cmath cmd code codecs codeop collections colorsys commands
compileall compression concurrent ConfigParser configparser contextlib contextvars Cookie cookielib copy copy_reg
copyreg cPickle cProfile crypt cStringIO csv ctypes curses dataclasses datetime dbhash dbm decimal difflib dircache
dis distutils doctest DocXMLRPCServer dumbdbm dummy_thread dummy_threading email encodings ensurepip enum errno
exceptions faulthandler fcntl filecmp fileinput fnmatch formatter fpformat fractions ftplib functools
future_builtins gc gdbm genericpath getopt getpass gettext glob graphlib grp gzip hashlib heapq hmac hotshot html
htmlentitydefs htmllib HTMLParser http httplib idlelib ihooks imaplib imghdr imp importlib imputil inspect io
ipaddress itertools json keyword lib2to3 linecache locale logging lzma macpath macurl2path mailbox mailcap marshal
math md5 mhlib mimetools mimetypes MimeWriter mimify mmap modulefinder msilib msvcrt multifile multiprocessing mutex
netrc new nis nntplib nt ntpath nturl2path numbers opcode operator optparse os os2emxpath ossaudiodev parser pathlib
pdb pickle pickletools pipes pkgutil platform plistlib popen2 poplib posix posixfile posixpath pprint profile pstats
pty pwd py_compile pyclbr pydoc pydoc_data pyexpat Queue queue quopri random re readline repr reprlib resource rexec
rfc822 rlcompleter robotparser runpy sched ScrolledText secrets select selectors sets sgmllib sha shelve shlex
shutil signal SimpleHTTPServer SimpleXMLRPCServer site smtpd smtplib sndhdr socket SocketServer socketserver spwd
sqlite3 sre_compile sre_constants sre_parse ssl stat statistics statvfs string StringIO stringprep struct subprocess
sunau sunaudio symbol symtable sys sysconfig syslog tabnanny tarfile telnetlib tempfile termios test textwrap this
thread threading time timeit tkCommonDialog tkFileDialog Tkinter tkinter tkMessageBox toaiff token tokenize tomllib
trace traceback tracemalloc tsort tty turtle turtledemo types typing unicodedata unittest urllib urllib2 urlparse
user UserDict UserList UserString uu uuid venv warnings wave weakref webbrowser whichdb winreg winsound wsgiref
xdrlib xml xmlrpc xmlrpclib zipapp zipfile zipimport zlib zoneinfo
`
