package reference

import (
	"fmt"
	"slices"

	"github.com/vggo/vggo/arch"
)

// Net runs a whole network and keeps every activation.
type Net struct {
	*arch.Placement
	Params      map[string][]float64 // by name; shared with the caller
	Masks       map[string][]float64 // dropout's masks by layer: 1 keeps a value, 0 drops it
	Activations []Tensor             // of the last Forward: [0] is the input, [i+1] what Layers[i] made of [i]

	// What the network's convolutions are computed by: Conv and ConvBackward, unless a test puts quicker ones here.
	Conv         func(l arch.Placed, x Tensor, w, b []float64) Tensor
	ConvBackward func(l arch.Placed, x Tensor, w []float64, dy Tensor) (dx Tensor, dw, db []float64)

	training bool // how the last Forward ran
}

// NewNet gives a network its parameters by name. It is an error if one is missing or has the wrong number of values.
func NewNet(placed *arch.Placement, params map[string][]float64) (*Net, error) {
	for _, l := range placed.Layers {
		for _, p := range l.Params {
			if len(params[p.Name]) != p.Count() {
				return nil, fmt.Errorf("%s: parameter %s has %d values, not %d", placed.Network.Name, p.Name, len(params[p.Name]),
					p.Count())
			}
		}
	}
	return &Net{Placement: placed, Params: params, Conv: Conv, ConvBackward: ConvBackward}, nil
}

// Forward runs n images. In training, batch norm uses the batch's moments and moves its running statistics in Params,
// and dropout applies its mask.
func (net *Net) Forward(x []float64, n int, training bool) error {
	input := Tensor{n, net.Layers[0].In, x}
	if want := n * input.C * input.H * input.W; len(x) != want {
		return fmt.Errorf("input has %d values, not %d", len(x), want)
	}
	net.training = training
	net.Activations = []Tensor{input}
	for _, l := range net.Layers {
		y, err := net.forward(l, net.Activations[l.Index])
		if err != nil {
			return fmt.Errorf("layer %s: %w", l.Name, err)
		}
		net.Activations = append(net.Activations, y)
	}
	return nil
}

func (net *Net) forward(l arch.Placed, x Tensor) (Tensor, error) {
	switch op := l.Op.(type) {
	case arch.Conv:
		return net.Conv(l, x, net.param(l, "w"), net.param(l, "b")), nil
	case arch.Linear:
		return Linear(l, x, net.param(l, "w"), net.param(l, "b")), nil
	case arch.BatchNorm:
		mean, variance := net.param(l, "mean"), net.param(l, "var")
		if net.training {
			batchMean, batchVar := Moments(x)
			UpdateRunning(l, x.N*x.H*x.W, batchMean, batchVar, mean, variance)
			mean, variance = batchMean, batchVar
		}
		return BatchNorm(l, x, net.param(l, "gamma"), net.param(l, "beta"), mean, variance), nil
	case arch.ReLU:
		return ReLU(x), nil
	case arch.MaxPool:
		return MaxPool(l, x), nil
	case arch.AvgPool:
		return AvgPool(l, x), nil
	case arch.ReflectPad:
		return ReflectPad(l, x), nil
	case arch.L2Pool:
		return L2Pool(l, x), nil
	case arch.AdaptiveAvgPool, arch.GlobalAvgPool: // global is adaptive to 1x1
		return AdaptiveAvgPool(l, x), nil
	case arch.LRN:
		return LRN(l, x), nil
	case arch.Flatten:
		return Tensor{x.N, l.Out, x.Data}, nil
	case arch.Dropout:
		if !net.training {
			return x, nil
		}
		if len(net.Masks[l.Name]) != len(x.Data) {
			return Tensor{}, fmt.Errorf("mask has %d values, not %d", len(net.Masks[l.Name]), len(x.Data))
		}
		return Dropout(l, x, net.Masks[l.Name]), nil
	case arch.Softmax:
		return Softmax(x), nil
	case arch.Sigmoid:
		return Sigmoid(x), nil
	default:
		return Tensor{}, fmt.Errorf("unknown operation %T", op)
	}
}

// Activation is what a layer made in the last Forward.
func (net *Net) Activation(layer string) (Tensor, error) {
	for _, l := range net.Layers {
		if l.Name == layer {
			return net.Activations[l.Index+1], nil
		}
	}
	return Tensor{}, fmt.Errorf("no layer %s", layer)
}

// Logits is the input of a softmax or a sigmoid that the network ends in, else its output.
func (net *Net) Logits() Tensor { return net.Activations[net.depth()] }

// depth counts the layers up to the logits.
func (net *Net) depth() int {
	_, depth := net.Ending()
	return depth
}

// Backward takes the gradient of a loss with respect to the logits of the last Forward to that of every trainable
// parameter, by name, and of the input.
func (net *Net) Backward(dlogits []float64) (grads map[string][]float64, dx []float64, err error) {
	if len(dlogits) != len(net.Logits().Data) {
		return nil, nil, fmt.Errorf("gradient has %d values, the logits %d", len(dlogits), len(net.Logits().Data))
	}
	if net.depth() == 0 {
		return map[string][]float64{}, dlogits, nil
	}
	return net.BackwardFrom(map[string][]float64{net.Layers[net.depth()-1].Name: dlogits})
}

// BackwardFrom is Backward from the gradients with respect to the outputs of any layers up to the logits, by name: of a
// loss that they all take part in.
func (net *Net) BackwardFrom(dlayers map[string][]float64) (grads map[string][]float64, dx []float64, err error) {
	grads = make(map[string][]float64)
	logits := net.Logits()
	d := New(logits.N, logits.Shape)
	for i := net.depth() - 1; i >= 0; i-- {
		if own, ok := dlayers[net.Layers[i].Name]; ok {
			if len(own) != len(d.Data) {
				return nil, nil, fmt.Errorf("gradient of %s has %d values, not %d", net.Layers[i].Name, len(own), len(d.Data))
			}
			d = Tensor{d.N, d.Shape, slices.Clone(d.Data)} // which a flatten's may share with another's
			for j, v := range own {
				d.Data[j] += v
			}
		}
		d = net.backward(net.Layers[i], net.Activations[i], net.Activations[i+1], d, grads)
	}
	return grads, d.Data, nil
}

func (net *Net) backward(l arch.Placed, x, y, dy Tensor, grads map[string][]float64) (dx Tensor) {
	switch op := l.Op.(type) {
	case arch.Conv:
		dx, grads[l.Name+"/w"], grads[l.Name+"/b"] = net.ConvBackward(l, x, net.param(l, "w"), dy)
		if op.NoBias {
			delete(grads, l.Name+"/b")
		}
		return dx
	case arch.Linear:
		dx, grads[l.Name+"/w"], grads[l.Name+"/b"] = LinearBackward(l, x, net.param(l, "w"), dy)
		if op.NoBias {
			delete(grads, l.Name+"/b")
		}
		return dx
	case arch.BatchNorm:
		gamma, mean, variance := net.param(l, "gamma"), net.param(l, "mean"), net.param(l, "var")
		if net.training {
			dx, grads[l.Name+"/gamma"], grads[l.Name+"/beta"] = BatchNormTrainBackward(l, x, gamma, dy)
		} else {
			dx, grads[l.Name+"/gamma"], grads[l.Name+"/beta"] = BatchNormBackward(l, x, gamma, mean, variance, dy)
		}
		return dx
	case arch.ReLU:
		return ReLUBackward(x, dy)
	case arch.MaxPool:
		return MaxPoolBackward(l, x, dy)
	case arch.AvgPool:
		return AvgPoolBackward(l, dy)
	case arch.ReflectPad:
		return ReflectPadBackward(l, dy)
	case arch.L2Pool:
		return L2PoolBackward(l, x, y, dy)
	case arch.AdaptiveAvgPool, arch.GlobalAvgPool:
		return AdaptiveAvgPoolBackward(l, dy)
	case arch.LRN:
		return LRNBackward(l, x, dy)
	case arch.Softmax:
		return SoftmaxBackward(y, dy)
	case arch.Sigmoid:
		return SigmoidBackward(y, dy)
	case arch.Dropout:
		if net.training {
			return Dropout(l, dy, net.Masks[l.Name])
		}
	}
	return Tensor{dy.N, l.In, dy.Data} // flatten, and dropout outside training
}

// param is a layer's parameter, nil if it has none of that name (a layer without bias).
func (net *Net) param(l arch.Placed, name string) []float64 { return net.Params[l.Name+"/"+name] }
