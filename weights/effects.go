package weights

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/weights/internal/format"
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
		case arch.ReflectPad:
			e.window = arch.Geometry{Top: op.Top, Left: op.Left, Bottom: op.Bottom, Right: op.Right}
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

// describe takes over the network that a file describes, under better names where there are any: those of the network
// that the file says it is, or of the built-in that computes the same, which then is the network.
func (f *File) describe(told *format.Network) error {
	if told.Placed == nil {
		var err error
		if told.Placed, err = told.Network.Place(told.Network.Input); err != nil {
			return fmt.Errorf("%s: %w", f.Path, err)
		}
	}
	if err := f.hold(told.Derived); err != nil {
		return err
	}
	f.described = told
	plain := told.Placed
	does := effects(plain)
	for candidate := range f.candidates(plain) {
		same := func(a, b namedEffect) bool { return a.effect == b.effect }
		if !slices.EqualFunc(effects(candidate), does, same) {
			continue
		}
		naming, ok := renamed(told.Naming, plain.Layers, candidate.Layers)
		if !ok {
			continue
		}
		if ending, _ := plain.Ending(); ending == arch.EndsInSigmoid {
			var err error
			if candidate, err = candidate.WithSigmoid(); err != nil {
				return err
			}
		}
		told.Network, told.Placed, told.Naming = candidate.Network, candidate, naming
		return nil
	}
	return nil
}

// renamed is the naming of some layers' parameters for those of others, one after the other, whatever they are called.
// ok is false where these are not as many.
func renamed(n format.Naming, from, to []arch.Placed) (_ format.Naming, ok bool) {
	from, to = format.Weighted(from), format.Weighted(to)
	if len(from) != len(to) {
		return n, false
	}
	source := map[string]format.Source{}
	for i, layer := range to {
		if len(layer.Params) != len(from[i].Params) {
			return n, false
		}
		for j, p := range layer.Params {
			src, ok := n.Source[from[i].Params[j].Name]
			if len(src.Layout.Axes) > len(p.Shape) && len(src.Layout.Axes) > 2 {
				return n, false // a kernel's axes cannot be put in order once it is a row of inputs
			}
			if !ok { // a source without a name were zeros
				src.Name = from[i].Params[j].Name
			}
			source[p.Name] = src
		}
	}
	n.Source = source
	return n, true
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
