package hdf5

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/vggo/vggo/weights/internal/format"
)

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// find opens an object by its path.
func find(f *File, path string) (*Object, error) {
	o, err := f.Root()
	for _, name := range strings.Split(path, "/") {
		if err != nil {
			return nil, err
		}
		var links []Link
		if links, err = o.Links(); err != nil {
			return nil, err
		}
		i := slices.IndexFunc(links, func(l Link) bool { return l.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("no %s in %s", name, path)
		}
		o, err = o.Open(links[i])
	}
	return o, err
}

// values are an array's numbers, whatever their type.
func values(t *testing.T, d *Dataset) []float64 {
	t.Helper()
	raw, err := d.Raw()
	if err != nil {
		t.Fatal(err)
	}
	list := []float64{}
	for v := range slices.Chunk(raw, d.Size) {
		v = slices.Clone(v)
		if d.BigEndian {
			slices.Reverse(v)
		}
		var full [8]byte
		copy(full[:], v)
		u := binary.LittleEndian.Uint64(full[:])
		switch {
		case d.Class == Float && d.Size == 8:
			list = append(list, math.Float64frombits(u))
		case d.Class == Float && d.Size == 4:
			list = append(list, float64(math.Float32frombits(uint32(u))))
		case d.Class == Float: // half precision; the test has normal numbers and zero alone
			e, m := int(u>>10&31), float64(u&1023)
			if e == 0 {
				list = append(list, 0)
			} else {
				list = append(list, math.Ldexp(1+m/1024, e-15))
			}
		default: // none is negative
			list = append(list, float64(u))
		}
	}
	return list
}

// TestFiles reads every structure that h5py writes by default and with libver="latest", and compares with what h5py
// reads.
func TestFiles(t *testing.T) {
	var golden map[string]map[string]struct {
		Shape      []int
		Values     []float64
		Texts      []string
		Attributes map[string][]string
	}
	if err := json.Unmarshal(readFile(t, "golden.json"), &golden); err != nil {
		t.Fatal(err)
	}
	for name, objects := range golden {
		f, err := Read(readFile(t, name))
		if err != nil {
			t.Fatal(err)
		}
		members := map[string][]Link{} // of a group; finding 300 members anew each time would exceed maxSteps
		open := func(path string) (*Object, error) {
			at := strings.LastIndexByte(path, '/')
			if at < 0 {
				return find(f, path)
			}
			if members[path[:at]] == nil {
				group, err := find(f, path[:at])
				if err != nil {
					return nil, err
				}
				if members[path[:at]], err = group.Links(); err != nil {
					return nil, err
				}
			}
			for _, l := range members[path[:at]] {
				if l.Name == path[at+1:] {
					return f.object(l.addr)
				}
			}
			return nil, fmt.Errorf("not in its group")
		}
		for path, want := range objects {
			o, err := open(path)
			if err != nil {
				t.Errorf("%s: %s: %v", name, path, err)
				continue
			}
			for key, texts := range want.Attributes {
				a, err := o.Attribute(key)
				if err != nil || a == nil {
					t.Errorf("%s: %s: attribute %s: %v, %v", name, path, key, a, err)
					continue
				}
				got, err := a.Strings()
				if len(got) > 100 {
					got = []string{got[0], fmt.Sprint(len(got)), got[len(got)-1]}
				}
				if err != nil || !slices.Equal(got, texts) {
					t.Errorf("%s: %s: attribute %s is %q, want %q, %v", name, path, key, got, texts, err)
				}
			}
			if a, err := o.Attribute("no such name"); a != nil || err != nil {
				t.Errorf("%s: %s: an attribute that is not there: %v, %v", name, path, a, err)
			}
			if want.Shape == nil {
				if !o.IsGroup() {
					t.Errorf("%s: %s is no group", name, path)
				}
				continue
			}
			d, err := o.Dataset()
			if err != nil {
				t.Errorf("%s: %s: %v", name, path, err)
				continue
			}
			if !slices.Equal(d.Shape, want.Shape) {
				t.Errorf("%s: %s: shape %v, want %v", name, path, d.Shape, want.Shape)
			}
			if want.Texts != nil {
				if got, err := d.Strings(); err != nil || !slices.Equal(got, want.Texts) {
					t.Errorf("%s: %s: %q, want %q, %v", name, path, got, want.Texts, err)
				}
				continue
			}
			if got := values(t, d); !slices.Equal(got, want.Values) {
				t.Errorf("%s: %s: %v, want %v", name, path, got, want.Values)
			}
		}
	}
}

// TestRefuses names what is not read.
func TestRefuses(t *testing.T) {
	for _, c := range []struct{ path, want string }{
		{"lzf", "compressed by filter lzf: gzip, shuffle and fletcher32 are read"},
		{"compound", "bytes of type compound are not read"},
		{"bool", "bytes of type enumeration are not read"},
		{"long", "elements of 16 bytes of type float are not read"},
		{"opaque", "bytes of type opaque are not read"},
		{"unwritten", "an array that was never written"},
		{"unwritten_chunks", "1 of 2 chunks: the others were never written"},
	} {
		f, err := Read(readFile(t, "refused.h5"))
		if err != nil {
			t.Fatal(err)
		}
		o, err := find(f, c.path)
		if err != nil {
			t.Fatal(err)
		}
		d, err := o.Dataset()
		if err == nil {
			_, err = d.Raw()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.path, err, c.want)
		}
	}
	for _, c := range []struct{ data, want string }{
		{"", "byte 0: no HDF5 signature"},
		{signature + "\x00\x00\x00\x00\x00\x08", "byte 14: truncated: 1 bytes are wanted here, 0 are left"},
		{signature, "byte 8: truncated: 1 bytes are wanted here, 0 are left"},
		{signature + "\x09", "byte 9: superblock version 9: 0 to 3 are known"},
		{signature + "\x02\x03\x08\x00", "byte 12: offsets of 3 and lengths of 8 bytes: 2, 4 and 8 are known"},
	} {
		if _, err := Read([]byte(c.data)); fmt.Sprint(err) != c.want {
			t.Errorf("%q: %v, want %s", c.data, err, c.want)
		}
	}
}

// readAll reads all that a file has, as far as it goes, and counts the bytes.
func readAll(data []byte) (total int, err error) {
	f, err := Read(data)
	if err != nil {
		return 0, err
	}
	root, err := f.Root()
	if err != nil {
		return 0, err
	}
	var first error
	note := func(err error) {
		if first == nil {
			first = err
		}
	}
	var walk func(o *Object, depth int)
	walk = func(o *Object, depth int) {
		for _, name := range []string{"names", "large", "variable"} {
			a, err := o.Attribute(name)
			if err == nil && a != nil {
				_, err = a.Strings()
			}
			note(err)
		}
		if !o.IsGroup() {
			d, err := o.Dataset()
			note(err)
			if err != nil || d.bytes > 1<<20 || total > 1<<25 {
				return
			}
			raw, err := d.Raw()
			note(err)
			if err == nil && len(raw) != d.bytes {
				note(fmt.Errorf("%d bytes of %d", len(raw), d.bytes))
			}
			total += len(raw)
			if d.Class == String {
				_, err := d.Strings()
				note(err)
			}
			return
		}
		links, err := o.Links()
		note(err)
		for _, l := range links {
			if depth > 8 || f.steps > maxSteps {
				return
			}
			if member, err := o.Open(l); err != nil {
				note(err)
			} else {
				walk(member, depth+1)
			}
		}
	}
	walk(root, 0)
	return total, first
}

// TestDamage cuts files short at every hundredth byte and overwrites every 101st: an error or a right answer.
func TestDamage(t *testing.T) {
	for _, name := range []string{"small.h5"} {
		data := readFile(t, name)
		for n := 0; n < len(data); n += 100 {
			readAll(data[:n])
		}
		for n := 8; n < len(data); n += 101 {
			for _, v := range []byte{0, 0x7f, 0xff} {
				broken := bytes.Clone(data)
				broken[n] = v
				readAll(broken)
			}
		}
	}
}

// TestCycles holds that parts that point at each other come to an end.
func TestCycles(t *testing.T) {
	data := readFile(t, "earliest.h5")
	f, err := Read(data)
	if err != nil {
		t.Fatal(err)
	}
	root, err := f.Root()
	if err != nil {
		t.Fatal(err)
	}
	m, ok := root.message(msgSymbolTable)
	if !ok {
		t.Fatal("the root has no symbol table")
	}
	tree := f.at(m.pos).offset()
	loop := bytes.Clone(data)
	binary.LittleEndian.PutUint64(loop[tree+8+16+8:], tree) // its first child
	f, err = Read(loop)
	if err != nil {
		t.Fatal(err)
	}
	if root, err = f.Root(); err != nil {
		t.Fatal(err)
	}
	if _, err := root.Links(); err == nil || !strings.Contains(err.Error(), "a tree of more than 64 levels") {
		t.Errorf("a tree that holds itself: %v", err)
	}
}

// TestTextsAreBounded holds that many references to one long text take no memory beyond maxText.
func TestTextsAreBounded(t *testing.T) {
	const long, refs = 1 << 20, 2000 // 2 GB of texts in a file of 1 MB
	heap := make([]byte, 16+16+long)
	copy(heap, "GCOL\x01")
	binary.LittleEndian.PutUint64(heap[8:], uint64(len(heap)))
	heap[16] = 1 // object 1
	binary.LittleEndian.PutUint64(heap[24:], long)
	copy(heap[32:], strings.Repeat("x", long))
	f := &File{data: heap, o: 8, l: 8}
	ref := binary.LittleEndian.AppendUint32(nil, long)
	ref = binary.LittleEndian.AppendUint64(ref, 0)
	ref = binary.LittleEndian.AppendUint32(ref, 1)
	d := &Dataset{f: f, Class: String, vlen: true, Size: 16, contiguous: bytes.Repeat(ref, refs), bytes: 16 * refs}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := d.Strings()
	runtime.ReadMemStats(&after)
	var broken *format.Error
	if !errors.As(err, &broken) {
		t.Errorf("2 GB of texts: %v", err)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > maxText+1<<20 {
		t.Errorf("%d bytes taken, want at most %d", took, maxText)
	}
}

// FuzzHDF5 reads damaged files: an error or an answer, within the bounds.
func FuzzHDF5(f *testing.F) {
	for _, name := range []string{"small.h5"} {
		f.Add(readFile(f, name))
	}
	f.Fuzz(func(t *testing.T, data []byte) { readAll(data) })
}

// TestBombs holds that a chunk takes no memory that it cannot fill, and no more than it says.
func TestBombs(t *testing.T) {
	var zeros bytes.Buffer
	z := zlib.NewWriter(&zeros)
	z.Write(make([]byte, 1<<20))
	z.Close()
	f := &File{o: 8, l: 8}
	bomb := func(elements, length int, data []byte) *Dataset {
		return &Dataset{f: f, Class: Uint, Size: 1, Shape: []int{elements}, chunkShape: []int{length}, bytes: elements,
			chunks: []chunk{{[]int{0}, data, 0}}, filters: []filter{{id: deflate}}}
	}
	for _, c := range []struct {
		d    *Dataset
		want string
	}{
		{bomb(1<<30, 1<<30, make([]byte, 1000)), "a chunk of 1000 bytes cannot hold 1073741824"},
		{bomb(1, 1<<30, make([]byte, 2<<20)), "chunks of shape 1073741824 for an array of 1"},
		{bomb(1000, 1000, zeros.Bytes()), "1001 bytes or more, not 1000"},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := c.d.checkChunks(f.at(0))
		if err == nil {
			_, err = c.d.Raw()
		}
		runtime.ReadMemStats(&after)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %s", err, c.want)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20 {
			t.Errorf("%s: %d bytes taken", c.want, took)
		}
	}
}
