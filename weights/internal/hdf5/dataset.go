package hdf5

import (
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strconv"

	"github.com/vggo/vggo/internal/printable"
	"github.com/vggo/vggo/weights/internal/format"
)

// Class is what an array's elements are.
type Class int

const (
	Other Class = iota // a type that is not read
	Float              // IEEE 754
	Int                // two's complement
	Uint
	String
	Reference // to objects, by their addresses: see File.Object
)

// maxBytes bounds an array: twice VGG-16 in float64.
const maxBytes = min(2<<30, math.MaxInt)

// deflateRatio is the most that deflate can shrink: 258 bytes to 2 bits.
const deflateRatio = 1032

// Dataset is an array: a dataset's, or an attribute's.
type Dataset struct {
	Class     Class
	Size      int  // bytes of an element
	BigEndian bool // of Float, Int and Uint
	Shape     []int

	f          *File
	maxShape   []uint64 // what the shape may grow to; chunks are numbered by it
	name       string   // of the type, for refusing it
	vlen       bool
	bytes      int // of all elements as stored
	contiguous []byte
	chunks     []chunk
	chunkShape []int
	filters    []filter
	err        error // of an attribute that nobody has asked for yet
}

// DType is the type of the array's numbers, of size 0 where it holds none.
func (d *Dataset) DType() format.DType {
	letter := map[Class]string{Float: "F", Int: "I", Uint: "U"}[d.Class]
	return format.DType(letter + strconv.Itoa(8*d.Size))
}

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
			return nil, format.Fail(int64(o.addr), "a dataset without a %s", part.name)
		}
		if err := part.read(o.open(m)); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// classNames are those of IV.A.2.d that are refused.
var classNames = []string{"integer", "float", "time", "string", "bit field", "opaque", "compound", "reference",
	"enumeration", "variable-length sequence", "array"}

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
		layout := [7]int{d.Size, int(precision), int(exponentAt), int(exponentSize), int(mantissaAt), int(mantissaSize),
			int(bias)}
		if offset == 0 && flags&0x40 == 0 && (layout == [7]int{2, 16, 10, 5, 0, 10, 15} || layout == [7]int{4, 32, 23, 8, 0,
			23, 127} || layout == [7]int{8, 64, 52, 11, 0, 52, 1023}) {
			d.Class = Float
		}
	case 3:
		d.Class = String
	case 7: // of the first kind, to an object
		if flags&15 == 0 && d.Size == 8 {
			d.Class = Reference
		}
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
		d.maxShape = append(d.maxShape, n)
	}
	if flags&1 != 0 {
		for i := range d.Shape {
			d.maxShape[i] = max(d.maxShape[i], c.length())
			if c.f.l < 8 && d.maxShape[i] == 1<<(8*c.f.l)-1 {
				d.maxShape[i] = undefined
			}
		}
	}
	d.bytes = d.Size
	for _, n := range d.Shape {
		d.bytes *= n
	}
	return c.err
}

// readLayout reads a data layout message (IV.A.2.i) and finds the array's bytes.
func (d *Dataset) readLayout(c *cursor) error {
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
		return d.readCompact(uint64(c.u16()), c)
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

func (d *Dataset) readOldLayout(c *cursor) error {
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
	return d.readCompact(uint64(c.u32()), c)
}

// readCompact takes the array's bytes out of the message itself.
func (d *Dataset) readCompact(size uint64, c *cursor) (err error) {
	p := d.f.part(c.pos, size)
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
	data, err := d.within(d.f.at(at))
	d.contiguous = data
	return err
}

// within takes the array's bytes from where a cursor stands.
func (d *Dataset) within(c *cursor) ([]byte, error) {
	data := c.bytes(uint64(d.bytes))
	return data, c.err
}

// Raw returns the array's bytes in row-major order: the file's own where it lies there in one piece.
func (d *Dataset) Raw() ([]byte, error) {
	switch {
	case d.err != nil:
		return nil, d.err
	case d.Class == Other:
		return nil, fmt.Errorf("elements of %d bytes of type %s are not read", d.Size, d.name)
	case d.chunkShape == nil || d.bytes == 0:
		return d.contiguous, nil
	}
	out := make([]byte, d.bytes)
	for _, k := range d.chunks {
		data, err := d.unfilter(k)
		if err != nil {
			return nil, fmt.Errorf("chunk %s: %w", printable.And(k.at), err)
		}
		d.place(out, data, k.at)
	}
	return out, nil
}

// Plain is Raw where the array is the file's own bytes and little-endian; else nil.
func (d *Dataset) Plain() []byte {
	if d.err != nil || d.Class == Other || d.chunkShape != nil || d.BigEndian {
		return nil
	}
	return d.contiguous
}

// Little is Raw with little-endian numbers.
func (d *Dataset) Little() ([]byte, error) {
	raw, err := d.Raw()
	if err != nil || !d.BigEndian {
		return raw, err
	}
	swapped := slices.Clone(raw)
	for v := range slices.Chunk(swapped, d.Size) {
		slices.Reverse(v)
	}
	return swapped, nil
}
