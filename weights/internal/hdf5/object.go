package hdf5

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Object is a group or a dataset.
type Object struct {
	f        *File
	addr     uint64
	messages []message
}

// message is a part of an object's header (IV.A.2).
type message struct {
	kind  uint16
	flags uint8
	pos   uint64 // of its data
	size  uint64
}

// The kinds of messages that are read.
const (
	msgDataspace    = 0x01
	msgLinkInfo     = 0x02
	msgDatatype     = 0x03
	msgLink         = 0x06
	msgLayout       = 0x08
	msgFilters      = 0x0b
	msgAttribute    = 0x0c
	msgContinuation = 0x10
	msgSymbolTable  = 0x11
	msgAttrInfo     = 0x15
)

// shared is the flag of a message that lies elsewhere.
const shared = 2

// Root opens the file's root group.
func (f *File) Root() (*Object, error) { return f.object(f.root) }

// Object opens what a Reference points at.
func (f *File) Object(addr uint64) (*Object, error) { return f.object(addr) }

func (f *File) object(addr uint64) (*Object, error) {
	o := &Object{f: f, addr: addr}
	c := f.at(addr)
	if len(c.f.data)-int(c.pos) >= 4 && string(f.data[c.pos:c.pos+4]) == "OHDR" {
		return o, o.readV2(c)
	}
	return o, o.readV1(c)
}

// readV1 reads an object header of version 1 (IV.A.1.a).
func (o *Object) readV1(c *cursor) error {
	if version := c.u8(); c.err == nil && version != 1 {
		return c.fail("object header version %d: 1 and 2 are known", version)
	}
	c.skip(1)
	count := int(c.u16())
	c.skip(4)
	size := c.u32()
	c.skip(4) // to a multiple of 8
	if c.err != nil {
		return c.err
	}
	return o.readMessages(o.f.part(c.pos, uint64(size)), count, 8, func(b *cursor) message {
		m := message{kind: b.u16(), size: uint64(b.u16()), flags: b.u8()}
		b.skip(3)
		return m
	}, o.f.part)
}

// readV2 reads one of version 2 (IV.A.1.b). Its checksums are not verified: every field is checked by its reader.
func (o *Object) readV2(c *cursor) error {
	c.magic("OHDR")
	if version := c.u8(); c.err == nil && version != 2 {
		return c.fail("object header version %d: 1 and 2 are known", version)
	}
	flags := c.u8()
	if flags&0x20 != 0 {
		c.skip(16) // times
	}
	if flags&0x10 != 0 {
		c.skip(4) // when attributes move to dense storage
	}
	size := c.number(1 << (flags & 3))
	if c.err != nil {
		return c.err
	}
	head := 4
	if flags&4 != 0 {
		head = 6
	}
	return o.readMessages(o.f.part(c.pos, size), math.MaxInt, head, func(b *cursor) message {
		m := message{kind: uint16(b.u8()), size: uint64(b.u16()), flags: b.u8()}
		b.skip(head - 4)
		return m
	}, func(from, length uint64) *cursor {
		b := o.f.part(from, length)
		if length < 8 {
			b.fail("a continuation of %d bytes", length)
		}
		b.magic("OCHK")
		b.end -= 4 // its checksum
		return b
	})
}

// readMessages reads the messages of an object's header, most of them at most, from a block and those that continue it.
// Each begins with a head of so many bytes, which begin reads; more opens a continuation.
func (o *Object) readMessages(b *cursor, most, head int, begin func(b *cursor) message,
	more func(from, length uint64) *cursor) error {
	for blocks := []*cursor{b}; len(blocks) > 0; {
		b, blocks = blocks[0], blocks[1:]
		for b.err == nil && b.end-b.pos >= uint64(head) && most > 0 { // less is a gap
			if err := o.f.step(b.pos); err != nil {
				return err
			}
			most--
			m := begin(b)
			m.pos = b.pos
			b.skip(int(m.size))
			if m.kind != msgContinuation {
				o.messages = append(o.messages, m)
				continue
			}
			p := o.f.part(m.pos, m.size)
			from, length := p.offset(), p.length()
			if p.err != nil {
				return p.err
			}
			blocks = append(blocks, more(from, length))
		}
		if b.err != nil {
			return b.err
		}
	}
	return nil
}

// message returns the first of a kind.
func (o *Object) message(kind uint16) (message, bool) {
	i := slices.IndexFunc(o.messages, func(m message) bool { return m.kind == kind })
	if i < 0 {
		return message{}, false
	}
	return o.messages[i], true
}

// open reads a message's data, which must lie here.
func (o *Object) open(m message) *cursor {
	c := o.f.part(m.pos, m.size)
	if m.flags&shared != 0 {
		c.fail("a shared message is not read")
	}
	return c
}

// IsGroup reports whether the object can hold others.
func (o *Object) IsGroup() bool {
	_, table := o.message(msgSymbolTable)
	_, info := o.message(msgLinkInfo)
	_, link := o.message(msgLink)
	return table || info || link
}

// Link is a name in a group. Soft and external links are left out.
type Link struct {
	Name string
	addr uint64
}

// Links lists a group's members, sorted by name.
func (o *Object) Links() ([]Link, error) {
	links, err := o.links()
	slices.SortStableFunc(links, func(a, b Link) int { return strings.Compare(a.Name, b.Name) })
	return links, err
}

func (o *Object) links() ([]Link, error) {
	var links []Link
	take := func(c *cursor) error {
		link, ok, err := o.f.link(c)
		if ok {
			links = append(links, link)
		}
		return err
	}
	if m, ok := o.message(msgSymbolTable); ok {
		c := o.open(m)
		tree, heap := c.offset(), c.offset()
		if c.err != nil {
			return nil, c.err
		}
		names, err := o.f.localHeap(heap)
		if err != nil {
			return nil, err
		}
		return o.f.symbols(nil, tree, names, 0)
	}
	if m, ok := o.message(msgLinkInfo); ok { // IV.A.2.c
		c := o.open(m)
		c.skip(1)
		if c.u8()&1 != 0 {
			c.skip(8)
		}
		heap, tree := c.offset(), c.offset()
		if c.err != nil {
			return nil, c.err
		}
		if heap != undefined {
			return links, o.f.dense(heap, tree, recordLinkName, take)
		}
	}
	for _, m := range o.messages {
		if m.kind != msgLink {
			continue
		}
		if err := take(o.open(m)); err != nil {
			return nil, err
		}
	}
	return links, nil
}

// link reads a link message (IV.A.2.g); ok says that it leads to an object of this file.
func (f *File) link(c *cursor) (link Link, ok bool, err error) {
	at := c.pos
	c.skip(1)
	flags := c.u8()
	kind := uint8(0)
	if flags&8 != 0 {
		kind = c.u8()
	}
	if flags&4 != 0 {
		c.skip(8)
	}
	if flags&16 != 0 {
		c.skip(1)
	}
	name := c.bytes(c.number(1 << (flags & 3)))
	if c.err != nil || kind != 0 {
		return Link{}, false, c.err
	}
	if link.Name, err = f.text(name, at); err != nil {
		return Link{}, false, err
	}
	link.addr = c.offset()
	return link, c.err == nil, c.err
}

// dense calls visit with each object of a fractal heap that a tree's records name.
func (f *File) dense(heap, tree uint64, kind uint8, visit func(c *cursor) error) error {
	h, err := f.fractalHeap(heap)
	if err != nil {
		return err
	}
	return f.records(tree, kind, func(r *cursor) error {
		if kind == recordLinkName {
			r.skip(4) // hash
		}
		c, err := h.object(r)
		if err != nil {
			return err
		}
		if kind == recordAttributeName && r.u8()&shared != 0 {
			return r.fail("a shared message is not read")
		}
		return visit(c)
	})
}

// Open opens a member of a group.
func (o *Object) Open(link Link) (*Object, error) { return o.f.object(link.addr) }

// localHeap is the names of an old group (III.D).
func (f *File) localHeap(addr uint64) ([]byte, error) {
	c := f.at(addr)
	c.magic("HEAP")
	c.skip(4)
	size := c.length()
	c.skip(f.l)
	data := c.offset()
	if c.err != nil {
		return nil, c.err
	}
	p := f.part(data, size)
	return p.bytes(size), p.err
}

// maxDepth bounds trees: one node has at least two members, and a file fewer than 2^64 bytes.
const maxDepth = 64

// symbols walks a group's B-tree of version 1 (III.A.1) down to its symbol table nodes (III.C).
func (f *File) symbols(links []Link, addr uint64, names []byte, depth int) ([]Link, error) {
	if err := f.step(addr); err != nil {
		return nil, err
	}
	c := f.at(addr)
	if depth > maxDepth {
		return nil, c.fail("a tree of more than %d levels", maxDepth)
	}
	if len(f.data)-int(c.pos) >= 4 && string(f.data[c.pos:c.pos+4]) == "SNOD" {
		c.skip(6)
		for range c.u16() {
			if err := f.step(c.pos); err != nil {
				return nil, err
			}
			at, header := c.offset(), c.offset()
			kind := c.u32()
			c.skip(4 + 16)
			if c.err != nil {
				return nil, c.err
			}
			name, err := f.heapName(names, at, c)
			if err != nil {
				return nil, err
			}
			if kind != 2 { // a soft link
				links = append(links, Link{name, header})
			}
		}
		return links, c.err
	}
	c.magic("TREE")
	kind := c.u8()
	c.skip(1)
	used := c.u16()
	c.skip(2 * f.o)
	if c.err == nil && kind != 0 {
		return nil, c.fail("a tree of kind %d where a group's is expected", kind)
	}
	for range used {
		c.skip(f.l) // key
		child := c.offset()
		if c.err != nil {
			return nil, c.err
		}
		var err error
		if links, err = f.symbols(links, child, names, depth+1); err != nil {
			return nil, err
		}
	}
	return links, c.err
}

// heapName is a name of a local heap, up to a zero.
func (f *File) heapName(heap []byte, at uint64, c *cursor) (string, error) {
	if at < uint64(len(heap)) {
		if n := bytes.IndexByte(heap[at:], 0); n >= 0 {
			return f.text(heap[at:at+uint64(n)], c.pos)
		}
	}
	return "", c.fail("a name at %d of a heap of %d bytes", at, len(heap))
}

// Attribute returns an attribute, nil if there is none of this name.
func (o *Object) Attribute(name string) (*Dataset, error) {
	var found *Dataset
	take := func(c *cursor) error {
		if err := o.f.step(c.pos); err != nil { // callers ask for many names
			return err
		}
		got, d, err := o.f.attribute(c)
		if err != nil {
			return fmt.Errorf("attribute %q: %w", name, err)
		}
		if found == nil && string(got) == name {
			found = d
		}
		return nil
	}
	for _, m := range o.messages {
		if m.kind != msgAttribute {
			continue
		}
		if err := take(o.open(m)); err != nil || found != nil {
			return found, err
		}
	}
	if m, ok := o.message(msgAttrInfo); ok { // IV.A.2.v
		c := o.open(m)
		c.skip(1)
		if c.u8()&1 != 0 {
			c.skip(2)
		}
		heap, tree := c.offset(), c.offset()
		if c.err != nil {
			return nil, c.err
		}
		if heap != undefined {
			err := o.f.dense(heap, tree, recordAttributeName, take)
			return found, err
		}
	}
	return nil, nil
}

// attribute reads an attribute message (IV.A.2.m). Its value is looked at only when asked for.
func (f *File) attribute(c *cursor) ([]byte, *Dataset, error) {
	version := c.u8()
	if c.err == nil && (version < 1 || version > 3) {
		return nil, nil, c.fail("attribute message version %d: 1 to 3 are known", version)
	}
	flags := c.u8()
	nameSize, typeSize, spaceSize := uint64(c.u16()), uint64(c.u16()), uint64(c.u16())
	if version == 3 {
		c.skip(1)
	}
	if version > 1 && flags&3 != 0 {
		return nil, nil, c.fail("an attribute with a shared type is not read")
	}
	padded := func(n uint64) uint64 {
		if version == 1 {
			return (n + 7) &^ 7
		}
		return n
	}
	name := c.bytes(padded(nameSize))
	at := c.pos
	c.skip(int(padded(typeSize)))
	spaceAt := c.pos
	c.skip(int(padded(spaceSize)))
	if c.err != nil {
		return nil, nil, c.err
	}
	d := &Dataset{f: f}
	if d.err = d.readType(f.part(at, typeSize)); d.err == nil {
		d.err = d.readSpace(f.part(spaceAt, spaceSize))
	}
	if d.err == nil {
		d.contiguous, d.err = d.within(c)
	}
	name, _, _ = bytes.Cut(name, []byte{0})
	return name, d, nil
}
