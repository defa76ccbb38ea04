//go:build unix

package weights

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// mapFile maps a whole file for reading. Pages come from the file when they are first touched and may leave memory again,
// so weights in use cost no private memory.
func mapFile(path string) (data []byte, unmap func() error, err error) {
	file, size, err := openRegular(path)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close() // the mapping outlives it
	if size == 0 {     // which mmap refuses
		return nil, func() error { return nil }, nil
	}
	data, err = unix.Mmap(int(file.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: mapping %d bytes: %w", path, size, err)
	}
	return data, func() error { return unix.Munmap(data) }, nil
}
