//go:build !unix

package weights

import (
	"fmt"
	"io"
	"os"
)

// mapOpened reads a whole file, and closes it.
func mapOpened(file *os.File) (data []byte, unmap func() error, err error) {
	defer file.Close()
	size, err := plainSize(file)
	if err != nil {
		return nil, nil, err
	}
	data = make([]byte, size)
	if _, err := io.ReadFull(file, data); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", file.Name(), err)
	}
	return data, func() error { return nil }, nil
}
