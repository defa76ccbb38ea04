//go:build unix

package weights

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// mapOpened maps a whole file for reading, and closes it. Pages come from the file when they are first touched and may leave
// memory again, so weights in use cost no private memory.
func mapOpened(file *os.File) (data []byte, unmap func() error, err error) {
	defer file.Close() // the mapping outlives it
	size, err := plainSize(file)
	if err != nil {
		return nil, nil, err
	}
	if size == 0 { // which mmap refuses
		return nil, func() error { return nil }, nil
	}
	data, err = unix.Mmap(int(file.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: mapping %d bytes: %w", file.Name(), size, err)
	}
	return data, func() error { return unix.Munmap(data) }, nil
}
