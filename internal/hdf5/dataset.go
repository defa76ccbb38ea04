package hdf5

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
)

// Class is what an array's elements are.
type Class int

const (
	Other Class = iota // a type that is not read
	Float              // IEEE 754
	Int                // two's complement
	Uint
	String // fixed size, or variable where Size is 0
)

// maxBytes bounds an array: twice VGG-16 in float64.
const maxBytes = 2 << 30

// deflateRatio is the most that deflate can shrink: 258 bytes to 2 bits.
const deflateRatio = 1032

// Dataset is an array: a dataset's, or an attribute's.
type Dataset struct {
	Class     Class
	Size      int  // bytes of an element
	BigEndian bool // of Float, Int and Uint
	Shape     []int

	f          *File
	name       string // of the type, for refusing it
	vlen       bool
	bytes      int // of all elements as stored
	contiguous []byte
	chunks     []chunk
	chunkShape []int
	filters    []filter
	err        error // of an attribute that nobody has asked for yet
}

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

var filterNames = map[uint16]string{4: "szip", 5: "nbit", 6: "scaleoffset", 32000: "lzf", 32001: "blosc", 32004: "lz4", 32015: "zstd"}

// Dataset opens an object's array.
func (o *Object) Dataset() (*Dataset, error) {
	d := &Dataset{f: o.f}
	for _, part := range []struct {
		kind uint16
		name string
		read func(*cursor) error
	}{
		{msgDatatype, "type", d.readType},
		{msgDataspace, "shape", d.readSpace},
		{msgFilters, "", d.readFilters},
		{msgLayout, "layout", d.readLayout},
	} {
		m, ok := o.message(part.kind)
		if !ok {
			if part.name == "" {
				continue
			}
			return nil, &Error{int64(o.addr), "a dataset without a " + part.name}
		}
		if err := part.read(o.open(m)); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// classNames are those of IV.A.2.d that are refused.
var classNames = []string{"integer", "float", "time", "string", "bit field", "opaque", "compound", "reference", "enumeration", "variable-length sequence", "array"}

// readType reads a datatype message (IV.A.2.d).
func (d *Dataset) readType(c *cursor) error {
	class := c.u8()
	flags := c.number(3)
	d.Size = int(c.u32())
	if c.err != nil {
		return c.err
	}
	if d.Size < 1 || d.Size > 1<<20 {
		return c.fail("elements of %d bytes", d.Size)
	}
	d.BigEndian = flags&1 != 0
	d.name = "unknown type"
	if int(class&15) < len(classNames) {
		d.name = classNames[class&15]
	}
	switch class & 15 {
	case 0:
		offset, precision := c.u16(), c.u16()
		if offset != 0 || int(precision) != 8*d.Size || d.Size&(d.Size-1) != 0 || d.Size > 8 {
			return c.err
		}
		d.Class = Uint
		if flags&8 != 0 {
			d.Class = Int
		}
	case 1:
		offset, precision := c.u16(), c.u16()
		exponentAt, exponentSize, mantissaAt, mantissaSize, bias := c.u8(), c.u8(), c.u8(), c.u8(), c.u32()
		layout := [7]int{d.Size, int(precision), int(exponentAt), int(exponentSize), int(mantissaAt), int(mantissaSize), int(bias)}
		if offset == 0 && flags&0x40 == 0 && (layout == [7]int{2, 16, 10, 5, 0, 10, 15} || layout == [7]int{4, 32, 23, 8, 0, 23, 127} || layout == [7]int{8, 64, 52, 11, 0, 52, 1023}) {
			d.Class = Float
		}
	case 3:
		d.Class = String
	case 9:
		if flags&15 == 1 {
			d.Class, d.vlen = String, true
		}
	}
	return c.err
}

// readSpace reads a dataspace message (IV.A.2.b).
func (d *Dataset) readSpace(c *cursor) error {
	version, rank, flags := c.u8(), int(c.u8()), c.u8()
	switch {
	case c.err != nil:
		return c.err
	case version == 1:
		c.skip(5)
	case version == 2:
		if kind := c.u8(); kind == 2 {
			return c.fail("an array without a shape holds nothing")
		}
	default:
		return c.fail("dataspace message version %d: 1 and 2 are known", version)
	}
	_ = flags // whether the largest shape follows, which nobody needs
	if rank > maxRank {
		return c.fail("%d dimensions: the most is %d", rank, maxRank)
	}
	size := uint64(d.Size)
	d.Shape = make([]int, rank)
	for i := range d.Shape {
		n := c.length()
		hi, lo := bits.Mul64(size, max(n, 1))
		if hi != 0 || lo > maxBytes {
			return c.fail("an array of more than %d bytes", uint64(maxBytes))
		}
		size = lo
		d.Shape[i] = int(n)
	}
	d.bytes = d.Size
	for _, n := range d.Shape {
		d.bytes *= n
	}
	return c.err
}

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

// readLayout reads a data layout message (IV.A.2.i) and finds the array's bytes.
func (d *Dataset) readLayout(c *cursor) (err error) {
	version := c.u8()
	switch {
	case c.err != nil:
		return c.err
	case version == 1 || version == 2:
		return d.readOldLayout(c)
	case version != 3 && version != 4:
		return c.fail("layout message version %d: 1 to 4 are known", version)
	}
	switch class := c.u8(); class {
	case 0: // compact
		size := c.u16()
		p := d.f.part(c.pos, uint64(size))
		if c.err != nil {
			return c.err
		}
		d.contiguous, err = d.within(p)
		return err
	case 1:
		return d.readContiguous(c.offset(), c)
	case 2:
		if version == 4 {
			return d.readChunksV4(c)
		}
		rank := int(c.u8())
		tree := c.offset()
		return d.readChunks(c, rank, tree)
	default:
		return c.fail("layout class %d: compact, contiguous and chunked are known", class)
	}
}

func (d *Dataset) readOldLayout(c *cursor) (err error) {
	rank, class := int(c.u8()), c.u8()
	c.skip(5)
	var at uint64
	if class != 0 {
		at = c.offset()
	}
	switch class {
	case 1:
		return d.readContiguous(at, c)
	case 2:
		return d.readChunks(c, rank, at)
	}
	c.skip(4 * rank)
	size := c.u32()
	p := d.f.part(c.pos, uint64(size))
	if c.err != nil {
		return c.err
	}
	d.contiguous, err = d.within(p)
	return err
}

func (d *Dataset) readContiguous(at uint64, c *cursor) error {
	if c.err != nil {
		return c.err
	}
	if len(d.filters) > 0 {
		return c.fail("filters on an array in one piece")
	}
	if at == undefined {
		if d.bytes == 0 {
			return nil
		}
		return c.fail("an array that was never written")
	}
	p := d.f.at(at)
	data, err := d.within(p)
	d.contiguous = data
	return err
}

// within takes the array's bytes from where a cursor stands.
func (d *Dataset) within(c *cursor) ([]byte, error) {
	data := c.bytes(uint64(d.bytes))
	return data, c.err
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
			return 0, c.fail("chunks of shape %v", d.chunkShape)
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
			return c.fail("a chunk at %v of an array of %v", at, d.Shape)
		}
	}
	p := d.f.part(addr, size)
	d.chunks = append(d.chunks, chunk{at, p.bytes(size), mask})
	return p.err
}

// checkChunks sees that the chunks are all there, and that their bytes can make what the array takes before it is taken.
func (d *Dataset) checkChunks(c *cursor) error {
	want := 1
	for i, n := range d.Shape {
		want *= (n + d.chunkShape[i] - 1) / d.chunkShape[i]
	}
	seen := make(map[int]bool, len(d.chunks))
	size, err := d.chunkBytes(c)
	if err != nil {
		return err
	}
	for _, k := range d.chunks {
		index := 0
		for i, n := range k.at {
			index = index*((d.Shape[i]+d.chunkShape[i]-1)/d.chunkShape[i]) + n/d.chunkShape[i]
		}
		if seen[index] {
			return c.fail("two chunks at %v", k.at)
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

// readChunksV4 reads what HDF5 1.10 and later write when asked for their latest format.
func (d *Dataset) readChunksV4(c *cursor) error {
	flags, rank, width := c.u8(), int(c.u8()), int(c.u8())
	if c.err == nil && (rank != len(d.Shape)+1 || width < 1 || width > 8) {
		return c.fail("chunks of %d dimensions in an array of %d", rank-1, len(d.Shape))
	}
	for range d.Shape {
		n := c.number(width)
		d.chunkShape = append(d.chunkShape, int(min(n, 1<<40)))
	}
	if size := c.number(width); c.err == nil && int(size) != d.Size {
		return c.fail("chunks of elements of %d bytes in an array of %d", size, d.Size)
	}
	if c.err != nil {
		return c.err
	}
	size, err := d.chunkBytes(c)
	if err != nil {
		return err
	}
	index := c.u8()
	if c.err == nil && index != 1 {
		return c.fail("chunks by index kind %d are not read: h5py writes a plain tree without libver=\"latest\"", index)
	}
	stored, mask := uint64(size), uint32(0)
	if flags&2 != 0 {
		stored, mask = c.length(), c.u32()
	}
	at := c.offset()
	if c.err != nil {
		return c.err
	}
	if at == undefined {
		return c.fail("an array that was never written")
	}
	if err := d.addChunk(make([]int, len(d.Shape)), at, stored, mask, c); err != nil {
		return err
	}
	return d.checkChunks(c)
}

// Raw returns the array's bytes in row-major order: the file's own where it lies there in one piece.
func (d *Dataset) Raw() ([]byte, error) {
	switch {
	case d.err != nil:
		return nil, d.err
	case d.Class == Other:
		return nil, fmt.Errorf("elements of type %s are not read", d.name)
	case d.chunkShape == nil || d.bytes == 0:
		return d.contiguous, nil
	}
	out := make([]byte, d.bytes)
	for _, k := range d.chunks {
		data, err := d.unfilter(k)
		if err != nil {
			return nil, fmt.Errorf("chunk %v: %w", k.at, err)
		}
		d.place(out, data, k.at)
	}
	return out, nil
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
		list = append(list, string(text))
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
