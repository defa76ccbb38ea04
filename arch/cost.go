package arch

import (
	"fmt"
	"math"
	"math/bits"
)

// bytesPerValue is float32's size; everything here is counted in float32.
const bytesPerValue = 4

// Report is what a network produces and costs for one input size and batch.
type Report struct {
	Network string        `json:"network"`
	Title   string        `json:"title,omitempty"`
	Input   Shape         `json:"input"`
	Batch   int           `json:"batch"`
	Layers  []LayerReport `json:"layers"`
	Total   Total         `json:"total"`
	Memory  Footprint     `json:"memory"`

	placed *Placement
}

// Placement is the network on the input that the report is of.
func (r *Report) Placement() *Placement { return r.placed }

// LayerReport is one layer of a Report.
type LayerReport struct {
	Name      string `json:"name"`
	Kind      string `json:"kind"`      // Op.Kind
	Operation string `json:"operation"` // Describe
	In        Shape  `json:"in"`
	Out       Shape  `json:"out"`
	InPlace   bool   `json:"in_place"`

	Weights    int64 `json:"weights"`    // batch norm's gamma counts as weights
	Biases     int64 `json:"biases"`     // and its beta as biases
	Statistics int64 `json:"statistics"` // its running mean and variance, which no published total counts
	// MACs are the multiply-accumulates of convolutions and fully connected layers, for one image. Padding's zeros
	// count, as in every published total.
	MACs  int64 `json:"macs_per_image"`
	FLOPs int64 `json:"flops_per_image"` // 2 per MAC; biases, activations, pooling and normalisation are left out
	// ActivationBytes is the output for the whole batch; 0 for a layer in place.
	ActivationBytes int64 `json:"activation_bytes"`
	// Intensity is FLOPs per byte for the batch, where weights, input and output each cross memory once.
	Intensity float64        `json:"flops_per_byte"`
	Field     ReceptiveField `json:"field"`
	Formulas  Formulas       `json:"formulas"`
}

// Total sums a Report's layers.
type Total struct {
	Weights         int64   `json:"weights"`
	Biases          int64   `json:"biases"`
	Parameters      int64   `json:"parameters"` // weights and biases
	Statistics      int64   `json:"statistics"`
	MACs            int64   `json:"macs_per_image"`
	FLOPs           int64   `json:"flops_per_image"`
	ActivationBytes int64   `json:"activation_bytes"` // every map of the batch, none overwritten
	Intensity       float64 `json:"flops_per_byte"`
	WeightedLayers  int     `json:"weighted_layers"` // convolutions and fully connected: the 16 of VGG-16
}

// Footprint is the bytes that a batch takes by the shapes of its layers, before packing and workspace, which are the
// machine's: nn.Memory is what a Plan takes with them.
//
// Inference puts activations in an arena that layers fill from its two ends in turn, each reading what the one before
// left at the other end. So the arena holds the largest sum of one layer's input and output; layers in place
// (Placed.InPlace) add none.
//
// Training keeps the input batch and the output of every layer not in place; a Plan leaves out outputs of which 2x2
// maxima are taken as they are made. The gradients of activations take turns in
// an arena of the same size, and those of parameters are as large as what is trained. An optimiser's state is not
// counted: momentum takes ParameterGradients once more, Adam twice.
type Footprint struct {
	Parameters          int64 `json:"parameter_bytes"` // batch norm's statistics included
	Arena               int64 `json:"infer_activation_bytes"`
	Infer               int64 `json:"infer_bytes"` // Parameters + Arena
	Kept                int64 `json:"train_activation_bytes"`
	ParameterGradients  int64 `json:"train_parameter_gradient_bytes"`
	ActivationGradients int64 `json:"train_activation_gradient_bytes"` // = Arena
	Train               int64 `json:"train_bytes"`                     // Parameters + Kept + both gradients
}

// Analyze works out what a network produces and costs for an input size and a number of images at once. An impossible
// network is a *ShapeError, and so is one whose figures pass 63 bits.
func Analyze(n *Network, input Shape, batch int) (*Report, error) {
	placement, err := n.Place(input)
	if err != nil {
		return nil, err
	}
	return placement.Analyze(batch)
}

// Analyze works out what the network produces and costs for a number of images at once. It is a *ShapeError if a figure
// passes 63 bits.
func (p *Placement) Analyze(batch int) (*Report, error) {
	if batch < 1 || batch > 1<<20 {
		return nil, fmt.Errorf("batch %d must lie between 1 and %d", batch, 1<<20)
	}
	n, input, placed := p.Network, p.Input, p.Layers
	fields, err := fields(placed)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", n.Name, err)
	}
	r := &Report{Network: n.Name, Title: n.Title, Input: input, Batch: batch, placed: p}
	var sum counter // overflows are found once a layer, not once an operation
	imageBytes := func(s Shape) int64 { return int64(s.C) * int64(s.H) * int64(s.W) * bytesPerValue }
	r.Memory.Kept = sum.times(imageBytes(input), int64(batch))
	for i := range placed {
		p := &placed[i]
		l := LayerReport{Name: p.Name, Kind: p.Op.Kind(), Operation: Describe(p.Op), In: p.In, Out: p.Out, InPlace: p.InPlace,
			Field: fields[i]}
		l.Weights, l.Biases, l.Statistics = p.parameters()
		switch p.Op.(type) {
		case Conv, Linear:
			l.MACs = sum.times(l.Weights, int64(p.Out.H)*int64(p.Out.W))
			r.Total.WeightedLayers++
		}
		l.FLOPs = sum.times(l.MACs, 2)
		out := sum.times(imageBytes(p.Out), int64(batch))
		through := sum.plus(sum.times(imageBytes(p.In), int64(batch)), out)
		if !p.InPlace {
			l.ActivationBytes = out
			r.Memory.Kept = sum.plus(r.Memory.Kept, out)
			r.Memory.Arena = max(r.Memory.Arena, through)
		}
		l.Intensity = float64(l.FLOPs) * float64(batch) / float64(sum.plus(l.Weights*bytesPerValue, through))
		l.Formulas = formulas(placed, fields, i)
		l.Formulas.costFormulas(&l, batch)
		r.Layers = append(r.Layers, l)
		r.Total.add(&sum, l)
		if sum.times(r.Total.FLOPs, int64(batch)); sum.overflow {
			return nil, &ShapeError{Network: n.Name, Layer: p.Name, In: p.In,
				Rule: fmt.Sprintf("with a batch of %d the network's figures pass 63 bits", batch)}
		}
	}
	m := &r.Memory
	trained := sum.times(r.Total.Parameters, bytesPerValue)
	m.Parameters = sum.plus(trained, sum.times(r.Total.Statistics, bytesPerValue))
	m.Infer = sum.plus(m.Parameters, m.Arena)
	m.ParameterGradients, m.ActivationGradients = trained, m.Arena
	m.Train = sum.plus(m.Parameters, m.Kept, m.ParameterGradients, m.ActivationGradients)
	if sum.overflow {
		return nil, &ShapeError{Network: n.Name, In: input, Rule: fmt.Sprintf("with a batch of %d its memory passes 63 bits",
			batch)}
	}
	moved := float64(r.Total.Weights*bytesPerValue) + float64(imageBytes(input))*float64(batch) +
		float64(r.Total.ActivationBytes)
	r.Total.Intensity = float64(r.Total.FLOPs) * float64(batch) / moved
	return r, nil
}

func (t *Total) add(sum *counter, l LayerReport) {
	t.Weights = sum.plus(t.Weights, l.Weights)
	t.Biases = sum.plus(t.Biases, l.Biases)
	t.Parameters = sum.plus(t.Weights, t.Biases)
	t.Statistics = sum.plus(t.Statistics, l.Statistics)
	t.MACs = sum.plus(t.MACs, l.MACs)
	t.FLOPs = sum.plus(t.FLOPs, l.FLOPs)
	t.ActivationBytes = sum.plus(t.ActivationBytes, l.ActivationBytes)
}

// parameters counts weights (w, gamma), biases (b, beta) and statistics (mean, var).
func (p *Placed) parameters() (weights, biases, statistics int64) {
	for i, param := range p.Params {
		switch n := int64(param.Count()); {
		case !param.Trainable:
			statistics += n
		case i == 0:
			weights += n
		default:
			biases += n
		}
	}
	return weights, biases, statistics
}

// counter is arithmetic on counts that notices when it passes 63 bits.
type counter struct{ overflow bool }

func (c *counter) times(a, b int64) int64 {
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	if hi != 0 || lo > math.MaxInt64 {
		c.overflow = true
		return math.MaxInt64
	}
	return int64(lo)
}

func (c *counter) plus(terms ...int64) int64 {
	var sum int64
	for _, t := range terms {
		if sum += t; sum < 0 {
			c.overflow = true
			return math.MaxInt64
		}
	}
	return sum
}
