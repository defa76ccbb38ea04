package main

import (
	"fmt"
	"slices"
	"strings"

	root "github.com/vggo/vggo"
	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/train"
	"github.com/vggo/vggo/vision"
)

// prepare decides how pictures become the network's input, and puts it into the recipe: as the flags say, else as the
// weights to begin with have it, else as the recipe says. What it returns tells why; the trainer tells what.
func (o *trainOptions) prepare(options *train.Options, own *root.Preparation) (p root.Preparation, err error) {
	input := options.Network.Input
	asked, err := o.parts()
	if err != nil {
		return p, err
	}
	if input.C != 1 && input.C != 3 {
		return p, fmt.Errorf("%s takes %d channels: a picture has 1 or 3", options.Network.Name, input.C)
	}
	said := o.setsPreparation()
	p.Reason = "the recipe says so"
	parts := &options.Recipe.Preprocess
	switch {
	case said || own == nil:
	case own.Blind:
		p.Reason += ", and nothing in " + o.from + " does"
	default:
		if *parts, err = own.Parts().ForInput(input.W, input.H); err != nil {
			return p, err
		}
		p.Reason, p.Guess = "as "+o.from+" has it: "+own.Reason, own.Guess
	}
	if !said && !asked.IsZero() {
		if err := lay(asked, parts, input); err != nil {
			return p, err
		}
		p.Reason, p.Guess = "asked for", false
	}
	if parts.Base == train.Measured && (parts.Mean == nil || parts.Std == nil) {
		p.Reason += "; mean and deviation are the training set's"
	}
	return p, nil
}

// setsPreparation reports whether --set says how pictures become the input.
func (o *trainOptions) setsPreparation() bool {
	return slices.ContainsFunc(o.set, func(s string) bool {
		key := strings.TrimSpace(s)
		return strings.HasPrefix(key, "preprocess") || strings.HasPrefix(key, "prepare")
	})
}

// lay puts what is asked for over how a recipe has pictures prepared.
func lay(asked vision.PreprocessParts, over *vision.PreprocessParts, input arch.Shape) error {
	if asked.Base != "" {
		*over = vision.PreprocessParts{}
	}
	if asked.Base == train.Measured || over.Base == train.Measured {
		*over = asked.Over(*over)
		return nil
	}
	of, err := over.Apply(vision.Unit(input.W, input.H, input.C))
	if err != nil {
		return err
	}
	if of, err = asked.Apply(of); err != nil {
		return err
	}
	*over = of.Parts()
	return nil
}
