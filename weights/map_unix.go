//go:build unix

package weights

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// mapping is a file mapped into memory, whole.
type mapping struct {
	data []byte
	file *os.File // stays open, to be asked for its size
}

// mapOpened maps a file for reading, and keeps it. Pages come from the file when they are first touched and may leave
// memory again, so weights in use cost no private memory.
func mapOpened(file *os.File) (_ *mapping, err error) {
	defer func() {
		if err != nil {
			file.Close()
		}
	}()
	size, err := plainSize(file)
	if err != nil {
		return nil, err
	}
	m := &mapping{file: file}
	if size > 0 { // mmap refuses 0
		if m.data, err = unix.Mmap(int(file.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED); err != nil {
			return nil, fmt.Errorf("%s: mapping %d bytes: %w", file.Name(), size, err)
		}
	}
	return m, nil
}

// check is an error if the file is shorter than what is mapped of it.
func (m *mapping) check() error {
	info, err := m.file.Stat()
	if err != nil {
		return err
	}
	if info.Size() < int64(len(m.data)) {
		return fmt.Errorf("%s: the file was shortened while it was open: %d of %d bytes are left", m.file.Name(), info.Size(),
			len(m.data))
	}
	return nil
}

// giveBack lets go of the whole pages from one byte of the mapping to another. They come from the file again when they
// are touched. A system that refuses keeps them, which costs memory and nothing else, so its error is dropped.
func (m *mapping) giveBack(from, to int) {
	page := os.Getpagesize()
	from, to = (from+page-1)/page*page, to/page*page
	if from < to {
		_ = unix.Madvise(m.data[from:to], unix.MADV_DONTNEED)
	}
}

func (m *mapping) unmap() error {
	err := m.file.Close()
	if m.data != nil {
		err = errors.Join(err, unix.Munmap(m.data))
	}
	return err
}
