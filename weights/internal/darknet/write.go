package darknet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/fault"
)

// Ending is that of a file of weights; its .cfg has the same name otherwise.
const Ending = ".weights"

// Export is a network ready to be written as Darknet's two files.
type Export struct {
	text   strings.Builder
	values []values32 // in the order of the file
}

// values32 are a layer's numbers of one kind; nil ones are so many zeros.
type values32 struct {
	count int
	make  func(find Find) ([]float32, error)
}

// Find returns a parameter's values.
type Find func(arch.Param) ([]float32, error)

// NewExport says a network in Darknet's words, for the input that it is placed on. What these cannot say is an error
// that names the layer. Notes, which may be nil, whose names begin with "vggo." and whose values have no line breaks,
// become comments, which Darknet passes over.
func NewExport(placed *arch.Placement, notes map[string]string) (*Export, error) {
	e := &Export{}
	e.section("net", "batch", 1, "height", placed.Input.H, "width", placed.Input.W, "channels", placed.Input.C)
	for rest := placed.Layers; len(rest) > 0; {
		n, err := e.layer(rest)
		if err != nil {
			return nil, fmt.Errorf("%s: layer %s: Darknet has %w", placed.Network.Name, rest[0].Name, err)
		}
		rest = rest[n:]
	}
	for _, name := range slices.Sorted(maps.Keys(notes)) {
		fmt.Fprintf(&e.text, "# %s=%s\n", name, notes[name])
	}
	if e.text.Len() > maxConfig {
		return nil, fmt.Errorf("%s: a .cfg of %d bytes, and the most that vggo reads is %d: its notes are too long, such "+
			"as classes' names", placed.Network.Name, e.text.Len(), maxConfig)
	}
	return e, nil
}

// Config is the .cfg.
func (e *Export) Config() string { return e.text.String() }

// Write writes the .weights, of version 0.2, with the values that find returns for each parameter.
func (e *Export) Write(w io.Writer, find Find) error {
	head := binary.LittleEndian.AppendUint32(nil, 0)
	head = binary.LittleEndian.AppendUint32(head, 2)
	if _, err := w.Write(append(head, make([]byte, 12)...)); err != nil { // revision, pictures seen
		return err
	}
	for _, v := range e.values {
		data := make([]float32, v.count)
		if v.make != nil {
			var err error
			if data, err = v.make(find); err != nil {
				return err
			}
		}
		err := fault.Catch(func() error { // they may be mapped from another file
			for part := range slices.Chunk(data, 1<<14) {
				if err := binary.Write(w, binary.LittleEndian, part); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// section appends one with its settings, keys and values in turn.
func (e *Export) section(name string, settings ...any) {
	fmt.Fprintf(&e.text, "[%s]\n", name)
	for pair := range slices.Chunk(settings, 2) {
		text := fmt.Sprint(pair[1])
		if v, ok := pair[1].(float64); ok {
			text = strconv.FormatFloat(v, 'g', -1, 64)
		}
		fmt.Fprintf(&e.text, "%s=%s\n", pair[0], text)
	}
	e.text.WriteByte('\n')
}

// layer says the first of some layers, with those behind it that Darknet has in one with it, and counts them.
func (e *Export) layer(layers []arch.Placed) (n int, err error) {
	layer := layers[0]
	switch op := layer.Op.(type) {
	case arch.Conv, arch.Linear:
		return e.weighted(layers)
	case arch.MaxPool:
		g := layer.Geometry
		pad := 2 * g.Top // of both sides together: half of it, rounded down, before
		if (g.In.H+pad-g.Kernel.H)/g.Stride.H+1 != g.Out.H || (g.In.W+pad-g.Kernel.W)/g.Stride.W+1 != g.Out.W {
			pad++
		}
		if !square(g) || g.Left != g.Top || (g.In.H+pad-g.Kernel.H)/g.Stride.H+1 != g.Out.H ||
			(g.In.W+pad-g.Kernel.W)/g.Stride.W+1 != g.Out.W {
			return 0, errors.New("no such pooling")
		}
		e.section("maxpool", "size", g.Kernel.H, "stride", g.Stride.H, "padding", pad)
	case arch.AvgPool:
		g := layer.Geometry
		if g.Out != arch.Square(1) || g.Kernel != g.In || g.Top+g.Left+g.Bottom+g.Right != 0 {
			return 0, errors.New("averages of whole maps alone")
		}
		e.section("avgpool")
	case arch.AdaptiveAvgPool:
		if layer.Out == layer.In {
			break
		}
		if op.Out != arch.Square(1) {
			return 0, errors.New("averages of whole maps alone")
		}
		e.section("avgpool")
	case arch.GlobalAvgPool:
		e.section("avgpool")
	case arch.Flatten:
	case arch.Dropout:
		e.section("dropout", "probability", 1-op.Keep)
	case arch.Softmax:
		if layer.In.H*layer.In.W != 1 {
			return 0, errors.New("no softmax of maps")
		}
		e.section("softmax", "groups", 1)
	case arch.LRN:
		if op.Size%2 == 0 {
			return 0, errors.New("no normalisation over an even number of channels that is the same")
		}
		e.section("normalization", "size", op.Size, "alpha", op.Alpha/float64(op.Size), "beta", op.Beta, "kappa", op.K)
	case arch.ReLU:
		e.section("activation", "activation", "relu")
	case arch.Sigmoid:
		e.section("activation", "activation", "logistic")
	default:
		return 0, fmt.Errorf("no %s by itself", op.Kind())
	}
	return 1, nil
}

// square reports whether a window is as high as wide, in all its numbers.
func square(g arch.Geometry) bool {
	return g.Kernel.H == g.Kernel.W && g.Stride.H == g.Stride.W && g.Dilation == arch.Square(1)
}

// weighted says a layer with weights, its batch norm and its activation.
func (e *Export) weighted(layers []arch.Placed) (n int, err error) {
	layer := layers[0]
	var settings []any
	section := "connected"
	if op, ok := layer.Op.(arch.Conv); ok {
		section = "convolutional"
		g := layer.Geometry
		if !square(g) || g.Left != g.Top || g.Right != g.Top || g.Bottom != g.Top {
			return 0, errors.New("no such convolution: its windows are squares, padded alike on all sides")
		}
		settings = append(settings, "filters", op.Out, "size", g.Kernel.H, "stride", g.Stride.H, "padding", g.Top)
		if op.Groups > 1 {
			settings = append(settings, "groups", op.Groups)
		}
	} else {
		settings = append(settings, "output", layer.Out.C)
	}
	n = 1
	var norm *arch.Placed
	if len(layers) > 1 && follows(layers, 1) {
		norm, n = &layers[1], 2
		settings = append([]any{"batch_normalize", 1}, settings...)
	}
	activation := "linear"
	if n < len(layers) {
		switch layers[n].Op.(type) {
		case arch.ReLU:
			activation = "relu"
		case arch.Sigmoid:
			activation = "logistic"
		}
	}
	if activation != "linear" {
		n++
	}
	e.section(section, append(settings, "activation", activation)...)
	e.numbers(layer, norm, section == "connected")
	return n, nil
}

// numbers appends a layer's in the file's order.
func (e *Export) numbers(layer arch.Placed, norm *arch.Placed, weightsFirst bool) {
	plain := func(p arch.Param) values32 {
		return values32{p.Count(), func(find Find) ([]float32, error) { return find(p) }}
	}
	weights := plain(layer.Params[0])
	outs := layer.Out.C
	biases := values32{count: outs}
	if len(layer.Params) > 1 {
		biases = plain(layer.Params[1])
	}
	if norm == nil {
		e.values = append(e.values, biases, weights)
		return
	}
	gamma, beta, mean, variance := plain(norm.Params[0]), plain(norm.Params[1]), plain(norm.Params[2]),
		plain(norm.Params[3])
	shifted := values32{outs, func(find Find) ([]float32, error) { // Darknet's have no biases beside their batch norm
		m, err := mean.make(find)
		if err != nil || biases.make == nil {
			return m, err
		}
		b, err := biases.make(find)
		if err != nil {
			return nil, err
		}
		return combine(m, func(i int, v float64) float64 { return v - float64(b[i]) }), nil
	}}
	epsilon := norm.Op.(arch.BatchNorm).Epsilon()
	deviation := values32{outs, func(find Find) ([]float32, error) {
		v, err := variance.make(find)
		return combine(v, func(_ int, v float64) float64 {
			beyond := max(math.Sqrt(v+epsilon)-beneath, 0)
			return beyond * beyond
		}), err
	}}
	if weightsFirst {
		e.values = append(e.values, beta, weights, gamma, shifted, deviation)
		return
	}
	e.values = append(e.values, beta, gamma, shifted, deviation, weights)
}

func combine(list []float32, of func(i int, v float64) float64) []float32 {
	made := make([]float32, len(list))
	for i, v := range list {
		made[i] = float32(of(i, float64(v)))
	}
	return made
}
