package weights

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/vggo/vggo/weights/internal/format"
)

// folder is the one that a file lies in: other files there may hold a part of it. The zero folder is that of bytes,
// which lie in none.
type folder struct {
	path   string
	file   *File // which closes what is opened
	mapped map[string][]byte
}

// maxBeside bounds the files that stay mapped.
const maxBeside = 256

// open maps a file of the folder, once. Its path must stay within it, also by links: a file from a stranger shall not
// read others.
func (d *folder) open(location string) ([]byte, error) {
	if d.file == nil {
		return nil, fmt.Errorf("%s: %w: bytes lie in no folder", format.Clip(location), fs.ErrNotExist)
	}
	if data, ok := d.mapped[location]; ok {
		return data, nil
	}
	if !filepath.IsLocal(location) || strings.Contains(location, "\\") || location == "." {
		return nil, fmt.Errorf("%q is no path within the model's folder", format.Clip(location))
	}
	if len(d.mapped) == maxBeside {
		return nil, fmt.Errorf("in more than %d files", maxBeside)
	}
	root, err := os.OpenRoot(d.path)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	info, err := root.Stat(filepath.FromSlash(location)) // before opening, which waits where it is a pipe
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: not a plain file", format.Clip(location))
	}
	if err != nil {
		return nil, err
	}
	file, err := root.Open(filepath.FromSlash(location))
	if err != nil {
		return nil, err
	}
	m, err := mapOpened(file)
	if err != nil {
		return nil, err
	}
	if d.mapped == nil {
		d.mapped = map[string][]byte{}
	}
	d.mapped[location] = m.data
	d.file.mapped = append(d.file.mapped, m)
	return m.data, nil
}
