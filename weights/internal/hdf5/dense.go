package hdf5

import "math/bits"

// Links and attributes that are too many or too large for an object's header lie in a fractal heap, and a B-tree of
// version 2 finds them. h5py writes these with libver="latest", and for groups that keep the order of their members.

// The types of records of a B-tree of version 2 that are read.
const (
	recordHuge          = 1
	recordLinkName      = 5
	recordAttributeName = 8
	recordChunk         = 10
	recordFilteredChunk = 11
)

// maxTreeDepth of a B-tree of version 2, whose nodes hold dozens of records.
const maxTreeDepth = 8

// records calls visit with each record of a B-tree of version 2 (III.A.2), in no order that counts.
func (f *File) records(addr uint64, kind uint8, visit func(r *cursor) error) error {
	c := f.at(addr)
	c.magic("BTHD")
	c.skip(1)
	if got := c.u8(); c.err == nil && got != kind {
		return c.fail("a tree of records of type %d where type %d is expected", got, kind)
	}
	t := tree{f: f, visit: visit, nodeSize: uint64(c.u32()), recordSize: uint64(c.u16())}
	depth := int(c.u16())
	c.skip(2)
	root, count := c.offset(), uint64(c.u16())
	switch {
	case c.err != nil:
		return c.err
	case root == undefined:
		return nil
	case depth > maxTreeDepth:
		return c.fail("a tree of more than %d levels", maxTreeDepth)
	case t.recordSize == 0 || t.nodeSize < nodeFrame+t.recordSize:
		return c.fail("nodes of %d bytes for records of %d", t.nodeSize, t.recordSize)
	}
	most := (t.nodeSize - nodeFrame) / t.recordSize // records of a leaf, then all below a node
	t.countSize = enoughBytes(most)
	t.totalSize = []int{0}
	for level := 1; level <= depth; level++ {
		pointer := uint64(f.o + t.countSize + t.totalSize[level-1])
		if t.nodeSize < nodeFrame+pointer {
			return c.fail("nodes of %d bytes for pointers of %d", t.nodeSize, pointer)
		}
		here := (t.nodeSize - nodeFrame - pointer) / (t.recordSize + pointer)
		hi, below := bits.Mul64(here+1, most)
		if hi != 0 || below+here < below {
			return c.fail("a tree of %d levels of nodes of %d bytes", depth, t.nodeSize)
		}
		most = below + here
		t.totalSize = append(t.totalSize, enoughBytes(most))
	}
	return t.node(root, count, depth)
}

// nodeFrame is the bytes of a node around its records: signature, version, type and checksum.
const nodeFrame = 4 + 1 + 1 + 4

// enoughBytes is how many bytes can hold numbers up to n.
func enoughBytes(n uint64) int { return max(bits.Len64(n)+7, 8) / 8 }

// tree is a B-tree of version 2 as it is walked.
type tree struct {
	f                    *File
	nodeSize, recordSize uint64
	countSize            int   // bytes of a child's number of records
	totalSize            []int // by level: bytes of the number of records below a child; none where the child is a leaf
	visit                func(r *cursor) error
}

func (t *tree) node(addr, count uint64, level int) error {
	if err := t.f.step(addr); err != nil {
		return err
	}
	c := t.f.part(addr, t.nodeSize)
	if level > 0 {
		c.magic("BTIN")
	} else {
		c.magic("BTLF")
	}
	c.skip(2)
	first := c.pos
	c.skip(int(count * t.recordSize))
	if c.err != nil {
		return c.err
	}
	for i := range count {
		at := first + i*t.recordSize
		if err := t.f.step(at); err != nil {
			return err
		}
		if err := t.visit(t.f.part(at, t.recordSize)); err != nil {
			return err
		}
	}
	if level == 0 {
		return nil
	}
	for range count + 1 {
		child, n := c.offset(), c.number(t.countSize)
		c.skip(t.totalSize[level-1])
		if c.err != nil {
			return c.err
		}
		if err := t.node(child, n, level-1); err != nil {
			return err
		}
	}
	return nil
}

// fractalHeap keeps objects of any size under short numbers (III.G).
type fractalHeap struct {
	f             *File
	idSize        int // bytes of an object's number
	offsetSize    int // of a place in the heap, in it
	lengthSize    int // of a length
	width         uint64
	start, direct uint64 // sizes of the smallest and the largest block with objects
	root          uint64
	rows          uint16 // of the root block's table; 0 where the root holds objects itself
	hugeTree      uint64
	huge          map[uint64]extent // by number; nil until the first is asked for
}

type extent struct{ at, size uint64 }

func (f *File) fractalHeap(addr uint64) (*fractalHeap, error) {
	h := &fractalHeap{f: f}
	c := f.at(addr)
	c.magic("FRHP")
	c.skip(1)
	h.idSize = int(c.u16())
	filters := c.u16()
	c.skip(1)
	most := uint64(c.u32())
	c.skip(f.l)
	h.hugeTree = c.offset()
	c.skip(9*f.l + f.o)
	h.width = uint64(c.u16())
	h.start, h.direct = c.length(), c.length()
	space := int(c.u16())
	c.skip(2)
	h.root, h.rows = c.offset(), c.u16()
	power := func(n uint64) bool { return bits.OnesCount64(n) == 1 }
	switch {
	case c.err != nil:
		return nil, c.err
	case filters != 0:
		return nil, c.fail("a compressed heap of names is not read")
	case f.o+f.l < h.idSize:
		return nil, c.fail("a heap whose numbers of %d bytes hold places is not read", h.idSize)
	case !power(h.width) || !power(h.start) || !power(h.direct) || h.start > h.direct || h.direct > 1<<32 || space < 1 ||
		space > 64:
		return nil, c.fail("a fractal heap of blocks of %d to %d bytes, %d in a row, %d bits in all", h.start, h.direct,
			h.width, space)
	}
	h.offsetSize = (space + 7) / 8
	h.lengthSize = min((bits.Len64(h.direct)+6)/8, enoughBytes(most))
	return h, nil
}

// object finds an object by the number that a record ends or begins with.
func (h *fractalHeap) object(r *cursor) (*cursor, error) {
	if err := h.f.step(r.pos); err != nil {
		return nil, err
	}
	id := h.f.part(r.pos, uint64(h.idSize))
	r.skip(h.idSize)
	if r.err != nil {
		return nil, r.err
	}
	flags := id.u8()
	switch flags >> 4 & 3 {
	case 0:
		offset, length := id.number(h.offsetSize), id.number(h.lengthSize)
		if id.err != nil {
			return nil, id.err
		}
		return h.managed(offset, length, id)
	case 1: // its own place in the file, by way of a tree; the number is the rest of the ID
		return h.hugeObject(id)
	case 2:
		if h.idSize > 18 {
			return nil, id.fail("a tiny object of more than 16 bytes")
		}
		length := uint64(flags&15) + 1
		part := h.f.part(id.pos, length)
		id.skip(int(length))
		return part, id.err
	}
	return nil, id.fail("a heap's object of unknown kind")
}

// managed walks down the doubling table: its first two rows are of blocks of the smallest size, each further row's are
// twice as large, and rows of blocks above the largest size are tables themselves.
func (h *fractalHeap) managed(offset, length uint64, from *cursor) (*cursor, error) {
	block, base, size, rows := h.root, uint64(0), h.start, uint64(h.rows)
	for rows > 0 {
		c := h.f.at(block)
		if err := h.f.step(block); err != nil {
			return nil, err
		}
		c.magic("FHIB")
		c.skip(1 + h.f.o + h.offsetSize)
		first := h.width * h.start // bytes of the first row
		row, at := uint64(0), uint64(0)
		if rest := offset - base; rest >= first {
			row = uint64(bits.Len64(rest / first))
			at = first << (row - 1)
		}
		if row >= rows {
			return nil, from.fail("no object at %d of this heap", offset)
		}
		size = h.start << max(int(row)-1, 0)
		column := (offset - base - at) / size
		c.skip(int(row*h.width+column) * h.f.o)
		block = c.offset()
		if c.err != nil {
			return nil, c.err
		}
		base += at + column*size
		rows = 0
		if size > h.direct {
			rows = uint64(bits.Len64(size / first)) // of blocks that together have the size
		}
	}
	if offset-base > size || length > size-(offset-base) {
		return nil, from.fail("an object of %d bytes beyond its block of %d", length, size)
	}
	c := h.f.part(block, size)
	c.magic("FHDB")
	if c.err != nil {
		return nil, c.err
	}
	p := h.f.part(block+offset-base, length)
	return p, p.err
}

func (h *fractalHeap) hugeObject(id *cursor) (*cursor, error) {
	if h.huge == nil {
		h.huge = map[uint64]extent{}
		err := h.f.records(h.hugeTree, recordHuge, func(r *cursor) error {
			e := extent{r.offset(), r.length()}
			h.huge[r.length()] = e
			return r.err
		})
		if err != nil {
			return nil, err
		}
	}
	e, ok := h.huge[id.number(min(h.idSize-1, h.f.l))]
	if id.err == nil && !ok {
		return nil, id.fail("no large object of this number")
	}
	if id.err != nil {
		return nil, id.err
	}
	p := h.f.part(e.at, e.size)
	return p, p.err
}
