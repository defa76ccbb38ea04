package weights

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/vggo/vggo/weights/internal/format"
)

// untried comes before what a program's documents say, which nobody has tried for vggo.
const untried = "; no remedy was tried, but "

// What else is said of models that are not read: another program's, or one compiled for a machine.
const (
	foreign  = ": convert what it was made of, which PyTorch, Keras or ONNX had"
	compiled = ", compiled for one machine: take the file that it was made of"
)

// strangers are files people have that Open does not read, by what they hold. A file that holds nothing to know it by
// goes by its name.
var strangers = []struct {
	knows func(data []byte, name string) bool
	what  string
}{
	{contains("<net name="), "OpenVINO's description of a network" + foreign},
	{begins("<"), "no weights but a web page, perhaps a failed download"},
	{begins("version https://git-lfs"), "no weights but a Git LFS pointer: git lfs pull fetches the weights themselves"},
	{begins("{"), "no weights but JSON, perhaps the description of a network"},
	{begins("\x1f\x8b"), "compressed by gzip: gunzip makes the file that is in it"},
	{begins("7z\xbc\xaf\x27\x1c"), "a 7-Zip archive: unpack it first"},
	{begins("BZh"), "compressed by bzip2: bunzip2 makes the file that is in it"},
	{begins("\xfd7zXZ\x00"), "compressed by xz: unxz makes the file that is in it"},
	{begins("Rar!"), "a RAR archive: unpack it first"},
	{at(257, "ustar"), "a tar archive: unpack it first. PyTorch before 0.1.10 wrote such files" + untried +
		"what it loads and saves again in a later one may be read"},
	{begins("model_checkpoint_path:"), "a list of TensorFlow's checkpoints: name the folder that it lies in"},
	{at(4, "TFL3"), "a TensorFlow Lite model" + untried +
		"the program that wrote it may save safetensors, ONNX or Keras' .h5"},
	{at(4, "ORTM"), "ONNX Runtime's own form of a model, made for one machine: take the .onnx that it was made of"},
	{begins("GGUF", "lmgg", "tjgg", "fmgg"), "a file of llama.cpp's (GGUF), which holds language models"},
	{begins("RKNN"), "a model for Rockchip's processors (RKNN)" + compiled},
	{begins("ftrt", "ptrt"), "a TensorRT engine" + compiled},
	{begins("7767517\n", "\xdd\x85\x76\x00"), "ncnn's description of a network, whose weights lie in another file" +
		foreign},
	{begins("4\n1\n3\nV "), "a Torch7 file in its text form" + untried +
		"torch.save(new, torch.load(path, 'ascii')) in Lua may write one that is read"},
	{named(".mlmodel"), "a Core ML model" + foreign},
	{named(".engine", ".plan", ".trt"), "a TensorRT engine" + compiled},
	{named(".mnn"), "an MNN model" + foreign},
	{named(".pdmodel", ".pdiparams", "__model__"),
		"a model of Paddle's for inference" + untried + "paddle2onnx may make ONNX of it, and " +
			"paddle.save(model.state_dict(), path) a file that is read"},
	{named(".mat"), "no MATLAB file of version 5 or 7.3" + untried + "save(path, '-v7', …) in MATLAB may write one"},
	{named(".caffemodel"),
		"no model of Caffe's as it has been since 2013" + untried + "upgrade_net_proto_binary may make one of an older"},
	{named(".weights"), "no weights of Darknet's, which begin with version 0.1 to 0.5"},
	{named(".pb"), "no graph of TensorFlow's, which begins with a node that has a name and an operation"},
	{named("checkpoint", ".index", ".ckpt"), "no checkpoint of TensorFlow's, or one that is cut off: it ends otherwise"},
	{func(_ []byte, name string) bool { return checkpointShard.MatchString(name) },
		"the values of a TensorFlow checkpoint: its .index, which tells what they are, must lie beside them"},
}

// isCoreML knows a file that by its first bytes may as well be ONNX's.
func isCoreML(in *format.Input) bool { return strings.HasSuffix(in.Name, ".mlmodel") }

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

func begins(magics ...string) func([]byte, string) bool {
	return func(data []byte, _ string) bool {
		return slices.ContainsFunc(magics, func(magic string) bool { return bytes.HasPrefix(data, []byte(magic)) })
	}
}

// contains looks at a file's first kilobyte.
func contains(text string) func([]byte, string) bool {
	return func(data []byte, _ string) bool { return bytes.Contains(data[:min(len(data), 1<<10)], []byte(text)) }
}

func at(offset int, magic string) func([]byte, string) bool {
	return func(data []byte, _ string) bool {
		return len(data) > offset && bytes.HasPrefix(data[offset:], []byte(magic))
	}
}

func named(endings ...string) func([]byte, string) bool {
	return func(_ []byte, name string) bool {
		return slices.ContainsFunc(endings, func(ending string) bool { return strings.HasSuffix(name, ending) })
	}
}
