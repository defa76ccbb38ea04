//go:build !js

package serve

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/vggo/vggo/internal/printable"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/tensor"
)

// inferRequest is the protocol's $inference_request. A member that no schema lists is refused, since the protocol
// extends itself through parameters; of those, what is of no use here is passed over (otherParameter).
type inferRequest struct {
	id           *string
	binaryOutput bool
	input        *inferInput
	outputs      []requestedOutput
}

// inferInput is the protocol's $request_input.
type inferInput struct {
	name, datatype string
	shape          []int64
	binarySize     *int64
	data           jsonText // nil where the values come as bytes
	contents       []byte   // the values as an InferTensorContents of gRPC has them; nil: they come otherwise
}

// requestedOutput is an output that is asked for.
type requestedOutput struct {
	name   string
	binary bool
}

// parseRequest reads a request's JSON.
func (m *model) parseRequest(text jsonText) (in inferRequest, err error) {
	asked := false
	var outputs jsonText // read last: their default may come after them
	err = text.members("the request", func(name string, value jsonText) error {
		switch name {
		case "id":
			in.id = new(string)
			return value.scalar("id", in.id)
		case "parameters":
			return value.members("parameters", func(name string, value jsonText) error {
				if name == "binary_data_output" {
					return value.scalar(name, &in.binaryOutput)
				}
				return otherParameter(name, value)
			})
		case "inputs":
			return value.elements("inputs", func(value jsonText) (err error) {
				if in.input != nil {
					return errors.New("there is more than one input")
				}
				in.input, err = parseInput(value)
				return err
			})
		case "outputs":
			asked, outputs = true, value
		default:
			return unknownMember(name, "the request", "id, parameters, inputs and outputs")
		}
		return nil
	})
	if err == nil && asked {
		err = outputs.elements("outputs", in.parseOutput)
	}
	switch {
	case err != nil:
		return in, m.badInput("%v", err)
	case in.input == nil:
		return in, m.badInput("there is no input")
	}
	return in, nil
}

// parseInput reads an input.
func parseInput(text jsonText) (*inferInput, error) {
	x := &inferInput{}
	return x, text.members("an input", func(name string, value jsonText) error {
		switch name {
		case "name":
			return value.scalar("an input's name", &x.name)
		case "datatype":
			return value.scalar("an input's datatype", &x.datatype)
		case "shape":
			return value.elements("an input's shape", func(value jsonText) error {
				var d int64
				if err := value.scalar("a dimension of an input's shape", &d); err != nil {
					return err
				}
				return x.addDimension(d)
			})
		case "parameters":
			return value.members("an input's parameters", func(name string, value jsonText) error {
				if name != "binary_data_size" {
					return otherParameter(name, value)
				}
				x.binarySize = new(int64)
				return value.scalar(name, x.binarySize)
			})
		case "data":
			x.data = value
		default:
			return unknownMember(name, "an input", "name, datatype, shape, parameters and data")
		}
		return nil
	})
}

func (x *inferInput) addDimension(d int64) error {
	if len(x.shape) == 4 {
		return errors.New("an input's shape has more than 4 dimensions")
	}
	x.shape = append(x.shape, d)
	return nil
}

func unknownMember(name, of, known string) error {
	return fmt.Errorf("%s has a member %q: the protocol knows %s", of, clip(name), known)
}

// otherExtensions are parameters by which the protocol's extensions ask for another answer than the one that comes
// without them, and for which this server has nothing: it must not seem to have heard.
var otherExtensions = []string{"classification", "shared_memory_region", "shared_memory_byte_size",
	"shared_memory_offset",
	"sequence_id", "sequence_start", "sequence_end"}

// otherParameter is one that is of no use here. The protocol lets clients send any, of a string, a number or a truth
// value.
func otherParameter(name string, value jsonText) error {
	if kind := value.kind(); kind == "an object" || kind == "an array" || kind == "null" {
		return fmt.Errorf("the parameter %s is %s: want a string, a number or a truth value", clip(name), kind)
	}
	return notOfExtension(name)
}

func notOfExtension(parameter string) error {
	if slices.Contains(otherExtensions, parameter) {
		return fmt.Errorf("the parameter %s belongs to an extension that this server does not have: its metadata lists "+
			"those it has", parameter)
	}
	return nil
}

// parseOutput reads an output that is asked for.
func (in *inferRequest) parseOutput(text jsonText) error {
	w := requestedOutput{binary: in.binaryOutput}
	err := text.members("an output", func(name string, value jsonText) error {
		switch name {
		case "name":
			return value.scalar("an output's name", &w.name)
		case "parameters":
			return value.members("an output's parameters", func(name string, value jsonText) error {
				if name == "binary_data" {
					return value.scalar(name, &w.binary)
				}
				return otherParameter(name, value)
			})
		default:
			return unknownMember(name, "an output", "name and parameters")
		}
	})
	if err != nil {
		return err
	}
	return in.addOutput(w)
}

func (in *inferRequest) addOutput(w requestedOutput) error {
	switch {
	case w.name != logitsName && w.name != probabilitiesName:
		return fmt.Errorf("there is no output %q: the outputs are %s and %s", clip(w.name), logitsName, probabilitiesName)
	case slices.ContainsFunc(in.outputs, func(other requestedOutput) bool { return other.name == w.name }):
		return fmt.Errorf("output %s is asked for twice", w.name)
	}
	in.outputs = append(in.outputs, w)
	return nil
}

// inferResponse is the protocol's $inference_response.
type inferResponse struct {
	Model   string           `json:"model_name"`
	Version string           `json:"model_version"`
	ID      *string          `json:"id,omitempty"`
	Outputs []responseOutput `json:"outputs"`
}

type responseOutput struct {
	Name       string            `json:"name"`
	Datatype   string            `json:"datatype"`
	Shape      []int             `json:"shape"`
	Parameters *binaryParameters `json:"parameters,omitempty"`
	Data       floatsAsJSON      `json:"data,omitempty"`
}

type binaryParameters struct {
	Size int `json:"binary_data_size"`
}

func (c *call) infer() error {
	m, err := c.pathModel()
	if err != nil {
		return err
	}
	body, err := c.readBody()
	if err != nil {
		return err
	}
	header, data, err := splitBody(body, c.r.Header.Get(headerLength))
	if err != nil {
		return err
	}
	var in inferRequest
	if len(header) == 0 {
		in, err = m.rawRequest(data)
	} else {
		var text jsonText
		if text, err = validJSON(header); err == nil {
			in, err = m.parseRequest(text)
		}
	}
	if err != nil {
		return err
	}
	// json.Marshal copies what a Marshaler writes
	logits, err := c.inferred(m, &in, data, 2*bytesOfFloat)
	if err != nil {
		return err
	}
	return c.inferAnswer(m, in.id, logits, in.outputs)
}

// inferred computes what a request asks for that was read, by whatever protocol it came. Its answer takes so many bytes
// for each value while it is written.
func (c *call) inferred(m *model, in *inferRequest, data []byte, written int64) (*tensor.Tensor, error) {
	if in.outputs == nil {
		in.outputs = []requestedOutput{{logitsName, in.binaryOutput}, {probabilitiesName, in.binaryOutput}}
	}
	n, err := m.checkInput(in.input, len(data))
	if err != nil {
		return nil, err
	}
	if err := c.admit(m, "", n); err != nil {
		return nil, err
	}
	values := int64(n) * int64(m.outputs.C*m.outputs.H*m.outputs.W)
	if err := c.bytes.add(values * (4 + int64(len(in.outputs))*(4+written))); err != nil {
		return nil, err
	}
	images, err := c.inputTensor(m, in.input, data, n)
	if err != nil {
		return nil, err
	}
	return c.compute(m, "", images, false)
}

// splitBody parts a body into its JSON and the bytes of tensors. Without the header all of it is JSON; a header of 0
// says that all of it is one tensor.
func splitBody(body []byte, length string) (header, data []byte, err error) {
	if length == "" {
		if len(body) == 0 {
			return nil, nil, refuse(badRequest,
				"POST an inference request: GET /openapi.yaml describes it", "the body is empty")
		}
		return body, nil, nil
	}
	n, err := strconv.Atoi(length)
	if err != nil || n < 0 || n > len(body) {
		return nil, nil, refuse(badRequest, "it is the length of the JSON before the tensors' bytes",
			"%s %s: the body has %d bytes", headerLength, clip(length), len(body))
	}
	return body[:n], body[n:], nil
}

// rawRequest is the request that a body without JSON stands for: the input tensor alone, of as many images as it has
// bytes for; answered by the outputs' bytes.
func (m *model) rawRequest(data []byte) (in inferRequest, err error) {
	size := int64(len(data))
	image := 4 * int64(m.Input.C*m.Input.H*m.Input.W)
	in.binaryOutput = true
	in.input = &inferInput{name: inputName, datatype: fp32, binarySize: &size}
	for _, d := range m.inputShape(int(size / image)) {
		in.input.shape = append(in.input.shape, int64(d))
	}
	if size == 0 || size%image != 0 {
		return in, refuse(badTensor,
			fmt.Sprintf("an image is %d bytes: %dx%dx%d little-endian float32", image, m.Input.C, m.Input.H, m.Input.W),
			"%d bytes are no whole number of images", size)
	}
	return in, nil
}

// badInput is a refusal of a request's tensors.
func (m *model) badInput(format string, args ...any) error {
	return refuse(badTensor, fmt.Sprintf("%s takes one input: %s, %s, of shape [N,%d,%d,%d]",
		m.name, inputName, fp32, m.Input.C, m.Input.H, m.Input.W), format, args...)
}

// checkInput checks a request's input against the model before memory is taken, and returns its number of images.
func (m *model) checkInput(x *inferInput, binary int) (images int, err error) {
	bad := func(format string, args ...any) (int, error) { return 0, m.badInput(format, args...) }
	values := int64(m.Input.C * m.Input.H * m.Input.W)
	switch {
	case x.name != inputName:
		return bad("there is no input %q", clip(x.name))
	case x.datatype != fp32:
		return bad("the datatype of %s is %q", inputName, clip(x.datatype))
	case len(x.shape) != 4 || x.shape[1] != int64(m.Input.C) || x.shape[2] != int64(m.Input.H) ||
		x.shape[3] != int64(m.Input.W):
		return bad("the shape of %s is %s", inputName, printable.Shape(x.shape))
	// a value takes two bytes at least, a digit and a comma or bracket
	case x.shape[0] < 1 || x.shape[0] > int64(len(x.data)+len(x.contents)+binary)/values:
		return bad("the shape of %s is %s, which its data cannot fill", inputName, printable.Shape(x.shape))
	}
	size := 4 * x.shape[0] * values
	switch told := x.binarySize; {
	case told != nil && (x.data != nil || x.contents != nil):
		return bad("%s comes both as data and as bytes", inputName)
	case told != nil && *told != int64(binary):
		return bad("binary_data_size of %s is %d, and %d bytes follow the JSON", inputName, *told, binary)
	case told != nil && *told != size:
		return bad("%s of shape %s is %d bytes, not %d", inputName, printable.Shape(x.shape), size, *told)
	case told == nil && binary > 0:
		return bad("%d bytes follow the JSON, of no input", binary)
	}
	return int(x.shape[0]), nil
}

// inputTensor reads the values of a checked input.
func (c *call) inputTensor(m *model, x *inferInput, data []byte, n int) (*tensor.Tensor, error) {
	if err := c.bytes.add(4 * int64(n*m.Input.C*m.Input.H*m.Input.W)); err != nil {
		return nil, err
	}
	images := tensor.New(n, m.Input.C, m.Input.H, m.Input.W)
	if x.binarySize != nil {
		readFloats(images.Data, data)
		return images, nil
	}
	if x.contents != nil {
		if err := readContents(images.Data, x.contents); err != nil {
			return nil, m.badInput("%v", err)
		}
		return images, nil
	}
	if err := parseTensor(images.Data, x.data, m.inputShape(n)); err != nil {
		return nil, refuse(badTensor, "data is a flat array in row-major order, or nested as "+
			"its shape", "%s: %v", inputName, err)
	}
	return images, nil
}

// output makes an output of the logits.
func (m *model) output(name string, logits *tensor.Tensor) *tensor.Tensor {
	if name != probabilitiesName {
		return logits
	}
	out := tensor.New(logits.N, logits.C, logits.H, logits.W)
	nn.Probabilities(out, logits, m.ending)
	return out
}

// inferAnswer writes the outputs asked for.
func (c *call) inferAnswer(m *model, id *string, logits *tensor.Tensor, outputs []requestedOutput) error {
	response := inferResponse{Model: m.name, Version: modelVersion, ID: id}
	var parts [][]byte // of the body: JSON, then the tensors' bytes
	for _, o := range outputs {
		out := m.output(o.name, logits)
		r := responseOutput{Name: o.name, Datatype: fp32, Shape: m.outputShape(out.N)}
		if o.binary {
			parts = append(parts, floatBytes(out.Data))
			r.Parameters = &binaryParameters{4 * len(out.Data)}
		} else {
			r.Data = out.Data
			if at := r.Data.notFinite(); at >= 0 {
				return refuse(notFinite, "ask for it as binary_data",
					"value %d of %s is %v, which JSON cannot hold", at, o.name, out.Data[at])
			}
		}
		response.Outputs = append(response.Outputs, r)
	}
	text, err := json.Marshal(response)
	if err != nil {
		return err
	}
	if len(parts) == 0 {
		return c.answer("application/json", http.StatusOK, text)
	}
	c.w.Header().Set(headerLength, strconv.Itoa(len(text)))
	return c.answer("application/octet-stream", http.StatusOK, append([][]byte{text}, parts...)...)
}
