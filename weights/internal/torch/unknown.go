package torch

import (
	"cmp"
	"fmt"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/pickle"
	"github.com/vggo/vggo/weights/internal/format"
)

// A module of somebody's own class says by its parts what it is made of, and not in which order; and of a file with
// several modules none is described. So such a network is taken for the one that its names tell only where no part of
// it speaks against that.

// parts is what the parts of such a module tell.
type parts struct {
	refused error  // an activation that no layer computes: no network is this one
	doubt   string // a part that a VGG of 3x3 convolutions has not; the first one
	sigmoid string // a part that is a sigmoid
	large   bool   // a convolution is larger, as AlexNet's
	outputs int    // of the last fully connected layer
}

// suspect tells what speaks against the network that a module's names tell: it cannot be run, or the network is not
// known. Of a module that nothing speaks against both are empty.
func suspect(root *pickle.Object, script script) (unknown string, unrunnable error) {
	var p parts
	d := describer{script: script}
	if d.look(root, "", 0, &p); p.refused != nil {
		return "", p.refused
	}
	return p.unknown(), nil
}

// unknown is why the names alone do not tell the network; empty where they may.
func (p *parts) unknown() string {
	switch {
	case p.doubt != "" && !p.large:
		return p.doubt + ", and where it stands is in its program alone"
	case p.sigmoid != "" && p.outputs > 1:
		return p.sigmoid + ": whether its outputs go through it is in its program alone; an s behind the last width of " +
			"--model says that they do"
	}
	return ""
}

// doubts keeps the first doubt.
func (p *parts) doubts(why string) { p.doubt = cmp.Or(p.doubt, why) }

// look gathers what the parts of a module tell.
func (d *describer) look(o *pickle.Object, path string, depth int, p *parts) {
	if d.modules++; depth > maxNested || d.modules > maxModules {
		return
	}
	order, children := partsOf(o)
	for _, name := range order {
		d.look(children[name], format.Join(path, name), depth+1, p)
	}
	class := className(o.Class)
	name, group := ownClass(class)
	said := fmt.Sprintf("its module %s is of class %s", path, format.Clip(name))
	s := d.settings(o)
	switch op, err := d.operation(name, s, path); group {
	case "activation":
		if _, is := op.(arch.Sigmoid); is {
			p.sigmoid = said
		}
		if err != nil && p.refused == nil {
			p.refused = fmt.Errorf("module %s (%s): %w", path, format.Clip(class), err)
		}
	case "conv":
		conv, _ := op.(arch.Conv)
		p.large = p.large || conv.Kernel.H > 3 || conv.Kernel.W > 3
		switch mode := s.text("padding_mode", "zeros"); {
		case err != nil:
			p.doubts(said)
		case mode != "zeros":
			p.doubts(fmt.Sprintf("%s that pads by %q", said, format.Clip(mode)))
		case s.err == nil && conv.Stride != arch.Square(1):
			p.doubts(fmt.Sprintf("%s of stride %v", said, conv.Stride))
		}
	case "pooling":
		switch op := op.(type) {
		case arch.AdaptiveAvgPool, arch.GlobalAvgPool:
		case arch.MaxPool:
			if s.err == nil && (op.Kernel != arch.Square(2) || op.Stride != op.Kernel || op.Pad != arch.Pad(0) || op.Ceil) {
				p.doubts(said + ", " + arch.Describe(op))
			}
		default:
			p.doubts(said)
		}
	case "linear":
		if name == "Linear" {
			p.outputs = s.int("out_features")
		}
	}
}
