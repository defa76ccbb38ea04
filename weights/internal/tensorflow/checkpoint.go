package tensorflow

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/vggo/vggo/weights/internal/format"
	"github.com/vggo/vggo/weights/internal/proto"
)

// checkpoint is the variables of a program, by their names.
type checkpoint struct {
	tensors []format.Tensor
	set     map[string]bool   // of the optimiser, by the tensors' names
	notes   map[string]string // vggo's own
}

// readCheckpoint reads a table: a checkpoint's first edition whole, or the index of the second.
func readCheckpoint(in *format.Input) (*checkpoint, error) {
	t, err := openTable(in.Data)
	if err != nil {
		return nil, err
	}
	if len(t.blocks) == 0 {
		return nil, format.Fail(0, "a checkpoint without tensors")
	}
	block, err := t.block(t.blocks[0], true)
	if err != nil {
		return nil, err
	}
	done := errors.New("done")
	var head []byte
	err = t.entries(t.blocks[0], block, func(key, value []byte) error {
		if len(key) > 0 {
			return format.Fail(0, "a table that is no checkpoint of TensorFlow's: its first key is %q", clip(key))
		}
		head = value
		return done
	})
	switch {
	case err != done:
		return nil, cmp.Or(err, format.Fail(0, "a checkpoint without tensors"))
	case len(head) > 0 && head[0] == 1<<3|2: // a message, where the second edition has a number
		return readV1(in, t)
	}
	return readV2(in, t, head)
}

func clip(b []byte) string { return format.Clip(string(b[:min(len(b), format.MaxName)])) }

// inSlices is a variable of which a part alone is kept under a key.
const inSlices = "variable %q is kept in slices, as a partitioned one is: save it whole, without a partitioner"

// readV1 reads SavedTensorSlices (tensorflow/core/util/saved_tensor_slice.proto), the values of all files that the
// checkpoint is cut into.
func readV1(in *format.Input, t *table) (*checkpoint, error) {
	c := &checkpoint{}
	shards := []string{in.Name}
	if m := v1Shard.FindStringSubmatch(in.Name); m != nil {
		var err error
		if shards, err = shardNames(m[1]+"-", m[2]); err != nil {
			return nil, err
		}
	}
	for _, name := range shards {
		t := t
		if name != in.Name {
			data, err := beside(in, name)
			if err != nil {
				return nil, err
			}
			if !isTable(data) {
				return nil, format.Fail(0, "%s beside it is none of its files, or truncated", name)
			}
			if t, err = openTable(data); err != nil {
				return nil, fmt.Errorf("%s beside it: %w", name, err)
			}
		}
		if err := c.addV1(t); err != nil {
			return nil, err
		}
	}
	return c, nil
}

var v1Shard = regexp.MustCompile(`^(.*)-\d{5}-of-(\d{5})$`)

// shardNames are those of a number of files.
func shardNames(prefix, count string) (names []string, err error) {
	var n int
	if _, err := fmt.Sscan(strings.TrimLeft(count, "0"), &n); err != nil || n < 1 || n > maxShards {
		return nil, format.Fail(0, "in %s files: 1 to %d are read", count, maxShards)
	}
	for i := range n {
		names = append(names, fmt.Sprintf("%s%05d-of-%05d", prefix, i, n))
	}
	return names, nil
}

// maxShards bounds the files of one checkpoint; each is mapped.
const maxShards = 200

// beside opens another file of a checkpoint.
func beside(in *format.Input, name string) ([]byte, error) {
	data, err := in.Beside(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, format.Fail(0, "the checkpoint has values in %s, which is not beside it", format.Clip(name))
	}
	return data, err
}

// addV1 lists the tensors of one file.
func (c *checkpoint) addV1(t *table) error {
	types := map[string]proto.Message{}
	for i, h := range t.blocks {
		block, err := t.block(h, false)
		if err != nil {
			return err
		}
		err = t.entries(h, block, func(key, value []byte) error {
			m, err := proto.Decode(value, int64(h.at), savedSlices)
			if err != nil {
				return err
			}
			if i == 0 && len(key) == 0 {
				for _, v := range m.Message("meta")["tensor"] {
					types[v.Message.Text("name")] = v.Message
				}
				return nil
			}
			saved := m.Message("data")
			name := saved.Text("name")
			kind, ok := types[name]
			if !ok {
				return format.Fail(int64(h.at), "values of %q, which the checkpoint does not list", format.Clip(name))
			}
			if isSlice(saved.Message("slice")) || len(kind["slice"]) > 1 {
				return format.Fail(int64(h.at), inSlices, format.Clip(name))
			}
			tensor, ok, err := tensorOf(name, kind, saved.Message("data"))
			if !ok || err != nil {
				return err
			}
			if t.data[h.at+h.size] != 0 || h.size > checkedAtOnce { // to be unpacked or checked first
				at := bytes.Clone(key)
				tensor.Raw, tensor.Fetch = nil, func() ([]byte, error) { return t.fetchV1(h, at, kind) }
			}
			c.tensors = append(c.tensors, tensor)
			delete(types, name)
			return nil
		})
		if err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(types)) {
		if _, listed, _ := tensorOf(name, types[name], nil); listed {
			return format.Fail(0, "no values of variable %q", format.Clip(name))
		}
	}
	return nil
}

// fetchV1 is the values under a key of a block.
func (t *table) fetchV1(h handle, at []byte, kind proto.Message) (raw []byte, err error) {
	block, err := t.block(h, true)
	if err != nil {
		return nil, err
	}
	err = t.entries(h, block, func(key, value []byte) error {
		if !bytes.Equal(key, at) {
			return nil
		}
		m, err := proto.Decode(value, int64(h.at), savedSlices)
		if err != nil {
			return err
		}
		tensor, _, err := tensorOf("", kind, m.Message("data").Message("data"))
		raw = tensor.Raw
		return err
	})
	return raw, err
}

func isSlice(slice proto.Message) bool {
	return slices.ContainsFunc(slice["extent"], func(v proto.Value) bool { return v.Message.Has("length") })
}

// readV2 reads an index of BundleEntryProto (tensorflow/core/protobuf/tensor_bundle.proto). The values lie in other
// files one after another.
func readV2(in *format.Input, t *table, head []byte) (*checkpoint, error) {
	header, err := proto.Decode(head, 0, bundleHeader)
	if err != nil {
		return nil, err
	}
	if header.Number("endianness", 0) != 0 {
		return nil, format.Fail(0, "a checkpoint of a big-endian machine")
	}
	prefix, ok := strings.CutSuffix(in.Name, ".index")
	if !ok {
		return nil, format.Fail(0, "the index of a checkpoint, whose name must end in .index, as those of its values tell")
	}
	names, err := shardNames(prefix+".data-", fmt.Sprint(int(header.Number("num_shards", 0))))
	if err != nil {
		return nil, err
	}
	shards := map[int][]byte{}
	c := &checkpoint{set: map[string]bool{}, notes: map[string]string{}}
	var graph []byte
	for _, h := range t.blocks {
		block, err := t.block(h, true)
		if err != nil {
			return nil, err
		}
		err = t.entries(h, block, func(key, value []byte) error {
			if len(key) == 0 {
				return nil
			}
			if len(key) > format.MaxName {
				return format.Fail(int64(h.at), "a name of %d bytes: the most is %d", len(key), format.MaxName)
			}
			name := string(key)
			entry, err := proto.Decode(value, int64(h.at), bundleEntry)
			if err != nil {
				return err
			}
			dtype := dtypes[entry.Number("dtype", 0)]
			texts := name == objectGraph || strings.HasPrefix(name, ownNotes) && entry.Number("dtype", 0) == dtString
			if dtype == "" && !texts {
				return nil
			}
			if entry.Has("slice") {
				return format.Fail(int64(h.at), inSlices, format.Clip(name))
			}
			i := int(entry.Number("shard_id", 0))
			if i < 0 || i >= len(names) {
				return format.Fail(int64(h.at), "%q in file %d of %d", format.Clip(name), i, len(names))
			}
			if shards[i] == nil {
				if shards[i], err = beside(in, names[i]); err != nil {
					return err
				}
			}
			at, size := entry.Number("offset", 0), entry.Number("size", 0)
			if n := float64(len(shards[i])); !(at >= 0 && size >= 0 && at <= n && size <= n-at) {
				return format.Fail(int64(h.at), "%s is truncated: %q is %.0f bytes from byte %.0f of its %.0f", names[i],
					format.Clip(name), size, at, n)
			}
			raw := shards[i][int(at):][:int(size):int(size)]
			sum := uint32(entry.Number("crc32c", 0))
			if texts {
				content, err := textOf(name, raw, sum)
				if name == objectGraph {
					graph = content
				} else if c.notes[name] = string(content); len(c.notes) > format.MaxTensors {
					err = format.Fail(0, "more than %d notes", format.MaxTensors)
				}
				return err
			}
			tensor := format.Tensor{Name: name, Shape: shapeOf(entry.Message("shape")), DType: dtype}
			if n, ok := format.Size(tensor.Shape, dtype.Size(), len(raw)); !ok || n != len(raw) {
				return format.Fail(int64(h.at), "%q of shape %v in %d bytes", format.Clip(name), tensor.Shape, len(raw))
			}
			tensor.Fetch = func() ([]byte, error) {
				if masked(crc32.Checksum(raw, castagnoli)) != sum {
					return nil, fmt.Errorf("damaged: the checksum of its values in %s differs", names[i])
				}
				return raw, nil
			}
			c.tensors = append(c.tensors, tensor)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return c, c.rename(graph)
}

// objectGraph is the key of what Keras and tf.train.Checkpoint say of their variables.
const objectGraph = "_CHECKPOINTABLE_OBJECT_GRAPH"

const (
	ownNotes = "vggo." // begins the names of vggo's own
	dtString = 7       // DT_STRING
)

// textOf is the one text of a tensor of texts: its length, a checksum of that, the text.
func textOf(name string, raw []byte, sum uint32) ([]byte, error) {
	size, n := binary.Uvarint(raw)
	if n <= 0 || len(raw)-n < 4 || size != uint64(len(raw)-n-4) || size > 1<<32-1 {
		return nil, format.Fail(0, "%s is broken", format.Clip(name))
	}
	crc := crc32.Checksum(binary.LittleEndian.AppendUint32(nil, uint32(size)), castagnoli)
	if crc = crc32.Update(crc, castagnoli, raw[n:]); masked(crc) != sum {
		return nil, format.Fail(0, "damaged: the checksum of %s differs", format.Clip(name))
	}
	return raw[n+4:], nil
}

// attribute is how keys of an object graph end.
const attribute = "/.ATTRIBUTES/VARIABLE_VALUE"

// rename gives the tensors of an object graph (tensorflow/core/protobuf/trackable_object_graph.proto) the variables'
// own names, where they have some, and tells those of an optimiser.
func (c *checkpoint) rename(graph []byte) error {
	if graph == nil {
		return nil
	}
	m, err := proto.Decode(graph, 0, trackable)
	if err != nil {
		return fmt.Errorf("%s: %w", objectGraph, err)
	}
	own, times := map[string]string{}, map[string]int{}
	for _, node := range m["node"] {
		for _, v := range node.Message["attribute"] {
			name := v.Message.Text("full_name")
			if key := v.Message.Text("key"); own[key] == "" && name != "" {
				own[key] = name
				times[name]++
			}
		}
	}
	kept := c.tensors[:0]
	for _, t := range c.tensors {
		key := t.Name
		t.Name = strings.TrimSuffix(key, attribute)
		if name := own[key]; times[name] == 1 && format.CheckName(name) == nil {
			t.Name = name
		}
		words := strings.Split(key, "/")
		switch {
		case words[0] == "save_counter" || words[0] == "keras_api" || slices.Contains(words, "_counter"):
			continue
		case slices.Contains(words, ".OPTIMIZER_SLOT") || strings.Contains(words[0], "optimizer"):
			c.set[t.Name] = true
		}
		kept = append(kept, t)
	}
	c.tensors = kept
	return nil
}

// slotName is what an optimiser of TensorFlow 1 calls a value that it keeps of a variable, behind the variable's name.
var slotName = regexp.MustCompile(`^(Momentum|Adam|AdaMax|RMSProp|Adagrad|AdagradDA|Adadelta|Ftrl|Lars|LARS|Lamb|` +
	`gradient_accumulator|gradient_squared_accumulator)(_\d+)?$`)

// averaged is what tf.train.ExponentialMovingAverage calls its.
const averaged = "ExponentialMovingAverage"

// contents parts the network's weights from averaged ones, from what an optimiser keeps and from counts.
func (c *checkpoint) contents() (*format.Contents, error) {
	out := &format.Contents{Metadata: c.notes, HWIO: true}
	var plain, single []format.Tensor
	means := map[string]format.Tensor{}
	slots := map[string]int{}
	weighs := slices.ContainsFunc(c.tensors, func(t format.Tensor) bool { return len(t.Shape) > 0 })
	for _, t := range c.tensors {
		scope, word := path.Split(t.Name)
		switch slot := slotName.FindStringSubmatch(word); {
		case c.set[t.Name]:
			slots["optimizer"]++
		case slot != nil && scope != "":
			slots[slot[1]]++
		case word == averaged:
			means[strings.TrimSuffix(scope, "/")] = t
		case word == "mean_rgb" && slices.Equal(t.Shape, []int{3}) && t.DType == format.F32: // as TF-slim keeps it
			mean, err := t.Floats()
			if err != nil {
				return nil, fmt.Errorf("tensor %q: %w", t.Name, err)
			}
			out.Pictures = &format.Pictures{Mean: slices.Clone(mean), Bytes: true, Order: "RGB", Told: t.Name}
		case weighs && len(t.Shape) == 0: // the step, powers of an optimiser's rates
			single = append(single, t)
		default:
			plain = append(plain, t)
		}
	}
	out.Parts = []format.Part{{Tensors: plain}}
	if len(means) > 0 {
		of := format.Part{Name: averaged}
		for _, t := range plain { // those that are not averaged, as batch norm's, are the plain ones
			if mean, ok := means[t.Name]; ok {
				mean.Name = t.Name
				t = mean
				delete(means, t.Name)
			}
			of.Tensors = append(of.Tensors, t)
		}
		if out.Parts = append(out.Parts, of); len(plain) == 0 {
			for _, name := range slices.Sorted(maps.Keys(means)) {
				t := means[name]
				t.Name = name
				out.Parts[1].Tensors = append(out.Parts[1].Tensors, t)
			}
			out.Parts = out.Parts[1:]
		}
	}
	for _, t := range single {
		out.Parts = append(out.Parts, format.Part{Name: t.Name, Tensors: []format.Tensor{t}, Single: true})
	}
	for _, slot := range slices.Sorted(maps.Keys(slots)) {
		out.Parts = append(out.Parts, format.Part{Name: slot, Unread: "the optimiser's values", Count: slots[slot]})
	}
	return out, nil
}
