package vggo

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/vggo/vggo/internal/fault"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/tensor"
)

// Inside is one image's way through a network: what each layer made of it, and how long that took.
type Inside struct {
	Image  *tensor.Tensor // 1 x C x H x W, as the network was given it
	Logits *tensor.Tensor
	Groups []Group
}

// Group is an nn.Group and what it computed: a layer with those that are computed together with it, the batch norm and
// the ReLU after a convolution. Only the last one's output exists.
type Group struct {
	Layers []string // in order: "conv1_1", "relu1_1"
	Out    *tensor.Tensor
	Took   time.Duration
	Algo   nn.Algo // of a convolution; Auto for all else
}

// Group finds the group that computes a layer. A layer with nothing to compute (flatten, dropout) has none.
func (in *Inside) Group(layer string) (i int, ok bool) {
	i = slices.IndexFunc(in.Groups, func(g Group) bool { return slices.Contains(g.Layers, layer) })
	return max(i, 0), i >= 0
}

// Bytes is what the tensors take.
func (in *Inside) Bytes() int64 {
	n := len(in.Image.Data) + len(in.Logits.Data)
	for _, g := range in.Groups {
		n += len(g.Out.Data)
	}
	return 4 * int64(n)
}

// insideOptions are those of the plan that keeps every map: of one image, and with a budget, if there is one, that has
// room for them.
func (m *Model) insideOptions() (nn.Options, nn.Memory, error) {
	options := m.options
	options.Batch, options.Keep = 1, true
	return sufficient(m.Placed, options)
}

// InsideMemory is the most bytes that Inside takes beside what Memory tells, its answers not counted.
func (m *Model) InsideMemory() (int64, error) {
	_, memory, err := m.insideOptions()
	return memory.Total() - memory.Weights, err
}

// InsideTimed is Inside over several runs of the same image: each group's time is the median of its times.
func (m *Model) InsideTimed(ctx context.Context, image *tensor.Tensor, runs int) (*Inside, error) {
	if runs < 1 {
		return nil, fmt.Errorf("%s: %d runs: want 1 at least", m.Network.Name, runs)
	}
	if err := m.incomplete(); err != nil {
		return nil, err
	}
	if image.N != 1 {
		return nil, fmt.Errorf("%s: one image can be looked into, not %d", m.Network.Name, image.N)
	}
	select {
	case <-m.turn:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { m.turn <- struct{}{} }()
	if m.inside == nil {
		options, _, err := m.insideOptions()
		if err != nil {
			return nil, err
		}
		options.Observe = func(step int, _ nn.Pass, took time.Duration) { m.laps[step] = took }
		plan, err := nn.Compile(m.Placed, m.params, options)
		if err := m.intact(err); err != nil {
			return nil, err
		}
		m.inside, m.laps = plan, make([]time.Duration, len(plan.Groups()))
	}
	if err := m.timed(ctx, image, runs); err != nil {
		return nil, err
	}
	logits := *m.inside.Logits()
	logits.Data = slices.Clone(logits.Data)
	in := &Inside{Image: image, Logits: &logits}
	for i, g := range m.inside.Groups() {
		layers := g.Names()
		out, err := m.inside.Activation(layers[len(layers)-1])
		if err != nil {
			return nil, err
		}
		in.Groups = append(in.Groups, Group{layers, out, m.laps[i], g.Algo(nn.ForwardPass)})
	}
	return in, nil
}

// Values copies a stretch of a parameter's values, such as one output channel's filter of "conv1_1/w". The file of
// weights may be shortened meanwhile, which is an error.
func (m *Model) Values(parameter string, from, to int) ([]float32, error) {
	p := m.params.Get(parameter)
	if p == nil || from < 0 || to > p.Count() || from > to {
		return nil, fmt.Errorf("%s has no values %d to %d of a parameter %q", m.Network.Name, from, to, parameter)
	}
	values := make([]float32, to-from)
	err := fault.Catch(func() error { p.Values(values, from); return nil })
	return values, m.intact(err)
}
