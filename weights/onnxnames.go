package weights

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/onnx"
)

// effect is what a layer does to its input at inference, in one form for all the ways to say it: padding worked out,
// adaptive pooling as pooling, a convolution over the whole map as a fully connected layer.
type effect struct {
	kind         string
	in, out      arch.Shape
	window       arch.Geometry
	groups       int
	bias, padded bool // padded: padding counts in averages
	lrn          arch.LRN
	eps          float64
}

// effects lists those of a network's layers that change values: no dropout, nor a softmax or sigmoid at the end, of
// which Placement.Ending tells; no flatten, which keeps the order.
func effects(placed *arch.Placement) []namedEffect {
	var list []namedEffect
	_, logits := placed.Ending()
	for i, layer := range placed.Layers {
		e := effect{kind: layer.Op.Kind(), in: layer.In, out: layer.Out}
		average := func(g arch.Geometry) { e.kind, e.window = arch.AvgPool{}.Kind(), g }
		switch op := layer.Op.(type) {
		case arch.Dropout, arch.Flatten:
			continue
		case arch.Softmax, arch.Sigmoid:
			if i == logits {
				continue
			}
		case arch.Conv:
			e.window, e.groups, e.bias = layer.Geometry, max(op.Groups, 1), !op.NoBias
			whole := arch.Size{H: layer.In.H, W: layer.In.W}
			if layer.Geometry.Kernel == whole && layer.Geometry.Out == arch.Square(1) && e.groups == 1 &&
				layer.Geometry.Top+layer.Geometry.Left == 0 {
				e = effect{kind: arch.Linear{}.Kind(), in: flatShape(layer.In), out: layer.Out, bias: e.bias}
			}
		case arch.Linear:
			e.bias = !op.NoBias
		case arch.MaxPool:
			e.window = layer.Geometry
		case arch.AvgPool:
			e.window = layer.Geometry
			g := layer.Geometry
			e.padded = op.CountPad && g.Top+g.Left+g.Bottom+g.Right > 0
		case arch.GlobalAvgPool:
			average(evenPooling(layer))
		case arch.AdaptiveAvgPool:
			if layer.In.H%layer.Out.H == 0 && layer.In.W%layer.Out.W == 0 {
				average(evenPooling(layer))
			}
		case arch.LRN:
			e.lrn = op
		case arch.BatchNorm:
			e.eps = op.Epsilon()
		}
		e.window.Ceil = false // the output's size tells
		if e.kind == (arch.MaxPool{}).Kind() || e.kind == (arch.AvgPool{}).Kind() && !e.padded {
			e.window.Bottom, e.window.Right = 0, 0 // so it does
		}
		if g := e.window; strings.HasSuffix(e.kind, "pool") && g.Kernel == arch.Square(1) && g.In == g.Out &&
			g.Top+g.Left+g.Bottom+g.Right == 0 {
			continue
		}
		list = append(list, namedEffect{e, layer.Name, layer.Op})
	}
	return list
}

func flatShape(s arch.Shape) arch.Shape { return arch.Shape{C: s.C * s.H * s.W, H: 1, W: 1} }

// evenPooling is the window of a pooling whose output divides its input.
func evenPooling(layer arch.Placed) arch.Geometry {
	k := arch.Size{H: layer.In.H / layer.Out.H, W: layer.In.W / layer.Out.W}
	return arch.Geometry{Kernel: k, Stride: k, Dilation: arch.Square(1),
		In: arch.Size{H: layer.In.H, W: layer.In.W}, Out: arch.Size{H: layer.Out.H, W: layer.Out.W}}
}

// weighted lists the layers with parameters.
func (c *onnxChain) weighted() []*onnxLayer {
	var list []*onnxLayer
	for _, layer := range c.layers {
		if layer.params != nil {
			list = append(list, layer)
		}
	}
	return list
}

// network is the chain as a network, and the names of its layers with parameters, in their order.
func (c *onnxChain) network(f *File) (net *arch.Placement, weighted []string, err error) {
	plain := c.plain()
	placed, err := plain.Place(plain.Input)
	if err != nil {
		return nil, nil, err
	}
	return f.recognise(placed)
}

// recognise gives the layers of a network that a file describes better names: those of the network that the file says
// it is, or of the built-in that computes the same, which then is the network; else it stays. weighted are the names of
// the layers with parameters, in their order.
func (f *File) recognise(plain *arch.Placement) (net *arch.Placement, weighted []string, err error) {
	does := effects(plain)
	for candidate := range f.candidates(plain) {
		same := func(a, b namedEffect) bool { return a.effect == b.effect }
		if !slices.EqualFunc(effects(candidate), does, same) {
			continue
		}
		weighted = namesOfWeighted(candidate)
		if ending, _ := plain.Ending(); ending == arch.EndsInSigmoid {
			candidate, err = candidate.WithSigmoid()
		}
		return candidate, weighted, err
	}
	return plain, namesOfWeighted(plain), nil
}

// candidates are the network of the file's note, and the built-ins with as many classes, on a network's input. Those
// that are not possible on it are left out.
func (f *File) candidates(plain *arch.Placement) iter.Seq[*arch.Placement] {
	return func(yield func(*arch.Placement) bool) {
		if noted, err := f.noted(); err == nil && noted != nil {
			if noted, err = noted.WithInput(plain.Input); err == nil && !yield(noted) {
				return
			}
		}
		for _, name := range arch.Names() {
			net, err := arch.Builtin(name)
			if err != nil {
				continue
			}
			for i := len(net.Layers) - 1; i >= 0; i-- {
				if linear, ok := net.Layers[i].Op.(arch.Linear); ok {
					linear.Out = plain.Output().C
					net.Layers[i].Op = linear
					break
				}
			}
			net.Input = plain.Input
			if placed, err := net.Place(net.Input); err == nil && !yield(placed) {
				return
			}
		}
	}
}

// namesOfWeighted are the layers with parameters.
func namesOfWeighted(net *arch.Placement) (names []string) {
	for _, layer := range net.Layers {
		if len(layer.Params) > 0 {
			names = append(names, layer.Name)
		}
	}
	return names
}

// plain is the chain as a network whose layers have the names of the graph's nodes or tensors.
func (c *onnxChain) plain() *arch.Network {
	net := &arch.Network{Name: "onnx", Title: "read from an ONNX graph", Input: c.shape}
	taken := map[string]int{}
	for _, layer := range c.layers {
		base := layerName(layer)
		name := base
		for taken[name] > 0 {
			taken[base]++
			name = fmt.Sprintf("%s_%d", base, taken[base])
		}
		taken[name]++
		net.Layers = append(net.Layers, arch.Layer{Name: name, Op: layer.op})
	}
	return net
}

// layerName makes a layer's name of the name of its weights without what they are of it, else of its node's, else of
// the value that the node makes. A flatten that no node stands for has its own.
func layerName(layer *onnxLayer) string {
	if _, ok := layer.op.(arch.Flatten); ok && layer.node.Op != "Flatten" {
		return "flatten"
	}
	name := nodeName(layer.node)
	for _, role := range []string{"w", "gamma"} {
		if p := layer.params[role]; p != nil && p.tensor != nil {
			for _, suffix := range []string{".weight", ".gamma", "_weight", "_gamma", "/kernel", "/kernel:0", "/gamma",
				"/gamma:0"} {
				if of, ok := strings.CutSuffix(p.tensor.Name, suffix); ok && of != "" {
					name = of
				}
			}
		}
	}
	return arch.FitName(name, layer.op.Kind())
}

// nodeName is a node's name or else its output's. PyTorch calls a module's nodes /features/features.2/Relu: of that it
// is features.2.
func nodeName(n *onnx.Node) string {
	name := n.Name
	if name == "" && len(n.Outputs) > 0 {
		name = n.Outputs[0]
	}
	parts := strings.Split(name, "/")
	last := len(parts) - 1
	if last > 1 && parts[0] == "" && strings.HasPrefix(parts[last], n.Op) {
		return parts[last-1]
	}
	return name
}
