package oipclient

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"
)

// Encoding is how a tensor travels.
type Encoding uint8

const (
	Default Encoding = iota // what the protocol has where nothing is said: JSON, unless BinaryOutput says otherwise
	JSON
	Binary
)

// Request is an inference request (Inference Request JSON Object).
type Request struct {
	ID      string // empty for none
	Inputs  []Input
	Outputs []Output // none asks for all
	// Parameters of the request, without binary_data_output: strings, bools, and numbers as int, int64 or float64.
	Parameters map[string]any
	// BinaryOutput asks for all outputs as binary data, but for those whose Encoding is JSON ("binary_data_output").
	BinaryOutput bool
}

// Input is a tensor and how it is sent (Request Input).
type Input struct {
	Tensor
	Encoding Encoding
	Nested   bool // JSON in the tensor's dimensions, not flat
}

// Output asks for an output (Request Output).
type Output struct {
	Name           string
	Encoding       Encoding // Default follows Request.BinaryOutput
	Classification int      // asks for so many classes in place of the tensor (Classification); 0 for the tensor
	Parameters     map[string]any
}

// binary tells whether an output is to come as binary data: "binary_data" of the output, else "binary_data_output".
func (o *Output) binary(r *Request) bool {
	return o.Encoding == Binary || o.Encoding == Default && r.BinaryOutput
}

// The objects of a request, in the order of the specification.
type (
	requestJSON struct {
		ID         string         `json:"id,omitempty"`
		Parameters map[string]any `json:"parameters,omitempty"`
		Inputs     []inputJSON    `json:"inputs"`
		Outputs    []outputJSON   `json:"outputs,omitempty"`
	}
	inputJSON struct {
		Name       string          `json:"name"`
		Shape      []int           `json:"shape"`
		Datatype   Datatype        `json:"datatype"`
		Parameters map[string]any  `json:"parameters,omitempty"`
		Data       json.RawMessage `json:"data,omitempty"`
	}
	outputJSON struct {
		Name       string         `json:"name"`
		Parameters map[string]any `json:"parameters,omitempty"`
	}
)

// encode writes a request's body. header is the length of its JSON where binary data follows it, else -1.
func (r *Request) encode() (body []byte, header int, err error) {
	m := requestJSON{ID: r.ID}
	if m.Parameters, err = withParameter(r.Parameters, r.BinaryOutput, "binary_data_output", true); err != nil {
		return nil, 0, fmt.Errorf("request: %w", err)
	}
	var tail []byte
	binary := false
	for i := range r.Inputs {
		in := &r.Inputs[i]
		if err := in.check(); err != nil {
			return nil, 0, fmt.Errorf("cannot send: %v", err) // not wrapped: a Violation is a server's
		}
		e := inputJSON{Name: in.Name, Shape: append([]int{}, in.Shape...), Datatype: in.Datatype} // a scalar's shape is [], not null
		asBinary := in.Encoding == Binary
		if e.Parameters, err = withParameter(in.Parameters, asBinary, "binary_data_size", len(in.Data)); err == nil && !asBinary {
			e.Data, err = in.appendJSON()
		}
		if err != nil {
			return nil, 0, fmt.Errorf("input %q: %w", in.Name, err)
		}
		if asBinary {
			binary = true
			tail = append(tail, in.Data...)
		}
		m.Inputs = append(m.Inputs, e)
	}
	for _, out := range r.Outputs {
		e := outputJSON{Name: out.Name}
		e.Parameters, err = withParameter(out.Parameters, out.Encoding != Default, "binary_data", out.Encoding == Binary)
		if err == nil {
			e.Parameters, err = withParameter(e.Parameters, out.Classification != 0, "classification", out.Classification)
		}
		if err != nil {
			return nil, 0, fmt.Errorf("output %q: %w", out.Name, err)
		}
		m.Outputs = append(m.Outputs, e)
	}
	body, err = json.Marshal(m)
	if err != nil || !binary {
		return body, -1, err
	}
	return append(body, tail...), len(body), nil
}

// withParameter is parameters and, if it is to be there, one more that the protocol's extensions define.
func withParameter(parameters map[string]any, there bool, name string, value any) (map[string]any, error) {
	all := map[string]any{}
	for name, v := range parameters {
		switch v.(type) {
		case string, bool, int, int64, float64:
		default:
			return nil, fmt.Errorf("parameter %q is %T: it takes a string, a number or a bool", name, v)
		}
		all[name] = v
	}
	if there {
		if _, twice := all[name]; twice {
			return nil, fmt.Errorf("parameter %q is set by the request's fields", name)
		}
		all[name] = value
	}
	return all, nil
}

// appendJSON is "data" of a tensor that check has passed.
func (in *Input) appendJSON() ([]byte, error) {
	if in.Datatype == FP16 || in.Datatype == BF16 {
		return nil, fmt.Errorf("%s in JSON has no agreed form: send it as binary data", in.Datatype)
	}
	count, _ := product(in.Shape)
	shape := []int{count}
	if in.Nested && count > 0 && len(in.Shape) > 0 { // without elements, [] says it, and another dimension may be vast
		shape = in.Shape
	}
	text, _, err := in.appendNested(nil, in.Data, shape)
	return text, err
}

func (in *Input) appendNested(text, data []byte, shape []int) (_, rest []byte, err error) {
	if len(shape) == 0 {
		return in.appendElement(text, data)
	}
	text = append(text, '[')
	for i := range shape[0] {
		if i > 0 {
			text = append(text, ',')
		}
		if text, data, err = in.appendNested(text, data, shape[1:]); err != nil {
			return nil, nil, err
		}
	}
	return append(text, ']'), data, nil
}

// appendElement writes the first element of data and returns the rest. A float32 is written with the digits of the float64 that
// equals it, so that a server which reads through float64 rounds once.
func (in *Input) appendElement(text, data []byte) (_, rest []byte, err error) {
	order := binary.LittleEndian
	var f float64
	switch in.Datatype {
	case Bytes:
		n := order.Uint32(data)
		element := data[4 : 4+n]
		if !utf8.Valid(element) {
			return nil, nil, errors.New("an element of BYTES is not UTF-8: send it as binary data")
		}
		quoted, err := json.Marshal(string(element))
		return append(text, quoted...), data[4+n:], err
	case Bool:
		return strconv.AppendBool(text, data[0] != 0), data[1:], nil
	case Uint8:
		return strconv.AppendUint(text, uint64(data[0]), 10), data[1:], nil
	case Uint16:
		return strconv.AppendUint(text, uint64(order.Uint16(data)), 10), data[2:], nil
	case Uint32:
		return strconv.AppendUint(text, uint64(order.Uint32(data)), 10), data[4:], nil
	case Uint64:
		return strconv.AppendUint(text, order.Uint64(data), 10), data[8:], nil
	case Int8:
		return strconv.AppendInt(text, int64(int8(data[0])), 10), data[1:], nil
	case Int16:
		return strconv.AppendInt(text, int64(int16(order.Uint16(data))), 10), data[2:], nil
	case Int32:
		return strconv.AppendInt(text, int64(int32(order.Uint32(data))), 10), data[4:], nil
	case Int64:
		return strconv.AppendInt(text, int64(order.Uint64(data)), 10), data[8:], nil
	case FP32:
		f, rest = float64(math.Float32frombits(order.Uint32(data))), data[4:]
	case FP64:
		f, rest = math.Float64frombits(order.Uint64(data)), data[8:]
	}
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, nil, fmt.Errorf("JSON has no %v: send it as binary data", f)
	}
	return strconv.AppendFloat(text, f, 'g', -1, 64), rest, nil
}
