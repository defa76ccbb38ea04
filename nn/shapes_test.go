package nn_test

import (
	"fmt"
	"testing"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/nn"
)

// paddings of a 3x3 convolution.
var paddings = []arch.Padding{arch.Pad(0), arch.Pad(1), arch.Pad(2), {Top: 2, Right: 1}, {Left: 2, Bottom: 1}}

// channelCounts fill blocks of 16, or do not, on either side.
var channelCounts = []struct{ in, out int }{{5, 17}, {16, 16}, {33, 20}}

// tileTrial is the i-th of 3x3 convolutions from blocked maps to outputs of h by w.
func tileTrial(t *testing.T, i, h, w, n int, pad arch.Padding) *trial {
	t.Helper()
	channels := channelCounts[i%len(channelCounts)]
	input := arch.Shape{C: channels.in, H: h + 2 - pad.Top - pad.Bottom, W: w + 2 - pad.Left - pad.Right}
	return newTrial(t, uint64(i), input, n, arch.ReLU{}, arch.Conv{Out: channels.out, Window: window(3, 3, 1, 1, pad)})
}

// TestTileRemainders holds each size of tile, all passes, to the reference where maps end anywhere within a tile:
// output heights from one row to beyond two tiles, for each of them widths of every remainder.
func TestTileRemainders(t *testing.T) {
	for _, algo := range nn.Algos() {
		m, i := algo.Tile(), 0
		heights := 2*m + 1
		if testing.Short() {
			heights = m
		}
		for h := 1; h <= heights; h++ {
			for remainder := range m {
				w := 1 + remainder + (h+remainder)%3*m
				if w == h {
					w += m
				}
				for _, pad := range paddings {
					if pad.Top+pad.Bottom >= h+2 || pad.Left+pad.Right >= w+2 {
						continue // no input could be so small
					}
					i++
					t.Run(fmt.Sprintf("algo=%s/%dx%d/pad=%v", algo, h, w, pad), func(t *testing.T) {
						tr := tileTrial(t, i, h, w, 2, pad)
						tr.algo, tr.capacity = algo, 2+i%2
						for _, tr.set = range sets() {
							tr.check(t)
						}
					})
				}
			}
		}
	}
}

// TestChunks does the same for batches of more tiles than are worked off at a time: chunks that end within a row of
// tiles, within an image and at the end of a batch smaller than the Plan's.
func TestChunks(t *testing.T) {
	for _, algo := range nn.Algos()[1:] {
		for i, pad := range paddings {
			t.Run(fmt.Sprintf("algo=%s/pad=%v", algo, pad), func(t *testing.T) {
				m := algo.Tile()
				tr := tileTrial(t, i, 5*m-i%m, 6*m-i/2%m, 9, pad)
				tr.algo, tr.capacity = algo, 11
				for _, tr.set = range sets() {
					plan, _ := tr.plan(t)
					if chunk, total, shared := plan.Chunking(1); shared || chunk == 0 || total%chunk == 0 ||
						tr.n*total/tr.capacity < 2*chunk {
						t.Errorf("chunks of %d of %d tiles, shared: %v", chunk, total, shared)
					}
					tr.check(t)
				}
			})
		}
	}
}

// TestWindows holds convolutions by the definition to the reference: every kernel with every stride, of images and of
// blocked maps, grouped within blocks and by whole ones; dilated along either axis or both, padded unevenly up to the
// kernel's own width, and with pixels left over that no window reaches, as many as there can be.
func TestWindows(t *testing.T) {
	dilations := []arch.Size{{H: 1, W: 1}, {H: 2, W: 1}, {H: 1, W: 3}, {H: 2, W: 2}, {H: 1, W: 1}}
	channels := []struct{ in, out, groups int }{{5, 18, 1}, {20, 3, 1}, {32, 48, 2}, {6, 9, 3}}
	i := 0
	for _, side := range []int{1, 2, 3, 5, 7, 11} {
		for stride := 1; stride <= 4; stride++ {
			for _, c := range channels {
				for _, first := range []bool{true, false} {
					i++
					if testing.Short() && i%3 > 0 {
						continue
					}
					dilation := dilations[i%len(dilations)]
					w := arch.Window{Kernel: arch.Size{H: side, W: max(1, side-i%2)}, Stride: arch.Size{H: stride,
						W: 1 + (stride+i)%4}, Dilation: dilation,
						Pad: arch.Padding{Top: i % side, Bottom: i / 2 % side, Left: i / 3 % side, Right: (i + 1) % side}}
					// The first window, one to four more, and the pixels over.
					input := arch.Shape{C: c.in,
						H: max(1, (w.Kernel.H-1)*dilation.H+1+(2+i%3)*w.Stride.H-w.Pad.Top-w.Pad.Bottom+i/2%w.Stride.H),
						W: max(1, (w.Kernel.W-1)*dilation.W+1+(1+i%4)*w.Stride.W-w.Pad.Left-w.Pad.Right+i/3%w.Stride.W)}
					ops := []arch.Op{arch.ReLU{}, arch.Conv{Out: c.out, Window: w, Groups: c.groups}}
					if first {
						ops = ops[1:]
					}
					t.Run(fmt.Sprintf("kernel=%v/stride=%v/dilation=%v/groups=%d/first=%v", w.Kernel, w.Stride, dilation, c.groups,
						first), func(t *testing.T) {
						tr := newTrial(t, uint64(i), input, 2, ops...)
						tr.capacity = 2 + i%2
						for _, tr.set = range sets() {
							tr.check(t)
						}
					})
				}
			}
		}
	}
}

// TestBands holds convolutions by the definition to the reference on maps that are cut into bands, the last one lower
// than the others.
func TestBands(t *testing.T) {
	for i, tt := range []struct {
		input arch.Shape
		ops   []arch.Op
	}{
		{arch.Shape{C: 64, H: 23, W: 190},
			[]arch.Op{arch.ReLU{}, arch.Conv{Out: 5, Window: window(3, 3, 1, 1, arch.Pad(1))}}},
		{arch.Shape{C: 5, H: 23, W: 190},
			[]arch.Op{arch.ReLU{}, arch.Conv{Out: 64, Window: window(3, 3, 1, 1, arch.Pad(1))}}},
		{arch.Shape{C: 49, H: 31, W: 211},
			[]arch.Op{arch.ReLU{}, arch.Conv{Out: 50, Window: window(3, 2, 2, 1, arch.Padding{Top: 1, Right: 1})}}},
		{arch.Shape{C: 40, H: 37, W: 160},
			[]arch.Op{arch.ReLU{}, arch.Conv{Out: 3, Window: window(3, 3, 3, 2, arch.Pad(2))}}},
		// of images
		{arch.Shape{C: 3, H: 157, W: 217}, []arch.Op{arch.Conv{Out: 6, Window: window(3, 3, 1, 1, arch.Pad(1))}}},
	} {
		t.Run(fmt.Sprint(tt.input), func(t *testing.T) {
			tr := newTrial(t, uint64(i), tt.input, 1, tt.ops...)
			plan, _ := tr.plan(t)
			if forward, data := plan.Bands(len(tt.ops) - 1); forward < 2 || data < 2 {
				t.Errorf("%d bands forward and %d for the data gradient", forward, data)
			}
			for _, tr.set = range sets() {
				tr.check(t)
			}
		})
	}
}
