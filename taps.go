package vggo

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/fault"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/tensor"
	"github.com/vggo/vggo/weights"
)

// Taps is a part of a Model's network on an input of its own, and the options of the Plan that runs it; nn.Options.Taps
// names the layers whose outputs are wanted. Threads, costs and budget are the Model's.
type Taps struct {
	Placed  *arch.Placement // of layers whose parameters the Model has, by their names
	Options nn.Options
	Once    bool // the Plan is let go after each call, and its memory with it
}

// tappedPlans are kept at once, each for the Taps that it was asked for by.
const tappedPlans = 2

// Tap takes images, N x C x H x W, through Taps and shows look the Plan that holds what became of them, which may be
// taken backward. The Plan is look's until it returns. The next call with the same Taps
// finds it laid out, until others are asked for or Release.
func (m *Model) Tap(ctx context.Context, t *Taps, images *tensor.Tensor, look func(*nn.Plan) error) error {
	select {
	case <-m.turn:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { m.turn <- struct{}{} }()
	compile := func() (*nn.Plan, error) {
		options := m.tapOptions(t)
		if options.Budget == 0 {
			if err := nn.CheckMemory(t.Placed, options); err != nil {
				return nil, err
			}
		}
		return nn.Compile(t.Placed, m.params, options)
	}
	var plan *nn.Plan
	var err error
	if t.Once {
		if plan, err = compile(); err == nil {
			defer plan.Close()
		}
	} else {
		plan, err = m.tapped.get(t, compile)
	}
	if err != nil {
		return m.intact(err)
	}
	if err := m.intact(plan.ForwardContext(ctx, images)); err != nil {
		return err
	}
	return m.intact(look(plan))
}

// Release lets the Plan of Taps go that Tap keeps, if it does, and the Plan's memory with it.
func (m *Model) Release(t *Taps) {
	<-m.turn
	m.tapped.drop(t)
	m.turn <- struct{}{}
}

// TapMemory is the bytes that Tap takes beside what Memory tells, packed weights included.
func (m *Model) TapMemory(t *Taps) (int64, error) {
	memory, _, err := nn.Predict(t.Placed, m.tapOptions(t))
	return memory.Total() - memory.Weights, err
}

func (m *Model) tapOptions(t *Taps) nn.Options {
	options := t.Options
	options.Costs, options.Budget, options.Half = m.options.Costs, m.options.Budget, m.options.Half
	options.Threads = cmp.Or(options.Threads, m.options.Threads)
	return options
}

// Fingerprint is a checksum of what the model computes: of its network, its input's size, every parameter's values,
// which are read for it, and whether convolutions round theirs (nn.HalfAll). How pictures are prepared is not in it.
func (m *Model) Fingerprint() (sum [sha256.Size]byte, err error) {
	h := sha256.New()
	err = fault.Catch(func() error {
		fmt.Fprintln(h, m.Input)
		if m.options.Half == nn.HalfAll { // in the plan, which parameters do not show
			fmt.Fprintln(h, m.options.Half)
		}
		if err := m.Network.EncodeJSON(h); err != nil {
			return err
		}
		var tensors []weights.Tensor
		for _, p := range m.params.List {
			if p.Half.Bits == nil {
				tensors = append(tensors, weights.Tensor{Name: p.Name, Shape: p.Shape, Data: p.Data})
				continue
			}
			fmt.Fprintln(h, p.Name, p.Half.Brain)
			for part := range slices.Chunk(p.Half.Bits, 1<<15) { // of which a copy is made
				if err := binary.Write(h, binary.LittleEndian, part); err != nil {
					return err
				}
			}
		}
		return weights.Encode(h, tensors, nil)
	})
	return [sha256.Size]byte(h.Sum(nil)), m.intact(err)
}

// SHA256 is the checksum of the file of weights. ok is false where there is no one file: of random weights, of bytes,
// of shards.
func (m *Model) SHA256() (sum [sha256.Size]byte, ok bool) {
	if m.file == nil {
		return sum, false
	}
	return m.file.SHA256()
}
