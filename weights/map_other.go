//go:build !unix && !windows

package weights

import (
	"fmt"
	"io"
	"os"
)

// mapping is a file in memory.
type mapping struct{ data []byte }

// mapOpened reads a whole file, and closes it.
func mapOpened(file *os.File) (*mapping, error) {
	defer file.Close()
	size, err := plainSize(file)
	if err != nil {
		return nil, err
	}
	m := &mapping{make([]byte, size)}
	if _, err := io.ReadFull(file, m.data); err != nil {
		return nil, fmt.Errorf("%s: %w", file.Name(), err)
	}
	return m, nil
}

// What is done to the file later changes nothing.
func (m *mapping) check() error { return nil }
func (m *mapping) unmap() error { return nil }

// giveBack cannot: the file is in memory as a whole.
func (m *mapping) giveBack(_, _ int) {}
