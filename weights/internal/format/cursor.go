package format

import "encoding/binary"

// Cursor takes a file's bytes one after another. After the first failure it gives zeros and keeps the error.
type Cursor struct {
	Data []byte
	At   int
	Err  error
}

// Fail keeps an error of where the Cursor is, if it is the first.
func (c *Cursor) Fail(text string, args ...any) {
	if c.Err == nil {
		c.Err = Fail(int64(c.At), text, args...)
	}
}

// Bytes takes n of them; nil where the file has not as many.
func (c *Cursor) Bytes(n int) []byte {
	if n < 0 || n > len(c.Data)-c.At {
		c.Fail("truncated: %d bytes are wanted here, %d are left", n, len(c.Data)-c.At)
	}
	if c.Err != nil {
		return nil
	}
	b := c.Data[c.At : c.At+n : c.At+n]
	c.At += n
	return b
}

// Int is a Number with a sign, which must fit an int: that may have 32 bits.
func (c *Cursor) Int(size int) int {
	shift := 64 - 8*size
	n := int64(c.Number(size)<<shift) >> shift
	if int64(int(n)) != n {
		c.Fail("%d is too large here", n)
	}
	return int(n)
}

// Number is little-endian, of up to 8 bytes.
func (c *Cursor) Number(size int) uint64 {
	var full [8]byte
	copy(full[:], c.Bytes(size))
	return binary.LittleEndian.Uint64(full[:])
}
