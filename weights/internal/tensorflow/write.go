package tensorflow

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"regexp"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/fault"
	"github.com/vggo/vggo/weights/internal/format"
)

// Export is a network ready to be written as a checkpoint of the second edition: one file of values, and an index.
type Export struct{ variables []*variable } // in the order of their names

// variable is a parameter as TensorFlow has it, or a note.
type variable struct {
	name         string
	param        arch.Param
	shape        []int
	order        []int  // of weights: where in ours the row of each input begins, in the order of the file
	note         []byte // a tensor of one text; nil for a parameter
	offset, size int
	sum          uint32
}

// Ending is that of a checkpoint's prefix by its authors' custom. ValuesEnding and IndexEnding follow it.
const (
	Ending       = ".ckpt"
	ValuesEnding = ".data-00000-of-00001"
	IndexEnding  = ".index"
)

// NewExport names a network's parameters as the article's program does (conv1_1/w), or as TF-slim's networks of 11, 16
// and 19 layers do (vgg_16/conv1/conv1_1/weights), whose fully connected layers are convolutions. Notes stand beside
// them as variables of texts, which no program asks for.
func NewExport(placed *arch.Placement, notes map[string]string, slim bool) (*Export, error) {
	e := &Export{}
	scope, weighing := "", 0
	for _, layer := range placed.Layers {
		switch layer.Op.(type) {
		case arch.Conv, arch.Linear:
			weighing++
		}
	}
	if slim {
		if scope = map[int]string{11: "vgg_a", 16: "vgg_16", 19: "vgg_19"}[weighing]; scope == "" {
			return nil, fmt.Errorf("%s: TF-slim has VGGs of 11, 16 and 19 layers with weights, not of %d",
				placed.Network.Name, weighing)
		}
	}
	var flat arch.Shape // of a map that was flattened since the last layer with parameters
	for _, layer := range placed.Layers {
		if _, ok := layer.Op.(arch.Flatten); ok {
			flat = layer.In
		}
		for _, p := range layer.Params {
			v := &variable{name: p.Name, param: p, shape: p.Shape}
			if slim {
				if v.name = slimName(scope, layer.Name, p.Role()); v.name == "" {
					return nil, fmt.Errorf("%s: TF-slim has no name for parameter %s: it has conv1_1, fc6 and their like",
						placed.Network.Name, p.Name)
				}
			}
			if p.Role() == "w" {
				v.lay(flat, slim)
			}
			e.variables = append(e.variables, v)
		}
		if len(layer.Params) > 0 {
			flat = arch.Shape{}
		}
	}
	for name, note := range notes {
		e.variables = append(e.variables, &variable{name: name, note: []byte(note)})
	}
	slices.SortFunc(e.variables, func(a, b *variable) int { return strings.Compare(a.name, b.name) })
	return e, nil
}

var slimLayer = regexp.MustCompile(`^(conv\d+)_\d+$|^fc\d+$`)

func slimName(scope, layer, role string) string {
	word := map[string]string{"w": "weights", "b": "biases"}[role]
	block := slimLayer.FindStringSubmatch(layer)
	switch {
	case block == nil || word == "":
		return ""
	case block[1] != "":
		layer = block[1] + "/" + layer
	}
	return scope + "/" + layer + "/" + word
}

// lay turns weights, O,I,H,W or O,I of a flattened map, into rows of outputs: H,W,I,O, where a fully connected layer's
// first three axes are one unless all are wanted.
func (v *variable) lay(flat arch.Shape, all bool) {
	ours := v.param.Shape
	c, h, w := ours[1], 1, 1
	conv := len(ours) == 4
	switch {
	case conv:
		h, w = ours[2], ours[3]
	case flat != (arch.Shape{}):
		c, h, w = flat.C, flat.H, flat.W
	}
	for y := range h {
		for x := range w {
			for i := range c {
				v.order = append(v.order, (i*h+y)*w+x)
			}
		}
	}
	if v.shape = []int{c * h * w, ours[0]}; conv || all {
		v.shape = []int{h, w, c, ours[0]}
	}
}

// WriteValues writes the values that find returns for each parameter, which their index is made of afterwards.
func (e *Export) WriteValues(w io.Writer, find func(arch.Param) ([]float32, error)) error {
	offset := 0
	for _, v := range e.variables {
		v.offset = offset
		if v.note != nil {
			raw, sum := packText(v.note)
			if _, err := w.Write(raw); err != nil {
				return err
			}
			v.size, v.sum = len(raw), sum
		} else {
			data, err := find(v.param)
			if err != nil {
				return err
			}
			sum := crc32.New(castagnoli)
			if err := v.write(io.MultiWriter(w, sum), data); err != nil {
				return err
			}
			v.size, v.sum = 4*len(data), masked(sum.Sum32())
		}
		offset += v.size
	}
	return nil
}

// packText is what textOf reads, and its checksum, which is of a length of 32 bits.
func packText(text []byte) (raw []byte, sum uint32) {
	size := binary.LittleEndian.AppendUint32(nil, uint32(len(text)))
	crc := crc32.Checksum(size, castagnoli)
	ofSize := binary.LittleEndian.AppendUint32(nil, masked(crc))
	crc = crc32.Update(crc32.Update(crc, castagnoli, ofSize), castagnoli, text)
	return slices.Concat(binary.AppendUvarint(nil, uint64(len(text))), ofSize, text), masked(crc)
}

// write writes a variable's rows some at a time, each of which reads and writes few cache lines: fc6 of VGG-16 is a
// transposition of 411 MB.
func (v *variable) write(w io.Writer, data []float32) error {
	if v.order == nil {
		return format.WriteFloats(w, data)
	}
	const tile = 64
	outs, ins := v.param.Shape[0], len(v.order)
	block := make([]float32, min(tile, ins)*outs)
	for first := 0; first < ins; first += tile {
		rows := v.order[first:min(first+tile, ins)]
		err := fault.Catch(func() error { // data may be mapped from another file
			for left := 0; left < outs; left += tile {
				for r, from := range rows {
					for o := left; o < min(left+tile, outs); o++ {
						block[r*outs+o] = data[o*ins+from]
					}
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		if err := format.WriteFloats(w, block[:len(rows)*outs]); err != nil {
			return err
		}
	}
	return nil
}

// WriteIndex writes the index of what WriteValues has written.
func (e *Export) WriteIndex(w io.Writer) error {
	producer := integer(1, 1)
	keys, values := []string{""}, [][]byte{slices.Concat(integer(1, 1), message(3, producer))}
	for _, v := range e.variables {
		var shape []byte
		for _, d := range v.shape {
			shape = append(shape, message(2, integer(1, d))...)
		}
		dtype := 1 // DT_FLOAT
		if v.note != nil {
			dtype = dtString
		}
		entry := slices.Concat(integer(1, dtype), message(2, shape), integer(4, v.offset), integer(5, v.size))
		entry = protowire.AppendFixed32(protowire.AppendTag(entry, 6, protowire.Fixed32Type), v.sum)
		keys, values = append(keys, v.name), append(values, entry)
	}
	var out bytes.Buffer
	put := func(keys []string, values [][]byte) (handle []byte) {
		block := block(keys, values)
		handle = binary.AppendUvarint(binary.AppendUvarint(nil, uint64(out.Len())), uint64(len(block)))
		out.Write(block)
		out.WriteByte(0) // as it is
		sum := crc32.Checksum(append(block, 0), castagnoli)
		out.Write(binary.LittleEndian.AppendUint32(nil, masked(sum)))
		return handle
	}
	entries := put(keys, values)
	footer := put(nil, nil)
	footer = append(footer, put(keys[len(keys)-1:], [][]byte{entries})...)
	footer = append(footer, make([]byte, footerSize-8-len(footer))...)
	out.Write(binary.LittleEndian.AppendUint64(footer, tableMagic))
	_, err := w.Write(out.Bytes())
	return err
}

// block is keys, each without what it shares with the one before, and their values. Every sixteenth is whole.
func block(keys []string, values [][]byte) (b []byte) {
	const interval = 16
	restarts := []uint32{0}
	for i, key := range keys {
		shared := 0
		if i%interval == 0 && i > 0 {
			restarts = append(restarts, uint32(len(b)))
		} else if i > 0 {
			before := keys[i-1]
			for shared < min(len(key), len(before)) && key[shared] == before[shared] {
				shared++
			}
		}
		for _, n := range []int{shared, len(key) - shared, len(values[i])} {
			b = binary.AppendUvarint(b, uint64(n))
		}
		b = append(append(b, key[shared:]...), values[i]...)
	}
	for _, at := range append(restarts, uint32(len(restarts))) {
		b = binary.LittleEndian.AppendUint32(b, at)
	}
	return b
}

func integer(field protowire.Number, v int) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, field, protowire.VarintType), uint64(v))
}

func message(field protowire.Number, content []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, field, protowire.BytesType), content)
}
