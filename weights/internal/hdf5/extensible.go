package hdf5

import (
	"math/bits"
	"slices"
)

// extensible is an extensible array (III.I): an index of chunks of an array that can grow along one axis. Its first
// entries lie in its index block, the next in data blocks that this names, the rest in data blocks that super blocks
// name, each level of which has more or larger ones than the one before.
type extensible struct {
	d          *Dataset
	chunk      uint64 // bytes of a chunk without filters
	width      uint64 // bytes of an entry
	inIndex    uint64 // entries in the index block
	least      uint64 // entries of the smallest data block
	page       uint64 // entries of a page of a data block
	direct     int    // levels whose data blocks the index block names
	levels     int
	offsetSize int
	index      uint64 // the index block's address
}

// extensibleArray adds the chunks that an extensible array names. Its entries are numbered along the axis that can
// grow, then along the others in their order.
func (d *Dataset) extensibleArray(addr, chunk uint64) error {
	x := extensible{d: d, chunk: chunk}
	c := d.f.at(addr)
	c.magic("EAHD")
	c.skip(1)
	client := c.u8()
	x.width = uint64(c.u8())
	space := int(c.u8())
	x.inIndex, x.least = uint64(c.u8()), uint64(c.u8())
	pointers, pageBits := uint64(c.u8()), c.u8()
	c.skip(6 * d.f.l)
	x.index = c.offset()
	want := uint64(d.f.o)
	if client == 1 {
		want += uint64(sizeBytes(chunk)) + 4
	}
	axis := slices.Index(d.maxShape, undefined)
	power := func(n uint64) bool { return bits.OnesCount64(n) == 1 }
	switch {
	case c.err != nil:
		return c.err
	case client > 1 || (client == 1) != (len(d.filters) > 0) || x.width != want || pageBits > 32 || axis < 0 ||
		!power(x.least) || !power(pointers) || space > 64 || space < bits.TrailingZeros64(x.least):
		return c.fail("an index of chunks of entries of %d bytes", x.width)
	case x.index == undefined:
		return nil // no chunk was written
	}
	x.page = 1 << pageBits
	x.offsetSize = (space + 7) / 8
	x.levels = 1 + space - bits.TrailingZeros64(x.least)
	x.direct = 2 * bits.TrailingZeros64(pointers)
	order := []int{axis}
	for i := range d.Shape {
		if i != axis {
			order = append(order, i)
		}
	}
	var walk func(i int, n uint64, at []int) error
	walk = func(i int, n uint64, at []int) error {
		if i == len(order) {
			if err := d.f.step(c.pos); err != nil {
				return err
			}
			return x.add(n, at)
		}
		a := order[i]
		size := uint64(d.chunkShape[a])
		if i > 0 {
			hi, lo := bits.Mul64(n, (d.maxShape[a]-1)/size+1)
			if hi != 0 {
				return c.fail("an index of too many chunks")
			}
			n = lo
		}
		for k := 0; k < d.Shape[a]; k += d.chunkShape[a] {
			at[a] = k
			if err := walk(i+1, n+uint64(k)/size, at); err != nil {
				return err
			}
		}
		return nil
	}
	return walk(0, 0, make([]int, len(d.Shape)))
}

// add adds the chunk of an entry.
func (x *extensible) add(n uint64, at []int) error {
	c, err := x.entry(n)
	if err != nil || c == nil {
		return err
	}
	addr, size, mask := c.offset(), x.chunk, uint32(0)
	if len(x.d.filters) > 0 {
		size, mask = c.number(sizeBytes(x.chunk)), c.u32()
	}
	if c.err != nil || addr == undefined {
		return c.err
	}
	return x.d.addChunk(slices.Clone(at), addr, size, mask, c)
}

// entry goes to an entry; nil if no chunk near it was ever written.
func (x *extensible) entry(n uint64) (*cursor, error) {
	f := x.d.f
	c := f.at(x.index)
	c.magic("EAIB")
	c.skip(2 + f.o)
	if n < x.inIndex {
		c.skip(int(n * x.width))
		return c, c.err
	}
	c.skip(int(x.inIndex * x.width))
	// level u has 2^(u/2) data blocks of least*2^((u+1)/2) entries: least*(2^u) in all
	n -= x.inIndex
	if n/x.least >= 1<<min(x.levels, 62)-1 {
		return nil, c.fail("more chunks than their index can hold")
	}
	level := bits.Len64(n/x.least+1) - 1
	n -= x.least * (1<<level - 1)
	blocks, size := uint64(1)<<(level/2), x.least<<((level+1)/2)
	paged := size > x.page
	if level < x.direct {
		before := uint64(0) // data blocks of the levels before
		for u := range level {
			before += 1 << (u / 2)
		}
		c.skip(int((before + n/size) * uint64(f.o)))
	} else {
		directBlocks := 2 * (1<<(x.direct/2) - 1)
		c.skip((directBlocks + level - x.direct) * f.o)
		super := c.offset()
		if c.err != nil || super == undefined {
			return nil, c.err
		}
		c = f.at(super)
		c.magic("EASB")
		c.skip(2 + f.o + x.offsetSize)
		if paged {
			pages := size / x.page
			bitmap := c.bytes(blocks * ((pages + 7) / 8)) // whole bytes for each block; its pages' bits lie one behind another
			if c.err != nil {
				return nil, c.err
			}
			if page := n / x.page; bitmap[page/8]&(0x80>>(page%8)) == 0 {
				return nil, nil
			}
		}
		c.skip(int(n / size * uint64(f.o)))
	}
	block := c.offset()
	if c.err != nil || block == undefined {
		return nil, c.err
	}
	c = f.at(block)
	c.magic("EADB")
	c.skip(2 + f.o + x.offsetSize)
	n %= size
	skip := n * x.width
	if paged {
		skip += 4 * (1 + n/x.page) // checksums: the block's head has one, each page before this one too
	}
	c.skip(int(skip))
	return c, c.err
}
