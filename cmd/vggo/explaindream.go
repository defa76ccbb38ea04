package main

import (
	"errors"
	"fmt"

	"github.com/vggo/vggo/explain"
	"github.com/vggo/vggo/internal/printable"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/style"
	"github.com/vggo/vggo/vision"
)

// dream grows a picture. Where that ends early it writes what has grown, and fails.
func (e *explainRun) dream() error {
	d := style.Dream{Channel: e.channel, Seed: e.seed, Iterations: e.grow}
	var what, of string
	if e.class != "" {
		class, err := e.chooseClass()
		if err != nil {
			return err
		}
		if e.model.Binary() {
			return fmt.Errorf("%s has one output for its two classes: name its layer and channel 0 for the second",
				e.model.Network.Name)
		}
		_, logits := e.model.Placed.Ending()
		d.Layer, d.Channel = e.model.Placed.Layers[logits-1].Name, class
		what, of = fmt.Sprintf("class %d", class), fmt.Sprintf("class-%d", class)
		if class < len(e.model.Classes) {
			what += " (" + e.model.Classes[class] + ")"
		}
	} else {
		var err error
		if d.Layer, _, err = e.chooseLayer(); err != nil {
			return err
		}
		what, of = fmt.Sprintf("channel %d of %s", d.Channel, d.Layer), fmt.Sprintf("%s-%d", d.Layer, d.Channel)
	}
	from := "noise"
	if e.whole != nil {
		from, of = e.name, e.stem()
		var err error
		if d.From, err = e.model.Preprocess.Fit(e.whole); err != nil {
			return err
		}
	}
	_, bytes, err := d.Cost(e.model)
	if err != nil {
		return hintSmaller(err)
	}
	fmt.Fprintf(e.faults, "%dx%d pixels, %d iterations, about %s of memory\n", e.model.Input.H, e.model.Input.W,
		d.Iterations, printable.Bytes(bytes))
	picture, means, failed := e.grown(&d)
	iterations := len(means) - 1
	if failed != nil && iterations < 1 {
		return hintGrowing(failed)
	}
	if failed != nil {
		what += fmt.Sprintf(", ended after %d of %d iterations", iterations, d.Iterations)
	}
	large, err := explain.Mosaic([]*vision.Picture{picture})
	if err != nil {
		return err
	}
	err = e.write(of, large.Image(), fmt.Sprintf("%s: from %.4g in %s to %.4g in %d iterations", what, means[0], from,
		means[iterations], iterations))
	return errors.Join(hintGrowing(failed), err)
}

// grown grows a dream's picture, and returns the mean of each iteration.
func (e *explainRun) grown(d *style.Dream) (picture *vision.Picture, means []float64, err error) {
	p := progressOf(e.faults)
	p.begin(d.Iterations, "iterations")
	picture, err = d.Grow(e.ctx, e.model, func(g style.Grown) error {
		means = append(means, g.Mean)
		p.advance(g.Iteration)
		return nil
	})
	return picture, means, err
}

// hintGrowing adds the remedy to what a picture does not grow for.
func hintGrowing(err error) error {
	switch {
	case errors.Is(err, style.ErrFlat):
		return hint(err, "the layer before its ReLU, or another --seed")
	case errors.As(err, new(*style.NaNError)):
		return hint(err, "weights whose preparation is another: --preprocess tells it")
	case errors.As(err, new(*nn.MemoryError)):
		return hintSmaller(err)
	}
	return err
}
