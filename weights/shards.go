package weights

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/vggo/vggo/internal/plainfile"
	"github.com/vggo/vggo/internal/strict"
	"github.com/vggo/vggo/weights/internal/format"
)

// Hugging Face's libraries cut large models into shards, each a whole file of safetensors or PyTorch, and list in an
// index which tensor is where: {"metadata": …, "weight_map": {"conv1_1.weight": "model-00001-of-00002.safetensors",
// …}}.

func isIndex(data []byte) bool { return format.IsJSON(data, "weight_map") }

// shardName is how a shard is called, with the name of its model before.
var shardName = regexp.MustCompile(`-\d{5}-of-\d{5}(\.[a-z]+)$`)

// oneShard says of a file that it is called so.
const oneShard = "the file is one shard of several, which their index opens together"

// readIndex opens the shards and lists their tensors.
func (f *File) readIndex(data []byte) error {
	fail := func(format string, args ...any) error {
		return &FormatError{f.Path, 0, "an index of shards: " + fmt.Sprintf(format, args...)}
	}
	if len(data) > maxHeader {
		return fail("%d bytes, the most is %d", len(data), maxHeader)
	}
	var index struct {
		Shard map[string]string `json:"weight_map"`
	}
	if err := strict.Unmarshal(data, &index); err != nil {
		return fail("%v", err)
	}
	if f.beside.file == nil {
		return fail("it names other files, so it has to be opened by its path")
	}
	byShard := map[string][]string{}
	for name, shard := range index.Shard {
		byShard[shard] = append(byShard[shard], name)
	}
	for _, shard := range slices.Sorted(maps.Keys(byShard)) {
		content, err := f.beside.open(shard)
		if errors.Is(err, fs.ErrNotExist) {
			return fail("%s is not beside it: all shards must be there", format.Clip(shard))
		}
		if err != nil {
			return fail("%v", err)
		}
		of := &File{Path: filepath.Join(f.beside.path, shard)}
		if isIndex(content) {
			return fail("%s is an index too", format.Clip(shard))
		}
		if err := of.read(content); err != nil {
			return err
		}
		for _, name := range slices.Sorted(slices.Values(byShard[shard])) {
			if _, ok := of.list.Get(name); !ok {
				return fail("%s holds no tensor %q", format.Clip(shard), format.Clip(name))
			}
		}
		for _, t := range of.list.Tensors {
			if index.Shard[t.Name] != shard {
				return fail("%s holds a tensor %q that is not in it", format.Clip(shard), t.Name)
			}
		}
		f.Format = of.Format
		if f.Metadata == nil {
			f.Metadata = of.Metadata
		}
		f.contents.Tensors = append(f.contents.Tensors, of.list.Tensors...)
	}
	return nil
}

// indexIn is the file to open for a path: in a folder the index, or the one file that such folders have.
func indexIn(path string) (string, error) {
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		return checkpointAt(path) // opening it says what else is wrong
	}
	for _, name := range []string{"model.safetensors", "pytorch_model.bin"} {
		for _, name := range []string{name + ".index.json", name} {
			if _, err := os.Stat(filepath.Join(path, name)); err == nil {
				return filepath.Join(path, name), nil
			}
		}
	}
	if of, err := checkpointAt(filepath.Join(path, checkpointList)); err != nil || isFile(of) {
		return of, err
	}
	for _, pattern := range []string{"*.safetensors.index.json", "*.bin.index.json", "*.safetensors", "*.onnx", "*.pth",
		"*.pt", "*.keras", "*.h5", "model.json", "saved_model.pb", "*.index", "*.ckpt"} {
		if list, err := plainfile.Like(path, pattern); err == nil && len(list) == 1 {
			return list[0], nil
		}
	}
	if list, err := plainfile.Like(path, "*-of-*"); err == nil && slices.ContainsFunc(list,
		shardName.MatchString) {
		return "", fmt.Errorf("%s: it has shards of one model, and not their index, which must lie beside them: its name "+
			"ends in .index.json", path)
	}
	return "", fmt.Errorf("%s: a folder, not a plain file, and in it is neither model.safetensors, pytorch_model.bin, "+
		"an index of their shards nor one file of weights alone", path)
}
