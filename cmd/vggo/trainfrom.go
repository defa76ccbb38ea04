package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	root "github.com/vggo/vggo"
	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/vision"
	"github.com/vggo/vggo/weights"
)

// ownNetwork is the network of the weights that a run begins with. Training is by a softmax: a sigmoid at its end becomes one.
func (o *trainOptions) ownNetwork(file *weights.File) (*arch.Network, error) {
	net, err := file.Network()
	if errors.As(err, new(*weights.OpenSizeError)) {
		return nil, hint(err, "--model names the network with the size, such as 224x224x3:64,64,M,128,128,M/256,10")
	}
	if err != nil {
		return nil, err
	}
	ending, err := net.Ending()
	if err != nil {
		return nil, err
	}
	if ending == arch.EndsInSigmoid {
		o.notices = append(o.notices, fmt.Sprintf("%s ends in a sigmoid: the network that is trained ends in a softmax", o.from))
	}
	return arch.WithSoftmax(net)
}

// compareOwn tells where the network that is trained computes something else than the one that its first values are of. They may: it
// is no longer the file's. Whatever else is wrong shows when the values are read.
func (o *trainOptions) compareOwn(file *weights.File, net *arch.Network) {
	_, err := file.Resolve(weights.Asked{Network: net})
	var disagree *weights.DisagreeError
	var unreadable *weights.UnreadableError
	switch {
	case errors.As(err, &disagree):
		o.notices = append(o.notices, fmt.Sprintf("%v; its values are only where the training begins", err))
	case errors.As(err, &unreadable):
		o.notices = append(o.notices, fmt.Sprintf("%v; its values are only where the training of %s begins", err, net.Name))
	}
}

// hintTake names the layers that a file has, where it has not all: the convolutions, or the first ones.
func hintTake(err error, file *weights.File, placed []arch.Placed) error {
	has := func(wanted func(layer string) bool) bool {
		matched, err := weights.MatchLayers(file, placed, weights.Layers{Wanted: wanted})
		return err == nil && !matched.Guess
	}
	if has(convolutional(placed)) {
		return hint(err, "--take 'conv*' takes the convolutions, which the file has")
	}
	var first []string
	for _, layer := range placed {
		if len(layer.Params) == 0 {
			continue
		}
		if !has(func(name string) bool { return name == layer.Name || slices.Contains(first, name) }) {
			break
		}
		first = append(first, layer.Name)
	}
	if first == nil {
		return err
	}
	return hint(err, "--take "+strings.Join(first, ",")+" takes the layers that fit")
}

// foldConstants takes the constants that a file's network scales and shifts its pictures by into their preparation: trained, the layers
// that stand for them would be batch norms, which go by the pictures of each batch. It returns the number of these layers.
func foldConstants(own *root.Preparation, matched *weights.Matched, placed *arch.Placement) (layers int, err error) {
	name, reason := own.Name, own.Reason
	for ; ; layers++ {
		by, err := matched.FirstAffine(placed.Layers[layers:])
		if err != nil || by == nil || !folds(own, by) {
			return layers, err
		}
		own.Name, own.Reason = name+" with the network's own mean and std", reason+"; what its first layers do to pictures is part of that from here on"
	}
}

// folds reports whether x*scale + shift of prepared samples can be a preparation too, and makes it one.
func folds(own *root.Preparation, by *weights.Affine) bool {
	var parts vision.PreprocessParts
	for c, scale := range by.Scale {
		if !(scale > 0) || len(own.Mean) != len(by.Scale) {
			return false
		}
		mean, std := float64(own.Mean[c]), float64(own.Std[c])
		parts.Mean = append(parts.Mean, float32(mean-by.Shift[c]*std/scale))
		parts.Std = append(parts.Std, float32(std/scale))
	}
	of, err := parts.Apply(own.Preprocess)
	if err == nil { // else figures that no preparation may have
		own.Preprocess = of
	}
	return err == nil
}

// withoutFirst is a network without some of its first layers.
func withoutFirst(net *arch.Network, layers int) *arch.Network {
	rest := *net
	rest.Layers = net.Layers[layers:]
	return &rest
}

// withoutConstants is a network whose layers that stand for constants are batch norms like others, since trained they are: it says which.
func (o *trainOptions) withoutConstants(net *arch.Network) *arch.Network {
	changed := *net
	changed.Layers = slices.Clone(net.Layers)
	for i, layer := range net.Layers {
		if norm, ok := layer.Op.(arch.BatchNorm); ok && norm.IsConstants() {
			changed.Layers[i].Op = arch.BatchNorm{}
			o.notices = append(o.notices, fmt.Sprintf("%s scales and shifts by constants at %s: it is trained as a batch norm, which goes by each batch", o.from, layer.Name))
		}
	}
	return &changed
}
