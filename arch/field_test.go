package arch

import (
	"image"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestFields(t *testing.T) {
	for _, want := range []struct {
		network, layer string
		size           int
		jump, offset   float64
	}{
		{"vgg16", "conv1_1", 3, 1, 0.5},
		{"vgg16", "conv1_2", 5, 1, 0.5},
		{"vgg16", "pool1", 6, 2, 1},
		{"vgg16", "conv3_3", 40, 4, 2},
		{"vgg16", "conv5_3", 196, 16, 8},
		{"vgg16", "pool5", 212, 32, 16},
		{"vgg16", "fc6", 404, 224, 112},
		{"vgg16", "softmax", 404, 224, 112},
		{"alexnet", "conv1", 11, 4, 5.5},
		{"alexnet", "pool5", 195, 32, 33.5}, // Araujo, Norris & Sim 2019
		{"alexnet-torchvision", "avgpool", 195, 32, 31.5},
	} {
		f := mustAnalyze(t, want.network).layer(t, want.layer).Field
		if f.H != f.W || f.H != (AxisField{want.size, want.jump, want.offset}) {
			t.Errorf("%s %s: %+v, want size %d, jump %v, offset %v", want.network, want.layer, f, want.size, want.jump,
				want.offset)
		}
	}
}

// TestFieldRecurrence holds Fields, which walks back from each layer, to the recurrence that goes forward: size grows
// by (extent-1)*jump, jump by the stride.
func TestFieldRecurrence(t *testing.T) {
	n := &Network{Name: "odd", Input: Shape{2, 61, 90}, Layers: []Layer{
		{"conv1", Conv{Out: 3, Window: Window{Kernel: Size{3, 5}, Stride: Size{2, 1}, Dilation: Size{1, 3},
			Pad: Padding{Top: 1, Left: 4}}}},
		{"pool1", MaxPool{Window{Kernel: Size{3, 2}, Stride: Square(2), Ceil: true}}},
		{"conv2", Conv{Out: 4, Window: Window{Kernel: Square(3), Pad: Padding{Mode: Same}}}},
		{"pool2", AvgPool{Window: Window{Kernel: Size{2, 3}, Stride: Size{1, 3}}}},
		{"even", AdaptiveAvgPool{Out: Size{7, 13}}},
		{"all", GlobalAvgPool{}},
	}}
	placed, err := n.Place(n.Input)
	if err != nil {
		t.Fatal(err)
	}
	if last := placed.Layers[3].Out; last != (Shape{4, 14, 13}) {
		t.Fatalf("the last map is %v, should be 14x13x4, for adaptive pooling to divide it evenly", last)
	}
	fields, err := fields(placed.Layers)
	if err != nil {
		t.Fatal(err)
	}
	size, jump := [2]int{1, 1}, [2]int{1, 1}
	extents := [][2]int{{3, 13}, {3, 2}, {3, 3}, {2, 3}, {2, 1}, {7, 13}}
	strides := [][2]int{{2, 1}, {2, 2}, {1, 1}, {1, 3}, {2, 1}, {7, 13}}
	for i, p := range placed.Layers {
		for a, f := range []AxisField{fields[i].H, fields[i].W} {
			size[a] += (extents[i][a] - 1) * jump[a]
			jump[a] *= strides[i][a]
			if f.Size != size[a] || f.Jump != float64(jump[a]) {
				t.Errorf("%s axis %d: size %d, jump %v; the recurrence has %d and %d", p.Name, a, f.Size, f.Jump, size[a], jump[a])
			}
		}
	}
}

// TestBox checks boxes against units followed pixel by pixel: a unit sees exactly the pixels that reach it.
func TestBox(t *testing.T) {
	n := &Network{Name: "odd", Input: Shape{1, 13, 17}, Layers: []Layer{
		{"conv1", Conv{Out: 1, Window: Window{Kernel: Size{3, 2}, Stride: Size{1, 2}, Dilation: Size{2, 1},
			Pad: Padding{Top: 2, Left: 1, Bottom: 1}}}},
		{"relu1", ReLU{}},
		{"pad1", ReflectPad{Top: 3, Left: 1, Bottom: 11, Right: 6}},
		{"conv2", Conv{Out: 1, Window: Window{Kernel: Square(3)}}},
		{"pad2", ReflectPad{1, 1, 1, 1}},
		{"pool1", MaxPool{Window{Kernel: Square(2), Stride: Square(2), Ceil: true}}},
		{"uneven", AdaptiveAvgPool{Out: Size{4, 3}}},
		{"flatten", Flatten{}},
	}}
	placed, err := n.Place(n.Input)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range placed.Layers {
		for y := range p.Out.H {
			for x := range p.Out.W {
				want := reach(placed.Layers[:i+1], map[image.Point]bool{{x, y}: true})
				got, err := Box(placed.Layers, i, x, y)
				if err != nil || got != want {
					t.Errorf("%s (%d, %d): %v (%v), want %v", p.Name, x, y, got, err, want)
				}
			}
		}
	}
	for _, bad := range [][3]int{{-1, 0, 0}, {len(placed.Layers), 0, 0}, {0, placed.Layers[0].Out.W, 0}, {0, 0, -1}} {
		if _, err := Box(placed.Layers, bad[0], bad[1], bad[2]); err == nil {
			t.Errorf("Box%v gave no error", bad)
		}
	}
}

// reach follows units back through every pixel of every window and returns the pixels' bounds.
func reach(placed []Placed, units map[image.Point]bool) image.Rectangle {
	for i := len(placed) - 1; i >= 0; i-- {
		p, below := placed[i], map[image.Point]bool{}
		add := func(x, y int) {
			if x >= 0 && y >= 0 && x < p.In.W && y < p.In.H {
				below[image.Pt(x, y)] = true
			}
		}
		for u := range units {
			switch op := p.Op.(type) {
			case Conv, MaxPool:
				g := p.Geometry
				for y := range g.Extent().H {
					for x := range g.Extent().W {
						add(u.X*g.Stride.W-g.Left+x, u.Y*g.Stride.H-g.Top+y)
					}
				}
			case ReflectPad:
				rows, cols := p.Taps(u.Y, u.X)
				add(cols.Start, rows.Start)
			case AdaptiveAvgPool:
				for y := u.Y * p.In.H / op.Out.H; y*op.Out.H < (u.Y+1)*p.In.H; y++ {
					for x := u.X * p.In.W / op.Out.W; x*op.Out.W < (u.X+1)*p.In.W; x++ {
						add(x, y)
					}
				}
			case Flatten:
				for y := range p.In.H {
					for x := range p.In.W {
						add(x, y)
					}
				}
			default:
				add(u.X, u.Y)
			}
		}
		units = below
	}
	var box image.Rectangle
	for u := range units {
		box = box.Union(image.Rect(u.X, u.Y, u.X+1, u.Y+1))
	}
	return box
}

// TestBoxOfPadding: with padding beyond its kernel, a convolution has units that see nothing of the image.
func TestBoxOfPadding(t *testing.T) {
	n := &Network{Name: "padded", Input: Shape{1, 4, 4},
		Layers: []Layer{{"conv1", Conv{Out: 1, Window: Window{Kernel: Square(2), Pad: Pad(3)}}}}}
	placed, err := n.Place(n.Input)
	if err != nil {
		t.Fatal(err)
	}
	if box, err := Box(placed.Layers, 0, 0, 4); err != nil || !box.Empty() {
		t.Errorf("the corner unit sees %v (%v), want nothing", box, err)
	}
}

// TestFieldOfAgrees: the article's way from the top down and Fields give one answer, whatever the stack.
func TestFieldOfAgrees(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var stack []Kernel
		n := &Network{Name: "stack"}
		for i := range 1 + random.IntN(6) {
			k := Kernel{Size: 1 + random.IntN(5), Stride: 1 + random.IntN(3), Dilation: 1 + random.IntN(3)}
			stack = append(stack, k)
			n.Layers = append(n.Layers, Layer{string(rune('a' + i)), Conv{Out: 1, Window: Window{Kernel: Square(k.Size),
				Stride: Square(k.Stride), Dilation: Square(k.Dilation)}}})
		}
		steps, err := fieldOf(stack...)
		if err != nil {
			t.Fatal(err)
		}
		placed, err := n.Place(Shape{1, 16384, 16384})
		if err != nil {
			t.Fatal(err)
		}
		fields, err := fields(placed.Layers)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := steps[len(steps)-1].Size, fields[len(fields)-1].H.Size; got != want {
			t.Errorf("%+v: %d from the top down, %d by Fields", stack, got, want)
		}
	}
}

func TestStackOfNetwork(t *testing.T) {
	r := mustAnalyze(t, "vgg16")
	f, err := r.LayerField("fc6")
	if err != nil {
		t.Fatal(err)
	}
	if first, last := f.Steps[0], f.Steps[len(f.Steps)-1]; first.Formula != "7" || last.Formula != "(402-1)*1+3 = 404" ||
		last.Name != "conv1_1" {
		t.Errorf("fc6: from %+v to %+v", first, last)
	}
	if f.Box != [4]int{0, 0, 224, 224} {
		t.Errorf("fc6 sees %v of the image, want all of it", f.Box)
	}
	if _, err := r.LayerField("conv9_9"); err == nil || !strings.Contains(err.Error(), "it has conv1_1, relu1_1, ") {
		t.Errorf("an unknown layer: %v, want an error that lists the layers", err)
	}
	uneven := &Network{Name: "uneven", Input: Shape{1, 10, 10}, Layers: []Layer{{"pool", AdaptiveAvgPool{Out: Square(7)}},
		{"flatten", Flatten{}}, {"fc", Linear{Out: 2}}}}
	r, err = Analyze(uneven, uneven.Input, 1)
	if err != nil {
		t.Fatal(err)
	}
	if f, err = r.LayerField("fc"); err != nil || len(f.Steps) != 0 || f.Field.H.Size != 10 {
		t.Errorf("after uneven adaptive pooling: %+v (%v), want a field of 10 and no steps", f, err)
	}
}

func TestStackErrors(t *testing.T) {
	if _, err := AnalyzeStack(); err == nil {
		t.Error("an empty stack gave no error")
	}
	huge := Kernel{Size: 1 << 20, Stride: 1 << 20}
	for _, stack := range [][]Kernel{{{Size: 0}}, {{Size: 1<<20 + 1}}, {huge, huge, huge}} {
		if _, err := AnalyzeStack(stack...); err == nil {
			t.Errorf("%+v gave no error", stack)
		}
	}
	for _, s := range []string{"", "x", "0", "3s", "3s0", "3d2d2", "3k3", "99999999999999999999"} {
		if k, err := ParseKernel(s); err == nil {
			t.Errorf("kernel %q gave %+v, want an error", s, k)
		}
	}
	if k, err := ParseKernel("7s2d3"); err != nil || k != (Kernel{Size: 7, Stride: 2, Dilation: 3}) {
		t.Errorf("7s2d3 gave %+v (%v)", k, err)
	}
}
