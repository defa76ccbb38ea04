package weights

import (
	"fmt"
	"strings"

	"github.com/vggo/vggo/arch"
)

// naming is what one family of files calls a network's parameters.
type naming struct {
	family string
	tensor map[string]string // our name → the file's
	// bookkeeping names tensors that hold no parameter and that every file of the family may have.
	bookkeeping func(name string) bool
}

// namings lists every family's names for a network's parameters.
func namings(placed []arch.Placed) []naming {
	return []naming{
		{"vggo", ownNames(placed), func(string) bool { return false }},
		{"torchvision", torchvisionNames(placed), torchCounter},
		{"TinyVGG", tinyNames(placed, "block_"), torchCounter},
		{"TinyVGG", tinyNames(placed, "conv_block_"), torchCounter},
	}
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

// torchCounter knows the count of training steps that PyTorch's batch norm keeps beside its statistics.
func torchCounter(name string) bool { return strings.HasSuffix(name, ".num_batches_tracked") }
