package explain

import (
	"image"
	"testing"

	"github.com/vggo/vggo/arch"
)

// TestWindows: for any sizes the windows lie around the cells' middles, within the picture, and cover all of it.
func TestWindows(t *testing.T) {
	for _, in := range []arch.Shape{{C: 1, H: 1, W: 1}, {C: 1, H: 7, W: 12}, {C: 3, H: 28, W: 28}, {C: 3, H: 5, W: 31}} {
		for size := 1; size <= max(in.H, in.W); size++ {
			for stride := 1; stride <= size; stride++ {
				o := Occluder{Size: size, Stride: stride}
				cols, rows := o.grid(in)
				whole := image.Rect(0, 0, in.W, in.H)
				covered := make([]bool, in.H*in.W)
				for y := range rows {
					for x := range cols {
						r := o.window(in, x, y)
						if r.Empty() || !r.In(whole) || r.Dx() > size || r.Dy() > size {
							t.Fatalf("%v, %+v: window (%d, %d) is %v", in, o, x, y, r)
						}
						for j := r.Min.Y; j < r.Max.Y; j++ {
							for i := r.Min.X; i < r.Max.X; i++ {
								covered[j*in.W+i] = true
							}
						}
					}
				}
				for i, ok := range covered {
					if !ok {
						t.Fatalf("%v, %+v: pixel (%d, %d) is never covered", in, o, i%in.W, i/in.W)
					}
				}
			}
		}
	}
	if got := (Occluder{Size: 4, Stride: 2}).window(arch.Shape{H: 28, W: 28}, 0, 13); got != image.Rect(0, 25, 3, 28) {
		t.Errorf("window (0, 13) is %v", got)
	}
}
