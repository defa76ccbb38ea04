package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	root "github.com/vggo/vggo"
	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/printable"
	"github.com/vggo/vggo/vision"
	"github.com/vggo/vggo/weights"
)

// ownNetwork is the network of the weights that a run begins with. Training is by a softmax: a sigmoid at its end
// becomes one.
func (o *trainOptions) ownNetwork(file *weights.File) (*arch.Network, error) {
	placed, err := file.Network()
	if errors.As(err, new(*weights.OpenSizeError)) {
		return nil, hint(err, "--model names the network with the size, such as 224x224x3:64,64,M,128,128,M/256,10")
	}
	if err != nil {
		return nil, err
	}
	if ending, _ := placed.Ending(); ending == arch.EndsInSigmoid {
		o.notices = append(o.notices, fmt.Sprintf("%s ends in a sigmoid: the network that is trained ends in a softmax",
			o.from))
	}
	if placed, err = placed.WithSoftmax(); err != nil {
		return nil, err
	}
	return placed.Network, nil
}

// compareOwn tells where the network that is trained computes something else than the one that its first values are of.
// They may: it is no longer the file's. Whatever else is wrong shows when the values are read.
func (o *trainOptions) compareOwn(file *weights.File, net *arch.Network) {
	placed, err := net.Place(net.Input)
	if err != nil {
		return // which training says
	}
	_, err = file.Resolve(weights.Asked{Network: placed})
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

// foldConstants takes the constants that a file's network scales and shifts its pictures by into their preparation:
// trained, the layers that stand for them would be batch norms, which go by the pictures of each batch. It returns the
// number of these layers.
func foldConstants(own *root.Preparation, matched *weights.Matched, placed *arch.Placement) (layers int, err error) {
	name, reason := own.Name, own.Reason
	for ; ; layers++ {
		by, err := matched.FirstAffine(placed.Layers[layers:])
		if err != nil || by == nil || !folds(own, by) {
			return layers, err
		}
		own.Name, own.Reason = name+" with the network's own mean and std",
			reason+"; what its first layers do to pictures is part of that from here on"
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

// withoutConstants is a network whose layers that stand for constants are batch norms like others, since trained they
// are: it says which.
func (o *trainOptions) withoutConstants(net *arch.Network) *arch.Network {
	changed := *net
	changed.Layers = slices.Clone(net.Layers)
	for i, layer := range net.Layers {
		if norm, ok := layer.Op.(arch.BatchNorm); ok && norm.IsConstants() {
			changed.Layers[i].Op = arch.BatchNorm{}
			o.notices = append(o.notices, fmt.Sprintf("%s scales and shifts by constants at %s: it is trained as a batch norm, "+
				"which goes by each batch", o.from, layer.Name))
		}
	}
	return &changed
}

// values finds a network's first values in a file: of this network, or where only some are taken, of another with
// parameters of the same names, or of what is there. The head's are left to the recipe where it has another number of
// classes, or anew. own is how the file's pictures become its network's input; nil where the first layer is not taken
// from it. It stands for the first layers of net too, of which folded are to be left out.
func (o *trainOptions) values(file *weights.File, net *arch.Network, head string, anew bool,
	notices io.Writer) (start func(arch.Param) ([]float32, error), own *root.Preparation, folded int, err error) {
	for _, pattern := range o.take {
		if _, err := path.Match(pattern, ""); err != nil {
			return nil, nil, 0, usageError{fmt.Errorf("--take: %q is no pattern: want a layer's name, such as conv1_*", pattern)}
		}
	}
	placed, err := net.Place(net.Input)
	if err != nil {
		return nil, nil, 0, err
	}
	for _, pattern := range o.take {
		if !slices.ContainsFunc(placed.Layers, func(l arch.Placed) bool {
			matches, _ := path.Match(pattern, l.Name)
			return matches && len(l.Params) > 0
		}) {
			return nil, nil, 0, usageError{hint(fmt.Errorf("--take: %s has no layer %q with weights: it has %s", net.Name,
				pattern, printable.Ends(weighted(placed.Layers), 12)), "vggo arch lists a network's layers")}
		}
	}
	matched, err := weights.Match(file, placed.Layers)
	if err != nil {
		other, unknown := file.Network()
		switch {
		case unknown == nil:
			placed = other
			matched, err = weights.Match(file, placed.Layers)
		case o.take != nil || o.body != nil: // what is taken is enough
			matched, err = weights.MatchLayers(file, placed.Layers, weights.Layers{Wanted: o.takes, Beside: true})
		default:
			err = hintTake(err, file, placed.Layers)
		}
		if err != nil {
			return nil, nil, 0, err
		}
	}
	tellWeights(notices, file.Path, file.Part, file.Others, matched.Guess, o.part)
	has := map[string]arch.Param{}
	var first string // of the layers with parameters that the file has
	for _, layer := range placed.Layers {
		for _, p := range layer.Params {
			if matched.Has(p) {
				first = cmp.Or(first, layer.Name)
				has[p.Name] = p
			}
		}
	}
	if begins, _ := placed.Layers[0].Op.(arch.BatchNorm); first != "" && (o.takes(first) || begins.IsConstants()) {
		of, err := root.Prepare(vision.PreprocessParts{}, placed, file, matched)
		if err != nil {
			return nil, nil, 0, err
		}
		if first == placed.Layers[0].Name && !o.given() && !o.setsPreparation() {
			if folded, err = foldConstants(&of, matched, placed); err != nil {
				return nil, nil, 0, err
			}
		}
		if folded > 0 { // what learns is behind it
			for _, layer := range slices.Backward(placed.Layers[folded:]) {
				if len(layer.Params) > 0 {
					first = layer.Name
				}
			}
		}
		if o.takes(first) {
			own = &of
		}
	}
	if begins, _ := net.Layers[0].Op.(arch.BatchNorm); !begins.IsConstants() {
		folded = 0 // the network that is trained has no such layers
	}
	return func(p arch.Param) ([]float32, error) {
		source, ok := has[p.Name]
		switch {
		case !o.takes(p.Layer()):
			return nil, nil
		case !ok && placed.Network != net:
			return nil, hint(fmt.Errorf("%s has no %s: its network calls its layers otherwise", o.from, p.Name),
				"without --model the run begins with the file's own network")
		case !ok:
			return nil, hint(fmt.Errorf("%s has no %s", o.from, p.Name), "--take names the layers that it has")
		case (source.Count() != p.Count() || anew) && p.Layer() == head:
			return nil, nil
		case source.Count() != p.Count():
			return nil, hint(fmt.Errorf("%s: %s has shape %s, the network needs %s", o.from, p.Name,
				printable.Shape(source.Shape), printable.Shape(p.Shape)), "--take names the layers that fit")
		}
		return matched.Param(source)
	}, own, folded, nil
}

// pooledHead is the network with a new head. Of a file no more is taken than the layers before it, so that it need
// have no others.
func (o *trainOptions) pooledHead(placed *arch.Placement, classes int) (net *arch.Network, head string, err error) {
	if net, head, err = placed.WithPooledHead(classes); err != nil {
		return nil, "", usageError{fmt.Errorf("--new-head: %w", err)}
	}
	pooled, err := net.Place(placed.Input)
	if err != nil {
		return nil, "", err
	}
	o.body = weighted(pooled.Layers)
	o.body = o.body[:len(o.body)-1]
	last, _ := pooled.Layer(head)
	o.changed = fmt.Sprintf("%s gets a new head: the average of each of the %d last maps, and %s for %d classes, since %s",
		placed.Network.Name, last.In.C, head, classes, o.classesReason(classes))
	return net, head, nil
}

// features is the bytes that --cache allows, as train.Options has them.
func (o *trainOptions) features() (int64, error) {
	switch o.cache {
	case "auto":
		return 0, nil
	case "off":
		return -1, nil
	}
	n, err := parseBytes(o.cache)
	if err != nil {
		return 0, usageError{fmt.Errorf("--cache: want auto, off or a size: %w", err)}
	}
	return n, nil
}

// weighted are the names of the layers that have weights.
func weighted(placed []arch.Placed) (names []string) {
	for _, l := range placed {
		if len(l.Params) > 0 {
			names = append(names, l.Name)
		}
	}
	return names
}

// takes reports whether a layer is to be taken from the file.
func (o *trainOptions) takes(layer string) bool {
	if o.body != nil && !slices.Contains(o.body, layer) {
		return false
	}
	return o.take == nil || slices.ContainsFunc(o.take, func(pattern string) bool {
		matches, _ := path.Match(pattern, layer)
		return matches
	})
}

// convolutional reports whether a layer of a network is called as its convolutions are.
func convolutional(placed []arch.Placed) func(layer string) bool {
	kinds := map[string]bool{}
	for _, layer := range placed {
		_, conv := layer.Op.(arch.Conv)
		kinds[layer.Name] = conv && strings.HasPrefix(layer.Name, "conv")
	}
	return func(layer string) bool { return kinds[layer] }
}
