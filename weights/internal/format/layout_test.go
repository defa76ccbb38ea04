package format

import (
	"slices"
	"testing"

	"github.com/vggo/vggo/arch"
)

// TestLayouts writes each value's place in our order into a file's order, by the definition of the layout, and expects
// Arrange to put them back.
func TestLayouts(t *testing.T) {
	conv := arch.Param{Name: "conv1_1/w", Shape: []int{70, 3, 2, 5}}
	linear := arch.Param{Name: "fc6/w", Shape: []int{131, 5 * 2 * 3}}
	dense := arch.Param{Name: "fc6/w", Shape: []int{4, 5, 2, 3}} // fc6 as a convolution over its map
	flat := arch.Shape{C: 5, H: 2, W: 3}
	for _, c := range []struct {
		name   string
		param  arch.Param
		layout Layout
		shape  []int                 // of the file
		at     func(i [4]int) [4]int // our index to the file's
		scale  float32
	}{
		{"ours", conv, Layout{}, []int{70, 3, 2, 5}, func(i [4]int) [4]int { return i }, 1},
		{"HWIO", conv, HWIO, []int{2, 5, 3, 70}, func(i [4]int) [4]int { return [4]int{i[2], i[3], i[1], i[0]} }, 1},
		{"turned", conv, Layout{Flip: true}, []int{70, 3, 2, 5}, func(i [4]int) [4]int {
			return [4]int{i[0], i[1], 1 - i[2],
				4 - i[3]}
		}, 1},
		{"in, out", linear, InOut, []int{30, 131}, func(i [4]int) [4]int { return [4]int{i[1], i[0]} }, 1},
		{"scaled", linear, Layout{Scale: 0.5}, []int{131, 30}, func(i [4]int) [4]int { return i }, 0.5},
		{"in of H,W,C, out", linear, Layout{Axes: InOut.Axes, Flat: flat}, []int{30, 131}, func(i [4]int) [4]int {
			c, y, x := i[1]/6, i[1]/3%2, i[1]%3
			return [4]int{(y*3+x)*5 + c, i[0]}
		}, 1},
		{"out, in of H,W,C", linear, Layout{Flat: flat}, []int{131, 30}, func(i [4]int) [4]int {
			c, y, x := i[1]/6, i[1]/3%2, i[1]%3
			return [4]int{i[0], (y*3+x)*5 + c}
		}, 1},
		{"a convolution from in of H,W,C, out", dense, Layout{Axes: InOut.Axes, Flat: flat}, []int{30, 4},
			func(i [4]int) [4]int {
				return [4]int{(i[2]*3+i[3])*5 + i[1], i[0]}
			}, 1},
		{"a convolution in H,W,I,O", linear, Layout{Axes: HWIO.Axes, Flat: flat, Head: true}, []int{2, 3, 5, 131},
			func(i [4]int) [4]int { return [4]int{i[1] / 3 % 2, i[1] % 3, i[1] / 6, i[0]} }, 1},
		{"a convolution, turned", linear, Layout{Flat: flat, Head: true, Flip: true}, []int{131, 5, 2, 3},
			func(i [4]int) [4]int { return [4]int{i[0], i[1] / 6, 1 - i[1]/3%2, 2 - i[1]%3} }, 1},
		{"a convolution of a pixel", linear, Layout{Axes: HWIO.Axes, Head: true}, []int{1, 1, 30, 131},
			func(i [4]int) [4]int { return [4]int{0, 0, i[1], i[0]} }, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.layout.Shape(c.param); !slices.Equal(got, c.shape) {
				t.Fatalf("the file's shape is %v, want %v", got, c.shape)
			}
			file := make([]float32, c.param.Count())
			want := make([]float32, c.param.Count())
			ours := append(slices.Clone(c.param.Shape), 1, 1)[:4]
			theirs := append(slices.Clone(c.shape), 1, 1)[:4]
			n := 0
			for o := range ours[0] {
				for i := range ours[1] {
					for y := range ours[2] {
						for x := range ours[3] {
							p := c.at([4]int{o, i, y, x})
							file[((p[0]*theirs[1]+p[1])*theirs[2]+p[2])*theirs[3]+p[3]] = float32(n)
							want[n] = c.scale * float32(n)
							n++
						}
					}
				}
			}
			if got, err := c.layout.Arrange(file, c.param); err != nil || !slices.Equal(got, want) {
				t.Errorf("got %v…, want %v…", got[:8], want[:8])
			}
		})
	}
}
