// Package embedded is the network that comes with vggo: VGG-like, for the ten classes of CIFAR-10, trained by vggo
// train with the recipe cifar10. docs/embedded.md is its model card.
package embedded

import (
	_ "embed" // the weights

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/weights"
)

// Name is what Model.Origin says of it.
const Name = "embedded"

//go:embed vgg-cifar10.safetensors
var file []byte

// Open makes a Model of it. It is the network of its weights, so that options.Network must be empty or describe just
// that.
func Open(options vggo.Options) (*vggo.Model, error) {
	return vggo.Read(Name, file, options)
}

// Weights are its weights, as a file of them.
func Weights() (*weights.File, error) { return weights.Read(Name, file) }
