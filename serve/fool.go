package serve

import (
	"context"
	"errors"
	"net/http"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/explain"
)

// foolJSON is a small change of a picture that changes the answer.
type foolJSON struct {
	Was    vggo.Class `json:"was"` // the answer to the picture
	Is     vggo.Class `json:"is"`  // to the changed one
	L2     float64    `json:"l2"`  // of the difference of the two, white being 1
	Most   int        `json:"most"`
	Steps  int        `json:"steps"`
	Width  int        `json:"width"`
	Height int        `json:"height"`
	// Channels are 3, red first, or 1.
	Channels int `json:"channels"`
	// Change is what is added to each sample of 8 bits, row by row, before it is rounded: float32 in little-endian order.
	Change []byte      `json:"change"`
	Course []pointJSON `json:"course"`
}

// pointJSON is the answer to a share of the change.
type pointJSON struct {
	Share float64 `json:"share"`
	Was   float64 `json:"was"` // the probability of the class that it was
	Is    float64 `json:"is"`
	Class int     `json:"class"` // the most probable one
}

// fool looks for the smallest change of the picture that changes the answer. Other requests are computed between its
// pieces, each of which is admitted by itself: how many there will be is not known before.
func (c *call) fool() error {
	v, err := c.visit()
	if err != nil {
		return err
	}
	m, err := c.model(v.Name)
	if err != nil {
		return err
	}
	bytes, err := explain.FoolMemory(m.Model)
	if err != nil {
		return unexplained(err)
	}
	// and the change as bytes, in base64 and in the answer
	if err := c.bytes.add(bytes + 16*int64(len(v.Picture.Pix))); err != nil {
		return err
	}
	f, err := explain.Fool(c.ctx, m.Model, v.Picture, func(passes int, compute func(context.Context) error) error {
		cost := int64(passes) * m.cost
		if err := c.enterWork(cost); err != nil {
			return err
		}
		return c.alone(cost, compute)
	})
	var unfooled *explain.UnfooledError
	if errors.As(err, &unfooled) {
		return refuse(badRequest, "try another picture", "%v", unfooled)
	}
	if err != nil {
		return err
	}
	told := foolJSON{Was: f.Was, Is: f.Is, L2: f.L2, Most: f.Most, Steps: f.Steps, Width: f.Picture.W,
		Height: f.Picture.H, Channels: f.Picture.Channels, Change: floatBytes(f.Change)}
	for _, p := range f.Course {
		told.Course = append(told.Course, pointJSON(p))
	}
	return c.answerJSON(http.StatusOK, told)
}
