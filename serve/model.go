package serve

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/printable"
	"github.com/vggo/vggo/tensor"
)

// model is a network that is served.
type model struct {
	*vggo.Model
	name    string
	cost    int64            // multiply-accumulates of an image
	until   map[string]layer // by name
	outputs arch.Shape       // of one image's logits
	ending  arch.Ending      // how they are read
	bytes   int64            // that it takes beside mapped files
	visit   int64            // bytes of what its layers make of a picture
	batches *batcher

	meters sync.Map // by metric: how pictures are compared, or why they are not
	index  *index   // of pictures to find; nil where there is none
}

// layer is what an image costs up to a layer, and with it.
type layer struct {
	macs   int64
	values int64 // of its output
}

// inURL is a network's name with dashes for what a URL does not take as it is: 32x32x3-64-M-10 of 32x32x3:64,M/10.
func inURL(name string) string {
	name = strings.Trim(unnamable.ReplaceAllString(name, "-"), "-._")
	return either(strings.Trim(name[:min(len(name), 64)], "-._"), "model")
}

// unnamable are the characters that modelName has none of.
var unnamable = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// open opens a model, starts its batcher and runs it once.
func (s *Server) open(source Source) (*model, error) {
	opened, err := source.Open()
	if err != nil {
		return nil, err
	}
	m := &model{Model: opened, name: either(source.Name, inURL(opened.Network.Name)), until: map[string]layer{}}
	m.batches = newBatcher(&batcher{
		largest: m.Batch(), longest: s.MaxWait, turn: s.turn, forward: m.compute,
		ran: func(layer string, images int, took time.Duration) {
			s.metrics.batch(m.name, images, took)
			if l := s.loaded.Load(); l != nil {
				l.work.did(int64(images)*m.costUntil(layer), took)
			}
		},
	})
	if !modelName.MatchString(m.name) {
		return m, fmt.Errorf("%q cannot name a model in a URL: want letters, digits, dots, dashes and underscores, as "+
			"in NAME=%s", m.name, m.Origin)
	}
	report, err := m.Placed.Analyze(1)
	if err != nil {
		return m, err
	}
	for _, l := range report.Layers {
		m.cost += l.MACs
		m.until[l.Name] = layer{max(m.cost, 1), int64(l.Out.C * l.Out.H * l.Out.W)}
		m.outputs = l.Out
	}
	m.cost = max(m.cost, 1) // a network without weights still takes a place in the queue
	m.visit = report.Memory.Kept + 4*int64(m.outputs.C*m.outputs.H*m.outputs.W) +
		int64(m.Input.C)*4*photographSide*photographSide
	if m.ending, err = m.Ending(); err != nil {
		return m, err
	}
	if m.bytes, err = m.Memory(); err != nil {
		return m, err
	}
	inside, err := m.InsideMemory()
	if err != nil {
		return m, err
	}
	m.bytes += inside
	if path := s.Indexes[source.Name]; path != "" {
		if m.index, err = openIndex(path, m.Model); err != nil {
			return m, err
		}
		m.bytes += m.index.bytes()
	}
	_, err = m.batches.do(context.Background(), "", tensor.New(1, m.Input.C, m.Input.H, m.Input.W), false)
	return m, err
}

// costUntil is the multiply-accumulates of an image up to a layer, all of them for "".
func (m *model) costUntil(layer string) int64 {
	if layer == "" {
		return m.cost
	}
	return m.until[layer].macs
}

// compute is the batcher's way to the network.
func (m *model) compute(ctx context.Context, layer string, images *tensor.Tensor) (*tensor.Tensor, error) {
	if layer == "" {
		return m.Forward(ctx, images)
	}
	return m.Features(ctx, layer, images)
}

// model finds a model by its name; "" is the first.
func (s *Server) model(name string) (*model, error) {
	l := s.loaded.Load()
	if l == nil {
		return nil, &refusal{Kind: loading, Fault: "the models are being loaded",
			Hint: "GET /v2/health/ready tells when they are", After: time.Second}
	}
	if name == "" {
		return l.models[0], nil
	}
	var names []string
	for _, m := range l.models {
		if m.name == name {
			return m, nil
		}
		names = append(names, m.name)
	}
	return nil, &refusal{Kind: notFound, Fault: fmt.Sprintf("no model is called %q", clip(name)),
		Hint: fmt.Sprintf("there are %s", printable.And(names))}
}

// clip shortens what a client sent, for a message.
func clip(s string) string { return printable.Clip(s, 64) }
