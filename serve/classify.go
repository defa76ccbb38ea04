package serve

import (
	"log/slog"
	"mime"
	"net/http"
	"strings"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/tensor"
	"github.com/vggo/vggo/weights"
)

// classification answers POST /v1/classify.
type classification struct {
	Model   string       `json:"model"`
	Width   int          `json:"width"` // of the picture, turned upright
	Height  int          `json:"height"`
	Ending  arch.Ending  `json:"ending"`  // how probabilities are made
	Classes []vggo.Class `json:"classes"` // the most probable first
}

func (c *call) classify() error {
	top, _ := c.number("top")
	m, out, w, h, err := c.ask(until(""), 0)
	if err != nil {
		return err
	}
	classes, err := m.Rank(out)
	if err != nil {
		return err
	}
	return c.answerJSON(http.StatusOK, classification{m.name, w, h, m.ending, classes[:min(top, len(classes))]})
}

// until is a layer of any model.
func until(layer string) func(*model) (string, error) {
	return func(m *model) (string, error) {
		if _, err := m.Network.Until(layer); layer != "" && err != nil {
			return "", refuse(badRequest, "GET /v1/arch/"+m.name+" lists its layers", "%v", err)
		}
		return layer, nil
	}
}

// ask brings the request's picture through a network, up to a layer, which may depend on the network. Its answer takes
// so many bytes for each value of the layer, beside the value.
func (c *call) ask(until func(*model) (string, error), each int64) (m *model, out *tensor.Tensor, w, h int,
	err error) {
	if _, err := c.model(""); err != nil { // before a body is read
		return nil, nil, 0, 0, err
	}
	file, name, err := c.readPicture()
	if err != nil {
		return nil, nil, 0, 0, err
	}
	if m, err = c.model(name); err != nil {
		return nil, nil, 0, 0, err
	}
	c.entry.note(slog.String("model", m.name))
	layer, err := until(m)
	if err != nil {
		return nil, nil, 0, 0, err
	}
	if err := c.admit(m, layer, 1); err != nil {
		return nil, nil, 0, 0, err
	}
	if err := c.bytes.add(4*int64(m.Input.C*m.Input.H*m.Input.W) + (4+each)*m.until[layer].values); err != nil {
		return nil, nil, 0, 0, err
	}
	m.batches.expect(1)
	input, w, h, err := c.prepare(m, file, nil)
	if err != nil {
		m.batches.expect(-1)
		return nil, nil, 0, 0, err
	}
	out, err = c.compute(m, layer, input, true)
	return m, out, w, h, err
}

// features answers POST /v1/features as JSON.
type features struct {
	Model string       `json:"model"`
	Layer string       `json:"layer"`
	Shape []int        `json:"shape"` // of Data: channels, and of a map its rows and columns
	Data  floatsAsJSON `json:"data"`
}

// numpyType is the media type of an answer as a NumPy file.
const numpyType = "application/x-npy"

func (c *call) features() error {
	layer := c.text("layer")
	numpy := wantsNumPy(c.r.Header.Get("Accept"))
	each := int64(2 * bytesOfFloat) // json.Marshal copies what a Marshaler writes
	if numpy {
		each = 4
	}
	m, out, _, _, err := c.ask(until(layer), each)
	if err != nil {
		return err
	}
	shape := []int{out.C, out.H, out.W}
	if out.H == 1 && out.W == 1 {
		shape = shape[:1]
	}
	if numpy {
		return c.answer(numpyType, http.StatusOK, weights.NPYHeader(shape...), floatBytes(out.Data))
	}
	data := floatsAsJSON(out.Data)
	if at := data.notFinite(); at >= 0 {
		return refuse(notFinite, "ask for it with Accept: "+numpyType,
			"value %d of %s is %v, which JSON cannot hold", at, layer, data[at])
	}
	return c.answerJSON(http.StatusOK, features{m.name, layer, shape, data})
}

// wantsNumPy reports whether an Accept header names NumPy's format.
func wantsNumPy(accept string) bool {
	for _, item := range strings.Split(accept, ",") {
		if kind, _, err := mime.ParseMediaType(item); err == nil && kind == numpyType {
			return true
		}
	}
	return false
}
