package serve

import (
	"context"
	"net/http"
	"time"

	"github.com/vggo/vggo/explain"
	"github.com/vggo/vggo/page"
)

// heatJSON is where in the picture a class was seen.
type heatJSON struct {
	Layer  string `json:"layer,omitempty"` // of Grad-CAM
	Class  int    `json:"class"`
	Width  int    `json:"width"`
	Height int    `json:"height"`
	// row by row, 1 where it is most, 0 where it is none or speaks against the class
	Heat []float32 `json:"heat"`
	// what 1 stands for: of occlusion the fall of the probability; 0 where nothing speaks for the class
	Most   float32 `json:"most"`
	Passes int     `json:"passes,omitempty"` // images of occlusion
	Side   int     `json:"side,omitempty"`   // of what covered the picture, in the network's pixels
}

// answerHeat answers with a heat map, its largest value made 1.
func (c *call) answerHeat(h *explain.Heat, told heatJSON) error {
	most := h.Most()
	told.Layer, told.Class, told.Width, told.Height = h.Layer, h.Class.Index, h.Width, h.Height
	told.Most = max(most, 0)
	told.Heat = make([]float32, len(h.Values))
	for i, v := range h.Values {
		if v > 0 && most > 0 {
			told.Heat[i] = v / most
		}
	}
	return c.answerJSON(http.StatusOK, told)
}

// visitClass finds what was kept of a picture, its model, and the class that the URL names; without it the answer's.
func (c *call) visitClass() (*page.Visit, *model, int, error) {
	v, err := c.visit()
	if err != nil {
		return nil, nil, 0, err
	}
	class, chosen := c.number("class")
	if !chosen {
		class = -1
	}
	m, err := c.model(v.Name)
	if err != nil {
		return nil, nil, 0, err
	}
	if class >= m.ClassCount() {
		return nil, nil, 0, refuse(badRequest, "without class it is the most probable one's",
			"%s has classes 0 to %d, not %d", m.name, m.ClassCount()-1, class)
	}
	return v, m, class, nil
}

// gradCAM tells where the evidence for a class lies in a layer's maps.
func (c *call) gradCAM() error {
	v, m, class, err := c.visitClass()
	if err != nil {
		return err
	}
	layer := c.text("layer")
	if layer == "" {
		if layer, err = explain.LastMap(m.Model); err != nil {
			return unexplained(err)
		}
	}
	if err := explain.HasMap(m.Model, layer); err != nil {
		return unexplained(err)
	}
	cost, bytes, err := m.GradientCost(layer)
	if err != nil {
		return unexplained(err)
	}
	if err := c.enterWork(cost); err != nil {
		return err
	}
	if err := c.bytes.add(bytes); err != nil {
		return err
	}
	var heat *explain.Heat
	err = c.alone(cost, func(ctx context.Context) (err error) {
		heat, err = explain.GradCAM(ctx, m.Model, v.Image, layer, class)
		return err
	})
	if err != nil {
		return err
	}
	return c.answerHeat(heat, heatJSON{})
}

// effectiveJSON is how much a unit depends on each pixel.
type effectiveJSON struct {
	Layer  string    `json:"layer"`
	Y      int       `json:"y"`
	X      int       `json:"x"`
	Width  int       `json:"width"`
	Height int       `json:"height"`
	Heat   []float32 `json:"heat"` // row by row, 1 where it is most
	Most   float32   `json:"most"`
	Half   int       `json:"half"` // the side of the square around its middle that half of it comes from
}

// effective tells what a unit depends on by gradients, and how much of that lies in the middle.
func (c *call) effective() error {
	v, err := c.visit()
	if err != nil {
		return err
	}
	m, err := c.model(v.Name)
	if err != nil {
		return err
	}
	layer, n := c.text("layer"), c.numbers("y", "x")
	if err := explain.HasMap(m.Model, layer); err != nil {
		return unexplained(err)
	}
	cost, bytes, err := m.UnitGradientCost(layer)
	if err != nil {
		return unexplained(err)
	}
	report, err := c.analysed(m.Network)
	if err != nil {
		return err
	}
	field, err := page.FieldOf(report, layer, n[0], n[1])
	if err != nil {
		return pageRefusal(err)
	}
	if err := c.enterWork(cost); err != nil {
		return err
	}
	if err := c.bytes.add(bytes); err != nil {
		return err
	}
	var heat *explain.Map
	err = c.alone(cost, func(ctx context.Context) (err error) {
		heat, err = explain.EffectiveField(ctx, m.Model, v.Image, layer, n[1], n[0])
		return err
	})
	if err != nil {
		return err
	}
	told := effectiveJSON{Layer: layer, Y: n[0], X: n[1], Width: heat.Width, Height: heat.Height, Most: heat.Most(),
		Heat: heat.Values, Half: heat.Inner(0.5, field.Middle[1], field.Middle[0])}
	if told.Most > 0 {
		for i := range told.Heat {
			told.Heat[i] /= told.Most
		}
	}
	return c.answerJSON(http.StatusOK, told)
}

// unexplained is the refusal of a layer or a network that cannot be explained.
func unexplained(err error) error {
	return refuse(badRequest, "GET /v1/arch/MODEL lists a network's layers", "%s", clipLong(err.Error()))
}

// occlusion covers one part of the picture after another, and tells where that costs the class most. Other requests are
// computed between its passes.
func (c *call) occlusion() error {
	v, m, class, err := c.visitClass()
	if err != nil {
		return err
	}
	// A quarter of the picture's side at a time, in steps of half of that, or larger ones until it is a part of the work
	// that the server takes on.
	side := max(min(m.Input.H, m.Input.W)/4, 1)
	o := explain.Occluder{Size: side, Stride: max(side/2, 1)}
	l := c.loaded.Load()
	if l == nil { // closed meanwhile
		return errClosed
	}
	passes, err := o.Passes(m.Model)
	for err == nil && o.Stride < side && int64(passes)*m.cost > l.work.budget/2 {
		o.Stride++
		passes, err = o.Passes(m.Model)
	}
	if err != nil {
		return unexplained(err)
	}
	if err := c.enterWork(int64(passes) * m.cost); err != nil {
		return err
	}
	if err := c.bytes.add(int64(m.Batch()+2) * 4 * int64(m.Input.C*m.Input.H*m.Input.W)); err != nil {
		return err
	}
	start := time.Now()
	heat, err := explain.Occlusion(c.ctx, m.Model, v.Image, o, class, nil)
	c.work.leave()
	c.spend("network", time.Since(start))
	if err != nil {
		return c.ended(err)
	}
	return c.answerHeat(heat, heatJSON{Passes: passes, Side: side})
}
