package weights

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/vggo/vggo/internal/plainfile"
	"github.com/vggo/vggo/weights/internal/format"
)

// A checkpoint of TensorFlow's is several files, and what its programs name is what their names begin with. The file
// "checkpoint" beside them lists those that a program keeps, the last first.

const (
	checkpointList = "checkpoint"
	maxList        = 1 << 20
)

var (
	lastCheckpoint  = regexp.MustCompile(`^model_checkpoint_path:\s*"([^"]*)"`)
	absolute        = regexp.MustCompile(`^([A-Za-z]:)?[/\\]`) // on whatever system
	checkpointShard = regexp.MustCompile(`\.data-\d{5}-of-\d{5}$`)
)

// checkpointAt is the file to open for what may be any name of a checkpoint's: its index, of the first edition itself
// or its first file. Any other path is itself.
func checkpointAt(path string) (string, error) {
	last, err := lastIn(path)
	switch index := checkpointShard.ReplaceAllString(path, ".index"); {
	case err != nil:
		return "", err
	case last != "":
		of, ok := filesOf(last)
		if !ok {
			return "", &FormatError{path, 0, fmt.Sprintf("it lists a checkpoint %q, which is not beside it",
				format.Clip(filepath.Base(last)))}
		}
		return of, nil
	case index != path && isFile(index):
		return index, nil
	case isFile(path):
		return path, nil
	}
	if of, ok := filesOf(path); ok {
		return of, nil
	}
	return path, nil
}

// filesOf is the file to open of a checkpoint.
func filesOf(prefix string) (string, bool) {
	if isFile(prefix + ".index") {
		return prefix + ".index", true
	}
	list, err := plainfile.Like(filepath.Dir(prefix), "*-00000-of-?????")
	list = slices.DeleteFunc(list, func(path string) bool {
		return !strings.HasPrefix(path, filepath.Clean(prefix)+"-00000-of-")
	})
	if err == nil && len(list) == 1 {
		return list[0], true
	}
	return prefix, filepath.Base(prefix) != checkpointList && isFile(prefix)
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// lastIn is the path that a list names first; empty for what is no list. One in another folder is refused, but for the
// folder that the list was in when it was written, of which the whole path stands there.
func lastIn(path string) (string, error) {
	if filepath.Base(path) != checkpointList || !isFile(path) {
		return "", nil
	}
	text, err := plainfile.Read(path, func(r io.Reader) ([]byte, error) { return io.ReadAll(io.LimitReader(r, maxList)) })
	if err != nil {
		return "", err
	}
	last := lastCheckpoint.FindSubmatch(text)
	if last == nil {
		return "", nil
	}
	name := string(last[1])
	if absolute.MatchString(name) {
		name = name[strings.LastIndexAny(name, `/\`)+1:]
	}
	if !filepath.IsLocal(name) || strings.ContainsAny(name, `/\`) || name == "." {
		return "", &FormatError{path, 0, fmt.Sprintf("it lists %q, which is no name within its folder", format.Clip(name))}
	}
	return filepath.Join(filepath.Dir(path), name), nil
}
