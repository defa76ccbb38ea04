package nn_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/kernel"
	"github.com/vggo/vggo/nn"
)

// named makes a network of layers that need no names of their own.
func named(name string, input arch.Shape, ops ...arch.Op) *arch.Network {
	net := &arch.Network{Name: name, Input: input}
	for i, op := range ops {
		net.Layers = append(net.Layers, arch.Layer{Name: fmt.Sprintf("%s%d", op.Kind(), i+1), Op: op})
	}
	return net
}

// staged are networks whose first maps are so large that a Plan takes them few images at a time.
func staged(t *testing.T) []stagedTest {
	compact := func(s string) *arch.Network {
		net, err := arch.Compact(s, s, arch.Shape{})
		if err != nil {
			t.Fatal(err)
		}
		return net
	}
	conv := func(out int) arch.Op { return arch.Conv{Out: out, Window: window(3, 3, 1, 1, arch.Pad(1))} }
	pool := func(h, w int) arch.Op {
		return arch.MaxPool{Window: arch.Window{Kernel: arch.Size{H: h, W: w}, Stride: arch.Size{H: h, W: w}}}
	}
	relu := arch.ReLU{}
	return []stagedTest{
		// Each pooling that halves one axis only is a step of its own; the last two are fused.
		{named("pyramid", arch.Shape{C: 3, H: 133, W: 130}, conv(6), relu, pool(1, 2), conv(12), relu, pool(2, 1), conv(17),
			relu, pool(2, 2),
			conv(16), relu, pool(2, 2), arch.Flatten{}, arch.Linear{Out: 9}), 5, []int{1, 2, 4, 5}, false},
		{named("pyramid, a larger batch", arch.Shape{C: 3, H: 133, W: 130}, conv(6), relu, pool(1, 2), conv(12), relu,
			pool(2, 1), conv(17), relu, pool(2, 2),
			conv(16), arch.Flatten{}, arch.Linear{Out: 9}), 11, []int{1, 2, 4, 11}, false},
		{compact("61x75x3:7,18,M,20,M,33,17,M/13,5"), 7, []int{4, 7}, false},
		{compact("63x59x5:18b,20b,M,17b,M/5"), 9, []int{8, 9}, false},
		{named("maps at the end", arch.Shape{C: 3, H: 67, W: 73}, conv(17), relu, conv(5), relu), 6, []int{4, 6}, false},
		{named("pooled maps at the end", arch.Shape{C: 3, H: 67, W: 73}, conv(17), relu, conv(20), pool(2, 2)), 6,
			[]int{4, 6}, false},
		{named("images pooled first", arch.Shape{C: 3, H: 201, W: 147}, pool(3, 1), conv(18), relu, pool(2, 2), conv(7),
			arch.GlobalAvgPool{}), 3, []int{2, 3}, true},
		{named("images normalised first", arch.Shape{C: 19, H: 91, W: 93}, arch.BatchNorm{}, relu, conv(18), arch.BatchNorm{},
			relu, pool(2, 2), arch.LRN{Size: 5, Alpha: 0.1, Beta: 0.75, K: 1}, conv(7),
			arch.AvgPool{Window: arch.Window{Kernel: arch.Square(3), Stride: arch.Square(3)}}, arch.Flatten{},
			arch.Linear{Out: 3}), 5, []int{2, 5}, false},
		{everything(), 5, []int{5}, true},
	}
}

type stagedTest struct {
	net      *arch.Network
	batch    int
	stages   []int // images of each
	portable bool  // small enough for portable kernels
}

// skips reports whether a test leaves a kernel set out: stages are the same with all.
func (tt *stagedTest) skips(set *kernel.Set) bool {
	return set.Name == "generic" && !tt.portable || testing.Short() && set != kernel.Sets()[0]
}

// A Plan that takes layers in stages and pools in passing gives the bits of one that takes all images through each
// layer and keeps what comes out, for any number of images and of threads, run after run.
func TestSameBitsInStages(t *testing.T) {
	for _, tt := range staged(t) {
		for _, c := range setsAndAlgos() {
			if tt.skips(c.set) {
				continue
			}
			t.Run(tt.net.Name+"/"+c.String(), func(t *testing.T) {
				params := newParams(t, tt.net, nn.He)
				x := noise(1, tt.batch, tt.net.Input)
				plain := compile(t, tt.net, params, nn.Options{Batch: tt.batch, Threads: 2,
					Set: c.set.Name, Algo: c.algo, Keep: true})
				if got := plain.Stages(); !slices.Equal(got, []int{tt.batch}) {
					t.Errorf("a Plan that keeps everything takes %d images at a time", got)
				}
				want := forward(t, plain, x)
				size := len(want) / tt.batch
				for _, threads := range threadCounts() {
					plan := compile(t, tt.net, params, nn.Options{Batch: tt.batch, Threads: threads, Set: c.set.Name, Algo: c.algo})
					if got := plan.Stages(); !slices.Equal(got, tt.stages) {
						t.Errorf("stages take %d images at a time, want %d", got, tt.stages)
					}
					for run := range min(runs(c.set), tt.batch) {
						n := tt.batch - run%tt.batch
						if got := forward(t, plan, x.Images(0, n)); !sameBits(got, want[:n*size]) {
							t.Fatalf("%d threads, run %d: %d images give other logits than all images through each layer", threads, run, n)
						}
					}
				}
			})
		}
	}
}

// An image gives the same logits alone and at every place of a batch, in networks that are taken in stages too.
func TestSameBitsAtAnyPlace(t *testing.T) {
	for _, tt := range staged(t) {
		for _, c := range setsAndAlgos() {
			if tt.skips(c.set) {
				continue
			}
			t.Run(tt.net.Name+"/"+c.String(), func(t *testing.T) {
				plan := compile(t, tt.net, newParams(t, tt.net, nn.He), nn.Options{Batch: tt.batch, Threads: 2, Set: c.set.Name,
					Algo: c.algo})
				x := noise(2, tt.batch, tt.net.Input)
				alone := forward(t, plan, x.Images(0, 1))
				image := slices.Clone(x.Images(0, 1).Data)
				for place := range tt.batch {
					here := x.Images(place, place+1).Data
					was := slices.Clone(here)
					copy(here, image)
					if got := forward(t, plan, x)[place*len(alone):][:len(alone)]; !sameBits(got, alone) {
						t.Errorf("at place %d of %d an image gives other logits than alone", place, tt.batch)
					}
					copy(here, was)
				}
			})
		}
	}
}

// TestFusedPooling holds pooling in passing to pooling afterwards, bit for bit, where maps end anywhere within a tile.
func TestFusedPooling(t *testing.T) {
	for _, algo := range nn.Algos()[1:] {
		m := algo.Tile()
		for h := 2; h <= 2*m+1; h++ {
			for remainder := range m {
				input := arch.Shape{C: 17, H: h, W: 2 + remainder + (h+remainder)%3*m}
				net := named("pooled", input, arch.ReLU{}, arch.Conv{Out: 18, Window: window(3, 3, 1, 1, arch.Pad(1))},
					arch.MaxPool{Window: window(2, 2, 2, 1, arch.Pad(0))})
				for _, set := range sets() {
					params := newParams(t, net, nn.He)
					options := nn.Options{Batch: 3, Threads: 2, Set: set.Name, Algo: algo}
					plan := compile(t, net, params, options)
					if steps := len(plan.Groups()); steps != 2 {
						t.Fatalf("%d steps: pooling is not fused", steps)
					}
					options.Keep = true
					x := noise(1, 3, input)
					if !sameBits(forward(t, plan, x), forward(t, compile(t, net, params, options), x)) {
						t.Errorf("set=%s algo=%s: pooled in passing, %v gives other bits", set, algo, input)
					}
				}
			}
		}
	}
}
