package weights

import (
	"fmt"
	"math"
	"slices"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/weights/internal/format"
)

// Affine is x*Scale + Shift for each channel.
type Affine struct{ Scale, Shift []float64 }

// idle reports whether nothing is done.
func (a *Affine) idle() bool {
	return !slices.ContainsFunc(a.Scale, func(s float64) bool { return s != 1 }) &&
		!slices.ContainsFunc(a.Shift, func(s float64) bool { return s != 0 })
}

// Bytes reports whether it is made for samples of 0 to 255, not of 0 to 1: by a mean that those do not reach, which is
// sure, or a scale that makes a few units of 255.
func (a *Affine) Bytes() (bytes, sure bool) {
	for c, scale := range a.Scale {
		sure = sure || -a.Shift[c]/scale > format.BytesFrom
		bytes = bytes || math.Abs(scale) <= 1.0/16
	}
	return bytes || sure, sure
}

// Order is the order of channels, "RGB" or "BGR", where the means are about ImageNet's; empty where they are others.
func (a *Affine) Order() string {
	unit := 255.
	if bytes, _ := a.Bytes(); bytes {
		unit = 1
	}
	var mean []float64 // of samples of 0 to 255
	for c, scale := range a.Scale {
		mean = append(mean, -unit*a.Shift[c]/scale)
	}
	near := func(a, b float64) bool { return math.Abs(a-b) < 2 }
	switch blueFirst := meanOfImageNet; {
	case slices.EqualFunc(mean, blueFirst, near):
		return "BGR"
	case slices.EqualFunc(mean, []float64{blueFirst[2], blueFirst[1], blueFirst[0]}, near):
		return "RGB"
	}
	return ""
}

// Prepares is what the network does to each channel of its pictures before anything else, where the file states that;
// nil otherwise. Whoever prepares pictures must not do it again. One without figures takes samples of 0 to 1. placed is
// the network that the file was matched with.
func (m *Matched) Prepares(placed *arch.Placement) (*Affine, error) {
	d := m.file.described
	switch {
	case d == nil || !d.Prepares:
		return nil, nil
	case d.Unit:
		return new(Affine), nil
	}
	if a, err := m.FirstAffine(placed.Layers); a == nil || !a.idle() {
		return a, err
	}
	return nil, nil
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
func (f *File) values(src format.Source, p arch.Param) ([]float32, error) {
	var inFile error // which names the file
	data, err := src.Read(p, func(name string) ([]float32, error) {
		var t Tensor
		t, inFile = f.Tensor(name)
		return t.Data, inFile
	})
	if err != nil && inFile == nil {
		err = fmt.Errorf("%s: %w", f.Path, err)
	}
	return data, err
}
