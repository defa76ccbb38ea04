package explain

import (
	"context"
	"fmt"
	"image"
	"iter"
	"slices"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/tensor"
	"github.com/vggo/vggo/vision"
)

// Patch is a part of a picture that excites a channel.
type Patch struct {
	Name    string          // of the picture
	Value   float32         // of the channel
	X, Y    int             // the unit of the layer's map that has it
	Box     image.Rectangle // what that unit sees of the picture as the network does
	Picture *vision.Picture // cut out
}

// MaxPatches is the most that TopPatches keeps.
const MaxPatches = 1024

// TopPatches finds the n parts of pictures that excite a channel of a layer most, each picture's largest value alone,
// the largest first and of equals the earlier. A part is what the unit sees of the picture as the network does.
// Pictures go through the network in passes of the model's batch; only these and n parts are kept meanwhile.
func TopPatches(ctx context.Context, m *vggo.Model, pictures iter.Seq2[string, *vision.Picture], layer string, channel,
	n int) ([]Patch, error) {
	placed, err := m.Placed.Until(layer)
	if err != nil {
		return nil, err
	}
	out := placed.Output()
	switch {
	case channel < 0 || channel >= out.C:
		return nil, fmt.Errorf("%s of %s has %d channels, numbered from 0: there is no channel %d", layer, m.Network.Name,
			out.C, channel)
	case n < 1 || n > MaxPatches:
		return nil, fmt.Errorf("%d patches: want 1 to %d", n, MaxPatches)
	}
	s := patchSearch{model: m, placed: placed, layer: layer, channel: channel, n: n}
	var names []string
	var group []*vision.Picture
	for name, p := range pictures {
		fitted, err := m.Preprocess.Fit(p)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		names, group = append(names, name), append(group, fitted)
		if len(group) < m.Batch() {
			continue
		}
		if err := s.search(ctx, names, group); err != nil {
			return nil, err
		}
		names, group = names[:0], group[:0]
	}
	err = s.search(ctx, names, group)
	return s.top, err
}

// patchSearch is a search as it goes on.
type patchSearch struct {
	model      *vggo.Model
	placed     *arch.Placement
	layer      string
	channel, n int
	top        []Patch // the largest first, of equals the earlier
}

// search runs a group of pictures that fit the network already.
func (s *patchSearch) search(ctx context.Context, names []string, group []*vision.Picture) error {
	if len(group) == 0 {
		return ctx.Err()
	}
	m := s.model
	normalise := m.Preprocess.Preprocess
	normalise.Resize = normalise.Crop // and stay as they are
	batch := tensor.New(len(group), m.Input.C, m.Input.H, m.Input.W)
	for i, p := range group {
		if err := normalise.Put(batch, i, p); err != nil {
			return fmt.Errorf("%s: %w", names[i], err)
		}
	}
	maps, err := m.Features(ctx, s.layer, batch)
	if err != nil {
		return err
	}
	pixels := maps.H * maps.W
	for i := range group {
		values := maps.Data[(i*maps.C+s.channel)*pixels:][:pixels]
		at := 0
		for j, v := range values {
			if v != v {
				return fmt.Errorf("%s: %w", names[i], &vggo.NaNError{What: s.layer, Network: m.Network.Name, Origin: m.Origin})
			}
			if v > values[at] {
				at = j
			}
		}
		// behind those that are as large
		place, _ := slices.BinarySearchFunc(s.top, values[at], func(p Patch, value float32) int {
			if p.Value >= value {
				return -1
			}
			return 1
		})
		if place == s.n {
			continue
		}
		p := Patch{Name: names[i], Value: values[at], X: at % maps.W, Y: at / maps.W}
		if p.Box, err = arch.Box(s.placed.Layers, len(s.placed.Layers)-1, p.X, p.Y); err != nil {
			return err
		}
		p.Picture = cut(group[i], p.Box)
		s.top = slices.Insert(s.top[:min(len(s.top), s.n-1)], place, p)
	}
	return nil
}

// cut copies a part of a picture; of nothing, one pixel of black.
func cut(p *vision.Picture, part image.Rectangle) *vision.Picture {
	if part.Empty() {
		return vision.NewPicture(1, 1, p.Channels)
	}
	out := vision.NewPicture(part.Dx(), part.Dy(), p.Channels)
	for y := range out.H {
		copy(out.Pix[y*out.W*p.Channels:][:out.W*p.Channels], p.Pix[((part.Min.Y+y)*p.W+part.Min.X)*p.Channels:])
	}
	return out
}
