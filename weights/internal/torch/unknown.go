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
	doubt   string // the first part that no network of known names has
	wider   string // the first that AlexNet has, and a VGG of 3x3 convolutions not
	large   bool   // a convolution is larger than 3x3, as AlexNet's
	sigmoid string // a part that is a sigmoid
	outputs int    // of the last layer with weights
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
	doubt := p.doubt
	if !p.large {
		doubt = cmp.Or(doubt, p.wider)
	}
	switch {
	case doubt != "":
		return doubt + ", and where it stands is in its program alone"
	case p.sigmoid != "" && p.outputs > 1:
		return p.sigmoid + ": whether its outputs go through it is in its program alone; an s behind the last width of " +
			"--model says that they do"
	}
	return ""
}

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
		p.outputs = conv.Out
		p.large = p.large || conv.Kernel.H > 3 || conv.Kernel.W > 3
		switch mode := s.text("padding_mode", "zeros"); {
		case err != nil:
			p.doubt = cmp.Or(p.doubt, said)
		case mode != "zeros":
			p.doubt = cmp.Or(p.doubt, fmt.Sprintf("%s that pads by %q", said, format.Clip(mode)))
		case s.err == nil && conv.Stride != arch.Square(1):
			p.wider = cmp.Or(p.wider, fmt.Sprintf("%s of stride %v", said, conv.Stride))
		}
	case "pooling":
		switch op := op.(type) {
		case arch.AdaptiveAvgPool, arch.GlobalAvgPool:
		case arch.MaxPool:
			if s.err == nil && (op.Kernel != arch.Square(2) || op.Stride != op.Kernel || op.Pad != arch.Pad(0) || op.Ceil) {
				p.wider = cmp.Or(p.wider, said+", "+arch.Describe(op))
			}
		default:
			p.doubt = cmp.Or(p.doubt, said)
		}
	case "linear":
		if name == "Linear" {
			p.outputs = s.int("out_features")
		}
	}
}
