//go:build !js

package serve

import (
	"errors"
	"fmt"
	"math"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/vggo/vggo/tensor"
)

// The messages of inference.proto are read and written here, field by field, and tensors' bytes stay where they are in
// a message: so it takes no more memory than its own bytes, whatever it says of itself. What protoc generates makes a
// struct of 150 bytes out of each empty element, which takes two in a message.

// field is one field of a message with its value, in number or bytes.
type field struct {
	of     string // for errors: "an input"
	num    protowire.Number
	typ    protowire.Type
	number uint64
	bytes  []byte // of a fixed32 too
}

// eachField goes through a message.
func eachField(of string, message []byte, do func(field) error) error {
	for len(message) > 0 {
		num, typ, n := protowire.ConsumeTag(message)
		if n < 0 {
			return fmt.Errorf("%s is not as inference.proto has it: %w", of, protowire.ParseError(n))
		}
		message = message[n:]
		f := field{of: of, num: num, typ: typ}
		switch typ {
		case protowire.VarintType:
			f.number, n = protowire.ConsumeVarint(message)
		case protowire.Fixed32Type:
			if _, n = protowire.ConsumeFixed32(message); n > 0 {
				f.bytes = message[:n]
			}
		case protowire.Fixed64Type:
			f.number, n = protowire.ConsumeFixed64(message)
		case protowire.BytesType:
			f.bytes, n = protowire.ConsumeBytes(message)
		default: // groups
			return f.unknown()
		}
		if n < 0 {
			return fmt.Errorf("field %d of %s is cut off or broken: %w", num, of, protowire.ParseError(n))
		}
		message = message[n:]
		if err := do(f); err != nil {
			return err
		}
	}
	return nil
}

func (f field) unknown() error {
	return fmt.Errorf("%s has a field %d of wire type %d, which the protocol does not know", f.of, f.num, f.typ)
}

// text is a string.
func (f field) text(to *string) error {
	if f.typ != protowire.BytesType {
		return f.unknown()
	}
	if !utf8.Valid(f.bytes) {
		return fmt.Errorf("field %d of %s is no UTF-8", f.num, f.of)
	}
	*to = string(f.bytes)
	return nil
}

// message goes through an embedded message.
func (f field) message(of string, do func(field) error) error {
	if f.typ != protowire.BytesType {
		return f.unknown()
	}
	return eachField(of, f.bytes, do)
}

// parameter is an entry of parameters: its name, and its value where that is a truth value.
func (f field) parameter(do func(name string, truth *bool) error) error {
	name, given := "", false
	var truth *bool
	err := f.message("a parameter", func(f field) error {
		switch f.num {
		case 1:
			return f.text(&name)
		case 2:
			return f.message("a parameter's value", func(f field) error {
				given, truth = true, nil
				switch {
				case f.num == 1 && f.typ == protowire.VarintType:
					v := f.number != 0
					truth = &v
				case f.num == 2 && f.typ == protowire.VarintType, f.num == 5 && f.typ == protowire.VarintType,
					f.num == 4 && f.typ == protowire.Fixed64Type:
				case f.num == 3:
					return f.text(new(string))
				default:
					return f.unknown()
				}
				return nil
			})
		default:
			return f.unknown()
		}
	})
	switch {
	case err != nil:
		return err
	case !given:
		return fmt.Errorf("the parameter %s has no value", clip(name))
	}
	return do(name, truth)
}

// passedOver is a parameter that is of no use here.
func passedOver(name string, _ *bool) error { return notOfExtension(name) }

// readNamed reads a ModelReadyRequest or a ModelMetadataRequest.
func readNamed(message []byte) (name, version string, err error) {
	return name, version, eachField("the request", message, func(f field) error {
		switch f.num {
		case 1:
			return f.text(&name)
		case 2:
			return f.text(&version)
		default:
			return f.unknown()
		}
	})
}

// messageRequest is a ModelInferRequest.
type messageRequest struct {
	inferRequest
	model, version string
	raw            []byte // the input's, in place of contents
}

// readInferRequest reads one. Outputs are answered in bytes where the input came so, unless the request says otherwise.
func readInferRequest(message []byte) (in messageRequest, err error) {
	var binaryOutput *bool
	err = eachField("the request", message, func(f field) error {
		switch f.num {
		case 1:
			return f.text(&in.model)
		case 2:
			return f.text(&in.version)
		case 3:
			in.id = new(string)
			return f.text(in.id)
		case 4:
			return f.parameter(func(name string, truth *bool) error {
				if name != "binary_data_output" {
					return notOfExtension(name)
				}
				if binaryOutput = truth; truth == nil {
					return errors.New("binary_data_output is no truth value")
				}
				return nil
			})
		case 5:
			if in.input != nil {
				return errors.New("there is more than one input")
			}
			in.input = &inferInput{}
			return in.input.readMessage(f)
		case 6:
			name := ""
			err := f.message("an output", func(f field) error {
				switch f.num {
				case 1:
					return f.text(&name)
				case 2:
					return f.parameter(passedOver)
				default:
					return f.unknown()
				}
			})
			if err != nil {
				return err
			}
			return in.addOutput(requestedOutput{name: name})
		case 7:
			if f.typ != protowire.BytesType {
				return f.unknown()
			}
			if in.raw != nil {
				return errors.New("raw_input_contents has more than one element")
			}
			in.raw = f.bytes
			return nil
		default:
			return f.unknown()
		}
	})
	switch {
	case err != nil:
		return in, err
	case in.input == nil:
		return in, errors.New("there is no input")
	}
	if in.raw != nil {
		size := int64(len(in.raw))
		in.input.binarySize, in.binaryOutput = &size, true
	}
	if binaryOutput != nil {
		in.binaryOutput = *binaryOutput
	}
	return in, nil
}

// readMessage reads an InferInputTensor.
func (x *inferInput) readMessage(f field) error {
	return f.message("an input", func(f field) error {
		switch f.num {
		case 1:
			return f.text(&x.name)
		case 2:
			return f.text(&x.datatype)
		case 3:
			if f.typ == protowire.VarintType {
				return x.addDimension(int64(f.number))
			}
			if f.typ != protowire.BytesType {
				return f.unknown()
			}
			for rest := f.bytes; len(rest) > 0; {
				d, n := protowire.ConsumeVarint(rest)
				if n < 0 {
					return fmt.Errorf("an input's shape is cut off or broken: %w", protowire.ParseError(n))
				}
				rest = rest[n:]
				if err := x.addDimension(int64(d)); err != nil {
					return err
				}
			}
			return nil
		case 4:
			return f.parameter(passedOver)
		case 5:
			if f.typ != protowire.BytesType {
				return f.unknown()
			}
			if x.contents != nil {
				return errors.New("an input has contents twice")
			}
			x.contents = f.bytes
			return nil
		default:
			return f.unknown()
		}
	})
}

// eachFloats goes through the values of an InferTensorContents, a stretch of bytes at a time.
func eachFloats(contents []byte, do func(values []byte)) error {
	return eachField("contents", contents, func(f field) error {
		const fp32Contents = 6
		switch {
		case f.num != fp32Contents && f.num >= 1 && f.num <= 8:
			return fmt.Errorf("the values are not in fp32_contents, where those of %s are", fp32)
		case f.num != fp32Contents || f.typ != protowire.BytesType && f.typ != protowire.Fixed32Type:
			return f.unknown()
		case len(f.bytes)%4 != 0:
			return fmt.Errorf("fp32_contents of %d bytes is no whole number of values", len(f.bytes))
		}
		do(f.bytes)
		return nil
	})
}

// readContents reads the values of an InferTensorContents, of which there must be len(to).
func readContents(to []float32, contents []byte) error {
	size := 0
	if err := eachFloats(contents, func(values []byte) { size += len(values) }); err != nil {
		return err
	}
	if size != 4*len(to) {
		return fmt.Errorf("fp32_contents has %d values, not %d", size/4, len(to))
	}
	at := 0
	return eachFloats(contents, func(values []byte) {
		readFloats(to[at:at+len(values)/4], values)
		at += len(values) / 4
	})
}

// appendText appends a string's field, but for an empty one, which is the default.
func appendText(b []byte, num protowire.Number, text string) []byte {
	if text == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, num, protowire.BytesType), text)
}

// appendBytes appends a field of bytes or of a message, an empty one too.
func appendBytes(b []byte, num protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), value)
}

// appendTrue appends a truth value's field; without one it is false.
func appendTrue(b []byte, num protowire.Number, truth bool) []byte {
	if !truth {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), 1)
}

// tensorMessage is the opening fields of a TensorMetadata or of an InferOutputTensor.
func tensorMessage(name string, shape []int) (b []byte) {
	var dimensions []byte
	for _, d := range shape {
		dimensions = protowire.AppendVarint(dimensions, uint64(int64(d)))
	}
	b = appendText(b, 1, name)
	b = appendText(b, 2, fp32)
	return appendBytes(b, 3, dimensions)
}

// message is a ServerMetadataResponse.
func (s serverMetadata) message() (b []byte) {
	b = appendText(b, 1, s.Name)
	b = appendText(b, 2, s.Version)
	for _, extension := range s.Extensions {
		b = appendText(b, 3, extension)
	}
	return b
}

// message is a ModelMetadataResponse.
func (m modelMetadata) message() (b []byte) {
	b = appendText(b, 1, m.Name)
	for _, version := range m.Versions {
		b = appendText(b, 2, version)
	}
	b = appendText(b, 3, m.Platform)
	for _, x := range m.Inputs {
		b = appendBytes(b, 4, tensorMessage(x.Name, x.Shape))
	}
	for _, x := range m.Outputs {
		b = appendBytes(b, 5, tensorMessage(x.Name, x.Shape))
	}
	return b
}

// inferMessage is a ModelInferResponse.
func (m *model) inferMessage(in *messageRequest, logits *tensor.Tensor) ([]byte, error) {
	size := 4*len(in.outputs)*len(logits.Data) + 512
	if in.id != nil {
		size += len(*in.id)
	}
	if size > math.MaxInt32 { // gRPC's own bound, and protobuf's
		return nil, refuse(tooLarge, "ask for fewer images at once", "the answer would take %d bytes", size)
	}
	b := make([]byte, 0, size)
	b = appendText(b, 1, m.name)
	b = appendText(b, 2, modelVersion)
	if in.id != nil {
		b = appendText(b, 3, *in.id)
	}
	var raw [][]byte
	for _, o := range in.outputs {
		out := m.output(o.name, logits)
		head, values := tensorMessage(o.name, m.outputShape(out.N)), floatBytes(out.Data)
		if in.binaryOutput {
			raw = append(raw, values)
			b = appendBytes(b, 5, head)
			continue
		}
		// contents, whose length comes before it, holds fp32_contents, whose length comes before it
		packed := protowire.SizeTag(6) + protowire.SizeBytes(len(values))
		b = protowire.AppendTag(b, 5, protowire.BytesType)
		b = protowire.AppendVarint(b, uint64(len(head)+protowire.SizeTag(5)+protowire.SizeBytes(packed)))
		b = append(b, head...)
		b = protowire.AppendTag(b, 5, protowire.BytesType)
		b = protowire.AppendVarint(b, uint64(packed))
		b = appendBytes(b, 6, values)
	}
	for _, values := range raw {
		b = appendBytes(b, 6, values)
	}
	return b, nil
}
