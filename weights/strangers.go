package weights

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/vggo/vggo/weights/internal/format"
)

// unread is what to do about a file of a known format that is not read.
const unread = " is not yet read: convert it to safetensors, ONNX or Keras' .h5 with the program that wrote it"

// strangers are files people have that Open does not read, by what they hold. A file that holds nothing to know it by
// goes by its name.
var strangers = []struct {
	knows func(data []byte, name string) bool
	what  string
}{
	{begins("<"), "no weights but a web page, perhaps a failed download"},
	{begins("version https://git-lfs"), "no weights but a Git LFS pointer: git lfs pull fetches the weights themselves"},
	{begins("{"), "no weights but JSON, perhaps the description of a network"},
	{begins("\x1f\x8b"), "compressed by gzip: gunzip makes the file that is in it"},
	{begins("7z\xbc\xaf\x27\x1c"), "a 7-Zip archive: unpack it first"},
	{begins("BZh"), "compressed by bzip2: bunzip2 makes the file that is in it"},
	{begins("\xfd7zXZ\x00"), "compressed by xz: unxz makes the file that is in it"},
	{begins("Rar!"), "a RAR archive: unpack it first"},
	{at(257, "ustar"), "a tar archive: unpack it first. PyTorch before 0.1.10 wrote such files: load it there and save " +
		"it again"},
	{begins("model_checkpoint_path:"), "the list of a TensorFlow checkpoint, which" + unread},
	{isTable, "a TensorFlow checkpoint" + unread},
	{at(4, "TFL3"), "a TensorFlow Lite model" + unread},
	{begins("MATLAB 5.0"), "a MATLAB file" + unread},
	{isCaffe, "a model of Caffe's" + unread},
	{isGraph, "a TensorFlow graph" + unread},
	{named(".caffemodel"), "a model of Caffe's" + unread},
	{named(".pb"), "a TensorFlow graph" + unread},
	{named("checkpoint", ".index", ".ckpt"), "a TensorFlow checkpoint" + unread},
	{func(_ []byte, name string) bool { return strings.Contains(name, ".data-0") }, "a TensorFlow checkpoint" + unread},
}

// stranger says what a file is that no format knows.
func (f *File) stranger(in *format.Input) error {
	data := in.Data
	if in.Members != nil {
		return &FormatError{f.Path, 0,
			"a zip archive of neither PyTorch (data.pkl), NumPy (.npy) nor Keras (model.weights.h5)"}
	}
	for _, s := range strangers {
		if s.knows(data, in.Name) {
			return &FormatError{f.Path, 0, s.what}
		}
	}
	return &FormatError{f.Path, 0, fmt.Sprintf("no format that vggo reads: %d bytes, beginning %q", len(data),
		data[:min(len(data), 16)])}
}

func begins(magic string) func([]byte, string) bool { return at(0, magic) }

func at(offset int, magic string) func([]byte, string) bool {
	return func(data []byte, _ string) bool {
		return len(data) > offset && bytes.HasPrefix(data[offset:], []byte(magic))
	}
}

func named(endings ...string) func([]byte, string) bool {
	return func(_ []byte, name string) bool {
		for _, ending := range endings {
			if strings.HasSuffix(name, ending) {
				return true
			}
		}
		return false
	}
}

// isTable knows LevelDB's tables (table/format.h), as which TensorFlow writes its checkpoints' indices, and before 2016
// checkpoints whole.
func isTable(data []byte, _ string) bool {
	return len(data) >= 48 && binary.LittleEndian.Uint64(data[len(data)-8:]) == 0xdb4775248b80fb57
}

// isCaffe knows a NetParameter (caffe.proto): a name, then layers with a name and a type, which are message 100 or,
// before 2014, 2.
func isCaffe(data []byte, _ string) bool {
	layers := 0
	for field, value := range messages(data) {
		switch {
		case field == 100 && layer(value, 1, 2):
			layers++
		case field == 2 && layer(value, 4, 0):
			layers++
		}
	}
	return layers > 0
}

// isGraph knows a GraphDef (tensorflow/core/framework/graph.proto): nodes, message 1, with a name and an operation.
func isGraph(data []byte, _ string) bool {
	for field, value := range messages(data) {
		return field == 1 && layer(value, 1, 2)
	}
	return false
}

// layer reports whether a message has plain text in field name, and in field kind where that is not 0.
func layer(data []byte, name, kind int) bool {
	has := map[int]bool{0: true}
	for field, value := range messages(data) {
		if field == name || field == kind {
			has[field] = isPlainText(value)
		}
	}
	return has[name] && has[kind]
}

func isPlainText(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return len(b) > 0
}

// messages walks a protocol buffer's first fields, those with bytes in them: texts and messages.
func messages(data []byte) func(yield func(field int, value []byte) bool) {
	return func(yield func(int, []byte) bool) {
		for range 64 {
			tag, n := binary.Uvarint(data)
			if n <= 0 || tag>>3 == 0 || tag>>3 > 1<<20 {
				return
			}
			data = data[n:]
			size := uint64(0)
			switch tag & 7 {
			case 0:
				if _, n = binary.Uvarint(data); n <= 0 {
					return
				}
				size = uint64(n)
			case 1:
				size = 8
			case 2:
				if size, n = binary.Uvarint(data); n <= 0 {
					return
				}
				data = data[n:]
			case 5:
				size = 4
			default:
				return
			}
			if size > uint64(len(data)) {
				return
			}
			if tag&7 == 2 && !yield(int(tag>>3), data[:size]) {
				return
			}
			data = data[size:]
		}
	}
}
