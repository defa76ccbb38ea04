package page

import (
	"fmt"

	"github.com/vggo/vggo/arch"
)

// Cell is one number of a map and what it was made of, worked out by the definition in float64, as package nn/reference
// has it: arch tells both where windows lie and what averages divide by. Value is what the map holds, which the network
// computed in float32: it may differ in its last digits, more after Winograd's algorithm.
type Cell struct {
	Layer   string   `json:"layer"`
	Layers  []string `json:"layers"` // computed together
	Kind    string   `json:"kind"`   // of Layer, the first of them
	From    string   `json:"from"`   // the layer whose output it reads; empty: the picture
	Channel int      `json:"channel"`
	Y       int      `json:"y"`
	X       int      `json:"x"`

	Window *Window `json:"window,omitempty"` // of a convolution or a pooling
	// Patch is the part of the input that the window covers, of channel In or for pooling of Channel; nil where there is
	// padding. It is left out where it has more than maxPatch values.
	Patch [][]*float32 `json:"patch,omitempty"`
	// Convolutions and fully connected layers.
	Inputs  int         `json:"inputs"`         // channels that are read: those of the group
	FirstIn int         `json:"first_in"`       // the first of them
	Sums    []float64   `json:"sums,omitempty"` // of a convolution: what each input channel adds
	In      int         `json:"in"`             // the input channel shown by Patch and Weights
	Weights [][]float32 `json:"weights,omitempty"`
	Terms   []Term      `json:"terms,omitempty"` // of a fully connected layer: the largest products
	Rest    float64     `json:"rest"`            // the sum of all others
	// Maps is the layer whose maps a fully connected layer reads, laid end to end or each as one number, and Adds what
	// each of them adds; empty where it reads no maps.
	Maps    string    `json:"maps,omitempty"`
	Adds    []float64 `json:"adds,omitempty"`
	Bias    *float32  `json:"bias,omitempty"`
	Sum     float64   `json:"sum"`               // with the bias; of average pooling over the window
	Divisor int       `json:"divisor,omitempty"` // of average pooling
	// Of flatten, ReLU, sigmoid, softmax and the normalisations: the number that becomes this one.
	Source  *Source  `json:"source,omitempty"`
	LRN     *LRN     `json:"lrn,omitempty"`
	Softmax *Softmax `json:"softmax,omitempty"`
	Norm    *Norm    `json:"norm,omitempty"`
	ReLU    bool     `json:"relu"`
	// Worked says that the working is told. What vggo computes otherwise has its Value alone.
	Worked bool `json:"worked"`

	Result float64 `json:"result"`
	Value  float64 `json:"value"` // all digits of a float32, so that what is the same is seen to be
}

// Window is where a kernel lies on its input: its first row and column may be padding, and so may its last.
type Window struct {
	Top      int       `json:"top"`
	Left     int       `json:"left"`
	Kernel   arch.Size `json:"kernel"`
	Dilation arch.Size `json:"dilation"`
	Real     int       `json:"real"` // of its places that lie on the map
}

// Term is one product of a fully connected layer.
type Term struct {
	Index  int     `json:"index"`
	Input  float32 `json:"input"`
	Weight float32 `json:"weight"`
}

// Source is one number of the layer's input.
type Source struct {
	Channel int     `json:"channel"`
	Y       int     `json:"y"`
	X       int     `json:"x"`
	Value   float32 `json:"value"`
}

// LRN is local response normalisation: value / (k + alpha/size * Squares)^beta.
type LRN struct {
	First   int     `json:"first"` // the channels whose squares are added up
	Last    int     `json:"last"`
	Squares float64 `json:"squares"`
	Size    int     `json:"size"`
	Alpha   float64 `json:"alpha"`
	Beta    float64 `json:"beta"`
	K       float64 `json:"k"`
}

// Softmax is exp(value - Max) / Sum, over all channels at one place.
type Softmax struct {
	Max float64 `json:"max"`
	Sum float64 `json:"sum"` // of the exponentials
}

// Norm is batch norm: gamma * (In - mean)/sqrt(variance + epsilon) + beta.
type Norm struct {
	In       float64 `json:"in"`
	Gamma    float32 `json:"gamma"`
	Beta     float32 `json:"beta"`
	Mean     float32 `json:"mean"`
	Variance float32 `json:"variance"`
	Epsilon  float64 `json:"epsilon"`
	Out      float64 `json:"out"`
}

// MostAdding asks Cell for the window of the input channel that adds most.
const MostAdding = -1

// Cell works one number out: row y and column x of a channel of a layer's output. in is the input channel of a
// convolution whose window is told, or MostAdding.
func (v *Visit) Cell(layer string, channel, y, x, in int) (*Cell, error) {
	out, err := v.out(layer)
	if err != nil {
		return nil, err
	}
	if channel < 0 || channel >= out.C || y < 0 || y >= out.H || x < 0 || x >= out.W {
		return nil, &AskError{fmt.Sprintf("%s has no cell %d,%d of map %d: it is %dx%dx%d", layer, y, x, channel, out.H,
			out.W, out.C)}
	}
	i, _ := v.Group(layer)
	group := v.Groups[i]
	first, err := v.layer(group.Layers[0])
	if err != nil {
		return nil, err
	}
	c := &Cell{Layer: first.Name, Layers: group.Layers, Kind: first.Op.Kind(), Channel: channel, Y: y, X: x,
		Value: float64(out.At(0, channel, y, x)), Worked: true}
	if _, conv := first.Op.(arch.Conv); !conv && in != MostAdding {
		return nil,
			&AskError{fmt.Sprintf("%s is no convolution: only a convolution adds up input maps that can be chosen by in",
				first.Name)}
	}
	input := v.Image
	if i > 0 {
		input = v.Groups[i-1].Out
		c.From = v.Groups[i-1].Layers[0]
	}
	w := working{v, c, input}
	if err := w.first(first, in); err != nil {
		return nil, err
	}
	if err := w.others(group.Layers[1:]); err != nil {
		return nil, err
	}
	if !c.Worked {
		c.Result = c.Value
	}
	return c, nil
}
