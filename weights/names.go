package weights

import (
	"fmt"
	"strings"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/weights/internal/format"
)

// namings lists every family's names for a network's parameters.
func namings(placed []arch.Placed) []format.Naming {
	list := []format.Naming{
		{Family: "vggo", Source: plain(ownNames(placed)), Bookkeeping: nothing, Words: true},
		{Family: "torchvision", Source: plain(torchvisionNames(placed)), Preprocess: "imagenet", Bookkeeping: torchCounter},
		{Family: "PyTorch", Source: plain(moduleNames(placed)), Bookkeeping: torchCounter, Words: true},
		{Family: "TinyVGG", Source: plain(tinyNames(placed, "block_")), Preprocess: "unit", Bookkeeping: torchCounter},
		{Family: "TinyVGG", Source: plain(tinyNames(placed, "conv_block_")), Preprocess: "unit", Bookkeeping: torchCounter},
		{Family: article, Source: articleSources(placed, ""), Bookkeeping: nothing, Words: true},
		{Family: article, Source: articleSources(placed, ":0"), Bookkeeping: nothing, Words: true},
	}
	if names := timmNames(placed); names != nil {
		list = append(list, format.Naming{Family: "timm", Source: plain(names), Preprocess: "imagenet",
			Bookkeeping: torchCounter})
	}
	return list
}

// article is the family of the article's own program.
const article = "the article"

// families are the names of namings for messages.
const families = "vggo, PyTorch, torchvision, timm, TinyVGG, TensorFlow or the article"

func nothing(string) bool { return false }

// plain is sources laid out as ours.
func plain(names map[string]string) map[string]format.Source {
	sources := make(map[string]format.Source, len(names))
	for ours, name := range names {
		sources[ours] = format.Source{Name: name}
	}
	return sources
}

func ownNames(placed []arch.Placed) map[string]string {
	names := make(map[string]string)
	for _, layer := range placed {
		for _, p := range layer.Params {
			names[p.Name] = p.Name
		}
	}
	return names
}

// moduleNames are those of PyTorch modules called as our layers: conv1_1.weight.
func moduleNames(placed []arch.Placed) map[string]string {
	names := make(map[string]string)
	for _, layer := range placed {
		torchNames(names, layer, layer.Name)
	}
	return names
}

// torchvisionNames numbers layers as torchvision's models do (torchvision/models/vgg.py, alexnet.py): "features" is one
// nn.Sequential, "classifier" another, every layer in them counts, with or without parameters. Between them stand the
// adaptive average pool, a module of its own, and a flatten that is a function and no module.
func torchvisionNames(placed []arch.Placed) map[string]string {
	names := make(map[string]string)
	module, i := "features", 0
	for _, layer := range placed {
		switch layer.Op.(type) {
		case arch.AdaptiveAvgPool:
			continue
		case arch.Flatten:
			module, i = "classifier", 0
			continue
		}
		torchNames(names, layer, fmt.Sprintf("%s.%d", module, i))
		i++
	}
	return names
}

// tinyNames numbers layers as the TinyVGG of the course "Zero to Mastery PyTorch" does: blocks from 1, each an
// nn.Sequential that ends with its pool, then a "classifier" that begins with an nn.Flatten.
func tinyNames(placed []arch.Placed, prefix string) map[string]string {
	names := make(map[string]string)
	block, i := 1, 0
	module := fmt.Sprint(prefix, block)
	for _, layer := range placed {
		if _, ok := layer.Op.(arch.Flatten); ok {
			module, i = "classifier", 0
		}
		torchNames(names, layer, fmt.Sprintf("%s.%d", module, i))
		i++
		if _, ok := layer.Op.(arch.MaxPool); ok {
			block++
			module, i = fmt.Sprint(prefix, block), 0
		}
	}
	return names
}

// timmNames are those of timm's VGG (timm/models/vgg.py): features as torchvision's, then a ConvMlp "pre_logits" whose
// fc1 is a 7x7 and fc2 a 1x1 convolution, and "head.fc". nil for a network without these three layers.
func timmNames(placed []arch.Placed) map[string]string {
	names := make(map[string]string)
	modules := []string{"pre_logits.fc1", "pre_logits.fc2", "head.fc"}
	i := 0
	for _, layer := range placed {
		switch layer.Op.(type) {
		case arch.AdaptiveAvgPool, arch.Flatten:
			continue
		case arch.Linear:
			if len(modules) == 0 {
				return nil
			}
			torchNames(names, layer, modules[0])
			modules = modules[1:]
		default:
			torchNames(names, layer, fmt.Sprintf("features.%d", i))
		}
		i++
	}
	if len(modules) > 0 {
		return nil
	}
	return names
}

// articleSources are the variables of the article's TensorFlow code, conv1_1/w, as a session's values are saved under
// their names, with the output's number or without: in TensorFlow's layout, fc6 reading its map in H,W,C order.
func articleSources(placed []arch.Placed, suffix string) map[string]format.Source {
	sources := make(map[string]format.Source)
	var flat arch.Shape
	for _, layer := range placed {
		if _, ok := layer.Op.(arch.Flatten); ok {
			flat = layer.In
		}
		for _, p := range layer.Params {
			s := format.Source{Name: p.Name + suffix}
			switch {
			case p.Role() != "w":
			case len(p.Shape) == 4:
				s.Layout = format.HWIO
			default:
				s.Layout = format.InOut
				s.Layout.Flat, flat = flat, arch.Shape{}
			}
			sources[p.Name] = s
		}
	}
	return sources
}

// torchNames adds a layer's parameters under a PyTorch module's name.
func torchNames(names map[string]string, layer arch.Placed, module string) {
	for _, p := range layer.Params {
		names[p.Name] = module + "." + torchSuffix[p.Role()]
	}
}

var torchSuffix = map[string]string{
	"w": "weight", "b": "bias",
	"gamma": "weight", "beta": "bias", "mean": "running_mean", "var": "running_var",
}

// torchCounter knows the counts of steps that PyTorch's batch norm keeps beside its statistics, those of what averages
// weights, and the counts of operations that a profiler (thop) leaves in every layer.
func torchCounter(name string) bool {
	switch name[strings.LastIndexByte(name, '.')+1:] {
	case "num_batches_tracked", "n_averaged", "num_updates", "total_ops", "total_params":
		return true
	}
	return false
}
