package hdf5

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"

	"github.com/vggo/vggo/internal/printable"
)

type chunk struct {
	at   []int // its first element's index
	data []byte
	mask uint32 // of filters that were left out
}

type filter struct {
	id   uint16
	size int // of shuffle's elements
}

const (
	deflate    = 1
	shuffle    = 2
	fletcher32 = 3
)

// All chunks together are at most chunkExcess times the array and maxSlack: chunks reach beyond its edges, by less than
// themselves along each of a kernel's four axes, and a small array that can grow has a chunk of its later size.
const (
	chunkExcess = 16
	maxSlack    = 16 << 20
)

var filterNames = map[uint16]string{4: "szip", 5: "nbit", 6: "scaleoffset", 32000: "lzf", 32001: "blosc", 32004: "lz4",
	32015: "zstd"}

// readFilters reads a filter pipeline message (IV.A.2.l).
func (d *Dataset) readFilters(c *cursor) error {
	version, count := c.u8(), int(c.u8())
	switch {
	case c.err != nil:
		return c.err
	case version == 1:
		c.skip(6)
	case version != 2:
		return c.fail("filter message version %d: 1 and 2 are known", version)
	}
	if count > 32 {
		return c.fail("%d filters: the most is 32", count)
	}
	for range count {
		id := c.u16()
		name := uint16(0)
		if version == 1 || id >= 256 {
			name = c.u16()
		}
		c.skip(2)
		values := int(c.u16())
		start := c.pos
		c.skip(int(name))
		if version == 1 {
			c.align(start)
		}
		f := filter{id: id}
		for i := range values {
			v := c.u32()
			if i == 0 {
				f.size = int(v)
			}
		}
		if version == 1 && values%2 != 0 {
			c.skip(4)
		}
		if c.err != nil {
			return c.err
		}
		if id != deflate && id != shuffle && id != fletcher32 {
			known := filterNames[id]
			if known == "" {
				known = fmt.Sprintf("number %d", id)
			}
			return c.fail("compressed by filter %s: gzip, shuffle and fletcher32 are read", known)
		}
		d.filters = append(d.filters, f)
	}
	return nil
}

// readChunks reads the shape of chunks, with the element's size as last dimension, and their tree (III.A.1).
func (d *Dataset) readChunks(c *cursor, rank int, tree uint64) error {
	if c.err == nil && rank != len(d.Shape)+1 {
		return c.fail("chunks of %d dimensions in an array of %d", rank-1, len(d.Shape))
	}
	for range d.Shape {
		d.chunkShape = append(d.chunkShape, int(c.u32()))
	}
	if size := c.u32(); c.err == nil && int(size) != d.Size {
		return c.fail("chunks of elements of %d bytes in an array of %d", size, d.Size)
	}
	if c.err != nil {
		return c.err
	}
	if _, err := d.chunkBytes(c); err != nil {
		return err
	}
	if d.bytes == 0 {
		return nil
	}
	if tree == undefined {
		return c.fail("an array that was never written")
	}
	if err := d.walkChunks(tree, 0); err != nil {
		return err
	}
	return d.checkChunks(c)
}

// chunkBytes is the size of a chunk as it was before compression.
func (d *Dataset) chunkBytes(c *cursor) (int, error) {
	size := uint64(d.Size)
	for _, n := range d.chunkShape {
		hi, lo := bits.Mul64(size, uint64(n))
		if n < 1 || hi != 0 || lo > maxBytes {
			return 0, c.fail("chunks of shape %s", printable.Shape(d.chunkShape))
		}
		size = lo
	}
	return int(size), nil
}

func (d *Dataset) walkChunks(addr uint64, depth int) error {
	f := d.f
	if err := f.step(addr); err != nil {
		return err
	}
	c := f.at(addr)
	if depth > maxDepth {
		return c.fail("a tree of more than %d levels", maxDepth)
	}
	c.magic("TREE")
	kind, level := c.u8(), c.u8()
	used := c.u16()
	c.skip(2 * f.o)
	if c.err == nil && kind != 1 {
		return c.fail("a tree of kind %d where chunks' is expected", kind)
	}
	for range used {
		if err := f.step(c.pos); err != nil {
			return err
		}
		size, mask := c.u32(), c.u32()
		at := make([]int, len(d.Shape))
		for i := range at {
			at[i] = int(c.number(8))
		}
		c.skip(8)
		child := c.offset()
		if c.err != nil {
			return c.err
		}
		if level > 0 {
			if err := d.walkChunks(child, depth+1); err != nil {
				return err
			}
			continue
		}
		if err := d.addChunk(at, child, uint64(size), mask, c); err != nil {
			return err
		}
	}
	return c.err
}

func (d *Dataset) addChunk(at []int, addr, size uint64, mask uint32, c *cursor) error {
	for i, n := range at {
		if n < 0 || n >= d.Shape[i] || n%d.chunkShape[i] != 0 {
			return c.fail("a chunk at %s of an array of %s", printable.And(at), printable.Shape(d.Shape))
		}
	}
	p := d.f.part(addr, size)
	d.chunks = append(d.chunks, chunk{at, p.bytes(size), mask})
	return p.err
}

// checkChunks sees that the chunks are all there, and that their bytes can make what the array takes before it is
// taken.
func (d *Dataset) checkChunks(c *cursor) error {
	want := 1
	for i, n := range d.Shape {
		want *= (n + d.chunkShape[i] - 1) / d.chunkShape[i]
	}
	size, err := d.chunkBytes(c)
	if err != nil {
		return err
	}
	if hi, all := bits.Mul64(uint64(want), uint64(size)); hi != 0 || all > chunkExcess*uint64(d.bytes)+maxSlack {
		return c.fail("chunks of shape %s for an array of %s", printable.Shape(d.chunkShape), printable.Shape(d.Shape))
	}
	seen := make(map[int]bool, len(d.chunks))
	for _, k := range d.chunks {
		index := 0
		for i, n := range k.at {
			index = index*((d.Shape[i]+d.chunkShape[i]-1)/d.chunkShape[i]) + n/d.chunkShape[i]
		}
		if seen[index] {
			return c.fail("two chunks at %s", printable.And(k.at))
		}
		seen[index] = true
		if size > deflateRatio*(len(k.data)+16) {
			return c.fail("a chunk of %d bytes cannot hold %d", len(k.data), size)
		}
	}
	if len(d.chunks) != want {
		return c.fail("%d of %d chunks: the others were never written", len(d.chunks), want)
	}
	return nil
}

// The kinds of index that layout version 4 has for chunks (IV.A.2.i).
const (
	indexSingle     = 1
	indexImplicit   = 2
	indexFixedArray = 3
	indexExtensible = 4
	indexTree       = 5
)

// readChunksV4 reads what HDF5 1.10 and later write when asked for their latest format.
func (d *Dataset) readChunksV4(c *cursor) error {
	flags, rank, width := c.u8(), int(c.u8()), int(c.u8())
	if c.err == nil && (rank != len(d.Shape)+1 || width < 1 || width > 8) {
		return c.fail("chunks of %d dimensions in an array of %d", rank-1, len(d.Shape))
	}
	for range d.Shape {
		n := c.number(width)
		d.chunkShape = append(d.chunkShape, int(min(n, math.MaxInt)))
	}
	if size := c.number(width); c.err == nil && size != uint64(d.Size) {
		return c.fail("chunks of elements of %d bytes in an array of %d", size, d.Size)
	}
	if c.err != nil {
		return c.err
	}
	size, err := d.chunkBytes(c)
	if err != nil {
		return err
	}
	if flags&1 != 0 {
		return c.fail("chunks at the edge without filters are not read")
	}
	index := c.u8()
	stored, mask := uint64(size), uint32(0)
	switch index {
	case indexSingle:
		if flags&2 != 0 {
			stored, mask = c.length(), c.u32()
		}
	case indexImplicit:
	case indexFixedArray:
		c.skip(1)
	case indexTree:
		c.skip(4 + 1 + 1)
	case indexExtensible:
		c.skip(5)
	default:
		return c.fail("chunks by index of kind %d: 1 to 5 are known", index)
	}
	at := c.offset()
	switch {
	case c.err != nil:
		return c.err
	case d.bytes == 0:
		return nil
	case at == undefined:
		return c.fail("an array that was never written")
	}
	switch index {
	case indexSingle:
		err = d.addChunk(make([]int, len(d.Shape)), at, stored, mask, c)
	case indexImplicit:
		err = d.numberChunks(c, func(n uint64) error {
			return d.addNumbered(n, at+n*stored, stored, 0, c)
		})
	case indexFixedArray:
		err = d.fixedArray(at, uint64(size))
	case indexExtensible:
		err = d.extensibleArray(at, uint64(size))
	case indexTree:
		kind := uint8(recordChunk)
		if len(d.filters) > 0 {
			kind = recordFilteredChunk
		}
		err = d.f.records(at, kind, func(r *cursor) error { return d.treeChunk(r, uint64(size)) })
	}
	if err != nil {
		return err
	}
	return d.checkChunks(c)
}

// chunkCounts is how many chunks lie along each axis, of the largest shape, by which they are numbered in row-major
// order.
func (d *Dataset) chunkCounts() []uint64 {
	counts := make([]uint64, len(d.Shape))
	for i, n := range d.maxShape {
		counts[i] = (n-1)/uint64(d.chunkShape[i]) + 1
	}
	return counts
}

// numberChunks calls visit for each number of a chunk.
func (d *Dataset) numberChunks(c *cursor, visit func(n uint64) error) error {
	total := uint64(1)
	for _, n := range d.chunkCounts() {
		if total *= n; n > maxSteps || total > maxSteps {
			return c.fail("more than %d chunks", maxSteps)
		}
	}
	for n := range total {
		if err := d.f.step(c.pos); err != nil {
			return err
		}
		if err := visit(n); err != nil {
			return err
		}
	}
	return nil
}

// addNumbered adds the chunk of a number. Those beyond the shape hold nothing.
func (d *Dataset) addNumbered(n, addr, size uint64, mask uint32, c *cursor) error {
	counts := d.chunkCounts()
	at := make([]int, len(counts))
	for i := len(counts) - 1; i >= 0; i-- {
		at[i] = int(n%counts[i]) * d.chunkShape[i]
		n /= counts[i]
		if at[i] >= d.Shape[i] {
			return nil
		}
	}
	return d.addChunk(at, addr, size, mask, c)
}

// sizeBytes is the width of a filtered chunk's size in an index: a byte more than its unfiltered size takes.
func sizeBytes(chunk uint64) int { return min(1+(bits.Len64(chunk)+7)/8, 8) }

// fixedArray reads an index of chunks by their numbers (III.H), in pages where it is long.
func (d *Dataset) fixedArray(addr, chunk uint64) error {
	f := d.f
	c := f.at(addr)
	c.magic("FAHD")
	c.skip(1)
	client, width, pageBits := c.u8(), uint64(c.u8()), c.u8()
	count, block := c.length(), c.offset()
	want := uint64(f.o)
	if client == 1 {
		want += uint64(sizeBytes(chunk)) + 4
	}
	switch {
	case c.err != nil:
		return c.err
	case client > 1 || (client == 1) != (len(d.filters) > 0) || width != want || pageBits > 32:
		return c.fail("an index of chunks of entries of %d bytes", width)
	case block == undefined:
		return nil // no chunk was written
	}
	b := f.at(block)
	b.magic("FADB")
	b.skip(1 + 1 + f.o)
	page := uint64(1) << pageBits
	var written []byte // one bit for each page
	if count > page {
		written = b.bytes((count-1)/page/8 + 1)
		b.skip(4)
	}
	return d.numberChunks(c, func(n uint64) error {
		if n >= count {
			return b.fail("%d chunks in an index of %d", n+1, count)
		}
		if written != nil && n%page == 0 && n > 0 {
			b.skip(4) // the last page's checksum
		}
		at, size, mask := b.offset(), chunk, uint32(0)
		if client == 1 {
			size, mask = b.number(sizeBytes(chunk)), b.u32()
		}
		if b.err != nil {
			return b.err
		}
		if at == undefined || written != nil && written[n/page/8]&(0x80>>(n/page%8)) == 0 {
			return nil
		}
		return d.addNumbered(n, at, size, mask, b)
	})
}

// treeChunk reads a chunk's record in a B-tree of version 2.
func (d *Dataset) treeChunk(r *cursor, chunk uint64) error {
	addr, size, mask := r.offset(), chunk, uint32(0)
	if len(d.filters) > 0 {
		size, mask = r.number(sizeBytes(chunk)), r.u32()
	}
	at := make([]int, len(d.Shape))
	for i := range at {
		n := r.number(8)
		if r.err == nil && n > uint64(d.Shape[i]/d.chunkShape[i]) {
			return r.fail("chunk %d of an array of %s", n, printable.Shape(d.Shape))
		}
		at[i] = int(n) * d.chunkShape[i]
	}
	if r.err != nil {
		return r.err
	}
	return d.addChunk(at, addr, size, mask, r)
}

// place copies a chunk's rows into the array, as far as they lie in it.
func (d *Dataset) place(out, data []byte, at []int) {
	rank := len(d.Shape)
	if rank == 0 {
		copy(out, data)
		return
	}
	var walk func(axis, to, from int)
	walk = func(axis, to, from int) {
		n := min(d.chunkShape[axis], d.Shape[axis]-at[axis])
		if axis == rank-1 {
			copy(out[(to*d.Shape[axis]+at[axis])*d.Size:][:n*d.Size], data[from*d.chunkShape[axis]*d.Size:])
			return
		}
		for i := range n {
			walk(axis+1, to*d.Shape[axis]+at[axis]+i, from*d.chunkShape[axis]+i)
		}
	}
	walk(0, 0, 0)
}

// unfilter undoes a chunk's filters, last to first.
func (d *Dataset) unfilter(k chunk) ([]byte, error) {
	size := d.Size
	for _, n := range d.chunkShape {
		size *= n
	}
	data := k.data
	for i := len(d.filters) - 1; i >= 0; i-- {
		if k.mask>>i&1 != 0 {
			continue
		}
		switch f := d.filters[i]; f.id {
		case fletcher32:
			if len(data) < 4 {
				return nil, errors.New("no room for its checksum")
			}
			sum := binary.LittleEndian.Uint32(data[len(data)-4:])
			if data = data[:len(data)-4]; fletcher(data) != sum {
				return nil, errors.New("its checksum is wrong")
			}
		case deflate:
			z, err := zlib.NewReader(bytes.NewReader(data))
			if err != nil {
				return nil, err
			}
			data, err = io.ReadAll(io.LimitReader(z, int64(size)+4*int64(i)+1)) // each filter before it may add a checksum
			if err != nil {
				return nil, err
			}
		case shuffle:
			data = unshuffle(data, f.size)
		}
	}
	if len(data) != size {
		return nil, fmt.Errorf("%d bytes or more, not %d", len(data), size)
	}
	return data, nil
}

// unshuffle puts elements together whose first bytes stand first, then the second ones.
func unshuffle(data []byte, size int) []byte {
	if size < 2 || len(data) < size {
		return data
	}
	n := len(data) / size
	out := make([]byte, len(data))
	for i := range n {
		for b := range size {
			out[i*size+b] = data[b*n+i]
		}
	}
	copy(out[n*size:], data[n*size:])
	return out
}

// fletcher is the library's own variant of Fletcher's checksum (H5_checksum_fletcher32), over big-endian words.
func fletcher(data []byte) uint32 {
	var a, b uint32
	fold := func() { a, b = a&0xffff+a>>16, b&0xffff+b>>16 }
	for len(data) >= 2 {
		for n := 0; n < 360 && len(data) >= 2; n++ {
			a += uint32(data[0])<<8 | uint32(data[1])
			b += a
			data = data[2:]
		}
		fold()
	}
	if len(data) > 0 {
		a += uint32(data[0]) << 8
		b += a
		fold()
	}
	fold()
	return b<<16 | a
}
