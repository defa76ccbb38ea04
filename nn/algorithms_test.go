package nn_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/kernel"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/nn/internal/golden"
	"github.com/vggo/vggo/nn/reference"
)

// valueKinds are what a convolution may have to work with. A trial's own values are normal.
var valueKinds = []struct {
	name string
	make func(tr *trial, l arch.Placed, rng *rand.Rand)
}{
	{"normal", func(*trial, arch.Placed, *rand.Rand) {}},
	{"sparse", sparse},
	{"scaled", scaled},
}

// sparse is a layer between ReLUs: its input has no negative values and half zeros, and of its output's gradient half
// came through.
func sparse(tr *trial, _ arch.Placed, rng *rand.Rand) {
	for i, v := range tr.x {
		tr.x[i] = max(0, v)
	}
	for i := range tr.dlogits {
		if rng.IntN(2) == 0 {
			tr.dlogits[i] = 0
		}
	}
}

// scaled gives every channel a scale of its own between 1e-3 and 1e3: those of the input, those of the weights on
// either side and those of the output's gradient. A sum's terms then span twelve orders of magnitude.
func scaled(tr *trial, l arch.Placed, rng *rand.Rand) {
	scales := func(n int) []float32 {
		s := make([]float32, n)
		for i := range s {
			s[i] = float32(math.Pow(10, 6*rng.Float64()-3))
		}
		return s
	}
	scale := func(v []float32, of []float32) { // v is a row of channels, each of the same size
		for i := range v {
			v[i] *= of[i/(len(v)/len(of))]
		}
	}
	scale(tr.x, scales(l.In.C))
	scale(tr.dlogits, scales(l.Out.C))
	w, in := tr.params[l.Name+"/w"], scales(l.In.C)
	scale(w, scales(l.Out.C))
	for filter := range slices.Chunk(w, len(w)/l.Out.C) {
		scale(filter, in)
	}
}

// side is the side of what one patch of the input yields: a tile, or a pixel.
func side(a nn.Algo) int { return max(1, a.Tile()) }

// passes are the three results of a convolution: its output, its input's gradient and its weights' gradient.
type passes [3][]float64

var passNames = [len(passes{})]string{"forward", "data", "weights"}

// sampledChannels of the output, and of the input for the gradients, are compared: enough of them, and float64 takes a
// tenth of the time.
const sampledChannels = 16

// sample takes the first of a convolution's channels.
func sample(l arch.Placed, r results) (s passes) {
	s[0] = r["act/"+l.Name][:min(l.Out.C, sampledChannels)*l.Out.H*l.Out.W]
	in := min(l.In.C, sampledChannels)
	s[1] = r["grad/input"][:in*l.In.H*l.In.W]
	dw := r["grad/"+l.Name+"/w"]
	for filter := range slices.Chunk(dw, len(dw)/l.Out.C) {
		s[2] = append(s[2], filter[:len(filter)/l.In.C*in]...)
	}
	return s
}

// sampledReference is the same sample of the float64 reference, which computes no more than that: an output's channel
// takes its own filter only, an input's that channel of all filters.
func (tr *trial) sampledReference(l arch.Placed) (s passes) {
	x, dy := golden.Widen(tr.x), golden.Widen(tr.dlogits)
	w, b := golden.Widen(tr.params[l.Name+"/w"]), golden.Widen(tr.params[l.Name+"/b"])

	fewer := l
	fewer.Out.C = min(l.Out.C, sampledChannels)
	s[0] = golden.Conv(fewer, reference.Tensor{N: 1, Shape: l.In, Data: x}, w[:len(w)/l.Out.C*fewer.Out.C], b).Data

	fewer = l
	fewer.In.C = min(l.In.C, sampledChannels)
	var filters []float64
	for filter := range slices.Chunk(w, len(w)/l.Out.C) {
		filters = append(filters, filter[:len(filter)/l.In.C*fewer.In.C]...)
	}
	dx, dw, _ := golden.ConvBackward(fewer, reference.Tensor{N: 1, Shape: fewer.In, Data: x[:len(x)/l.In.C*fewer.In.C]},
		filters, reference.Tensor{N: 1, Shape: l.Out, Data: dy})
	s[1], s[2] = dx.Data, dw
	return s
}

// TestConvolutionErrors measures the error of every algorithm in each shape of convolution that VGG-16 has, at its true
// size, with every kind of values, and with -v prints the table of docs/kernels.md. An algorithm must keep the bound
// that follows from its roundings (bound_test.go). Where one misses the contract, in the table in bold, Auto must not
// choose it: Auto keeps the contract everywhere.
func TestConvolutionErrors(t *testing.T) {
	if testing.Short() {
		t.Skip("convolutions of VGG-16's size take half a minute")
	}
	set, err := kernel.Active()
	if err != nil {
		t.Fatal(err)
	}
	if set.Name == "generic" {
		t.Skip("convolutions of VGG-16's size take minutes on portable kernels")
	}
	net, err := arch.Builtin("vgg16")
	if err != nil {
		t.Fatal(err)
	}
	placed, err := net.Place(net.Input)
	if err != nil {
		t.Fatal(err)
	}
	contract := [len(passes{})]float64{accuracy[0].forward, accuracy[0].gradients, accuracy[0].gradients}
	table, rule := "| layer | values |", "|---|---|"
	for _, pass := range passNames {
		for _, a := range nn.Algos() {
			table += fmt.Sprintf(" %s, %s |", pass, a)
			rule += "---|"
		}
	}
	table += "\n" + rule + "\n"
	seen := map[string]bool{}
	for i, l := range placed.Layers {
		shape := fmt.Sprint(l.In, l.Out)
		if _, ok := l.Op.(arch.Conv); !ok || seen[shape] {
			continue
		}
		seen[shape] = true
		for _, kind := range valueKinds {
			ops := []arch.Op{l.Op}
			if i > 0 { // on blocks, as inside a network: behind a layer that changes nothing
				ops = []arch.Op{arch.MaxPool{Window: arch.Window{Kernel: arch.Square(1)}}, l.Op}
			}
			tr := newTrial(t, uint64(i), l.In, 1, ops...)
			conv := tr.layers(t)[len(ops)-1]
			kind.make(tr, conv, rand.New(rand.NewPCG(uint64(i), 0)))
			want := tr.sampledReference(conv)

			tr.set = set
			errors := func(algo nn.Algo) (e [len(passes{})]float64) {
				tr.algo = algo
				plan, params := tr.plan(t)
				defer plan.Close()
				for i, got := range sample(conv, tr.run(t, plan, params)) {
					e[i] = golden.RelativeError(got, want[i])
				}
				return e
			}
			for pass, e := range errors(nn.Auto) {
				if !(e <= contract[pass]) {
					t.Errorf("%s, %s values, %s: what auto chooses is off by %.2g, which the contract puts at %.2g", l.Name, kind.name,
						passNames[pass], e, contract[pass])
				}
			}
			var cells [len(passes{})]string
			for _, a := range nn.Algos() {
				output, input, params := chain(conv, 1, true, a)
				for pass, e := range errors(a) {
					if most := bound([...]int{output, input, params}[pass]); !(e <= most) {
						t.Errorf("%s, %s values, %s: %s is off by %.2g, want at most %.2g", l.Name, kind.name, passNames[pass],
							a, e, most)
					}
					cell := strings.Replace(fmt.Sprintf("%.1e", e), "e-0", "e-", 1)
					if e > contract[pass] {
						cell = "**" + cell + "**"
					}
					cells[pass] += " " + cell + " |"
				}
			}
			table += fmt.Sprintf("| %s | %s |%s\n", l.Name, kind.name, strings.Join(cells[:], ""))
		}
	}
	t.Logf("errors on set %s:\n%s", set, table)
}
