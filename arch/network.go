// Package arch holds a convolutional network as data: named layers, and everything that follows from them without
// touching a weight (output sizes, parameters, multiply-accumulates, bytes, receptive fields), each with its formula.
package arch

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/vggo/vggo/internal/near"
	"github.com/vggo/vggo/internal/printable"
)

// Shape is a feature map of C channels, H rows and W columns. A vector has H = W = 1.
type Shape struct {
	C int `json:"c"`
	H int `json:"h"`
	W int `json:"w"`
}

func (s Shape) String() string { return fmt.Sprintf("%dx%dx%d", s.H, s.W, s.C) }

// ParseShape reads a shape as String writes it: height, width, channels, "224x224x3".
func ParseShape(s string) (Shape, error) {
	dims, err := parseDims(s, 3)
	if err != nil {
		return Shape{}, fmt.Errorf("shape %q: want height x width x channels, as 224x224x3", clip(s))
	}
	return Shape{C: dims[2], H: dims[0], W: dims[1]}, nil
}

// parseDims reads n numbers from 1 to 2^31-1 with an x between them.
func parseDims(s string, n int) ([]int, error) {
	parts := strings.Split(s, "x")
	if len(parts) != n {
		return nil, fmt.Errorf("want %d numbers with x between them", n)
	}
	dims := make([]int, n)
	for i, part := range parts {
		d, err := strconv.ParseUint(part, 10, 31)
		if err != nil || d == 0 {
			return nil, fmt.Errorf("%q is not a positive number", part)
		}
		dims[i] = int(d)
	}
	return dims, nil
}

// Size is a height and a width: of a kernel, a stride, a dilation.
type Size struct {
	H int `json:"h"`
	W int `json:"w"`
}

// Square is Size{n, n}.
func Square(n int) Size { return Size{n, n} }

func (s Size) String() string { return fmt.Sprintf("%dx%d", s.H, s.W) }

// Network is a plain chain of layers.
type Network struct {
	Name   string // "vgg16"
	Title  string // one line for lists: what it is, with its source
	Input  Shape  // the size it was designed for
	Layers []Layer
}

// Layer is one named operation. Names are unique within a network: conv1_1, relu1_1, pool1, fc6. A parameter's name is
// its layer's, a slash and its role.
type Layer struct {
	Name string
	Op   Op
}

// NoLayerError is a name that none of a network's layers has.
type NoLayerError struct {
	Network, Layer string
	Have           []string // the names that they have
	Near           []string // those that a slip of the hand could have turned into Layer, the nearest first; may be empty
}

func noLayer(n *Network, layer string) *NoLayerError {
	e := &NoLayerError{Network: n.Name, Layer: layer}
	for _, l := range n.Layers {
		e.Have = append(e.Have, l.Name)
	}
	e.Near = near.Names(clip(layer), e.Have, 4, strings.ToLower)
	return e
}

// Error lists the layers, of a deep network the first and the last.
func (e *NoLayerError) Error() string {
	return fmt.Sprintf("%s has no layer %q: it has %s", e.Network, clip(e.Layer), printable.Ends(e.Have, 12))
}

// Until returns the network's beginning, up to a layer and with it. The layers are the network's own. An unknown name
// is an error.
func (n *Network) Until(layer string) (*Network, error) {
	for i, l := range n.Layers {
		if l.Name == layer {
			beginning := *n
			beginning.Layers = n.Layers[: i+1 : i+1]
			return &beginning, nil
		}
	}
	return nil, noLayer(n, layer)
}

// canonical writes an operation's defaults out, so that operations that mean the same compare equal.
func canonical(op Op) Op {
	switch op := op.(type) {
	case Conv:
		op.Window = op.Window.canonical()
		op.Groups = max(op.Groups, 1)
		return op
	case MaxPool:
		op.Window = op.Window.canonical()
		return op
	case AvgPool:
		op.Window = op.Window.canonical()
		if op.Pad.Mode != Same && op.Pad == (Padding{Mode: op.Pad.Mode}) {
			op.CountPad = false // there is no padding to count
		}
		return op
	case BatchNorm:
		return BatchNorm{Eps: op.Epsilon(), Momentum: op.Rate()}
	}
	return op
}

func (w Window) canonical() Window {
	w.Stride, w.Dilation = orOne(w.Stride), orOne(w.Dilation)
	if w.Pad.Mode != Explicit {
		w.Pad = Padding{Mode: w.Pad.Mode}
	}
	return w
}

// Op is one of Conv, ReflectPad, ReLU, MaxPool, AvgPool, L2Pool, AdaptiveAvgPool, GlobalAvgPool, LRN, BatchNorm,
// Flatten, Linear, Dropout, Softmax and Sigmoid, all as values, not pointers.
type Op interface {
	// Kind is the operation's word in descriptions and tables: "conv", "relu", "maxpool" …
	Kind() string
}

// PadMode says how a window's padding is found.
type PadMode int

const (
	// Explicit padding is written out: Top, Left, Bottom, Right.
	Explicit PadMode = iota
	// Same is TensorFlow's SAME: output = ceil(input/stride), the odd pixel of padding at the bottom and right.
	Same
	// Valid is TensorFlow's VALID: no padding; output = ceil((input-kernel+1)/stride).
	Valid
)

// Padding is added around a feature map: zeros for a convolution, nothing for pooling.
type Padding struct {
	Mode                     PadMode
	Top, Left, Bottom, Right int // for Explicit
}

// Pad is explicit padding of n on every side.
func Pad(n int) Padding { return Padding{Top: n, Left: n, Bottom: n, Right: n} }

// Window is how a kernel slides over a feature map. A zero Stride or Dilation counts as 1x1.
type Window struct {
	Kernel   Size
	Stride   Size
	Dilation Size
	Pad      Padding
	Ceil     bool // round the output size up (pooling), as PyTorch's ceil_mode: a window may not start in the far padding
}

// Conv is a convolution (cross-correlation) to Out feature maps. Weights are Out x In/Groups x kh x kw.
type Conv struct {
	Out int
	Window
	Groups int // 0 counts as 1
	NoBias bool
}

// ReflectPad widens each map by its mirror image at the borders, which the border's own pixels are no part of: of a row
// a b c padded by 1 comes b a b c b (torch.nn.ReflectionPad2d). Padding is smaller than the map.
type ReflectPad struct{ Top, Left, Bottom, Right int }

// ReLU is max(0, x); NaN stays NaN.
type ReLU struct{}

// MaxPool is the largest value of each window; padding never wins; NaN wins.
type MaxPool struct{ Window }

// AvgPool is the mean of each window.
type AvgPool struct {
	Window
	CountPad bool // padding counts in the divisor, as in PyTorch's default count_include_pad (ceil overhang never counts)
}

// L2Pool is the root of a weighted mean of squares, √(Σ g·x² + 1e-12), over 3x3 windows of stride 2, padded by 1
// zero on every side. Its weights g = [1 2 1]ᵀ[1 2 1]/16 (Hann's window) keep what lies between two pixels from being
// aliased, as max pooling does alias it (Hénaff & Simoncelli 2016; Ding et al. 2020, for DISTS).
type L2Pool struct{}

// l2Window is where L2Pool looks.
var l2Window = Window{Kernel: Square(3), Stride: Square(2), Pad: Pad(1)}

// AdaptiveAvgPool averages to a fixed output size: row i averages rows floor(i*H/h) to ceil((i+1)*H/h)-1, as PyTorch's.
type AdaptiveAvgPool struct{ Out Size }

// GlobalAvgPool averages each feature map to one value.
type GlobalAvgPool struct{}

// LRN is local response normalisation across channels (Krizhevsky et al. 2012, section 3.3), in PyTorch's and Caffe's
// convention: y = x / (K + Alpha/Size * sum of x² over Size neighbouring channels)^Beta.
type LRN struct {
	Size           int
	Alpha, Beta, K float64
}

// BatchNorm normalises each channel (Ioffe & Szegedy 2015): y = gamma*(x-mean)/sqrt(var+Eps) + beta.
type BatchNorm struct {
	Eps      float64 // 0 counts as 1e-5
	Momentum float64 // of the running statistics, PyTorch's sense: new = (1-m)*old + m*batch; 0 counts as 0.1
}

// Flatten turns a feature map into a vector in C,H,W order.
type Flatten struct{}

// Linear is a fully connected layer. Weights are Out x In.
type Linear struct {
	Out    int
	NoBias bool
}

// Dropout keeps each value with probability Keep and scales it by 1/Keep, in training only.
type Dropout struct{ Keep float64 }

// Softmax is exp(x_c)/sum exp(x) over channels.
type Softmax struct{}

// Sigmoid is 1/(1+exp(-x)) of each value.
type Sigmoid struct{}

func (Conv) Kind() string            { return "conv" }
func (ReflectPad) Kind() string      { return "reflectpad" }
func (ReLU) Kind() string            { return "relu" }
func (MaxPool) Kind() string         { return "maxpool" }
func (AvgPool) Kind() string         { return "avgpool" }
func (L2Pool) Kind() string          { return "l2pool" }
func (AdaptiveAvgPool) Kind() string { return "adaptiveavgpool" }
func (GlobalAvgPool) Kind() string   { return "globalavgpool" }
func (LRN) Kind() string             { return "lrn" }
func (BatchNorm) Kind() string       { return "batchnorm" }
func (Flatten) Kind() string         { return "flatten" }
func (Linear) Kind() string          { return "linear" }
func (Dropout) Kind() string         { return "dropout" }
func (Softmax) Kind() string         { return "softmax" }
func (Sigmoid) Kind() string         { return "sigmoid" }

// Constants is the batch norm that stands for a scale and a shift by constants, which a file states: nothing is added
// to its variance.
func Constants() BatchNorm { return BatchNorm{Eps: math.SmallestNonzeroFloat64} } // 0 is the default

// IsConstants reports whether a batch norm is that. Trained, it would become a batch norm like others.
func (b BatchNorm) IsConstants() bool { return b.Eps == Constants().Eps }

// Epsilon is Eps, or its default 1e-5.
func (b BatchNorm) Epsilon() float64 { return cmp.Or(b.Eps, 1e-5) }

// Rate is Momentum, or its default 0.1.
func (b BatchNorm) Rate() float64 { return cmp.Or(b.Momentum, 0.1) }
