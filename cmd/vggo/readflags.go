package main

import (
	"fmt"

	"github.com/spf13/pflag"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/weights"
)

// readFlags are the flags that say of a file's network what the file may leave open.
type readFlags struct {
	input   string
	sigmoid bool
}

func (o *readFlags) add(f *pflag.FlagSet) {
	f.StringVar(&o.input, "input", "", "`HxWxC` of the network's pictures, as 224x224x3, where weights and --model "+
		"leave it open")
	f.BoolVar(&o.sigmoid, "sigmoid", false, "the outputs are probabilities by a sigmoid, each by itself; one output is "+
		"that of the second of two classes")
}

// stated is what the flags say of the network.
func (o *readFlags) stated() (weights.Asked, error) {
	input, err := parseInput(o.input)
	return weights.Asked{Input: input, Sigmoid: o.sigmoid}, err
}

// parseInput reads --input; the zero Shape where it is not given.
func parseInput(text string) (arch.Shape, error) {
	if text == "" {
		return arch.Shape{}, nil
	}
	input, err := arch.ParseShape(text)
	if err != nil {
		return arch.Shape{}, usageError{fmt.Errorf("--input: %w", err)}
	}
	return input, nil
}
