package caffe

import (
	"fmt"
	"math"
	"strings"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/weights/internal/chain"
	"github.com/vggo/vggo/weights/internal/format"
	"github.com/vggo/vggo/weights/internal/proto"
)

// network is a model as it becomes one.
type network struct {
	contents *format.Contents
	tensors  format.List
	blobs    map[string][]format.Tensor // of the model's layers
	chain    chain.Chain
	input    arch.Shape
	current  string            // the blob that the last layer makes
	same     map[string]string // blobs that are others under another name
	norm     *pendingNorm      // a batch norm whose scale comes with the next layer
	counts   map[string]bool   // tensors that batch norms divide by
	loss     func()            // adds the ending that a loss has at the network's end
}

type pendingNorm struct {
	name   string
	op     arch.BatchNorm
	params map[string]format.Source
}

// describe makes a network of the layers, and says why where it is none that vggo runs.
func (n *network) describe(net proto.Message) {
	n.same, n.loss = map[string]string{}, func() {}
	n.chain.Naming = format.Naming{Family: "Caffe", Preprocess: "caffe", Bookkeeping: func(string) bool { return false }}
	n.current, n.input = inputOf(net)
	layers := layersOf(net)
	for _, l := range layers {
		if err := n.layer(l); err != nil {
			n.contents.Unrunnable = fmt.Errorf("layer %q: %w", format.Clip(l.Text("name")), err)
			return
		}
	}
	n.closeNorm()
	n.loss()
	if p := n.contents.Pictures; p != nil && n.input.C == 3 {
		p.Order = "BGR" // as OpenCV decodes them
	}
	n.chain.Describe(n.contents, "read from a model of Caffe's", n.input)
}

// resolve is the blob that a name stands for.
func (n *network) resolve(name string) string {
	if of, ok := n.same[name]; ok {
		return of
	}
	return name
}

// layer appends one.
func (n *network) layer(l proto.Message) error {
	kind, name := typeOf(l), l.Text("name")
	bottoms, tops := l.Texts("bottom"), l.Texts("top")
	if isData(kind) {
		return n.data(l, kind, tops)
	}
	loss := strings.HasSuffix(kind, "Loss") || strings.HasSuffix(kind, "_LOSS")
	if kind == "Accuracy" || kind == "Silence" || loss && endings[kind] == nil { // which only look on
		return nil
	}
	if len(bottoms) == 0 {
		return fmt.Errorf("of type %q, it reads nothing", format.Clip(kind))
	}
	from := n.resolve(bottoms[0])
	if kind == "Split" { // of what the chain makes, or of labels
		for _, top := range tops {
			n.same[top] = from
		}
		return nil
	}
	if from != n.current && n.current != "" {
		return fmt.Errorf("it reads %q, where the layer before makes %q: vggo runs chains", format.Clip(bottoms[0]),
			format.Clip(n.current))
	}
	if kind != "Scale" {
		n.closeNorm()
	}
	op, params, err := n.operation(l, kind, name)
	if err != nil {
		return err
	}
	if loss { // what it reads may have an ending of its own, for when it is run
		n.loss = func() { n.chain.Add(name, op, params) }
		return nil
	}
	n.loss = func() {}
	if op != nil {
		n.chain.Add(name, op, params)
	}
	if len(tops) > 0 {
		n.current = tops[0]
		delete(n.same, tops[0])
	}
	return nil
}

// data takes over what a layer that reads pictures says of them.
func (n *network) data(l proto.Message, kind string, tops []string) error {
	if n.chain.Len() > 0 || len(tops) == 0 {
		return nil
	}
	n.current = tops[0]
	t := l.Message("transform_param")
	for _, old := range []string{"data_param", "image_data_param"} {
		if o := l.Message(old); t == nil && (o.Has("crop_size") || o.Has("scale")) {
			t = o
		}
	}
	switch m := l.Message("memory_data_param"); {
	case kind == "Input":
		n.input = shapeOf(l.Message("input_param").Message("shape").Numbers("dim"))
	case m != nil:
		n.input = arch.Shape{C: int(m.Number("channels", 0)), H: int(m.Number("height", 0)), W: int(m.Number("width", 0))}
	}
	if crop := int(t.Number("crop_size", 0)); crop > 0 {
		n.input.H, n.input.W = crop, crop
	}
	if t.Has("mean_file") || !t.Has("mean_value") && !t.Has("scale") {
		return nil
	}
	p := &format.Pictures{Bytes: true, Mean: []float32{0}, Std: []float32{float32(1 / t.Number("scale", 1))},
		Told: "transform_param of layer " + format.Clip(l.Text("name"))}
	if means := t.Numbers("mean_value"); len(means) > 0 {
		p.Mean = nil
		for _, m := range means {
			p.Mean = append(p.Mean, float32(m))
		}
	}
	if p.Std[0] <= 0 || math.IsInf(float64(p.Std[0]), 0) {
		return fmt.Errorf("a scale of %g", t.Number("scale", 1))
	}
	n.contents.Pictures = p
	return nil
}

// endings are what turns a network's outputs into probabilities, when it is run and when it is trained.
var endings = map[string]arch.Op{"Sigmoid": arch.Sigmoid{}, "SigmoidCrossEntropyLoss": arch.Sigmoid{},
	"Softmax": arch.Softmax{}, "SoftmaxWithLoss": arch.Softmax{}}

// operation is what a layer computes; nil where the next one says the rest, or there is nothing to compute.
func (n *network) operation(l proto.Message, kind, name string) (arch.Op, map[string]format.Source, error) {
	blobs := n.blobs[name]
	params := map[string]format.Source{}
	weights := func(bias bool) {
		params["w"] = format.Source{Name: name + ".weight"}
		if bias {
			params["b"] = format.Source{Name: name + ".bias"}
		}
	}
	switch kind {
	case "Convolution":
		p := l.Message("convolution_param")
		op := arch.Conv{Out: int(p.Number("num_output", 0)), Groups: int(p.Number("group", 1)),
			NoBias: p.Number("bias_term", 1) == 0, Window: window(p)}
		if p.Number("axis", 1) != 1 {
			return nil, nil, fmt.Errorf("a convolution along other axes than the last two")
		}
		if n.input.C == 0 && len(blobs) > 0 && len(blobs[0].Shape) == 4 && n.chain.Len() == 0 {
			n.input.C = blobs[0].Shape[1] * op.Groups
		}
		weights(!op.NoBias)
		return op, params, nil
	case "InnerProduct":
		p := l.Message("inner_product_param")
		op := arch.Linear{Out: int(p.Number("num_output", 0)), NoBias: p.Number("bias_term", 1) == 0}
		if p.Number("axis", 1) != 1 {
			return nil, nil, fmt.Errorf("a fully connected layer along other axes than all")
		}
		weights(!op.NoBias)
		if len(blobs) > 0 && len(blobs[0].Shape) == 2 && op.Out > 0 {
			n.chain.Reads(format.Product(blobs[0].Shape) / op.Out)
		}
		if p.Number("transpose", 0) != 0 {
			params["w"] = format.Source{Name: name + ".weight", Layout: format.InOut}
		}
		return op, params, nil
	case "Pooling":
		return pool(l.Message("pooling_param"))
	case "ReLU":
		if slope := l.Message("relu_param").Number("negative_slope", 0); slope != 0 {
			return nil, nil, fmt.Errorf("a ReLU with a negative slope of %g", slope)
		}
		return arch.ReLU{}, nil, nil
	case "Sigmoid", "SigmoidCrossEntropyLoss", "Softmax", "SoftmaxWithLoss":
		if l.Message("softmax_param").Number("axis", 1) != 1 {
			return nil, nil, fmt.Errorf("a softmax along another axis than the channels")
		}
		return endings[kind], nil, nil
	case "Dropout":
		return arch.Dropout{Keep: 1 - l.Message("dropout_param").Number("dropout_ratio", 0.5)}, nil, nil
	case "Flatten":
		p := l.Message("flatten_param")
		if p.Number("axis", 1) != 1 || p.Number("end_axis", -1) != -1 {
			return nil, nil, fmt.Errorf("a map flattened in part")
		}
		return arch.Flatten{}, nil, nil
	case "LRN":
		p := l.Message("lrn_param")
		if p.Text("norm_region") == "WITHIN_CHANNEL" {
			return nil, nil, fmt.Errorf("a response normalised within a channel")
		}
		return arch.LRN{Size: int(p.Number("local_size", 5)), Alpha: p.Number("alpha", 1), Beta: p.Number("beta", 0.75),
			K: p.Number("k", 1)}, nil, nil
	case "BatchNorm":
		return nil, nil, n.openNorm(l, name, blobs)
	case "Scale":
		return nil, nil, n.scaleNorm(l.Message("scale_param"), name)
	}
	return nil, nil, fmt.Errorf("of type %q, it is none that vggo computes", format.Clip(kind))
}

// openNorm is a batch norm (batch_norm_layer.cpp): sums of means and variances, and by what they are to be divided.
func (n *network) openNorm(l proto.Message, name string, blobs []format.Tensor) error {
	share := format.Layout{}
	if len(blobs) == 3 {
		count, ok := one(blobs[2])
		if !ok || !(count > 0) {
			return fmt.Errorf("statistics of no pictures")
		}
		share.Scale = 1 / count
	}
	n.norm = &pendingNorm{name, arch.BatchNorm{Eps: l.Message("batch_norm_param").Number("eps", 1e-5)},
		map[string]format.Source{"mean": {Name: name + ".0", Layout: share}, "var": {Name: name + ".1", Layout: share},
			"gamma": {Fill: 1}, "beta": {}}}
	n.chain.Naming.Bookkeeping = func(of string) bool { return n.counts[of] }
	if n.counts == nil {
		n.counts = map[string]bool{}
	}
	n.counts[name+".2"] = true
	return nil
}

// scaleNorm is the gain and the shift of the batch norm before.
func (n *network) scaleNorm(p proto.Message, name string) error {
	if n.norm == nil || p.Number("axis", 1) != 1 || p.Number("num_axes", 1) != 1 {
		return fmt.Errorf("a scale that is not a batch norm's")
	}
	n.norm.params["gamma"] = format.Source{Name: name + ".weight"}
	if p.Number("bias_term", 0) != 0 {
		n.norm.params["beta"] = format.Source{Name: name + ".bias"}
	}
	n.closeNorm()
	return nil
}

func (n *network) closeNorm() {
	if n.norm != nil {
		n.chain.Add(n.norm.name, n.norm.op, n.norm.params)
		n.norm = nil
	}
}

// pool is PoolingParameter. Sizes are rounded up (pooling_layer.cpp), and an average counts padding.
func pool(p proto.Message) (arch.Op, map[string]format.Source, error) {
	method := p.Text("pool")
	if p.Number("global_pooling", 0) != 0 {
		if method != "AVE" {
			return nil, nil, fmt.Errorf("the maximum of whole maps")
		}
		return arch.GlobalAvgPool{}, nil, nil
	}
	w := window(p)
	w.Ceil = p.Text("round_mode") != "FLOOR"
	if w.Stride.H > w.Kernel.H || w.Stride.W > w.Kernel.W {
		return nil, nil, fmt.Errorf("windows of %v, %v apart: one may lie beyond the map", w.Kernel, w.Stride)
	}
	switch method {
	case "MAX", "":
		return arch.MaxPool{Window: w}, nil, nil
	case "AVE":
		return arch.AvgPool{Window: w, CountPad: true}, nil, nil
	}
	return nil, nil, fmt.Errorf("pooling by %q", format.Clip(method))
}

// window is what convolutions and pooling share: a number for both sides, one for each, or two fields.
func window(p proto.Message) arch.Window {
	pad := size(p, "pad", 0)
	return arch.Window{Kernel: size(p, "kernel", 0), Stride: size(p, "stride", 1), Dilation: size(p, "dilation", 1),
		Pad: arch.Padding{Top: pad.H, Bottom: pad.H, Left: pad.W, Right: pad.W}}
}

func size(p proto.Message, name string, otherwise float64) arch.Size {
	both := name
	if name == "kernel" {
		both = "kernel_size"
	}
	s := arch.Square(int(otherwise))
	switch list := p.Numbers(both); len(list) {
	case 0:
	case 2:
		s = arch.Size{H: int(list[0]), W: int(list[1])}
	default:
		s = arch.Square(int(list[0]))
	}
	return arch.Size{H: int(p.Number(name+"_h", float64(s.H))), W: int(p.Number(name+"_w", float64(s.W)))}
}
