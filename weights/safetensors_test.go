package weights

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"github.com/vggo/vggo/weights/internal/format"
)

// build assembles a safetensors file by hand.
func build(header string, values ...byte) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), values...)
}

func store(t *testing.T, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "w.safetensors")
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t *testing.T, path string) *File {
	t.Helper()
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func TestOpenConverts(t *testing.T) {
	values := slices.Concat(
		binary.LittleEndian.AppendUint64(nil, math.Float64bits(-0.1)),
		[]byte{0x00, 0x3c, 0x01, 0x00, 0xff, 0xfb, 0x00, 0xfc}, // F16: 1, 2^-24, -65504, -Inf
		[]byte{0x80, 0x3f, 0x00, 0xc0},                         // BF16: 1, -2
		binary.LittleEndian.AppendUint32(nil, math.Float32bits(7)),
		make([]byte, 8),
	)
	header := `{"__metadata__":{"format":"pt"},` +
		`"scalar":{"dtype":"F32","shape":[],"data_offsets":[20,24]},` +
		`"bf":{"dtype":"BF16","shape":[2,1],"data_offsets":[16,20]},` +
		`"half":{"dtype":"F16","shape":[4],"data_offsets":[8,16]},` +
		`"double":{"dtype":"F64","shape":[1],"data_offsets":[0,8]},` +
		`"empty":{"dtype":"F32","shape":[3,0],"data_offsets":[24,24]},` +
		`"count":{"dtype":"I64","shape":[1],"data_offsets":[24,32]}}`
	for pad := range 8 { // each alignment of the data
		f := open(t, store(t, build(header+strings.Repeat(" ", pad), values...)))
		if got, want := fmt.Sprint(f.Names()), "[double half bf scalar empty count]"; got != want {
			t.Fatalf("names %s, want %s in the order of their data", got, want)
		}
		if f.Format != "safetensors" || f.Metadata["format"] != "pt" {
			t.Errorf("format %q, metadata %v", f.Format, f.Metadata)
		}
		for _, c := range []struct {
			name  string
			shape []int
			want  []float32
		}{
			{"double", []int{1}, []float32{-0.1}},
			{"half", []int{4}, []float32{1, 0x1p-24, -65504, float32(math.Inf(-1))}},
			{"bf", []int{2, 1}, []float32{1, -2}},
			{"scalar", nil, []float32{7}},
			{"empty", []int{3, 0}, nil},
		} {
			got, err := f.Tensor(c.name)
			if err != nil || !slices.Equal(got.Shape, c.shape) || !slices.Equal(got.Data, c.want) {
				t.Errorf("padding %d: %s is %v %v (%v), want %v %v", pad, c.name, got.Shape, got.Data, err, c.shape, c.want)
			}
		}
		if _, err := f.Tensor("count"); err == nil || !strings.Contains(err.Error(), `"count": type I64 holds no weights`) {
			t.Errorf("an I64 tensor as weights: %v", err)
		}
	}
}

func TestTensorIsAView(t *testing.T) {
	f := open(t, store(t, build(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}  `, make([]byte, 8)...)))
	a, err := f.Tensor("a")
	if err != nil {
		t.Fatal(err)
	}
	if unsafe.Pointer(&a.Data[0]) != unsafe.Pointer(&f.list.Tensors[0].Raw[0]) {
		t.Error("aligned float32 values were copied")
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Errorf("a second Close: %v", err)
	}
	if _, err := f.Tensor("a"); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Tensor after Close: %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	truncated := "truncated"
	if strconv.IntSize == 32 {
		truncated = "overflows"
	}
	one := func(fields string) string { return `{"a":{` + fields + `}}` }
	four := make([]byte, 4)
	var notes []string
	for i := range format.MaxTensors + 1 {
		notes = append(notes, fmt.Sprintf(`"%d":""`, i))
	}
	cases := []struct {
		what    string
		content []byte
		want    string
	}{
		{"empty", nil, "byte 0: the file is empty"},
		{"short", []byte{1, 0, 0}, "no format that vggo reads: 3 bytes"},
		{"text", []byte("hello, weights"), `beginning "hello, weights"`},
		{"zip", []byte("PK\x03\x04........"), "a broken zip archive: not a valid zip file"},
		{"pickle", []byte("\x80\x02}q\x00........"), "a pickle"},
		{"web page", []byte("<!DOCTYPE html><html>"), "web page"},
		{"long header", binary.LittleEndian.AppendUint64(nil, 1<<30), "no format that vggo reads"},
		{"header beyond the limit", append(binary.LittleEndian.AppendUint64(nil, 100_000_001), '{'),
			"longer than the format's limit of 100000000"},
		{"header cut", append(binary.LittleEndian.AppendUint64(nil, 50), `{"a":`...),
			"truncated: the header ends at byte 58, the file at 13"},
		{"header unclosed", build(`{"a":{"dtype":"F32"`), "header: "},
		{"not JSON", build(`{a}`), "header: "},
		{"trailing comma", build(`{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},}`), "header: "},
		{"after the brace", build(`{}{}`), "follows the closing brace"},
		{"not UTF-8", build("{\"\xff\":{}}"), "not UTF-8"},
		{"twice",
			build(`{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}`),
			`duplicate object member name "a"`},
		{"twice by escape",
			build(`{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},` +
				`"\u0061":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}`), `duplicate object member name "a"`},
		{"dtype twice", build(one(`"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]`), four...),
			`tensor "a": duplicate object member name "dtype"`},
		{"metadata twice", build(`{"__metadata__":{"a":"1","a":"2"}}`), `duplicate object member name "a"`},
		{"metadata number", build(`{"__metadata__":{"a":1}}`), `a string expected, not "1"`},
		{"key in capitals", build(one(`"DTYPE":"F32","shape":[1],"data_offsets":[0,4]`), four...),
			`unknown object member name "DTYPE"`},
		{"no dtype", build(one(`"shape":[1],"data_offsets":[0,4]`), four...), `unknown dtype ""`},
		{"unknown dtype", build(one(`"dtype":"F4","shape":[1],"data_offsets":[0,4]`), four...), `unknown dtype "F4"`},
		{"no shape", build(one(`"dtype":"F32","data_offsets":[0,4]`), four...), "no shape"},
		{"no offsets", build(one(`"dtype":"F32","shape":[1]`), four...), "data_offsets must be a begin and an end"},
		{"one offset", build(one(`"dtype":"F32","shape":[1],"data_offsets":[4]`), four...),
			"data_offsets must be a begin and an end"},
		{"three offsets", build(one(`"dtype":"F32","shape":[1],"data_offsets":[0,4,4]`), four...),
			"data_offsets must be a begin and an end, not 0, 4 and 4"},
		{"backward", build(one(`"dtype":"F32","shape":[1],"data_offsets":[4,0]`), four...),
			"data_offsets must be a begin and an end"},
		{"negative", build(one(`"dtype":"F32","shape":[-1],"data_offsets":[0,4]`), four...),
			`cannot unmarshal JSON number -1`},
		{"fraction", build(one(`"dtype":"F32","shape":[1.0],"data_offsets":[0,4]`), four...),
			`cannot unmarshal JSON number 1.0`},
		{"string number", build(one(`"dtype":"F32","shape":["1"],"data_offsets":[0,4]`), four...),
			"cannot unmarshal JSON string"},
		{"nested", build(one(`"dtype":"F32","shape":[[1]],"data_offsets":[0,4]`), four...), "cannot unmarshal JSON array"},
		{"long name", build(`{"`+strings.Repeat("n", 1<<20)+`":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}`, four...),
			"at most 512 bytes"},
		{"escape", build(`{"a\u001b[2J":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}`, four...),
			`without control characters, not "a\x1b[2J"`},
		{"long type", build(one(`"dtype":"`+strings.Repeat("F", 1<<20)+`","shape":[1],"data_offsets":[0,4]`), four...),
			"described in more than 4096 bytes"},
		{"notes", build(`{"__metadata__":{` + strings.Join(notes, ",") + `}}`), "more than 65536 notes"},
		{"rank", build(one(`"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]`), four...),
			"17 dimensions: the most is 16"},
		{"overflow", build(one(`"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]`)), "overflows"},
		{"shape against offsets", build(one(`"dtype":"F32","shape":[2],"data_offsets":[0,4]`), four...),
			"takes 8 bytes, but its offsets span 4"},
		{"beyond the file", build(one(`"dtype":"F32","shape":[2],"data_offsets":[0,8]`), four...),
			"truncated: its data ends at byte 70, the file at 66"},
		{"far beyond", build(one(`"dtype":"U8","shape":[9223372036854775807],"data_offsets":[0,9223372036854775807]`)),
			truncated},
		{"far beyond any int", build(one(`"dtype":"U8","shape":[1],"data_offsets":[0,18446744073709551616]`)),
			"18446744073709551616 into Go uint64 within \"/data_offsets/1\": value out of range"},
		{"hole", build(one(`"dtype":"U8","shape":[1],"data_offsets":[3,4]`), four...),
			"begins at offset 3, but the tensor before it ends at 0"},
		{"overlap",
			build(`{"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"b":{"dtype":"U8","shape":[3],"data_offsets":[1,4]}}`,
				four...), `"b": its data begins at offset 1, but the tensor before it ends at 3`},
		{"left over", build(one(`"dtype":"U8","shape":[3],"data_offsets":[0,3]`), four...),
			"1 bytes after the last tensor belong to none"},
	}
	for _, c := range cases {
		t.Run(c.what, func(t *testing.T) {
			path := store(t, c.content)
			f, err := Open(path)
			if err == nil {
				f.Close()
				t.Fatal("it opened")
			}
			var fault *FormatError
			if !errors.As(err, &fault) || fault.Path != path || fault.Offset < 0 || fault.Offset > int64(len(c.content)) {
				t.Errorf("not a FormatError within the file: %#v", err)
			}
			if !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q, want one line with %q", err, c.want)
			}
			if len(err.Error()) > 500 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
		})
	}
}

func TestOpenRefusesWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "not a plain file") {
		t.Errorf("a directory: %v", err)
	}
	if _, err := Open(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// TestEveryTruncation cuts a good file at every byte: no cut may open.
func TestEveryTruncation(t *testing.T) {
	whole := build(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[3],"data_offsets":[8,11]}}`, make([]byte, 11)...)
	open(t, store(t, whole))
	path := filepath.Join(t.TempDir(), "cut")
	for n := range whole {
		if err := os.WriteFile(path, whole[:n], 0o644); err != nil {
			t.Fatal(err)
		}
		if f, err := Open(path); err == nil {
			f.Close()
			t.Errorf("a file cut at byte %d of %d opened", n, len(whole))
		}
	}
}

func TestRealFiles(t *testing.T) {
	root := os.Getenv("VGGO_TESTDATA")
	if root == "" {
		t.Skip("VGGO_TESTDATA is not set: real files are not tested")
	}
	f := open(t, filepath.Join(root, "weights/safetensors/multi_layer.safetensors"))
	if len(f.Names()) != 9 {
		t.Errorf("names %v, want 9", f.Names())
	}
	w, err := f.Tensor("conv1.weight")
	if err != nil || !slices.Equal(w.Shape, []int{4, 3, 3, 3}) {
		t.Fatalf("conv1.weight: shape %v, error %v", w.Shape, err)
	}
	for name, want := range map[string][]float32{ // as Python's struct module reads them
		"norm1.running_var": {0.9008812308311462, 0.903331458568573, 0.903447687625885, 0.9031827449798584},
		"conv1.bias":        {0.13191646337509155, 0.03988170251250267, 0.061896324157714844, 0.14375224709510803},
	} {
		if got, err := f.Tensor(name); err != nil || !slices.Equal(got.Data, want) {
			t.Errorf("%s is %v (%v), want %v", name, got.Data, err, want)
		}
	}
	codes := open(t, filepath.Join(root, "weights/safetensors/jfk-codes.safetensors"))
	if info, ok := codes.Info("codes"); !ok || info.DType != "I64" || !slices.Equal(info.Shape, []int{1, 2, 828}) {
		t.Errorf("codes is %+v, %v", info, ok)
	}
}

func TestWriteReadsBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "w.safetensors")
	long := make([]float32, 10_000) // more than one of Write's blocks
	for i := range long {
		long[i] = float32(i) / 3
	}
	nan := math.Float32frombits(0x7fc00001)
	tensors := []Tensor{
		{Name: `conv1_1/w "<é>"`, Shape: []int{2, 5000}, Data: long},
		{Name: "scalar", Data: []float32{nan}},
		{Name: "empty", Shape: []int{0, 4}},
	}
	notes := map[string]string{"licence": "MIT", "by": "vggo"}
	if err := Write(path, []Tensor{{Name: "old"}}, nil); err == nil {
		t.Error("a scalar without its value was written")
	}
	for range 2 { // the second replaces the first, which is open where the system replaces such files
		if err := Write(path, tensors, notes); err != nil {
			t.Fatal(err)
		}
		f := open(t, path)
		if f.Metadata["licence"] != "MIT" || len(f.Metadata) != 2 {
			t.Errorf("metadata %v", f.Metadata)
		}
		for _, want := range tensors {
			got, err := f.Tensor(want.Name)
			same := slices.EqualFunc(got.Data, want.Data,
				func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) })
			if err != nil || !same || !slices.Equal(got.Shape, want.Shape) || got.DType != F32 {
				t.Errorf("%s came back as %v %v (%v)", want.Name, got.DType, got.Shape, err)
			}
		}
		if runtime.GOOS == "windows" {
			f.Close()
		}
	}
	first, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if binary.LittleEndian.Uint64(first)%8 != 0 {
		t.Error("the data is not aligned to 8 bytes")
	}
	if err := Write(path, tensors, notes); err != nil {
		t.Fatal(err)
	}
	if second, err := os.ReadFile(path); err != nil || !bytes.Equal(first, second) {
		t.Errorf("the same tensors gave different bytes (%v)", err)
	}
	if left, err := filepath.Glob(path + "?*"); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}

func TestWriteRefuses(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		what    string
		tensors []Tensor
		want    string
	}{
		{"shape", []Tensor{{Name: "a", Shape: []int{2}, Data: []float32{1}}}, `"a": shape 2 holds 2 values, not 1`},
		{"twice", []Tensor{{Name: "a", Shape: []int{0}}, {Name: "a", Shape: []int{0}}}, `both be named "a"`},
		{"reserved", []Tensor{{Name: "__metadata__", Shape: []int{0}}}, `"__metadata__" names a file's notes, not a tensor`},
		{"name", []Tensor{{Name: "a\n", Shape: []int{0}}}, "without control characters"},
		{"many", make([]Tensor, format.MaxTensors+1), "a file has at most 65536 of each"},
	} {
		path := filepath.Join(dir, c.what)
		if err := Write(path, c.tensors, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.what, err, c.want)
		}
	}
	if err := Write(filepath.Join(dir, "no", "folder"), nil, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}

func FuzzSafetensors(f *testing.F) {
	f.Add(build(`{}`))
	f.Add(build(`{"__metadata__":{"a":"b"},"a":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}} `, 1, 2, 3, 4))
	f.Add(build(`{"a":{"dtype":"F64","shape":[1],"data_offsets":[0,8]},"b":{"dtype":"I8","shape":[],"data_offsets":[8,9]}}`, make([]byte, 9)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		file := &File{Path: "fuzz"}
		if file.read(data) != nil {
			return
		}
		total := 0
		for _, name := range file.Names() {
			info, ok := file.Info(name)
			if !ok {
				t.Fatalf("%q is listed but not there", name)
			}
			total += format.Product(info.Shape) * info.DType.Size()
			if tensor, err := file.Tensor(name); err == nil && len(tensor.Data) != format.Product(info.Shape) {
				t.Fatalf("%q: shape %v with %d values", name, info.Shape, len(tensor.Data))
			}
		}
		if total > len(data) {
			t.Fatalf("tensors of %d bytes in a file of %d", total, len(data))
		}
	})
}

// TestOpenFolder: a folder stands for the one file of weights in it, and for none where there are several.
func TestOpenFolder(t *testing.T) {
	file, err := os.ReadFile("testdata/tinyvgg-fashionmnist.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		files []string
		want  string // the file that is opened; empty: none
	}{
		{[]string{"a.safetensors", "labels.txt"}, "a.safetensors"},
		{[]string{"a.pt", "labels.txt"}, "a.pt"}, // files are known by their bytes
		{[]string{"a.onnx"}, "a.onnx"},
		{[]string{"a.onnx", "b.onnx"}, ""},
		{[]string{"labels.txt"}, ""},
		{nil, ""},
	} {
		dir := t.TempDir()
		for _, name := range c.files {
			if err := os.WriteFile(filepath.Join(dir, name), file, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		f, err := Open(dir)
		switch {
		case c.want == "":
			if err == nil || !strings.Contains(err.Error(), "nor one file of weights alone") {
				t.Errorf("%v: %v", c.files, err)
			}
		case err != nil:
			t.Errorf("%v: %v", c.files, err)
		case f.Path != filepath.Join(dir, c.want):
			t.Errorf("%v: %s is opened", c.files, f.Path)
		}
		if err == nil {
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}
