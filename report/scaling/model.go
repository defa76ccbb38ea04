package main

import (
	"github.com/vggo/vggo/arch"
)

// measured is how long a sum over two ranks took on a link of 1 Gbit/s (docs/scaling.md, 2026-11-30, on a machine that
// was busy).
var measured = []struct{ bytes, seconds float64 }{{1e3, 0.14e-3}, {262e3, 0.55e-3}, {4.2e6, 35e-3}, {40e6, 612e-3}}

const (
	measuredGbit = 1.0
	pieceBytes   = 4 << 20 // cluster's
)

// link is what a message takes: latency, and seconds for each byte.
type link struct{ alpha, perByte float64 }

// terms are what a sum of bytes over ranks takes of a link's latency and of its seconds for a byte: each rank gets its
// share of a piece from all others, and gives the sum to all.
func terms(bytes, ranks float64) (messages, sent float64) {
	pieces := max(1, bytes/pieceBytes)
	return 2 * pieces * (ranks - 1), 2 * (ranks - 1) / ranks * bytes
}

func (l link) sum(bytes, ranks float64) float64 {
	messages, sent := terms(bytes, ranks)
	return messages*l.alpha + sent*l.perByte
}

// burst is what such a link lets through at once before it holds back: smaller sums tell its latency alone.
const burst = 1e6

// fitted is the link of the latency that the smallest sum shows, and of the bandwidth whose times differ least from
// those measured beyond a burst, by the squares of relative differences.
func fitted() (l link) {
	messages, _ := terms(measured[0].bytes, 2)
	l.alpha = measured[0].seconds / messages
	var up, down float64
	for _, point := range measured {
		if messages, sent := terms(point.bytes, 2); point.bytes > burst {
			rest := 1 - messages*l.alpha/point.seconds
			up += sent / point.seconds * rest
			down += sent / point.seconds * sent / point.seconds
		}
	}
	l.perByte = up / down
	return l
}

// linkOf is a link of another nominal bandwidth: of the same latency, and the same share of the bandwidth.
func linkOf(gbit float64) link {
	l := fitted()
	return link{l.alpha, l.perByte * measuredGbit / gbit}
}

// network is what a step sends of it.
type network struct {
	gradients float64 // bytes of all layers'
	linear    float64 // bytes of the fully connected layers'
	pairs     float64 // bytes of these layers' inputs and of their outputs' gradients, for one picture
	layers    float64 // fully connected ones
}

func vgg16() (network, error) {
	var n network
	placed, err := arch.Open("vgg16")
	if err != nil {
		return n, err
	}
	report, err := placed.Analyze(1)
	if err != nil {
		return n, err
	}
	for _, l := range report.Layers {
		n.gradients += 4 * float64(l.Weights+l.Biases)
		if l.Kind == "linear" {
			n.linear += 4 * float64(l.Weights+l.Biases)
			n.pairs += 4 * float64(l.In.C*l.In.H*l.In.W+l.Out.C)
			n.layers++
		}
	}
	return n, nil
}

// rank is a process that computes.
type rank struct {
	picture  float64 // seconds for one, forward and backward
	products float64 // multiply-accumulates a second of matrix products
	memory   float64 // bytes a second
}

// slow is the machine that README's figures are of: a step of 32 pictures takes 4.3 s on its two cores, whose peak is
// 235 GFLOP/s, and which read 61 GB/s; matrix products are taken to reach half the peak. fast is as good as 32 of them.
var slow, fast = rank{4.3 / 32, 235e9 / 2 / 2, 61e9}, rank{4.3 / 32 / 32, 32 * 235e9 / 2 / 2, 8 * 61e9}

const (
	pictures = 32     // of a pass, on each rank
	backward = 2 / 3. // of a step, beside which sums go on
	passes   = 4      // that accumulate adds up
)

// An option is a way to send less.
type option int

const (
	plain      option = iota // each pass's gradients are summed
	accumulate               // passes are added up on each rank, and summed beside the last one's backward pass
	half                     // gradients are sent in 16 bits, and what that loses is added to the next ones
	factors                  // of fully connected layers all ranks get inputs and outputs' gradients, and multiply them
	options
)

// efficiency is the share of a step in which a rank computes what it would compute alone.
func (n network) efficiency(r rank, l link, ranks float64, o option) float64 {
	step := pictures * r.picture
	waits := func(sums float64) float64 { return max(0, sums-backward*step) }
	lost := 0.0
	switch o {
	case plain:
		lost = waits(l.sum(n.gradients, ranks))
	case accumulate:
		lost = waits(l.sum(n.gradients, ranks)) / passes
	case half:
		const reads = 3 // gradients, what was lost of the last ones, and what is received
		lost = waits(l.sum(n.gradients/2, ranks)) + reads*n.gradients/r.memory
	case factors:
		others := pictures * (ranks - 1)
		gathered := n.layers*(ranks-1)*l.alpha + others*n.pairs*l.perByte
		lost = waits(l.sum(n.gradients-n.linear, ranks)+gathered) + others*n.linear/4/r.products
	}
	return step / (step + lost)
}

// enough is the efficiency from which on nothing has to be done.
const enough = 0.95

// best is plain where that is enough, else the option of the greatest efficiency.
func (n network) best(r rank, l link, ranks float64) (best option, efficiency float64) {
	efficiency = n.efficiency(r, l, ranks, plain)
	if efficiency >= enough {
		return plain, efficiency
	}
	for o := accumulate; o < options; o++ {
		if e := n.efficiency(r, l, ranks, o); e > efficiency {
			best, efficiency = o, e
		}
	}
	return best, efficiency
}
