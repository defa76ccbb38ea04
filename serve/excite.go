package serve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/png"
	"iter"
	"net/http"
	"time"

	"github.com/vggo/vggo/explain"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/page/lesson"
	"github.com/vggo/vggo/style"
	"github.com/vggo/vggo/vision"
)

// patchJSON is a part of a picture that excites a channel.
type patchJSON struct {
	Name    string  `json:"name,omitempty"` // its class, of the lesson's pictures
	Value   float32 `json:"value"`
	Y       int     `json:"y"` // the unit of the layer's map that has it
	X       int     `json:"x"`
	Box     boxJSON `json:"box"` // what the unit sees of the picture as the network does
	Picture []byte  `json:"picture"`
}

// patchesJSON are the parts that excite a channel most, the first the most.
type patchesJSON struct {
	Layer    string      `json:"layer"`
	Channel  int         `json:"channel"`
	Of       string      `json:"of,omitempty"` // what the pictures are called that the server has
	Pictures int         `json:"pictures"`     // that were searched
	Patches  []patchJSON `json:"patches"`
}

// lessonPictures is the most of the lesson's pictures that are searched.
const lessonPictures = 200

// patches finds the part of a picture that excites a channel most, or the strongest of the pictures that a network
// learns from here. Other requests are computed between its passes.
func (c *call) patches() error {
	m, file, err := c.excited()
	if err != nil {
		return err
	}
	told := patchesJSON{Layer: c.text("layer"), Channel: c.numbers("channel")[0], Pictures: 1, Patches: []patchJSON{}}
	var pictures iter.Seq2[string, *vision.Picture]
	var held int // bytes of them
	if file == nil {
		if c.Training == nil {
			return refuse(badRequest, "send one in the body", "there is no picture, and this server has none of its own")
		}
		l := c.loaded.Load()
		if l == nil { // closed meanwhile
			return errClosed
		}
		told.Pictures = int(max(min(lessonPictures, l.work.budget/2/m.costUntil(told.Layer)), 1))
		var data lesson.Data
		_, err := c.inTurn(func(context.Context) (err error) { data, err = c.lesson(); return err })
		if err != nil {
			return err
		}
		told.Of, told.Pictures = data.Name, min(told.Pictures, data.Test.Len())
		pictures, held = lessonNamed(data, told.Pictures), len(data.Train.Pixels)+len(data.Test.Pixels)
	} else {
		var picture *vision.Picture
		if err := c.decoded(file, func(p *vision.Picture) error { picture = p; return nil }); err != nil {
			return err
		}
		pictures, held = func(yield func(string, *vision.Picture) bool) { yield("", picture) }, len(picture.Pix)
	}
	if err := c.admit(m, told.Layer, told.Pictures); err != nil {
		return err
	}
	// A pass has its pictures cut out, prepared and as the layer's maps; a part is kept as it is, as PNG and in base64.
	count, atOnce := c.numbers("count")[0], int64(min(m.Batch(), told.Pictures))
	pixels := int64(m.Input.C * m.Input.H * m.Input.W)
	each := 5*pixels + 4*m.until[told.Layer].values
	if err := c.bytes.add(int64(held) + atOnce*each + 4*int64(count)*pixels); err != nil {
		return err
	}
	start := time.Now()
	found, err := explain.TopPatches(c.ctx, m.Model, pictures, told.Layer, told.Channel, count)
	c.work.leave()
	c.spend("network", time.Since(start))
	if err != nil {
		return c.ended(err)
	}
	for _, p := range found {
		picture, err := pngOf(p.Picture)
		if err != nil {
			return err
		}
		b := p.Box
		told.Patches = append(told.Patches, patchJSON{p.Name, p.Value, p.Y, p.X, boxJSON{b.Min.X, b.Min.Y, b.Max.X, b.Max.Y},
			picture})
	}
	return c.answerJSON(http.StatusOK, told)
}

// lessonNamed are the first n test pictures of a lesson by their classes' names.
func lessonNamed(data lesson.Data, n int) iter.Seq2[string, *vision.Picture] {
	return func(yield func(string, *vision.Picture) bool) {
		for i := range n {
			picture, err := data.Test.Picture(i)
			if err != nil || !yield(data.Classes[data.Test.Label(i)], picture) {
				return
			}
		}
	}
}

// excited finds the model and the channel that the URL names, and the picture in the body, nil where it is empty.
func (c *call) excited() (*model, []byte, error) {
	m, err := c.pathModel()
	if err != nil {
		return nil, nil, err
	}
	placed, err := m.Placed.Until(c.text("layer"))
	if err != nil {
		return nil, nil, unexplained(err)
	}
	if n := placed.Output().C; c.numbers("channel")[0] >= n {
		return nil, nil, refuse(badRequest, fmt.Sprintf("channels are numbered from 0 to %d", n-1),
			"%s has %d channels: there is no channel %d", clip(c.text("layer")), n, c.numbers("channel")[0])
	}
	if c.r.ContentLength == 0 {
		return m, nil, nil
	}
	file, _, err := c.readPicture()
	return m, file, err
}

// ended is an error of a computation, or why the request ended meanwhile.
func (c *call) ended(err error) error {
	if c.ctx.Err() != nil {
		return context.Cause(c.ctx)
	}
	return err
}

func pngOf(p *vision.Picture) ([]byte, error) {
	var file bytes.Buffer
	err := png.Encode(&file, p.Image())
	return file.Bytes(), err
}

// dreamJSON is a picture that has grown for some iterations.
type dreamJSON struct {
	Layer      string  `json:"layer"`
	Channel    int     `json:"channel"`
	Iterations int     `json:"iterations"` // fewer than asked for where that is too much work at once
	First      float64 `json:"first"`      // mean of the channel, of the picture that it began with
	Last       float64 `json:"last"`
	Width      int     `json:"width"`
	Height     int     `json:"height"`
	Picture    []byte  `json:"picture"`
}

// dream lets a picture grow a little, from noise or from the picture in the body; the page sends it again for more.
// Other requests are computed between its iterations.
func (c *call) dream() error {
	m, file, err := c.excited()
	if err != nil {
		return err
	}
	n := c.numbers("channel", "iterations", "seed")
	d := &style.Dream{Layer: c.text("layer"), Channel: n[0], Iterations: n[1], Seed: uint64(n[2])}
	macs, bytes, err := d.Cost(m.Model)
	if errors.As(err, new(*nn.MemoryError)) || bytes > c.buffers.budget/2 { // weights mostly, packed for Winograd's tiles
		d.Algo = nn.Direct
		macs, bytes, err = d.Cost(m.Model)
	}
	switch {
	case errors.As(err, new(*nn.MemoryError)):
		return refuse(tooLarge, "ask for a layer nearer the picture", "%v", err)
	case err != nil:
		return unexplained(err)
	}
	l := c.loaded.Load()
	if l == nil { // closed meanwhile
		return errClosed
	}
	macs = max(macs, 1)
	d.Iterations = int(max(min(int64(d.Iterations), l.work.budget/2/macs-1), 1))
	if file != nil {
		recipe := m.Preprocess.Preprocess
		err := c.decoded(file, func(p *vision.Picture) (err error) {
			if p.W == m.Input.W && p.H == m.Input.H { // cut out already, as what this answered before
				recipe.Resize = recipe.Crop
			}
			d.From, err = recipe.Fit(p)
			return err
		})
		if err != nil {
			return err
		}
	}
	cost := int64(d.Iterations+1) * macs
	if err := c.enterWork(cost); err != nil {
		return err
	}
	if err := c.bytes.add(bytes); err != nil {
		return err
	}
	told := dreamJSON{Layer: d.Layer, Channel: d.Channel, Iterations: d.Iterations, Width: m.Input.W, Height: m.Input.H}
	start := time.Now()
	picture, err := d.Grow(c.ctx, m.Model, func(g style.Grown) error {
		if g.Iteration == 0 {
			told.First = g.Mean
		}
		told.Last = g.Mean
		return nil
	})
	c.work.leave()
	took := time.Since(start)
	c.spend("network", took)
	switch {
	case errors.Is(err, style.ErrFlat):
		return refuse(notFinite, "ask for the layer before its ReLU, or begin with another picture or seed", "%v", err)
	case errors.As(err, new(*style.NaNError)):
		return refuse(notFinite, "the weights are broken, or are for pictures that are prepared in another way", "%v", err)
	case err != nil:
		return c.ended(err)
	}
	l.work.did(cost, took)
	if told.Picture, err = pngOf(picture); err != nil {
		return err
	}
	return c.answerJSON(http.StatusOK, told)
}
