package hdf5

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// Strings returns an array of strings, one value as an array of one.
func (d *Dataset) Strings() ([]string, error) {
	if d.err == nil && d.bytes == 0 { // h5py gives an empty list of names the type float
		return nil, nil
	}
	if d.err == nil && d.Class != String {
		return nil, fmt.Errorf("%s where strings are expected", d.name)
	}
	raw, err := d.Raw()
	if err != nil {
		return nil, err
	}
	list := make([]string, 0, len(raw)/d.Size)
	for ; len(raw) >= d.Size; raw = raw[d.Size:] {
		text := raw[:d.Size]
		if d.vlen {
			if text, err = d.f.heapObject(text); err != nil {
				return nil, err
			}
		}
		text, _, _ = bytes.Cut(text, []byte{0})
		s, err := d.f.text(text, 0)
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}

// heapObject finds a variable-length value in its global heap (III.E).
func (f *File) heapObject(ref []byte) ([]byte, error) {
	if len(ref) != 8+f.o {
		return nil, fmt.Errorf("a reference of %d bytes", len(ref))
	}
	length := binary.LittleEndian.Uint32(ref)
	var full [8]byte
	copy(full[:], ref[4:4+f.o])
	addr := binary.LittleEndian.Uint64(full[:])
	index := binary.LittleEndian.Uint32(ref[4+f.o:])
	if length == 0 {
		return nil, nil
	}
	c := f.at(addr)
	c.magic("GCOL")
	c.skip(4)
	size := c.length()
	if c.err != nil {
		return nil, c.err
	}
	p := f.part(addr, size)
	p.skip(int(c.pos - addr))
	for p.err == nil && p.end-p.pos >= uint64(8+f.l) {
		if err := f.step(p.pos); err != nil {
			return nil, err
		}
		id := p.u16()
		p.skip(6)
		n := p.length()
		if id == 0 {
			break
		}
		start := p.pos
		data := p.bytes(n)
		if uint32(id) == index && p.err == nil {
			if uint64(length) > n {
				return nil, p.fail("a string of %d bytes in a place of %d", length, n)
			}
			return data[:length], nil
		}
		p.align(start)
	}
	if p.err != nil {
		return nil, p.err
	}
	return nil, p.fail("no object %d in this heap", index)
}
