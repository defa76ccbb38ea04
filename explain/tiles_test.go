package explain_test

import (
	"image"
	"math"
	"slices"
	"testing"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/explain"
	"github.com/vggo/vggo/vision"
)

func TestMaps(t *testing.T) {
	m := open(t, "tinyvgg", 1)
	x := prepare(t, m, clothes(t, 0))
	tiles, err := explain.Maps(t.Context(), m, x, "relu2_2")
	if err != nil {
		t.Fatal(err)
	}
	if tiles.Count != 10 || tiles.Width != 14 || tiles.Height != 14 || tiles.Each != 1 || tiles.Layer != "relu2_2" {
		t.Errorf("%+v", tiles)
	}
	maps, err := m.Features(t.Context(), "relu2_2", x)
	if err != nil {
		t.Fatal(err)
	}
	for c := range 10 {
		tile, err := tiles.Tile(c)
		if err != nil {
			t.Fatal(err)
		}
		values := maps.Data[c*196:][:196]
		low, high := slices.Min(values), slices.Max(values)
		for i, v := range values {
			want := 0.0
			if high > low {
				want = 255 * float64(v-low) / float64(high-low)
			}
			if math.Abs(float64(tile.Pix[i])-want) > 0.51 {
				t.Fatalf("channel %d: sample %d is %d, want %.2f", c, i, tile.Pix[i], want)
			}
		}
	}
	// Four in a row, three rows, each pixel 13 wide, two between tiles.
	grid, err := tiles.Grid(0, 10)
	if err != nil || grid.W != 4*14*13+3*2 || grid.H != 3*14*13+2*2 || grid.Channels != 1 {
		t.Fatalf("%dx%d, %v", grid.W, grid.H, err)
	}
	tile, err := tiles.Tile(5)
	if err != nil {
		t.Fatal(err)
	}
	for y := range 14 * 13 {
		for x := range 14 * 13 {
			if got, want := grid.Pix[(14*13+2+y)*grid.W+14*13+2+x], tile.Pix[y/13*14+x/13]; got != want {
				t.Fatalf("pixel (%d, %d) of tile 5 is %d, want %d", x, y, got, want)
			}
		}
	}
}

func TestFilters(t *testing.T) {
	grey := open(t, "tinyvgg", 1)
	for _, c := range []struct {
		m                 *vggo.Model
		layer             string
		count, each, size int
		channels          int
	}{
		{grey, "conv1_1", 10, 1, 3, 1},
		{grey, "conv2_1", 100, 10, 3, 1},
		{random(t, "16x16x3:4,8/2"), "conv1_1", 4, 1, 3, 3},
		{random(t, "16x16x3:4,8/2"), "conv1_2", 32, 4, 3, 1},
		{blueFirst(t, "16x16x3:4,8/2"), "conv1_1", 4, 1, 3, 3},
	} {
		tiles, err := explain.Filters(c.m, c.layer)
		if err != nil {
			t.Fatal(err)
		}
		if tiles.Count != c.count || tiles.Each != c.each || tiles.Width != c.size || tiles.Height != c.size {
			t.Errorf("%s: %+v, want %+v", c.layer, tiles, c)
		}
		p, w, err := c.m.Parameter(c.layer + "/w")
		if err != nil {
			t.Fatal(err)
		}
		per := p.Shape[1] * 9 // weights of a filter
		for i := range tiles.Count {
			tile, err := tiles.Tile(i)
			if err != nil || tile.Channels != c.channels {
				t.Fatal(tile.Channels, err)
			}
			filter := w[i/tiles.Each*per:][:per]
			most := float64(max(slices.Max(filter), -slices.Min(filter)))
			for pixel := range 9 {
				for k := range c.channels {
					channel := i%tiles.Each + k
					if c.channels == 3 && c.m.Preprocess.Order == vision.BGR {
						channel = 2 - k
					}
					v := float64(filter[channel*9+pixel])
					if got, want := float64(tile.Pix[pixel*c.channels+k]), 255*(v/most+1)/2; math.Abs(got-want) > 0.51 {
						t.Fatalf("%s, tile %d: sample %d,%d is %v, want %.2f", c.layer, i, pixel, k, got, want)
					}
				}
			}
		}
	}
}

func TestField(t *testing.T) {
	m := open(t, "tinyvgg", 1)
	placed, err := m.Network.Place(m.Input)
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range placed.Layers {
		for _, at := range []image.Point{{}, {X: l.Out.W / 2, Y: l.Out.H / 2}, {X: l.Out.W - 1, Y: l.Out.H - 1}} {
			want, err := arch.Box(placed.Layers, i, at.X, at.Y)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := explain.Field(m, l.Name, at.X, at.Y); err != nil || got != want || !got.In(image.Rect(0, 0, 28, 28)) {
				t.Errorf("%s %v: %v, %v, want %v", l.Name, at, got, err, want)
			}
		}
	}
	picture := vision.NewPicture(9, 9, 1)
	for i := range picture.Pix {
		picture.Pix[i] = 90
	}
	line := explain.Viridis(1)
	for at, want := range map[image.Point]uint8{{}: 30, {X: 2, Y: 2}: line.R, {X: 3, Y: 3}: 90, {X: 5, Y: 4}: line.R,
		{X: 6, Y: 4}: 30} {
		if got := explain.Frame(picture, image.Rect(2, 2, 6, 7)).NRGBAAt(at.X, at.Y).R; got != want {
			t.Errorf("%v: %d, want %d", at, got, want)
		}
	}
}

// blueFirst is a network of random weights that takes blue first.
func blueFirst(t *testing.T, network string) *vggo.Model {
	t.Helper()
	m, err := vggo.New(network, vggo.Options{Seed: 1, Preprocess: vision.PreprocessParts{Order: "bgr"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}
