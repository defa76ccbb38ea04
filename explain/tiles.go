package explain

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/tensor"
	"github.com/vggo/vggo/vision"
)

// Tiles are pictures of one size, drawn when they are asked for.
type Tiles struct {
	Layer         string
	Count         int
	Width, Height int // of each
	// Each is how many tiles in a row belong to one channel of the layer's output: 1, or a filter's input channels.
	Each int

	draw func(i int) *vision.Picture
}

// Tile draws tile i, from 0.
func (t *Tiles) Tile(i int) (*vision.Picture, error) {
	if i < 0 || i >= t.Count {
		return nil, fmt.Errorf("%s has %d tiles, numbered from 0: there is no tile %d", t.Layer, t.Count, i)
	}
	return t.draw(i), nil
}

// MaxTiles is the most that Grid draws: 512 are the widest of VGG's layers.
const MaxTiles = 1024

// Grid draws n tiles from one on, row by row, as Mosaic does.
func (t *Tiles) Grid(from, n int) (*vision.Picture, error) {
	if n < 1 || n > MaxTiles || from < 0 || from+n > t.Count {
		return nil, fmt.Errorf("%s has %d tiles: cannot draw %d of them from %d on, the most at once is %d", t.Layer, t.Count,
			n, from, MaxTiles)
	}
	tiles := make([]*vision.Picture, n)
	for i := range tiles {
		tiles[i] = t.draw(from + i)
	}
	return Mosaic(tiles)
}

// Maps is a layer's output for one prepared image: a grey tile for each channel, from black for the channel's smallest
// value to white for its largest; black where all are the same.
func Maps(ctx context.Context, m *vggo.Model, picture *tensor.Tensor, layer string) (*Tiles, error) {
	if picture.N != 1 {
		return nil, fmt.Errorf("maps are of one image, not of %d", picture.N)
	}
	if err := HasMap(m, layer); err != nil {
		return nil, err
	}
	maps, err := m.Features(ctx, layer, picture)
	if err != nil {
		return nil, err
	}
	t := &Tiles{Layer: layer, Count: maps.C, Width: maps.W, Height: maps.H, Each: 1}
	t.draw = func(i int) *vision.Picture {
		values := maps.Data[i*maps.H*maps.W:][:maps.H*maps.W]
		low, high := slices.Min(values), slices.Max(values)
		return grey(values, maps.W, maps.H, low, high)
	}
	return t, nil
}

// Filters is a convolution's weights. Of a first layer that sees colours each filter is one tile in colours; of any
// other a grey tile for each channel that it reads, filter by filter. Mid-grey is 0, black and white the filter's
// largest weight of either sign.
func Filters(m *vggo.Model, layer string) (*Tiles, error) {
	placed, err := m.Placed.Until(layer)
	if err != nil {
		return nil, err
	}
	at := placed.Layers[len(placed.Layers)-1]
	if _, ok := at.Op.(arch.Conv); !ok {
		return nil, fmt.Errorf("%s of %s is no convolution: it has no filters", layer, m.Network.Name)
	}
	p, w, err := m.Parameter(layer + "/w")
	if err != nil {
		return nil, err
	}
	in, h, width := p.Shape[1], p.Shape[2], p.Shape[3]
	area := h * width
	scale := func(filter int) float32 { // of its weights
		most := float32(0)
		for _, v := range w[filter*in*area:][:in*area] {
			most = max(most, v, -v)
		}
		return most
	}
	t := &Tiles{Layer: layer, Width: width, Height: h, Count: p.Shape[0] * in, Each: in}
	t.draw = func(i int) *vision.Picture {
		most := scale(i / in)
		return grey(w[i*area:][:area], width, h, -most, most)
	}
	if in == 3 && len(placed.Layers) == 1 {
		t.Count, t.Each = p.Shape[0], 1
		t.draw = func(i int) *vision.Picture {
			most := scale(i)
			tile := vision.NewPicture(width, h, 3)
			for c := range 3 {
				for j, v := range w[(i*3+c)*area:][:area] {
					tile.Pix[3*j+m.Preprocess.Sample(c)] = level(v, -most, most)
				}
			}
			return tile
		}
	}
	return t, nil
}

// grey draws values as a picture.
func grey(values []float32, w, h int, low, high float32) *vision.Picture {
	tile := vision.NewPicture(w, h, 1)
	for i, v := range values {
		tile.Pix[i] = level(v, low, high)
	}
	return tile
}

// level is a value between low and high as a sample; low where they are equal, or a value is NaN.
func level(v, low, high float32) uint8 {
	at := (float64(v) - float64(low)) / (float64(high) - float64(low))
	if !(at > 0) {
		return 0
	}
	return uint8(math.Round(255 * min(at, 1)))
}

const (
	mosaicSide  = 768     // pixels of a row of tiles that small ones are enlarged to, as far as goes
	mosaicGap   = 2       // pixels between tiles
	mosaicShade = 64      // of the gap and of what a smaller picture leaves of its tile
	mosaicLimit = 1 << 25 // pixels of the whole
)

// Mosaic lays pictures side by side, about as many in a row as there are rows, each in a square or oblong as large as
// the largest. Small ones are enlarged, a pixel to a square of them.
func Mosaic(pictures []*vision.Picture) (*vision.Picture, error) {
	w, h, channels := 1, 1, 1
	for _, p := range pictures {
		w, h, channels = max(w, p.W), max(h, p.H), max(channels, p.Channels)
	}
	if len(pictures) == 0 {
		return nil, fmt.Errorf("a mosaic of no pictures")
	}
	columns := int(math.Ceil(math.Sqrt(float64(len(pictures)))))
	k := max(mosaicSide/columns/max(w, h), 1)
	rows := (len(pictures) + columns - 1) / columns
	cellW, cellH := k*w+mosaicGap, k*h+mosaicGap
	if pixels := float64(columns) * float64(cellW) * float64(rows) * float64(cellH); pixels > mosaicLimit {
		return nil, fmt.Errorf("a mosaic of %d pictures of %dx%d is larger than %d pixels: take fewer", len(pictures), h, w,
			mosaicLimit)
	}
	whole := vision.NewPicture(columns*cellW-mosaicGap, rows*cellH-mosaicGap, channels)
	for i := range whole.Pix {
		whole.Pix[i] = mosaicShade
	}
	for i, p := range pictures {
		if p.Channels != channels {
			p = p.RGB()
		}
		left, top := i%columns*cellW, i/columns*cellH
		for y := range k * p.H {
			for x := range k * p.W {
				from, to := (y/k*p.W+x/k)*channels, ((top+y)*whole.W+left+x)*channels
				copy(whole.Pix[to:to+channels], p.Pix[from:])
			}
		}
	}
	return whole, nil
}
