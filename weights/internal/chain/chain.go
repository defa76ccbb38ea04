// Package chain makes a network of the layers that a file lists one after another, as Caffe, MatConvNet, Torch7 and
// Darknet do.
package chain

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/weights/internal/format"
)

// Chain is a network that grows. The zero Chain is empty.
type Chain struct {
	Naming  format.Naming
	Derived []format.Tensor
	layers  []arch.Layer
	taken   map[string]bool
	vector  bool // what the last layer makes has been flattened
	reads   int  // values that the first fully connected layer reads; 0: not known
}

// Add appends a layer under the file's name for it, which another may have already, with its parameters by their roles.
// A fully connected layer reads its map flattened, which few files say.
func (c *Chain) Add(name string, op arch.Op, params map[string]format.Source) {
	switch op.(type) {
	case arch.Flatten:
		if c.vector {
			return
		}
		c.vector = true
	case arch.Linear:
		if !c.vector {
			c.Add("flatten", arch.Flatten{}, nil)
		}
	}
	name = c.free(arch.FitName(name, op.Kind()))
	c.layers = append(c.layers, arch.Layer{Name: name, Op: op})
	if c.Naming.Source == nil {
		c.Naming.Source = map[string]format.Source{}
	}
	for role, src := range params {
		c.Naming.Source[name+"/"+role] = src
	}
}

// free is a name that no layer has yet.
func (c *Chain) free(name string) string {
	if c.taken == nil {
		c.taken = map[string]bool{}
	}
	free := name
	for n := 2; c.taken[free]; n++ {
		free = fmt.Sprintf("%s_%d", name, n)
	}
	c.taken[free] = true
	return free
}

// Reads tells how many values the next layer, which is fully connected, reads. The first one's tell the pictures' size.
func (c *Chain) Reads(n int) {
	c.reads = cmp.Or(c.reads, n)
}

// Len is the number of layers.
func (c *Chain) Len() int { return len(c.layers) }

// Network is the network for pictures of a size, which must be possible.
func (c *Chain) Network(title string, input arch.Shape) (*format.Network, error) {
	net := &arch.Network{Name: strings.ToLower(c.Naming.Family), Title: title, Input: input, Layers: c.layers}
	placed, err := net.Place(input)
	if err != nil {
		return nil, err
	}
	return &format.Network{Network: net, Placed: placed, Naming: c.Naming, Derived: c.Derived}, nil
}

// maxSide bounds the search for pictures' size.
const maxSide = 640

// fit is the size of the square pictures of which the first fully connected layer reads all of a map: 224 if that is
// one, as it is for nearly every network of ImageNet's, else the smallest.
func (c *Chain) fit(channels int) (input arch.Shape) {
	end := 0
	for i, layer := range c.layers {
		if _, ok := layer.Op.(arch.Flatten); ok {
			end = i
			break
		}
	}
	body := &arch.Network{Name: "network", Layers: c.layers[:end]}
	fits := func(side int) bool {
		input = arch.Shape{C: channels, H: side, W: side}
		placed, err := body.Place(input)
		return err == nil && placed.Output().C*placed.Output().H*placed.Output().W == c.reads
	}
	if end == 0 || c.reads == 0 || fits(448) { // of two sizes, as where it is an average that is read
		return arch.Shape{}
	}
	if fits(224) {
		return input
	}
	for side := 1; side <= maxSide; side++ {
		if fits(side) {
			return input
		}
	}
	return arch.Shape{}
}

// Describe puts the network into what a reader found: whole where the pictures' size is known or follows, and for any
// size where it is not known.
func (c *Chain) Describe(contents *format.Contents, title string, input arch.Shape) {
	if c.Len() == 0 {
		return
	}
	told := input.H > 0
	if !told && input.C > 0 {
		if fit := c.fit(input.C); fit.H > 0 {
			input = fit
		}
	}
	if input.H > 0 && input.W > 0 && input.C > 0 {
		contents.Network, contents.Unrunnable = c.Network(title, input)
		if told {
			return
		}
	}
	contents.Channels = input.C
	contents.Sized = func(input arch.Shape) (*format.Network, error) { return c.Network(title, input) }
}

// Description is what a text without weights describes. Its network, of pictures of ImageNet's size where that is open,
// has no name.
func Description(contents *format.Contents, err error) (*arch.Placement, error) {
	told := contents.Network
	if err == nil && told == nil && contents.Sized != nil {
		input := arch.ImageNetInput
		if contents.Channels > 0 {
			input.C = contents.Channels
		}
		told, err = contents.Sized(input)
	}
	switch {
	case err != nil:
		return nil, err
	case told == nil && contents.Unrunnable == nil:
		return nil, errors.New("it has no layers")
	case told == nil:
		return nil, contents.Unrunnable
	}
	told.Network.Name = ""
	return told.Placed, nil
}
