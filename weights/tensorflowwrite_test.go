package weights

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/storage"
	"github.com/syndtr/goleveldb/leveldb/table"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/arch/archtest"
)

// sliding gives every parameter of a network values that tell where they are from.
func sliding(p arch.Param) ([]float32, error) {
	data := make([]float32, p.Count())
	for i := range data {
		data[i] = float32(len(p.Name)) + float32(i)/1024
	}
	return data, nil
}

// bundled is a tensor as goleveldb and protowire see it.
type bundled struct {
	dtype uint64
	shape []int
	raw   []byte
}

// readBundle reads a checkpoint without vggo: the table by goleveldb, which checks every block, the entries by
// protowire, the values by their checksums.
func readBundle(t *testing.T, prefix string) map[string]bundled {
	t.Helper()
	index, err := os.ReadFile(prefix + ".index")
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(prefix + ".data-00000-of-00001")
	if err != nil {
		t.Fatal(err)
	}
	r, err := table.NewReader(bytes.NewReader(index), int64(len(index)), storage.FileDesc{}, nil, nil,
		&opt.Options{Strict: opt.StrictAll})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	found := map[string]bundled{}
	it := r.NewIterator(nil, nil)
	defer it.Release()
	for it.Next() {
		fields := fieldsOf(t, it.Value())
		if len(it.Key()) == 0 {
			if fields[1][0].n != 1 || fieldsOf(t, fields[3][0].b)[1][0].n != 1 {
				t.Errorf("the header is %v", fields)
			}
			continue
		}
		at, size, sum := fields[4][0].n, fields[5][0].n, uint32(fields[6][0].n)
		b := bundled{dtype: fields[1][0].n, raw: data[at:][:size]}
		for _, d := range fieldsOf(t, fields[2][0].b)[2] {
			b.shape = append(b.shape, int(fieldsOf(t, d.b)[1][0].n))
		}
		crc := crc32.Checksum(b.raw, crc32.MakeTable(crc32.Castagnoli))
		if b.dtype == 7 { // of a text the checksum is of its length in 32 bits, of that one's checksum and of itself
			size, n := binary.Uvarint(b.raw)
			crc = crc32.Checksum(slices.Concat(binary.LittleEndian.AppendUint32(nil, uint32(size)), b.raw[n:]),
				crc32.MakeTable(crc32.Castagnoli))
			b.raw = b.raw[n+4:]
		}
		if rotated := sum - 0xa282ead8; rotated>>17|rotated<<15 != crc {
			t.Errorf("%s: checksum %x, its values' is %x", it.Key(), sum, crc)
		}
		found[string(it.Key())] = b
	}
	if err := it.Error(); err != nil {
		t.Fatal(err)
	}
	return found
}

type protoField struct {
	n uint64
	b []byte
}

func fieldsOf(t *testing.T, data []byte) map[protowire.Number][]protoField {
	t.Helper()
	fields := map[protowire.Number][]protoField{}
	for len(data) > 0 {
		num, typ, n := protowire.ConsumeTag(data)
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		data = data[n:]
		var f protoField
		switch typ {
		case protowire.VarintType:
			f.n, n = protowire.ConsumeVarint(data)
		case protowire.Fixed32Type:
			var v uint32
			v, n = protowire.ConsumeFixed32(data)
			f.n = uint64(v)
		default:
			f.b, n = protowire.ConsumeBytes(data)
		}
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		fields[num], data = append(fields[num], f), data[n:]
	}
	return fields
}

// TestWriteTensorFlow: a checkpoint that was written is one to an independent reader too, with every value to the bit
// where TensorFlow looks for it, and comes back.
func TestWriteTensorFlow(t *testing.T) {
	const vgg16 = "32x32x3:2,3,M,2,2,M,2,2,2,M,2,2,2,M,2,2,70,M/3,66,2"
	for _, c := range []struct {
		spec  string
		slim  bool
		names map[string][]int // some of the variables
	}{
		{"8x8x3:2,M,5,M/3,2", false, map[string][]int{"conv1_1/w": {3, 3, 3, 2}, "conv1_1/b": {2}, "fc3/w": {20, 3}}},
		{"8x8x3:2b,M/3", false, map[string][]int{"bn1_1/gamma": {2}, "fc2/w": {32, 3}}},
		{vgg16, false, map[string][]int{"conv5_3/w": {3, 3, 2, 70}, "fc6/w": {70, 3}}},
		{vgg16, true, map[string][]int{"vgg_16/conv5/conv5_3/weights": {3, 3, 2, 70}, "vgg_16/fc6/weights": {1, 1, 70, 3},
			"vgg_16/fc6/biases": {3}}},
		{"64x64x3:" + vgg16[len("32x32x3:"):], true, map[string][]int{"vgg_16/fc6/weights": {2, 2, 70, 3}}},
	} {
		net, err := arch.Compact("vgg", c.spec, arch.ImageNetInput)
		if err != nil {
			t.Fatal(err)
		}
		placed := archtest.Place(t, net)
		prefix := filepath.Join(t.TempDir(), "model.ckpt")
		notes := map[string]string{"vggo.test": "a note"}
		if err := WriteTensorFlow(context.Background(), prefix, placed, sliding, notes, c.slim); err != nil {
			t.Fatal(err)
		}
		found := readBundle(t, prefix)
		for name, shape := range c.names {
			if !slices.Equal(found[name].shape, shape) {
				t.Errorf("%s: %s is of shape %v, want %v", c.spec, name, found[name].shape, shape)
			}
		}
		if b := found["vggo.test"]; string(b.raw) != "a note" || b.dtype != 7 {
			t.Errorf("the note is %+v", b)
		}
		f := open(t, prefix)
		m, err := Match(f, placed.Layers)
		if err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(f.Metadata, notes) || len(found) != len(f.Names())+1 {
			t.Errorf("notes %v, tensors %v", f.Metadata, f.Names())
		}
		flat := arch.Shape{}
		for _, layer := range placed.Layers {
			if layer.Op.Kind() == "flatten" {
				flat = layer.In
			}
			for _, p := range layer.Params {
				want, _ := sliding(p)
				back, err := m.Param(p)
				if err != nil || !slices.Equal(back, want) {
					t.Errorf("%s: %s does not come back (%v)", c.spec, p.Name, err)
				}
				if p.Role() != "w" {
					continue
				}
				name := p.Name
				if c.slim {
					name = "vgg_16/" + layer.Name + "/weights"
					if strings.HasPrefix(layer.Name, "conv") {
						name = fmt.Sprintf("vgg_16/%s/%s/weights", layer.Name[:5], layer.Name)
					}
				}
				checkRows(t, name, found[name].raw, want, p.Shape, flat)
				flat = arch.Shape{}
			}
		}
	}
}

// checkRows holds bytes of rows, columns, in, out against our weights, by the definition of both orders.
func checkRows(t *testing.T, name string, raw []byte, ours []float32, shape []int, flat arch.Shape) {
	t.Helper()
	outs, ins, h, w := shape[0], shape[1], 1, 1
	if len(shape) == 4 {
		h, w = shape[2], shape[3]
	} else if flat.C > 0 {
		ins, h, w = flat.C, flat.H, flat.W
	}
	if len(raw) != 4*len(ours) {
		t.Fatalf("%s: %d bytes", name, len(raw))
	}
	for i, v := range ours {
		o, in, y, x := i/(ins*h*w), i/(h*w)%ins, i/w%h, i%w
		at := ((y*w+x)*ins+in)*outs + o
		if got := math.Float32frombits(binary.LittleEndian.Uint32(raw[4*at:])); got != v {
			t.Fatalf("%s: value %d is %v, want %v", name, at, got, v)
		}
	}
}

// TestWriteTensorFlowRefuses: what TF-slim has no names for, and another ending.
func TestWriteTensorFlowRefuses(t *testing.T) {
	placed, _ := tfNetwork(t)
	named := *placed.Network
	named.Layers = nil
	for i := range 16 {
		op := arch.Conv{Out: 2, Window: arch.Window{Kernel: arch.Square(1)}}
		named.Layers = append(named.Layers, arch.Layer{Name: fmt.Sprintf("layer%d", i), Op: op})
	}
	for _, c := range []struct {
		path   string
		placed *arch.Placement
		want   string
	}{
		{"x.tf", placed, "its ending must be .ckpt"}, {"x.ckpt", placed, "of 11, 16 and 19 layers"},
		{"x.ckpt", archtest.Place(t, &named), "no name for parameter layer0/w"},
	} {
		folder := t.TempDir()
		err := WriteTensorFlow(context.Background(), filepath.Join(folder, c.path), c.placed, sliding, nil, true)
		if files, _ := os.ReadDir(folder); err == nil || !strings.Contains(err.Error(), c.want) || len(files) > 0 {
			t.Errorf("%v, files %v, want %q", err, files, c.want)
		}
	}
}
