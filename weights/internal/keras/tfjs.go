package keras

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/vggo/vggo/internal/strict"
	"github.com/vggo/vggo/weights/internal/format"
)

// TensorFlow.js keeps a model in model.json (tfjs-core/src/io/types.ts, ModelJSON): Keras' description or a graph of
// TensorFlow's, and groups of tensors. A group's values lie one after another in its shards, whichever of these they
// begin and end in. Converters may store them as bytes, words or half precision (io_utils.ts, decodeWeight).

// TensorFlowJS reads model.json and the shards beside it.
var TensorFlowJS = format.Reader{
	Name:  "TensorFlow.js",
	Knows: func(in *format.Input) bool { return isTFJS(in.Data) },
	Read:  readTFJS,
}

func isTFJS(data []byte) bool { return format.IsJSON(data, "weightsManifest") }

// maxManifest bounds model.json, which has a line for each operation of a graph.
const maxManifest = 16 << 20

// maxCommas bounds what it lists, of which a tensor takes some hundred bytes of memory and may be {} in the file.
const maxCommas = 1 << 18

type manifest struct {
	Topology jsontext.Value `json:"modelTopology"`
	Groups   []group        `json:"weightsManifest"`
}

// topology is Keras' description, which stands in model_config or is all of it, or a graph.
type topology struct {
	Model   jsontext.Value `json:"model_config"`
	Version string         `json:"keras_version"`
	Backend string         `json:"backend"`
	Nodes   jsontext.Value `json:"node"`
}

// ErrGraph is said of a graph-model where package tensorflow does not read it: as a description, and in a browser.
var ErrGraph = errors.New("a graph-model of TensorFlow.js, " +
	"which is read with its shards, by --weights, and not in a browser")

// Graph is the nodes of a graph-model, as JSON, and its tensors. There are no nodes in a layers-model.
func Graph(in *format.Input) (nodes jsontext.Value, tensors *format.List, err error) {
	m, t, err := readManifest(in.Data)
	if err != nil || t.Nodes == nil {
		return nil, nil, err
	}
	tensors, err = m.tensors(in)
	return t.Nodes, tensors, err
}

// readManifest reads a model.json and its topology, whose Model is then Keras' description.
func readManifest(data []byte) (m manifest, t topology, err error) {
	if len(data) > maxManifest {
		return m, t, fmt.Errorf("a model.json of %d bytes: the most is %d", len(data), maxManifest)
	}
	if n := bytes.Count(data, []byte{','}); n > maxCommas {
		return m, t, fmt.Errorf("a model.json with %d commas: the most is %d", n, maxCommas)
	}
	if err = strict.Unmarshal(data, &m); err == nil && len(m.Topology) > 0 {
		err = strict.Unmarshal(m.Topology, &t)
	}
	if err != nil {
		return m, t, err
	}
	if t.Model == nil && t.Nodes == nil {
		t.Model = m.Topology
	}
	return m, t, nil
}

type group struct {
	Paths   []string `json:"paths"`
	Weights []spec   `json:"weights"`
}

// spec describes a tensor.
type spec struct {
	Name   string `json:"name"`
	Shape  []int  `json:"shape"`
	Type   string `json:"dtype"`
	Group  string `json:"group"` // "optimizer": a figure of the training
	Packed *struct {
		Type  string   `json:"dtype"`
		Scale *float64 `json:"scale"`
		Min   *float64 `json:"min"`
	} `json:"quantization"`
}

// tfjsTypes are those of tensors. Texts, which tell their lengths one by one, no layer has.
var tfjsTypes = map[string]format.DType{"float32": format.F32, "int32": "I32", "bool": "BOOL", "complex64": "C64"}

func readTFJS(in *format.Input) (*format.Contents, error) {
	m, t, err := readManifest(in.Data)
	if err != nil {
		return nil, err
	}
	list, err := m.tensors(in)
	if err != nil {
		return nil, err
	}
	k := &file{held: map[string]bool{}, metadata: map[string]string{}, ordered: true, list: *list}
	k.takeGroup("", k.list.Names())
	for name, text := range map[string]string{"keras_version": t.Version, "backend": t.Backend} {
		if text != "" {
			k.metadata[name] = text
		}
	}
	k.config = string(t.Model)
	c := &format.Contents{Metadata: k.metadata}
	if k.contents(c); t.Nodes != nil {
		c.Unrunnable = ErrGraph
	}
	return c, nil
}

// tensors are those of all groups.
func (m *manifest) tensors(in *format.Input) (*format.List, error) {
	list := &format.List{}
	seen := map[string]bool{} // shards: one that counts twice would let tensors be larger than the files
	for i, g := range m.Groups {
		for _, path := range g.Paths {
			if seen[path] {
				return nil, format.Fail(0, "the shard %s is listed twice", format.Clip(path))
			}
			seen[path] = true
		}
		if err := g.add(list, in, i+1); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// add adds a group's tensors, which must be all that its shards hold.
func (g *group) add(list *format.List, in *format.Input, number int) error {
	var shards [][]byte
	size, at := 0, 0
	for _, path := range g.Paths {
		if strings.Contains(path, "://") {
			return format.Fail(0, "%s is an address: the shards must lie beside model.json", format.Clip(path))
		}
		shard, err := in.Beside(path)
		if errors.Is(err, fs.ErrNotExist) {
			return format.Fail(0, "%s is not beside it: a model of TensorFlow.js is opened by its path, with all its shards",
				format.Clip(path))
		}
		if err != nil {
			return format.Fail(0, "%v", err)
		}
		shards = append(shards, shard)
		size += len(shard)
	}
	for _, s := range g.Weights {
		t, stored, err := s.tensor()
		if err != nil {
			return err
		}
		n, ok := format.Size(s.Shape, stored, size-at)
		if !ok {
			return format.Fail(0, "group %d has %d bytes in its shards: tensor %q begins at %d and does not fit", number, size,
				format.Clip(s.Name), at)
		}
		from := at
		t.Fetch = func() ([]byte, error) { return s.unpack(between(shards, from, from+n)), nil }
		if at += n; s.Group == "optimizer" {
			continue
		}
		if err := list.Add(t); err != nil {
			return format.Fail(0, "%v", err)
		}
	}
	if at != size {
		return format.Fail(0, "group %d has %d bytes in its shards, and tensors for %d", number, size, at)
	}
	return nil
}

// between is what lies in shards from one byte to another: a part of one shard, or a copy from several.
func between(shards [][]byte, from, to int) (all []byte) {
	for _, s := range shards {
		if a, b := max(from, 0), min(to, len(s)); a < b {
			if all == nil {
				all = s[a:b:b]
			} else {
				all = append(all, s[a:b]...)
			}
		}
		from, to = from-len(s), to-len(s)
	}
	return all
}

// tensor is what a spec lists, and the bytes of one value as it is stored.
func (s *spec) tensor() (t format.Tensor, stored int, err error) {
	t = format.Tensor{Name: s.Name, Shape: s.Shape, DType: tfjsTypes[s.Type]}
	stored = t.DType.Size()
	switch p := s.Packed; {
	case stored == 0:
		err = format.Fail(0, "tensor %q is of type %q: float32, int32, bool and complex64 are read", format.Clip(s.Name),
			format.Clip(s.Type))
	case p == nil:
	case p.Type == "float16" && s.Type == "float32":
		t.DType, stored = format.F16, 2
	case (p.Type == "uint8" || p.Type == "uint16") && (s.Type == "float32" || s.Type == "int32"):
		if stored = 1; p.Type == "uint16" {
			stored = 2
		}
		if p.Scale == nil || p.Min == nil {
			err = format.Fail(0, "tensor %q is quantised without a scale or a min", format.Clip(s.Name))
		}
	default:
		err = format.Fail(0, "tensor %q of type %s is quantised as %q: uint8, uint16 and, of float32, float16 are read",
			format.Clip(s.Name), s.Type, format.Clip(p.Type))
	}
	return t, stored, err
}

// unpack makes a tensor's values of what is stored. As in JavaScript the arithmetic is float64's, and is rounded once.
func (s *spec) unpack(raw []byte) []byte {
	p := s.Packed
	if p == nil || p.Type == "float16" {
		return raw
	}
	width := 1
	if p.Type == "uint16" {
		width = 2
	}
	out := make([]byte, 0, len(raw)/width*4)
	for i := 0; i < len(raw); i += width {
		q := uint16(raw[i])
		if width == 2 {
			q = binary.LittleEndian.Uint16(raw[i:])
		}
		v := float64(float64(q)**p.Scale) + *p.Min
		bits := math.Float32bits(float32(v))
		if s.Type == "int32" {
			bits = uint32(int32(math.Floor(v + 0.5)))
		}
		out = binary.LittleEndian.AppendUint32(out, bits)
	}
	return out
}
