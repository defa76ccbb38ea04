package weights

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTensorFlowJSPaths: shards lie in the folder of model.json or below it, and nowhere else.
func TestTensorFlowJSPaths(t *testing.T) {
	const text = `{"weightsManifest": [{"paths": ["SHARD"],
		"weights": [{"name": "a", "shape": [1], "dtype": "float32"}]}]}`
	outside := filepath.Join(t.TempDir(), "values")
	write(t, outside, make([]byte, 4))
	for _, c := range []struct{ shard, want string }{
		{"a.bin", ""}, {"below/a.bin", ""},
		{"../a.bin", "no path within the model's folder"}, {"below/../../a.bin", "no path within the model's folder"},
		{"/a.bin", "no path within the model's folder"}, {`below\\a.bin`, "no path within the model's folder"},
		{"http://localhost/a.bin", "an address"}, {"none.bin", "is not beside it"}, {"below", "not a plain file"},
		{"link.bin", "escapes"},
	} {
		root := t.TempDir()
		folder := filepath.Join(root, "model")
		for _, name := range []string{"a.bin", "model/a.bin", "model/below/a.bin"} {
			write(t, filepath.Join(root, name), make([]byte, 4))
		}
		link := filepath.Join(folder, "link.bin")
		err := os.Symlink(outside, link)
		if err == nil {
			_, err = os.Lstat(link) // Wine makes none without a word
		}
		if err != nil && c.shard == "link.bin" {
			t.Skip(err)
		}
		write(t, filepath.Join(folder, "model.json"), []byte(strings.Replace(text, "SHARD", c.shard, 1)))
		for _, path := range []string{folder, filepath.Join(folder, "model.json")} {
			f, err := Open(path)
			if err == nil {
				if f.Format != "TensorFlow.js" {
					t.Errorf("%s: format %s", c.shard, f.Format)
				}
				err = f.Close()
			}
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want %q", c.shard, err, c.want)
			}
		}
	}
	if _, err := Read("model.json", []byte(text)); err == nil || !strings.Contains(err.Error(), "opened by its path") {
		t.Errorf("bytes alone: %v", err)
	}
}
