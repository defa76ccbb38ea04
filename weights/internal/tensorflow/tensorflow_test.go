package tensorflow

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"os"
	"strings"
	"testing"

	"github.com/klauspost/compress/snappy"

	"github.com/vggo/vggo/weights/internal/format"
	"github.com/vggo/vggo/weights/internal/format/formattest"
)

func TestHostile(t *testing.T) {
	for _, name := range []string{"tf-slim.ckpt", "tf-keras.index", "tf-frozen.pb"} {
		formattest.Hostile(t, Reader, formattest.File(t, name))
	}
	formattest.Hostile(t, Reader, saved(t))
	formattest.Hostile(t, Reader, graphModel(t))
}

// saved is the SavedModel, with what lies in its folder.
func saved(t testing.TB) *format.Input {
	in := formattest.File(t, "tf-saved/saved_model.pb")
	files := in.Beside
	in.Beside = func(name string) ([]byte, error) { return files("tf-saved/" + name) }
	return in
}

func FuzzCheckpoint(f *testing.F) {
	formattest.Fuzz(f, Reader, "tf-slim.ckpt", "tf-article.ckpt.index", "tf-keras.index")
}

// FuzzTable is of tables whose checksums are right, whatever is in them: no other gets beyond its first block.
func FuzzTable(f *testing.F) {
	for _, name := range []string{"tf-slim.ckpt", "tf-article.ckpt.index", "tf-keras.index"} {
		in := formattest.File(f, name)
		t, err := openTable(in.Data)
		if err != nil {
			f.Fatal(err)
		}
		block, err := t.block(t.blocks[0], true)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(block, false, "x")
		f.Add(block, true, "x.index")
	}
	f.Fuzz(func(t *testing.T, block []byte, pack bool, name string) {
		if len(block) > 1<<20 {
			return
		}
		in := formattest.Bytes(name, tableOf(block, pack))
		in.Beside = func(string) ([]byte, error) { return make([]byte, 1<<12), nil }
		_ = formattest.Use(t, Reader, in)
	})
}

func FuzzGraph(f *testing.F) {
	formattest.Fuzz(f, Reader, "tf-frozen.pb", "tf-saved/saved_model.pb")
}

// builder puts blocks with the right checksums one after another.
type builder struct{ out []byte }

func (b *builder) put(contents []byte, kind byte) (handle []byte) {
	handle = binary.AppendUvarint(binary.AppendUvarint(nil, uint64(len(b.out))), uint64(len(contents)))
	b.out = append(append(b.out, contents...), kind)
	sum := crc32.Checksum(append(bytes.Clone(contents), kind), castagnoli)
	b.out = binary.LittleEndian.AppendUint32(b.out, masked(sum))
	return handle
}

// table adds an index of blocks.
func (b *builder) table(handles ...[]byte) []byte {
	footer := append(b.put(block(nil, nil), 0), b.put(block([]string{"y", "z"}[:len(handles)], handles), 0)...)
	footer = append(footer, make([]byte, footerSize-8-len(footer))...)
	return binary.LittleEndian.AppendUint64(append(b.out, footer...), tableMagic)
}

// kinded is a table of one block that is said to be packed in a way.
func kinded(contents []byte, kind byte) []byte {
	b := &builder{}
	return b.table(b.put(contents, kind))
}

func tableOf(contents []byte, pack bool) []byte {
	if pack {
		return kinded(snappy.Encode(nil, contents), 1)
	}
	return kinded(contents, 0)
}

// TestLies: tables whose checksums are right and whose numbers are not.
func TestLies(t *testing.T) {
	header := integer(1, 1)
	entry := func(fields ...[]byte) []byte {
		return tableOf(block([]string{"", "a"}, [][]byte{header, bytes.Join(fields, nil)}), false)
	}
	dims := func(sides ...int) []byte {
		var list []byte
		for _, d := range sides {
			list = append(list, message(2, integer(1, d))...)
		}
		return message(2, list)
	}
	float := integer(1, 1)
	v1 := func(meta, data []byte) []byte {
		return tableOf(block([]string{"", "a"}, [][]byte{message(1, meta), message(2, data)}), false)
	}
	listed := message(1, bytes.Join([][]byte{message(1, []byte("a")), dims(2), integer(3, 1)}, nil))
	values := func(fields ...[]byte) []byte {
		return bytes.Join(append([][]byte{message(1, []byte("a"))}, fields...), nil)
	}
	slice := message(1, integer(2, 1))
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"a table of something else": {tableOf(block([]string{"x"}, [][]byte{{1}}), false), "no checkpoint"},
		"nothing in it":             {tableOf(block(nil, nil), false), "without tensors"},
		"more restarts than room":   {tableOf([]byte{0xff, 0xff, 0xff, 0x7f}, false), "restarts"},
		"no end":                    {tableOf([]byte{1}, false), "end is missing"},
		"keys that go back": {
			tableOf(block([]string{"", "b", "a"}, [][]byte{header, nil, nil}), false), "not in order"},
		"a key longer than the block": {
			tableOf([]byte("\x00\xff\x7f\x00x\x00\x00\x00\x00\x00\x00\x00\x00"), false), "broken"},
		"shares more than there is":   {tableOf([]byte("\x05\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), false), "broken"},
		"a way of packing":            {kinded(block(nil, nil), 9), "packed in way 9"},
		"snappy that claims too much": {kinded([]byte{0xff, 0xff, 0xff, 0x7f, 0, 1}, 1), "claims to unpack"},
		"snappy that is none":         {kinded([]byte{4, 0xff, 0xff, 0xff}, 1), "does not unpack"},
		"a big-endian machine": {
			tableOf(block([]string{""}, [][]byte{append(integer(1, 1), integer(2, 1)...)}), false), "big-endian"},
		"in a million files":     {tableOf(block([]string{""}, [][]byte{integer(1, 1<<20)}), false), "files: 1 to"},
		"in no file":             {tableOf(block([]string{""}, [][]byte{integer(1, 0)}), false), "files: 1 to"},
		"in a file that is not":  {entry(float, dims(1), integer(3, 1), integer(5, 4)), "in file 1 of 1"},
		"beyond the file":        {entry(float, dims(8), integer(4, 9), integer(5, 32)), "truncated"},
		"before the file":        {entry(float, dims(8), integer(4, -4), integer(5, 32)), "truncated"},
		"a shape that overflows": {entry(float, dims(1<<30, 1<<30), integer(5, 4)), "of shape"},
		"a negative side":        {entry(float, dims(-1, -4), integer(5, 16)), "of shape"},
		"fewer than its values":  {entry(float, dims(3), integer(5, 16)), "of shape"},
		"in slices":              {entry(float, dims(4), message(7, slice)), "kept in slices"},
		"V1, values not listed":  {v1(nil, values()), "does not list"},
		"V1, fewer values":       {v1(listed, values(message(3, message(5, make([]byte, 4))))), "of shape"},
		"V1, values in pieces": {v1(listed, values(message(3, append(message(5, make([]byte, 4)),
			message(5, make([]byte, 4))...)))), "in 2 pieces"},
		"V1, in slices":      {v1(listed, values(message(2, slice))), "kept in slices"},
		"V1, without values": {tableOf(block([]string{""}, [][]byte{message(1, listed)}), false), "no values of variable"},
	} {
		in := formattest.Bytes("m.index", c.data)
		in.Beside = func(string) ([]byte, error) { return make([]byte, 32), nil }
		if _, err := Reader.Read(in); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// TestOverlap: a block that is listed twice is not unpacked twice.
func TestOverlap(t *testing.T) {
	b := &builder{}
	handle := b.put(block([]string{""}, [][]byte{integer(1, 1)}), 0)
	data := b.table(handle, handle)
	if _, err := openTable(data); err == nil || !strings.Contains(err.Error(), "overlap") {
		t.Error(err)
	}
}

// TestShards: what is missing is named, and paths stay within the folder.
func TestShards(t *testing.T) {
	in := formattest.File(t, "tf-article.ckpt.index")
	var asked []string
	in.Beside = func(name string) ([]byte, error) {
		asked = append(asked, name)
		return nil, os.ErrNotExist
	}
	if _, err := Reader.Read(in); err == nil || !strings.Contains(err.Error(), "tf-article.ckpt.data-00000-of-00002") {
		t.Error(err)
	}
	if len(asked) != 1 || strings.ContainsAny(asked[0], `/\`) {
		t.Errorf("asked for %v", asked)
	}
	in.Name = "renamed"
	if _, err := Reader.Read(in); err == nil || !strings.Contains(err.Error(), "must end in .index") {
		t.Error(err)
	}
}

// TestLargeBlock: a tensor of a mebibyte and more is not looked at before it is asked for, and then its checksum is.
func TestLargeBlock(t *testing.T) {
	const count = checkedAtOnce/4 + 10
	listed := bytes.Join([][]byte{message(1, []byte("a")), message(2, message(2, integer(1, count))), integer(3, 1)}, nil)
	value := message(2, append(message(1, []byte("a")), message(3, message(5, make([]byte, 4*count)))...))
	for _, kind := range []byte{0, 1} {
		b := &builder{}
		contents := block([]string{"a"}, [][]byte{value})
		if kind == 1 {
			contents = snappy.Encode(nil, contents)
		}
		data := b.table(b.put(block([]string{""}, [][]byte{message(1, message(1, listed))}), 0), b.put(contents, kind))
		whole, err := Reader.Read(formattest.Bytes("m.ckpt", data))
		if err != nil {
			t.Fatal(err)
		}
		tensor := whole.Parts[0].Tensors[0]
		if raw, err := tensor.Bytes(); err != nil || len(raw) != 4*count || tensor.Raw != nil {
			t.Errorf("packed %d: %d bytes (%v)", kind, len(raw), err)
		}
		data[len(data)-400] ^= 1 // within the tensor
		broken, err := Reader.Read(formattest.Bytes("m.ckpt", data))
		if kind == 0 && err == nil {
			_, err = broken.Parts[0].Tensors[0].Bytes()
		}
		if err == nil || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("packed %d, a value that was changed: %v", kind, err)
		}
	}
}
