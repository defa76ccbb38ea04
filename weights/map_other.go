//go:build !unix

package weights

import (
	"fmt"
	"io"
)

// mapFile reads a whole file.
func mapFile(path string) (data []byte, unmap func() error, err error) {
	file, size, err := openRegular(path)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	data = make([]byte, size)
	if _, err := io.ReadFull(file, data); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return data, func() error { return nil }, nil
}
