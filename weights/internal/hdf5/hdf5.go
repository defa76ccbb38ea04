// Package hdf5 reads the part of HDF5 that h5py writes for Keras: groups, attributes and arrays of numbers and strings.
// It follows the HDF5 File Format Specification, version 3.0, whose sections the comments name. What it does not know
// it refuses by name.
//
// A file is hostile until read. Every address, count and size is checked against the file before it is followed or
// taken; all structures together are at most maxSteps, so that a file whose parts point at each other comes to an end,
// and all names and texts together at most maxText. An array is made only when it is asked for; it and one of its
// chunks are at most maxBytes each, and no more than deflate can have made of the file's bytes.
package hdf5

import (
	"encoding/binary"

	"github.com/vggo/vggo/weights/internal/format"
)

const (
	signature = "\x89HDF\r\n\x1a\n"
	undefined = ^uint64(0)

	maxSteps = 1 << 18 // nodes, entries and messages read in all; VGG-19 by Keras has about 700
	maxText  = 64 << 20
	maxRank  = 32 // the library's own limit
)

// File is an open file. Opening objects is not for concurrent use; a Dataset's Raw is.
type File struct {
	data  []byte
	base  uint64 // of addresses; data begins there
	steps int
	taken int // bytes of names and texts
	o, l  int // bytes of an offset and of a length
	root  uint64
}

// Is reports whether a file begins like an HDF5 file. One behind a user block does not.
func Is(head []byte) bool {
	return len(head) >= len(signature) && string(head[:len(signature)]) == signature
}

// Read opens a file that lies in memory, which it keeps.
func Read(data []byte) (*File, error) {
	f := &File{data: data, o: 8, l: 8}
	at := superblock(data)
	if at < 0 {
		return nil, format.Fail(0, "no HDF5 signature")
	}
	// II.A Superblock
	c := f.at(uint64(at + len(signature)))
	switch version := c.u8(); version {
	case 0, 1:
		c.skip(4)
		f.o, f.l = int(c.u8()), int(c.u8())
		c.skip(1 + 2 + 2 + 4)
		if version == 1 {
			c.skip(4)
		}
		if err := f.checkSizes(c); err != nil {
			return nil, err
		}
		f.base = c.offset()
		c.skip(3 * f.o)
		c.skip(f.o) // the root's symbol table entry: its name's place
		f.root = c.offset()
	case 2, 3:
		f.o, f.l = int(c.u8()), int(c.u8())
		c.skip(1)
		if err := f.checkSizes(c); err != nil {
			return nil, err
		}
		f.base = c.offset()
		c.skip(2 * f.o)
		f.root = c.offset()
	default:
		return nil, c.fail("superblock version %d: 0 to 3 are known", version)
	}
	if c.err != nil {
		return nil, c.err
	}
	if f.base != 0 && f.base != uint64(at) {
		return nil, c.fail("base address %d: it is 0, or where the superblock lies", f.base)
	}
	f.data = data[f.base:]
	return f, nil
}

// superblock is where the superblock lies: at the beginning, or behind a user block of 512, 1024 … bytes; else -1.
func superblock(data []byte) int {
	for at := 0; at < len(data); at = max(2*at, 512) {
		if Is(data[at:]) {
			return at
		}
	}
	return -1
}

func (f *File) checkSizes(c *cursor) error {
	for _, n := range []int{f.o, f.l} {
		if c.err == nil && n != 2 && n != 4 && n != 8 {
			return c.fail("offsets of %d and lengths of %d bytes: 2, 4 and 8 are known", f.o, f.l)
		}
	}
	return c.err
}

// step counts a structure that is about to be read.
func (f *File) step(at uint64) error {
	if f.steps++; f.steps > maxSteps {
		return format.Fail(int64(at), "more than %d structures: the file is larger than any network's, or runs "+
			"in circles", maxSteps)
	}
	return nil
}

// text copies bytes as a string. A file may refer to one place many times.
func (f *File) text(b []byte, at uint64) (string, error) {
	if f.taken += len(b); f.taken > maxText {
		return "", format.Fail(int64(at), "names and texts of more than %d bytes", maxText)
	}
	return string(b), nil
}

// cursor reads numbers one after another. After the first failure it returns zeros and keeps the error.
type cursor struct {
	f   *File
	pos uint64
	end uint64 // of what may be read
	err error
}

func (f *File) at(pos uint64) *cursor { return f.within(pos, uint64(len(f.data))) }

// within reads from pos up to end, as far as the file goes.
func (f *File) within(pos, end uint64) *cursor {
	c := &cursor{f: f, pos: pos, end: min(end, uint64(len(f.data)))}
	if pos > c.end {
		c.fail("truncated: the file ends at byte %d", len(f.data))
		c.pos = c.end
	}
	return c
}

// part reads a stretch that must lie in the file.
func (f *File) part(pos, size uint64) *cursor {
	c := f.within(pos, pos+size)
	if c.err == nil && c.end-c.pos != size {
		c.fail("%d bytes from here go beyond the file's end at %d", size, len(f.data))
	}
	return c
}

func (c *cursor) fail(text string, args ...any) error {
	if c.err == nil {
		c.err = format.Fail(int64(c.f.base+min(c.pos, uint64(len(c.f.data)))), text, args...)
	}
	return c.err
}

// bytes takes n bytes as they lie in the file.
func (c *cursor) bytes(n uint64) []byte {
	if c.err != nil {
		return nil
	}
	if n > c.end-c.pos {
		c.fail("truncated: %d bytes are wanted here, %d are left", n, c.end-c.pos)
		return nil
	}
	b := c.f.data[c.pos : c.pos+n : c.pos+n]
	c.pos += n
	return b
}

func (c *cursor) skip(n int) { c.bytes(uint64(n)) }

// number is little-endian, of up to 8 bytes.
func (c *cursor) number(size int) uint64 {
	var full [8]byte
	copy(full[:], c.bytes(uint64(size)))
	return binary.LittleEndian.Uint64(full[:])
}

func (c *cursor) u8() uint8      { return uint8(c.number(1)) }
func (c *cursor) u16() uint16    { return uint16(c.number(2)) }
func (c *cursor) u32() uint32    { return uint32(c.number(4)) }
func (c *cursor) length() uint64 { return c.number(c.f.l) }

// offset is an address, all bits set meaning none.
func (c *cursor) offset() uint64 {
	v := c.number(c.f.o)
	if c.f.o < 8 && v == 1<<(8*c.f.o)-1 {
		return undefined
	}
	return v
}

func (c *cursor) magic(want string) {
	if got := c.bytes(uint64(len(want))); c.err == nil && string(got) != want {
		c.pos -= uint64(len(want))
		c.fail("%q expected, not %q", want, got)
	}
}

// align moves to a multiple of 8 bytes from start.
func (c *cursor) align(start uint64) { c.skip(int(-(c.pos - start) & 7)) }
