package explain

import (
	"context"
	"fmt"
	"image"
	"slices"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/tensor"
)

// Occluder is the square that Occlusion covers parts of the picture with, in pixels of the network's input.
type Occluder struct {
	Size   int       // of a side; 0: a seventh of the picture's longer side, 32 of 224
	Stride int       // from one place to the next; 0: half of Size
	Fill   []float32 // a prepared value for each channel; nil: mid-grey, as the model's pre-processing makes it
}

// maxWindows is the most places of an occluder: one for each pixel of 256 by 256.
const maxWindows = 1 << 16

// resolve fills in what was left open and checks it against a model.
func (o Occluder) resolve(m *vggo.Model) (Occluder, error) {
	longer := max(m.Input.W, m.Input.H)
	if o.Size == 0 {
		o.Size = (longer + 6) / 7
	}
	if o.Stride == 0 {
		o.Stride = max(o.Size/2, 1)
	}
	if o.Fill == nil && len(m.Preprocess.Mean) == m.Input.C && len(m.Preprocess.Std) == m.Input.C {
		for c := range m.Input.C {
			o.Fill = append(o.Fill, m.Preprocess.Values(c)[128])
		}
	}
	switch {
	case o.Size < 1 || o.Size > longer:
		return o, fmt.Errorf("an occluder of %d pixels: want 1 to %d, the longer side of what %s sees", o.Size, longer,
			m.Network.Name)
	case o.Stride < 1 || o.Stride > o.Size:
		return o, fmt.Errorf("an occluder of %d pixels moves by 1 to %d of them, so that it covers all, not by %d", o.Size,
			o.Size, o.Stride)
	case len(o.Fill) != m.Input.C:
		return o, fmt.Errorf("an occluder of %d channels for an image of %d", len(o.Fill), m.Input.C)
	}
	if cols, rows := o.grid(m.Input); int64(cols)*int64(rows) > maxWindows {
		return o, fmt.Errorf("an occluder that moves by %d pixels has %d places on an image of %dx%d, the most is %d",
			o.Stride, int64(cols)*int64(rows), m.Input.H, m.Input.W, maxWindows)
	}
	return o, nil
}

// grid is how many places there are.
func (o Occluder) grid(in arch.Shape) (cols, rows int) {
	return (in.W + o.Stride - 1) / o.Stride, (in.H + o.Stride - 1) / o.Stride
}

// window is what the occluder covers at a place: a square around the middle of the map's cell, cut off at the border.
// The middle of cell x of n lies at (x+1/2)/n of the picture's width; half a pixel is rounded down.
func (o Occluder) window(in arch.Shape, x, y int) image.Rectangle {
	start := func(i, n, length int) int {
		at := (2*i+1)*length - o.Size*n // of 2n, less than 0 beyond the border
		if at < 0 {
			at -= 2*n - 1
		}
		return at / (2 * n)
	}
	cols, rows := o.grid(in)
	corner := image.Pt(start(x, cols, in.W), start(y, rows, in.H))
	return image.Rectangle{Min: corner, Max: corner.Add(image.Pt(o.Size, o.Size))}.Intersect(image.Rect(0, 0, in.W, in.H))
}

// Passes is how many images Occlusion runs through the network: the picture, and once more for each place. Times the
// network's multiply-accumulates it is the cost.
func (o Occluder) Passes(m *vggo.Model) (int, error) {
	o, err := o.resolve(m)
	cols, rows := o.grid(m.Input)
	return 1 + cols*rows, err
}

// Occlusion covers a part of one prepared image at a time and tells how far the class's probability falls (Zeiler &
// Fergus 2014, arXiv 1311.2901, section 4.2):
//
//	heat[y][x] = p(class | picture) - p(class | picture covered around cell (x, y))
//
// A value below 0 is a part that speaks against the class. A class of -1 is the most probable one. Images go in passes
// of the model's batch, between which others have their turn; progress, if not nil, is told after each how many of
// Passes are done.
func Occlusion(ctx context.Context, m *vggo.Model, picture *tensor.Tensor, o Occluder, class int,
	progress func(done, total int)) (*Heat, error) {
	o, err := o.resolve(m)
	if err != nil {
		return nil, err
	}
	if picture.N != 1 || picture.C != m.Input.C || picture.H != m.Input.H || picture.W != m.Input.W {
		return nil, fmt.Errorf("occlusion is of one image of %v, not of %s", m.Input, picture.Shape())
	}
	cols, rows := o.grid(m.Input)
	heat := &Heat{Map: Map{cols, rows, make([]float32, cols*rows)}}
	total := 1 + cols*rows
	batch := tensor.New(min(m.Batch(), total), picture.C, picture.H, picture.W)
	for from := 0; from < total; from += batch.N {
		n := min(batch.N, total-from)
		for i := range n {
			copy(batch.Images(i, i+1).Data, picture.Data)
			if at := from + i - 1; at >= 0 { // the first is the picture itself
				cover(batch, i, o.window(m.Input, at%cols, at/cols), o.Fill)
			}
		}
		logits, err := m.Forward(ctx, batch.Images(0, n))
		if err != nil {
			return nil, err
		}
		for i := range n {
			ranked, err := m.Rank(logits.Images(i, i+1))
			if err != nil {
				return nil, err
			}
			if from+i == 0 {
				if class == -1 {
					class = ranked[0].Index
				}
				if class < 0 || class >= len(ranked) {
					return nil, fmt.Errorf("%s has %d classes, numbered from 0: there is no class %d", m.Network.Name,
						len(ranked), class)
				}
			}
			c := ranked[slices.IndexFunc(ranked, func(c vggo.Class) bool { return c.Index == class })]
			if from+i == 0 {
				heat.Class = c
				continue
			}
			heat.Values[from+i-1] = float32(heat.Class.Probability - c.Probability)
		}
		if progress != nil {
			progress(from+n, total)
		}
	}
	return heat, nil
}

// cover fills a part of image n of a batch.
func cover(batch *tensor.Tensor, n int, part image.Rectangle, fill []float32) {
	for c, v := range fill {
		for y := part.Min.Y; y < part.Max.Y; y++ {
			row := batch.Data[((n*batch.C+c)*batch.H+y)*batch.W:][:batch.W]
			for x := part.Min.X; x < part.Max.X; x++ {
				row[x] = v
			}
		}
	}
}
