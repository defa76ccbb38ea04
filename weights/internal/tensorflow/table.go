package tensorflow

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"

	"github.com/klauspost/compress/snappy"

	"github.com/vggo/vggo/weights/internal/format"
)

// table is one of LevelDB's (github.com/google/leveldb, doc/table_format.md): blocks of keys with values in the order
// of the keys, an index of the blocks, a footer. TensorFlow's checkpoints were such a table until 2016 (V1), and their
// index is one since (V2).
type table struct {
	data   []byte
	blocks []handle // of keys and values, in their order
}

// handle is where a block is. Its kind, a byte, and its checksum, of four, lie behind it.
type handle struct{ at, size int }

const (
	footerSize  = 48
	tableMagic  = 0xdb4775248b80fb57
	trailerSize = 5
	maxKey      = 4 * format.MaxName // names with what V1 adds to them
	// mostGrowth is how much longer a snappy block becomes: 64 bytes of 3 at the most
	// (github.com/google/snappy, format_description.txt).
	mostGrowth = 22
	// checkedAtOnce bounds the blocks whose checksum is looked at before anything is read of them. A larger one is that of
	// a tensor: it is checked when its values are asked for, so that opening a checkpoint does not read all of it.
	checkedAtOnce = 1 << 20
)

func isTable(data []byte) bool {
	return len(data) >= footerSize && binary.LittleEndian.Uint64(data[len(data)-8:]) == tableMagic
}

// openTable reads the index.
func openTable(data []byte) (*table, error) {
	t := &table{data: data}
	footer := data[len(data)-footerSize:]
	_, rest, err := handleIn(footer, int64(len(data)-footerSize)) // of the metaindex, which is empty
	if err != nil {
		return nil, err
	}
	index, _, err := handleIn(rest, int64(len(data)-footerSize))
	if err != nil {
		return nil, err
	}
	block, err := t.block(index, true)
	if err != nil {
		return nil, err
	}
	end := 0
	err = t.entries(index, block, func(_, value []byte) error {
		h, _, err := handleIn(value, int64(index.at))
		if err != nil {
			return err
		}
		if h.at < end { // each block once, so that unpacking them all stays in proportion to the file
			return format.Fail(int64(index.at), "blocks that overlap")
		}
		if end = h.at + h.size; end > len(data) {
			return format.Fail(int64(index.at), "truncated: a block ends at byte %d", end)
		}
		t.blocks = append(t.blocks, h)
		return nil
	})
	return t, err
}

// handleIn reads a handle that bytes begin with.
func handleIn(b []byte, at int64) (h handle, rest []byte, err error) {
	for _, to := range []*int{&h.at, &h.size} {
		v, n := binary.Uvarint(b)
		if n <= 0 || v > 1<<48 || int(v) < 0 {
			return h, nil, format.Fail(at, "a table whose index is broken")
		}
		*to, b = int(v), b[n:]
	}
	return h, b, nil
}

// block is a block's contents, unpacked where they are packed.
func (t *table) block(h handle, check bool) ([]byte, error) {
	if h.size > len(t.data) || h.at > len(t.data)-h.size-trailerSize {
		return nil, format.Fail(int64(h.at), "truncated: a block of %d bytes is wanted here", h.size)
	}
	contents, trailer := t.data[h.at:h.at+h.size], t.data[h.at+h.size:][:trailerSize]
	if check || trailer[0] != 0 || h.size <= checkedAtOnce {
		sum := crc32.Update(crc32.Checksum(contents, castagnoli), castagnoli, trailer[:1])
		if masked(sum) != binary.LittleEndian.Uint32(trailer[1:]) {
			return nil, format.Fail(int64(h.at), "damaged: the checksum of a block of %d bytes differs", h.size)
		}
	}
	switch trailer[0] {
	case 0:
		return contents, nil
	case 1:
		size, err := snappy.DecodedLen(contents)
		if err != nil || size > mostGrowth*len(contents) {
			return nil, format.Fail(int64(h.at), "a block of %d bytes that claims to unpack to %d", len(contents), size)
		}
		unpacked, err := snappy.Decode(nil, contents)
		if err != nil {
			return nil, format.Fail(int64(h.at), "a block that does not unpack: %v", err)
		}
		return unpacked, nil
	}
	return nil, format.Fail(int64(h.at), "a block that is packed in way %d: 0 and snappy's 1 are known", trailer[0])
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// masked is how a CRC is kept among the bytes that it is of (LevelDB's util/crc32c.h).
func masked(sum uint32) uint32 { return (sum>>15 | sum<<17) + 0xa282ead8 }

// entries calls do with each key and value of a block, in their order. Keys must not be kept.
func (t *table) entries(h handle, block []byte, do func(key, value []byte) error) error {
	fail := func(why string) error { return format.Fail(int64(h.at), "a block whose %s", why) }
	if len(block) < 4 {
		return fail("end is missing")
	}
	restarts := uint64(binary.LittleEndian.Uint32(block[len(block)-4:]))
	if restarts > uint64(len(block)-4)/4 {
		return fail("restarts are more than it has room for")
	}
	rest := block[:len(block)-4-4*int(restarts)]
	var key, before []byte
	for first := true; len(rest) > 0; first = false {
		var sizes [3]int // shared with the key before, of its own, of the value
		for i := range sizes {
			v, n := binary.Uvarint(rest)
			if n <= 0 || v > uint64(len(block)) {
				return fail("entries are broken")
			}
			sizes[i], rest = int(v), rest[n:]
		}
		shared, own, size := sizes[0], sizes[1], sizes[2]
		if shared > len(key) || own > len(rest) || size > len(rest)-own || shared+own > maxKey {
			return fail("entries are broken")
		}
		before = append(before[:0], key...)
		key = append(key[:shared], rest[:own]...)
		if !first && bytes.Compare(before, key) >= 0 {
			return fail("keys are not in order")
		}
		if err := do(key, rest[own:own+size:own+size]); err != nil {
			return err
		}
		rest = rest[own+size:]
	}
	return nil
}
