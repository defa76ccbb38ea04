package weights

import (
	"fmt"
	"os"

	"golang.org/x/sys/windows"

	"github.com/vggo/vggo/internal/kernel"
)

// mapping is a file mapped into memory, whole.
type mapping struct {
	data    []byte
	address uintptr
}

// mapOpened maps a file for reading, and closes it: the view keeps it. Pages come from the file when they are first
// touched and may leave memory again, so weights in use cost no private memory. Until unmap nobody can shorten, replace
// or remove the file.
func mapOpened(file *os.File) (*mapping, error) {
	defer file.Close()
	size, err := plainSize(file)
	if err != nil {
		return nil, err
	}
	if size == 0 { // which CreateFileMapping refuses
		return &mapping{}, nil
	}
	failed := func(err error) error { return fmt.Errorf("%s: mapping %d bytes: %w", file.Name(), size, err) }
	section, err := windows.CreateFileMapping(windows.Handle(file.Fd()), nil, windows.PAGE_READONLY, 0, 0, nil)
	if err != nil {
		return nil, failed(err)
	}
	defer windows.CloseHandle(section) // which the view keeps too
	address, err := windows.MapViewOfFile(section, windows.FILE_MAP_READ, 0, 0, uintptr(size))
	if err != nil {
		return nil, failed(err)
	}
	return &mapping{kernel.Mapped(address, size), address}, nil
}

// check has nothing to ask: Windows does not shorten a mapped file.
func (m *mapping) check() error { return nil }

// giveBack leaves it to Windows which pages to let go of.
func (m *mapping) giveBack(_, _ int) {}

func (m *mapping) unmap() error {
	if m.data == nil {
		return nil
	}
	return windows.UnmapViewOfFile(m.address)
}
