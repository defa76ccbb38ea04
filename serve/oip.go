package serve

import (
	"net/http"
)

// The Open Inference Protocol, version 2, over REST: github.com/kserve/open-inference-protocol,
// specification/protocol/inference_rest.md. (Over gRPC: grpc.go.) Models are served in one version.
const (
	modelVersion      = "1"
	inputName         = "images"        // N x C x H x W, prepared as the network was trained
	logitsName        = "logits"        // N x classes, or of a fully convolutional network N x classes x H x W
	probabilitiesName = "probabilities" // the same after the network's softmax or sigmoid
	fp32              = "FP32"
	// binaryTensors is Triton's extension, by which tensors follow the JSON as bytes
	// (docs/protocol/extension_binary_data.md of github.com/triton-inference-server/server).
	binaryTensors = "binary_tensor_data"
	headerLength  = "Inference-Header-Content-Length" // how much of a body is JSON, where tensors follow
)

// serverMetadata is the protocol's $metadata_server_response.
type serverMetadata struct {
	Name       string   `json:"name"`
	Version    string   `json:"version"`
	Extensions []string `json:"extensions"`
}

// modelMetadata is the protocol's $metadata_model_response.
type modelMetadata struct {
	Name     string           `json:"name"`
	Versions []string         `json:"versions"`
	Platform string           `json:"platform"`
	Inputs   []tensorMetadata `json:"inputs"`
	Outputs  []tensorMetadata `json:"outputs"`
}

type tensorMetadata struct {
	Name     string `json:"name"`
	Datatype string `json:"datatype"`
	Shape    []int  `json:"shape"` // -1: any number of images
}

func (c *call) serverMetadata() error { return c.answerJSON(http.StatusOK, c.metadata()) }

func (s *Server) metadata() serverMetadata {
	return serverMetadata{"vggo", s.Version, []string{binaryTensors}}
}

func (c *call) live() error {
	return c.answerJSON(http.StatusOK, struct {
		Live bool `json:"live"`
	}{true})
}

func (c *call) ready() error {
	ready := c.usable()
	return c.answerJSON(probeStatus(ready), struct {
		Ready bool `json:"ready"`
	}{ready})
}

// probeStatus is 200 for yes and a 4xx for no (kserve/kserve, docs/predict-api/v2/required_api.md, Health), which
// Triton makes 400.
func probeStatus(yes bool) int {
	if yes {
		return http.StatusOK
	}
	return http.StatusBadRequest
}

func (c *call) modelReady() error {
	name, ready := c.r.PathValue("model"), false
	if c.loaded.Load() != nil {
		m, err := c.pathModel()
		if err != nil {
			return err
		}
		ready = c.takes(m)
	}
	return c.answerJSON(probeStatus(ready), struct {
		Name  string `json:"name"`
		Ready bool   `json:"ready"`
	}{name, ready})
}

func (c *call) modelMetadata() error {
	m, err := c.pathModel()
	if err != nil {
		return err
	}
	return c.answerJSON(http.StatusOK, m.metadata())
}

func (m *model) metadata() modelMetadata {
	out := m.outputShape(-1)
	return modelMetadata{
		Name: m.name, Versions: []string{modelVersion}, Platform: "vggo_" + m.Network.Name,
		Inputs:  []tensorMetadata{{inputName, fp32, m.inputShape(-1)}},
		Outputs: []tensorMetadata{{logitsName, fp32, out}, {probabilitiesName, fp32, out}},
	}
}

// takes says whether requests to a model are taken.
func (s *Server) takes(m *model) bool { return m.Check() == nil && !s.draining.Load() }

// inputShape is the shape of the input for n images.
func (m *model) inputShape(n int) []int { return []int{n, m.Input.C, m.Input.H, m.Input.W} }

// outputShape is the shape of either output for n images.
func (m *model) outputShape(n int) []int {
	shape := []int{n, m.outputs.C, m.outputs.H, m.outputs.W}
	if m.outputs.H == 1 && m.outputs.W == 1 {
		shape = shape[:2]
	}
	return shape
}
