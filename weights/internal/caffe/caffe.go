// Package caffe reads Caffe's models: a NetParameter of caffe.proto, in binary with trained weights (.caffemodel) or as
// text without (.prototxt), of layers as they have been since 2014 (field "layer") or as they were before ("layers").
// Convolutions are O,I,H,W, fully connected weights O,I over a map in C,H,W order. Pictures have blue first and samples
// of 0 to 255.
package caffe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/weights/internal/chain"
	"github.com/vggo/vggo/weights/internal/format"
	"github.com/vggo/vggo/weights/internal/proto"
)

// Reader reads them.
var Reader = format.Reader{
	Name:  "Caffe",
	Knows: func(in *format.Input) bool { return isModel(in.Data) || isPrototxt(in.Data) },
	Read:  read,
}

// Description reads a .prototxt.
var Description = format.Description{Knows: isPrototxt, Read: func(data []byte) (*arch.Placement, error) {
	return chain.Description(readText(data))
}}

// readText is a network without weights.
func readText(data []byte) (*format.Contents, error) {
	n := &network{contents: &format.Contents{}}
	net, err := parse(data)
	if err == nil {
		n.describe(net)
	}
	return n.contents, err
}

// isModel knows a NetParameter by its first layer, which has a name and a type.
func isModel(data []byte) bool {
	for field, layer := range format.Fields(data) {
		switch field {
		case 100:
			return format.HasTexts(layer, 1, 2)
		case 2:
			return format.HasTexts(layer, 4) && (format.HasTexts(layer, 3) || format.HasTexts(layer, 2))
		}
	}
	return false
}

func read(in *format.Input) (*format.Contents, error) {
	if !isModel(in.Data) {
		return nil, format.Fail(0, "a network's description without weights: --model takes it")
	}
	n := &network{contents: &format.Contents{}, blobs: map[string][]format.Tensor{}}
	net, err := proto.Decode(in.Data, 0, netProto)
	if err != nil {
		return nil, err
	}
	for _, l := range layersOf(net) {
		if err := n.weights(l); err != nil {
			return nil, fmt.Errorf("layer %q: %w", format.Clip(l.Text("name")), err)
		}
	}
	n.contents.Tensors = n.tensors.Tensors
	beside, err := n.prototxt(in)
	if err != nil {
		return nil, err
	}
	if beside != nil {
		net = beside
	}
	n.describe(net)
	return n.contents, nil
}

// prototxt is the network of a text beside the model, which says more: the size of the pictures, for one. It is one of
// the model's name or deploy.prototxt, and its layers with weights are the model's.
func (n *network) prototxt(in *format.Input) (proto.Message, error) {
	stem := strings.TrimSuffix(in.Name, ".caffemodel")
	for _, name := range []string{stem + ".prototxt", stem + "_deploy.prototxt", "deploy.prototxt"} {
		data, err := in.Beside(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		m, err := parse(data)
		if err != nil {
			return nil, fmt.Errorf("%s beside it: %w", name, err)
		}
		layers := layersOf(m)
		others := func(l proto.Message) bool {
			kind := typeOf(l)
			return (kind == "Convolution" || kind == "InnerProduct") && n.blobs[l.Text("name")] == nil
		}
		if len(layers) > 0 && !slices.ContainsFunc(layers, others) {
			return m, nil
		}
	}
	return nil, nil
}

// layersOf lists a network's layers that are there when it is run and not trained, behind those that read the pictures
// to train with, which tell of these what no other does.
func layersOf(net proto.Message) (list []proto.Message) {
	var training []proto.Message
	for _, v := range append(net["layers"], net["layer"]...) {
		l := v.Message
		phase := func(rules string) bool {
			return slices.ContainsFunc(l[rules], func(r proto.Value) bool { return r.Message.Text("phase") == "TEST" })
		}
		if l.Has("include") && !phase("include") && l.Message("include").Has("phase") || phase("exclude") {
			if isData(typeOf(l)) {
				training = append(training, l)
			}
			if !l.Has("blobs") {
				continue
			}
		}
		list = append(list, l)
	}
	return append(training, list...)
}

// typeOf is a layer's, by its name of today.
func typeOf(l proto.Message) string {
	kind := l.Text("type")
	if now := newTypes[kind]; now != "" {
		return now
	}
	return kind
}

func isData(kind string) bool { return strings.HasSuffix(kind, "Data") || kind == "Input" }

// weights lists a layer's blobs.
func (n *network) weights(l proto.Message) error {
	kind, name := typeOf(l), l.Text("name")
	for i, b := range l["blobs"] {
		t, err := tensor(b.Message)
		if err != nil {
			return err
		}
		role := fmt.Sprint(i)
		if kind == "Convolution" || kind == "InnerProduct" || kind == "Scale" {
			role = []string{"weight", "bias", "2"}[min(i, 2)]
		}
		rank := map[string]int{"weight": 2, "bias": 1}[role]
		if kind != "InnerProduct" && rank == 2 {
			rank = 4
		}
		if rank == 0 || kind == "Scale" {
			rank = 1
		}
		for len(t.Shape) > rank && t.Shape[0] == 1 { // blobs had four axes once, whatever was in them
			t.Shape = t.Shape[1:]
		}
		t.Name = name + "." + role
		if err := n.tensors.Add(t); err != nil {
			return err
		}
		n.blobs[name] = append(n.blobs[name], t)
	}
	return nil
}

// tensor is a BlobProto.
func tensor(b proto.Message) (t format.Tensor, err error) {
	t.DType = format.F32
	chunks := b["data"]
	if b.Has("double_data") {
		t.DType, chunks = format.F64, b["double_data"]
	}
	if b.Has("shape") {
		for _, d := range b.Message("shape").Numbers("dim") {
			t.Shape = append(t.Shape, int(d))
		}
	} else {
		for _, axis := range []string{"num", "channels", "height", "width"} {
			t.Shape = append(t.Shape, int(b.Number(axis, 0)))
		}
	}
	total := 0
	for _, c := range chunks {
		total += len(c.Bytes)
	}
	if size, ok := format.Size(t.Shape, t.DType.Size(), total); !ok || size != total {
		return t, fmt.Errorf("a blob of %v values in %d bytes", t.Shape, total)
	}
	if len(chunks) == 1 {
		t.Raw = chunks[0].Bytes
		return t, nil
	}
	t.Fetch = func() ([]byte, error) {
		whole := make([]byte, 0, total)
		for _, c := range chunks {
			whole = append(whole, c.Bytes...)
		}
		return whole, nil
	}
	return t, nil
}

// inputOf is what a network says of its pictures' size, and the name of their blob.
func inputOf(net proto.Message) (name string, shape arch.Shape) {
	sides := net.Numbers("input_dim")
	if net.Has("input_shape") {
		sides = net.Message("input_shape").Numbers("dim")
	}
	if net.Has("input") {
		name = net["input"][0].Text
	}
	return name, shapeOf(sides)
}

// shapeOf is a size of N,C,H,W, as far as it is told.
func shapeOf(sides []float64) arch.Shape {
	if len(sides) < 4 {
		return arch.Shape{}
	}
	return arch.Shape{C: int(sides[1]), H: int(sides[2]), W: int(sides[3])}
}

// one is a blob's only number.
func one(t format.Tensor) (float32, bool) {
	raw, err := t.Bytes()
	if err != nil || len(raw) != 4 {
		return 0, false
	}
	return math.Float32frombits(binary.LittleEndian.Uint32(raw)), true
}
