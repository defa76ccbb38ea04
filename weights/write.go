package weights

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/durable"
	"github.com/vggo/vggo/internal/printable"
	"github.com/vggo/vggo/weights/internal/darknet"
	"github.com/vggo/vggo/weights/internal/format"
	"github.com/vggo/vggo/weights/internal/numpy"
	"github.com/vggo/vggo/weights/internal/onnx"
	"github.com/vggo/vggo/weights/internal/tensorflow"
)

// Write writes tensors to a safetensors file as F32, in the order given, with notes that may be nil. The file appears
// under its name complete or not at all; one that was there before is replaced, and may be open and mapped meanwhile.
//
// sources are the open files whose Data the tensors have. One that was shortened meanwhile, of which zeros may have
// been written (see File.Check), is an error, and then no file appears.
func Write(path string, tensors []Tensor, notes map[string]string, sources ...*File) error {
	return WriteContext(context.Background(), path, tensors, notes, sources...)
}

// WriteContext is Write that is given up when ctx ends: its cause is the error then, and no file appears.
func WriteContext(ctx context.Context, path string, tensors []Tensor, notes map[string]string, sources ...*File) error {
	header, err := safetensorsHeader(tensors, notes)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return writeFrom(ctx, path, sources, func(w io.Writer) error { return encode(w, header, tensors) })
}

// Encode writes the bytes that a file of Write holds.
func Encode(w io.Writer, tensors []Tensor, notes map[string]string) error {
	header, err := safetensorsHeader(tensors, notes)
	if err != nil {
		return err
	}
	return encode(w, header, tensors)
}

func encode(w io.Writer, header []byte, tensors []Tensor) error {
	if _, err := w.Write(header); err != nil {
		return err
	}
	for _, t := range tensors {
		if err := format.WriteFloats(w, t.Data); err != nil {
			return err
		}
	}
	return nil
}

// safetensorsHeader is the length and the JSON, padded to a multiple of 8 bytes so that a mapped reader finds its
// floats aligned.
func safetensorsHeader(tensors []Tensor, notes map[string]string) ([]byte, error) {
	if max(len(tensors), len(notes)) > format.MaxTensors {
		return nil, fmt.Errorf("%d tensors and %d notes: a file has at most %d of each", len(tensors), len(notes),
			format.MaxTensors)
	}
	type field struct {
		DType   DType  `json:"dtype"`
		Shape   []int  `json:"shape"`
		Offsets [2]int `json:"data_offsets"`
	}
	var buf bytes.Buffer
	buf.Write(make([]byte, 8))
	buf.WriteByte('{')
	put := func(name string, value any) error {
		if buf.Len() > 9 {
			buf.WriteByte(',')
		}
		key, err := json.Marshal(name)
		if err != nil {
			return err
		}
		text, err := json.Marshal(value)
		if err != nil {
			return err
		}
		buf.Write(key)
		buf.WriteByte(':')
		buf.Write(text)
		return nil
	}
	if len(notes) > 0 {
		if err := put(metadata, notes); err != nil {
			return nil, err
		}
	}
	seen := make(map[string]bool, len(tensors))
	at := 0
	for _, t := range tensors {
		if err := t.check(); err != nil {
			return nil, err
		}
		switch {
		case t.Name == metadata:
			return nil, fmt.Errorf("%q names a file's notes, not a tensor", t.Name)
		case seen[t.Name]:
			return nil, fmt.Errorf("two tensors cannot both be named %q", t.Name)
		}
		seen[t.Name] = true
		end := at + 4*len(t.Data)
		if err := put(t.Name, field{F32, append([]int{}, t.Shape...), [2]int{at, end}}); err != nil {
			return nil, err
		}
		at = end
	}
	buf.WriteByte('}')
	for buf.Len()%8 != 0 {
		buf.WriteByte(' ')
	}
	n := buf.Len() - 8
	if n > maxHeader {
		return nil, fmt.Errorf("a header of %d bytes is longer than the format's limit of %d", n, maxHeader)
	}
	binary.LittleEndian.PutUint64(buf.Bytes(), uint64(n))
	return buf.Bytes(), nil
}

// WriteNPZ writes tensors to a NumPy archive as float32, for numpy.load, in the order given, with notes that may be
// nil. The values are stored as they are and begin at multiples of 64 bytes, so that Open maps them. The file, ctx and
// sources are as for WriteContext.
func WriteNPZ(ctx context.Context, path string, tensors []Tensor, notes map[string]string, sources ...*File) error {
	return writeFrom(ctx, path, sources, func(w io.Writer) error {
		archive := numpy.NewWriter(w)
		for _, t := range tensors {
			if err := t.check(); err != nil {
				return err
			}
			if err := archive.Add(t.Name, t.Shape, t.Data); err != nil {
				return err
			}
		}
		return archive.Close(notes)
	})
}

// NPYHeader is the head of a NumPy file, .npy version 1.0, of float32 values in row-major order (numpy.lib.format). Its
// length, a multiple of 64 bytes, does not depend on the shape's numbers, so that a file whose first dimension grows
// may be given another.
func NPYHeader(shape ...int) []byte { return numpy.Header(shape...) }

// WriteNPYValues writes what comes behind an NPYHeader.
func WriteNPYValues(w io.Writer, values []float32) error { return format.WriteFloats(w, values) }

// NPYBytesHeader is NPYHeader for bytes.
func NPYBytesHeader(shape ...int) []byte { return numpy.BytesHeader(shape...) }

// WriteONNX writes a network, for the input that it is placed on, as an ONNX model (opset 13, IR 7) for batches of any
// size: input "images", of shape N,C,H,W, output "logits", or "probabilities" where the network ends with a softmax or
// a sigmoid. find returns a parameter's values, as nn's Params or a Matched have them; they are asked for one by one.
// notes, which may be nil, become metadata, and the network is noted beside them, so that Open gives back its names and
// its dropout, which an ONNX model for inference lacks.
//
// Layers that ONNX cannot say in opset 13 are an error that names the layer: adaptive pooling whose output does not
// divide its input, average pooling with dilation, local response normalisation over an even number of channels. So are
// models beyond protobuf's 2 GB. The file and ctx are as for WriteContext, sources the open files that find reads.
func WriteONNX(ctx context.Context, path string, placed *arch.Placement, find func(arch.Param) ([]float32, error),
	notes map[string]string, sources ...*File) error {
	described := *placed.Network
	described.Input = placed.Input
	var text strings.Builder
	if err := described.EncodeJSON(&text); err != nil {
		return err
	}
	noted := map[string]string{}
	maps.Copy(noted, notes)
	noted[NetworkNote] = text.String()
	model, err := onnx.Model(placed, noted)
	if err != nil {
		return err
	}
	err = writeFrom(ctx, path, sources, func(to io.Writer) error { return model.Write(to, find) })
	if err != nil && !errors.As(err, new(*durable.Error)) { // which names the file
		err = fmt.Errorf("%s: %w", path, err)
	}
	return err
}

// WriteDarknet writes a network, for the input that it is placed on, as Darknet has it: path.weights, of version 0.2,
// and the .cfg of its name beside it, which Darknet reads it with. find returns a parameter's values, as for WriteONNX.
// notes, which may be nil and whose names begin with "vggo.", stand in the .cfg as comments, but for a NetworkNote: it
// describes the network itself, in names of its own. A layer that Darknet has no section for is an error that names it.
// So is a path of another ending. The files, the .cfg first, and ctx are as for WriteContext, sources the open files
// that find reads.
func WriteDarknet(ctx context.Context, path string, placed *arch.Placement, find func(arch.Param) ([]float32, error),
	notes map[string]string, sources ...*File) error {
	stem, ok := strings.CutSuffix(path, darknet.Ending)
	if !ok {
		return fmt.Errorf("%s: its ending must be %s", path, darknet.Ending)
	}
	notes = maps.Clone(notes)
	delete(notes, NetworkNote)
	network, err := darknet.NewExport(placed, notes)
	if err != nil {
		return err
	}
	err = writeFrom(ctx, stem+".cfg", nil, func(to io.Writer) error {
		_, err := io.WriteString(to, network.Config())
		return err
	})
	if err != nil {
		return err
	}
	return writeFrom(ctx, path, sources, func(to io.Writer) error { return network.Write(to, find) })
}

// WriteTensorFlow writes a network's parameters as a checkpoint of TensorFlow's second edition, which tf.train.Saver
// restores: path.data-00000-of-00001, then path.index, under the names of the article's program (conv1_1/w) or, for
// VGGs of 11, 16 and 19 layers, of TF-slim's (vgg_16/conv1/conv1_1/weights). find returns a parameter's values, as for
// WriteONNX. notes, which may be nil and whose names begin with "vggo.", stand beside them as tensors of text. A path
// of another ending than .ckpt is an error, and a parameter that TF-slim has no name for. The files and ctx are as for
// WriteContext, sources the open files that find reads.
func WriteTensorFlow(ctx context.Context, path string, placed *arch.Placement, find func(arch.Param) ([]float32, error),
	notes map[string]string, slim bool, sources ...*File) error {
	if !strings.HasSuffix(path, tensorflow.Ending) {
		return fmt.Errorf("%s: its ending must be %s", path, tensorflow.Ending)
	}
	checkpoint, err := tensorflow.NewExport(placed, notes, slim)
	if err != nil {
		return err
	}
	err = writeFrom(ctx, path+tensorflow.ValuesEnding, sources, func(to io.Writer) error {
		return checkpoint.WriteValues(to, find)
	})
	if err != nil {
		return err
	}
	return writeFrom(ctx, path+tensorflow.IndexEnding, nil, checkpoint.WriteIndex)
}

// check is an error for a tensor whose name no file may have, or whose shape is not that of its values.
func (t Tensor) check() error {
	if err := format.CheckName(t.Name); err != nil {
		return err
	}
	if count := format.Product(t.Shape); count != len(t.Data) {
		return fmt.Errorf("tensor %q: shape %s holds %d values, not %d", t.Name, printable.Shape(t.Shape), count,
			len(t.Data))
	}
	return nil
}

// writeFrom writes a file whole, asking in the end whether the files that its values come from were whole all the
// while.
func writeFrom(ctx context.Context, path string, sources []*File, write func(io.Writer) error) error {
	return durable.WriteContext(ctx, path, func(w io.Writer) error {
		if err := write(w); err != nil {
			return err
		}
		for _, source := range sources {
			if err := source.Check(); err != nil {
				return err
			}
		}
		return nil
	})
}
