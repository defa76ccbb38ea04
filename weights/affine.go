package weights

import (
	"fmt"
	"math"
	"slices"

	"github.com/vggo/vggo/arch"
)

// Affine is x*Scale + Shift for each channel.
type Affine struct{ Scale, Shift []float64 }

// Bytes reports whether it is made for samples of 0 to 255, not of 0 to 1: by a mean that those do not reach, or a
// scale that makes a few units of 255.
func (a *Affine) Bytes() bool {
	for c, scale := range a.Scale {
		if mean := -a.Shift[c] / scale; mean > arch.BytesFrom || math.Abs(scale) <= 1.0/16 {
			return true
		}
	}
	return false
}

// BlueFirst reports whether the means are ImageNet's for blue, green and red, in this order.
func (a *Affine) BlueFirst() bool {
	published := []float64{103.939, 116.779, 123.68} // in that order
	if len(a.Scale) != len(published) {
		return false
	}
	for c, want := range published {
		mean := -a.Shift[c] / a.Scale[c]
		if !a.Bytes() {
			mean *= 255
		}
		if !(math.Abs(mean-want) < 2) {
			return false
		}
	}
	return true
}

// Prepares is what the network does to each channel of its pictures before anything else, where the file states that;
// nil otherwise. Whoever prepares pictures must not do it again. One without figures takes samples of 0 to 1. placed is
// the network that the file was matched with.
func (m *Matched) Prepares(placed *arch.Placement) (*Affine, error) {
	d := m.file.described
	switch {
	case d == nil || !d.prepares:
		return nil, nil
	case d.unit:
		return new(Affine), nil
	}
	return m.FirstAffine(placed.Layers)
}

// FirstAffine is what the first of some layers does to each channel where that stands for constants, which prepare
// pictures; nil otherwise.
func (m *Matched) FirstAffine(layers []arch.Placed) (*Affine, error) {
	norm, ok := layers[0].Op.(arch.BatchNorm)
	if !ok || !norm.IsConstants() {
		return nil, nil
	}
	values := map[string][]float32{}
	for _, p := range layers[0].Params {
		data, err := m.Param(p)
		if err != nil {
			return nil, err
		}
		values[p.Role()] = data
	}
	a := &Affine{}
	for c, gamma := range values["gamma"] {
		scale := float64(gamma) / math.Sqrt(float64(values["var"][c]))
		a.Scale = append(a.Scale, scale)
		a.Shift = append(a.Shift, float64(values["beta"][c])-scale*float64(values["mean"][c]))
	}
	return a, nil
}

// values reads a parameter's in our layout.
func (f *File) values(src source, p arch.Param) ([]float32, error) {
	var data []float32
	switch {
	case src.values != nil:
		data = slices.Clone(src.values)
	case src.name == "":
		data = slices.Repeat([]float32{src.fill}, p.Count())
	default:
		t, err := f.Tensor(src.name)
		if err != nil {
			return nil, err
		}
		if data, err = src.layout.arrange(t.Data, p); err != nil {
			return nil, fmt.Errorf("%s: tensor %q: %w", f.Path, src.name, err)
		}
	}
	if src.fold == nil {
		return data, nil
	}
	return f.folded(data, src.fold, p)
}

// folded are weights or biases, O first, with what is done to each output.
func (f *File) folded(data []float32, fold *folding, p arch.Param) ([]float32, error) {
	outs := p.Shape[0]
	of := func(src *source, otherwise float32) ([]float32, error) {
		if src == nil {
			return slices.Repeat([]float32{otherwise}, outs), nil
		}
		return f.values(*src, arch.Param{Name: p.Name, Shape: []int{outs}})
	}
	mean, err := of(fold.mean, 0)
	if err != nil {
		return nil, err
	}
	gamma, err := of(fold.gamma, 1)
	if err != nil {
		return nil, err
	}
	beta, err := of(fold.beta, 0)
	if err != nil {
		return nil, err
	}
	made := make([]float32, len(data))
	each := len(data) / outs
	for i, v := range data {
		x, o := float64(v), i/each
		if p.Role() == "b" {
			x -= float64(mean[o])
		}
		x *= float64(gamma[o])
		if p.Role() == "b" {
			x += float64(beta[o])
		}
		made[i] = float32(x)
	}
	return made, nil
}
