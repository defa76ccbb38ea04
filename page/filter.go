package page

import (
	"fmt"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/arch"
)

// Filters are a layer's weights for some of its output channels.
type Filters struct {
	Layer string    `json:"layer"`
	Shape []int     `json:"shape"` // of the whole parameter: O,I,H,W or O,I
	From  int       `json:"from"`  // the first output channel told
	Bias  []float32 `json:"bias,omitempty"`
	Data  []float32 `json:"data"` // in the parameter's order
}

// Weights are the weights of count output channels of a layer, as the file has them: batch norm is not folded in. Their
// number is bounded by MaxValues.
func Weights(m *vggo.Model, layer string, from, count int) (*Filters, error) {
	i, err := find(m.Placed, layer)
	if err != nil {
		return nil, err
	}
	w, b := params(&m.Placed.Layers[i])
	if w == nil {
		return nil, &AskError{fmt.Sprintf("%s has no filters: it is no convolution and not fully connected", layer)}
	}
	each := w.Count() / w.Shape[0]
	if from < 0 || count < 1 || from > w.Shape[0]-count || count > MaxValues/each {
		return nil, &AskError{fmt.Sprintf("%s has filters 0 to %d of %d weights: ask for at most %d weights at once", layer,
			w.Shape[0]-1, each, MaxValues)}
	}
	f := &Filters{Layer: layer, Shape: w.Shape, From: from}
	if f.Data, err = m.Values(w.Name, from*each, (from+count)*each); err != nil {
		return nil, err
	}
	if b != nil {
		f.Bias, err = m.Values(b.Name, from, from+count)
	}
	return f, err
}

// params are the weights and biases of a convolution or a fully connected layer; nil where there are none.
func params(p *arch.Placed) (w, b *arch.Param) {
	switch p.Op.(type) {
	case arch.Conv, arch.Linear:
		w = &p.Params[0]
		if len(p.Params) > 1 {
			b = &p.Params[1]
		}
	}
	return w, b
}
