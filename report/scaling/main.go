// Command scaling writes what docs/scaling.md shows of a model of training steps on several ranks: its tables, in both
// languages, and docs/images/scaling.svg.
//
//	go run ./report/scaling
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	files, err := render(".")
	for path, text := range files {
		if err == nil {
			err = os.WriteFile(path, text, 0o666)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "scaling:", err)
		os.Exit(1)
	}
}

const beginMarker, endMarker = "<!-- scaling:begin -->\n", "<!-- scaling:end -->\n"

// render is the files below a root as they should be.
func render(root string) (map[string][]byte, error) {
	net, err := vgg16()
	if err != nil {
		return nil, err
	}
	var picture bytes.Buffer
	if err := draw(&picture, net); err != nil {
		return nil, err
	}
	files := map[string][]byte{filepath.Join(root, "docs", "images", "scaling.svg"): picture.Bytes()}
	for name, l := range map[string]language{"scaling.md": english, "scaling.zh-CN.md": chinese} {
		path := filepath.Join(root, "docs", name)
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		before, rest, ok := bytes.Cut(text, []byte(beginMarker))
		_, after, closed := bytes.Cut(rest, []byte(endMarker))
		if !ok || !closed {
			return nil, fmt.Errorf("%s: the markers %q and %q are missing", path, beginMarker, endMarker)
		}
		files[path] = bytes.Join([][]byte{before, []byte(beginMarker + tables(net, l) + endMarker), after}, nil)
	}
	return files, nil
}
