package serve

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/tensor"
)

// headerLength tells how much of a body is JSON, where tensors follow.
const headerLength = "Inference-Header-Content-Length"

// inferRequest is the protocol's $inference_request, as far as it is of use here; what else it holds is passed over. Its arrays have one
// place more than makes sense: encoding/json passes over what is beyond, where a slice would take 40 bytes of memory for each of a hostile
// body.
type inferRequest struct {
	ID         *string `json:"id"`
	Parameters struct {
		BinaryOutput bool `json:"binary_data_output"`
	} `json:"parameters"`
	Inputs  [2]*inferInput  `json:"inputs"`
	Outputs [3]*inferOutput `json:"outputs"`
}

type inferInput struct {
	Name       string    `json:"name"`
	Shape      [5]*int64 `json:"shape"`
	Datatype   string    `json:"datatype"`
	Parameters struct {
		BinarySize *int64 `json:"binary_data_size"`
	} `json:"parameters"`
	Data json.RawMessage `json:"data"`
}

type inferOutput struct {
	Name       string `json:"name"`
	Parameters struct {
		Binary *bool `json:"binary_data"`
	} `json:"parameters"`
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
		if err := c.bytes.Add(int64(len(header))); err != nil { // json.RawMessage is a copy
			return err
		}
		err = decodeJSON(header, &in)
	}
	if err != nil {
		return err
	}
	outputs, err := in.outputs()
	if err != nil {
		return err
	}
	n, err := m.checkInput(&in, len(data))
	if err != nil {
		return err
	}
	if err := c.admit(m, "", n); err != nil {
		return err
	}
	images, err := c.inputTensor(m, in.Inputs[0], data, n)
	if err != nil {
		return err
	}
	logits, err := c.compute(m, "", images, false)
	if err != nil {
		return err
	}
	return c.inferAnswer(m, in.ID, logits, outputs)
}

// splitBody parts a body into its JSON and the bytes of tensors. Without the header all of it is JSON; a header of 0 says that all of it is
// one tensor.
func splitBody(body []byte, length string) (header, data []byte, err error) {
	if length == "" {
		if len(body) == 0 {
			return nil, nil, refuse(http.StatusBadRequest, "bad_request", "POST an inference request: GET /openapi.yaml describes it", "the body is empty")
		}
		return body, nil, nil
	}
	n, err := strconv.Atoi(length)
	if err != nil || n < 0 || n > len(body) {
		return nil, nil, refuse(http.StatusBadRequest, "bad_request", "it is the length of the JSON before the tensors' bytes",
			"%s %s: the body has %d bytes", headerLength, clip(length), len(body))
	}
	return body[:n], body[n:], nil
}

// rawRequest is the request that a body without JSON stands for: the input tensor alone, of as many images as it has bytes for; answered
// by the outputs' bytes.
func (m *model) rawRequest(data []byte) (in inferRequest, err error) {
	size := int64(len(data))
	image := 4 * int64(m.Input.C*m.Input.H*m.Input.W)
	in.Parameters.BinaryOutput = true
	x := &inferInput{Name: inputName, Datatype: fp32}
	for i, d := range m.inputShape(int(size / image)) {
		d := int64(d)
		x.Shape[i] = &d
	}
	x.Parameters.BinarySize = &size
	in.Inputs[0] = x
	if size == 0 || size%image != 0 {
		return in, refuse(http.StatusBadRequest, "bad_tensor", fmt.Sprintf("an image is %d bytes: %dx%dx%d little-endian float32", image, m.Input.C, m.Input.H, m.Input.W),
			"%d bytes are no whole number of images", size)
	}
	return in, nil
}

// wanted is an output that is asked for.
type wanted struct {
	name   string
	binary bool
}

// outputs are those that a request asks for: all, where it names none.
func (in *inferRequest) outputs() ([]wanted, error) {
	if in.Outputs[0] == nil {
		return []wanted{{logitsName, in.Parameters.BinaryOutput}, {softmaxName, in.Parameters.BinaryOutput}}, nil
	}
	var all []wanted
	for _, o := range in.Outputs {
		if o == nil {
			break
		}
		w := wanted{o.Name, in.Parameters.BinaryOutput}
		if o.Parameters.Binary != nil {
			w.binary = *o.Parameters.Binary
		}
		switch {
		case o.Name != logitsName && o.Name != softmaxName:
			return nil, refuse(http.StatusBadRequest, "bad_request", "the outputs are "+logitsName+" and "+softmaxName, "there is no output %q", clip(o.Name))
		case slices.ContainsFunc(all, func(other wanted) bool { return other.name == w.name }):
			return nil, refuse(http.StatusBadRequest, "bad_request", "name each output once", "output %s is asked for twice", w.name)
		}
		all = append(all, w)
	}
	return all, nil
}

// shape is the dimensions that are given.
func (x *inferInput) shape() (shape []int64) {
	for _, d := range x.Shape {
		if d == nil {
			break
		}
		shape = append(shape, *d)
	}
	return shape
}

// checkInput checks a request's input against the model before memory is taken, and returns its number of images.
func (m *model) checkInput(in *inferRequest, binary int) (images int, err error) {
	bad := func(format string, args ...any) (int, error) {
		return 0, refuse(http.StatusBadRequest, "bad_tensor", fmt.Sprintf("%s takes one input: %s, %s, of shape [N,%d,%d,%d]",
			m.name, inputName, fp32, m.Input.C, m.Input.H, m.Input.W), format, args...)
	}
	x := in.Inputs[0]
	switch {
	case x == nil:
		return bad("the request has no input")
	case in.Inputs[1] != nil:
		return bad("the request has more than one input")
	}
	shape := x.shape()
	switch {
	case x.Name != inputName:
		return bad("there is no input %q", clip(x.Name))
	case x.Datatype != fp32:
		return bad("the datatype of %s is %q", inputName, clip(x.Datatype))
	case len(shape) != 4 || shape[1] != int64(m.Input.C) || shape[2] != int64(m.Input.H) || shape[3] != int64(m.Input.W):
		return bad("the shape of %s is %d", inputName, shape)
	}
	// Two bytes are the least that a value takes, a digit and a comma.
	most := int64(len(x.Data)+binary) / 2 / int64(m.Input.C*m.Input.H*m.Input.W)
	if shape[0] < 1 || shape[0] > most+1 {
		return bad("the shape of %s is %d, which its data cannot fill", inputName, shape)
	}
	size := 4 * shape[0] * int64(m.Input.C*m.Input.H*m.Input.W)
	switch told := x.Parameters.BinarySize; {
	case told != nil && len(x.Data) > 0:
		return bad("%s comes both as data and as bytes", inputName)
	case told != nil && *told != int64(binary):
		return bad("binary_data_size of %s is %d, and %d bytes follow the JSON", inputName, *told, binary)
	case told != nil && *told != size:
		return bad("%s of shape %d is %d bytes, not %d", inputName, shape, size, *told)
	case told == nil && binary > 0:
		return bad("%d bytes follow the JSON, of no input", binary)
	case told == nil && len(x.Data) == 0:
		return bad("%s has no data", inputName)
	}
	return int(shape[0]), nil
}

// inputTensor reads the values of a checked input.
func (c *call) inputTensor(m *model, x *inferInput, data []byte, n int) (*tensor.Tensor, error) {
	if err := c.bytes.Add(4 * int64(n*m.Input.C*m.Input.H*m.Input.W)); err != nil {
		return nil, err
	}
	images := tensor.New(n, m.Input.C, m.Input.H, m.Input.W)
	if x.Parameters.BinarySize != nil {
		readFloats(images.Data, data)
		return images, nil
	}
	if err := parseTensor(images.Data, x.Data, m.inputShape(n)); err != nil {
		return nil, refuse(http.StatusBadRequest, "bad_tensor", "data is a flat array in row-major order, or nested as its shape", "%s: %v", inputName, err)
	}
	return images, nil
}

// inferAnswer writes the outputs asked for.
func (c *call) inferAnswer(m *model, id *string, logits *tensor.Tensor, outputs []wanted) error {
	if err := c.bytes.Add(int64(len(outputs)) * (4 + 2*bytesOfFloat) * int64(len(logits.Data))); err != nil {
		return err
	}
	response := inferResponse{Model: m.name, Version: modelVersion, ID: id}
	var parts [][]byte // of the body: JSON, then the tensors' bytes
	for _, o := range outputs {
		out := logits
		if o.name == softmaxName {
			out = tensor.New(logits.N, logits.C, logits.H, logits.W)
			nn.Softmax(out, logits)
		}
		r := responseOutput{Name: o.name, Datatype: fp32, Shape: m.outputShape(out.N)}
		if o.binary {
			parts = append(parts, floatBytes(out.Data))
			r.Parameters = &binaryParameters{4 * len(out.Data)}
		} else {
			r.Data = out.Data
			if at := r.Data.notFinite(); at >= 0 {
				return refuse(http.StatusUnprocessableEntity, "not_finite", "ask for it as binary_data", "value %d of %s is %v, which JSON cannot hold", at, o.name, out.Data[at])
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
