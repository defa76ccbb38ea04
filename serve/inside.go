package serve

import (
	"context"
	"errors"
	"image"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/explain"
	"github.com/vggo/vggo/internal/printable"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/page"
	"github.com/vggo/vggo/vision"
	"github.com/vggo/vggo/weights"
)

// modelJSON is a model as GET /v1/models tells it.
type modelJSON struct {
	Name       string               `json:"name"`
	Network    string               `json:"network"`
	Input      arch.Shape           `json:"input"`
	Preprocess vggo.PreparationTold `json:"preprocess"`
	Weights    string               `json:"weights"`                   // where they come from, without the folder
	Part       string               `json:"weights_part,omitempty"`    // of a file with several networks' weights
	Guessed    bool                 `json:"weights_guessed,omitempty"` // the file's names say nothing: by order and shapes
	Random     bool                 `json:"random"`                    // its answers mean nothing
	Classes    []string             `json:"classes"`                   // empty where nothing tells their names
	Labels     string               `json:"labels_guess,omitempty"`    // why these are a guess
	Count      int                  `json:"class_count"`
	// Ending is how probabilities are made: "softmax", "sigmoid" (each class by itself, or two by one output) or
	// "probabilities".
	Ending arch.Ending `json:"ending"`
}

func (c *call) models() error {
	if _, err := c.model(""); err != nil {
		return err
	}
	l := c.loaded.Load()
	if l == nil { // closed meanwhile
		return errClosed
	}
	told := struct {
		Models   []modelJSON `json:"models"`
		Networks []string    `json:"networks"` // built in, for GET /v1/arch
	}{Networks: arch.Names()}
	for _, m := range l.models {
		random := strings.HasPrefix(m.Origin, "random weights")
		told.Models = append(told.Models, modelJSON{
			Name: m.name, Network: m.Network.Name, Input: m.Input, Preprocess: m.Preprocess.Told(),
			Weights: filepath.Base(m.Origin), Part: m.Part, Guessed: m.Guess, Random: random,
			Classes: append([]string{}, m.Classes...), Labels: m.ClassesGuess, Count: m.ClassCount(), Ending: m.ending,
		})
	}
	return c.answerJSON(http.StatusOK, told)
}

// insideJSON is a picture's way through a network, in short.
type insideJSON struct {
	ID      string       `json:"id,omitempty"` // where it is kept
	Model   string       `json:"model"`
	Width   int          `json:"width"` // of the picture, turned upright
	Height  int          `json:"height"`
	Part    boxJSON      `json:"part"`    // of the picture that the network sees
	Classes []vggo.Class `json:"classes"` // all, the most probable first
	Groups  []groupJSON  `json:"groups"`
	Seconds float64      `json:"seconds"` // of all groups together, one run
	Runs    int          `json:"runs"`    // whose median each group's seconds are
}

// boxJSON is a rectangle: x0, y0 and, exclusive, x1, y1.
type boxJSON [4]int

// groupJSON is a layer with those that are computed together with it.
type groupJSON struct {
	Layers  []string   `json:"layers"`
	Shape   arch.Shape `json:"shape"`
	Seconds float64    `json:"seconds"`             // the median of the runs
	Algo    string     `json:"algorithm,omitempty"` // of a convolution
}

// mostRuns is how often a picture goes through the network, so that one that is disturbed does not tell the time. A
// server that takes on little runs it less often.
const mostRuns = 5

// photographSide is the least that the longer side of a photograph has on the page. It is less than twice as much.
const photographSide = 448

// inside brings a picture through a network and keeps what every layer made of it, if nothing else is asked for.
func (c *call) inside() error {
	if _, err := c.model(""); err != nil { // before a body is read
		return err
	}
	file, name, err := c.readPicture()
	if err != nil {
		return err
	}
	m, err := c.model(name)
	if err != nil {
		return err
	}
	c.entry.note(slog.String("model", m.name))
	l := c.loaded.Load()
	if l == nil { // closed meanwhile
		return errClosed
	}
	runs := int(max(min(mostRuns, l.work.budget/2/m.cost), 1))
	if err := c.admit(m, "", runs); err != nil {
		return err
	}
	if err := c.bytes.add(m.visit); err != nil {
		return err
	}
	visit := &page.Visit{Model: m.Model, Name: m.name}
	var part image.Rectangle
	input, w, h, err := c.prepare(m, file, func(picture *vision.Picture) (err error) {
		if visit.Picture, err = m.Preprocess.Fit(picture); err != nil {
			return err
		}
		if part, err = m.Preprocess.Part(picture.W, picture.H); err != nil {
			return err
		}
		visit.Photograph, _, err = explain.Seen(m.Preprocess.Preprocess, picture, photographSide)
		return err
	})
	if err != nil {
		return err
	}
	err = c.alone(int64(runs)*m.cost, func(ctx context.Context) (err error) {
		visit.Inside, err = m.InsideTimed(ctx, input, runs)
		return err
	})
	if err != nil {
		return err
	}
	told := insideJSON{Model: m.name, Width: w, Height: h, Runs: runs, Part: boxJSON{part.Min.X, part.Min.Y, part.Max.X,
		part.Max.Y}}
	if told.Classes, err = m.Rank(visit.Logits); err != nil {
		return err
	}
	for _, s := range visit.Groups {
		algo := ""
		if s.Algo != nn.Auto {
			algo = s.Algo.String()
		}
		told.Groups = append(told.Groups, groupJSON{s.Layers, arch.Shape{C: s.Out.C, H: s.Out.H, W: s.Out.W},
			s.Took.Seconds(), algo})
		told.Seconds += s.Took.Seconds()
	}
	if c.text("keep") == "no" {
		return c.answerJSON(http.StatusOK, told)
	}
	if err := c.visits.Put(visit); err != nil {
		return refuse(tooLarge, "a network of smaller maps can be looked into", "%v", err)
	}
	told.ID = visit.ID
	return c.answerJSON(http.StatusOK, told)
}

// alone computes while no batch does. The work must have been admitted; it is given back.
func (c *call) alone(cost int64, compute func(context.Context) error) error {
	took, err := c.inTurn(compute)
	if l := c.loaded.Load(); l != nil && err == nil {
		l.work.did(cost, took)
	}
	c.work.leave()
	return err
}

// inTurn computes while nothing else does, and says how long it took.
func (c *call) inTurn(compute func(context.Context) error) (took time.Duration, err error) {
	start := time.Now()
	select {
	case c.turn <- struct{}{}:
	case <-c.ctx.Done():
		return 0, context.Cause(c.ctx)
	}
	c.spend("queue", time.Since(start))
	start = time.Now()
	err = func() error {
		defer func() { <-c.turn }()
		return compute(c.ctx)
	}()
	took = time.Since(start)
	c.spend("network", took)
	if err != nil && c.ctx.Err() != nil {
		err = context.Cause(c.ctx)
	}
	return took, err
}

// visit finds what was kept of a picture.
func (c *call) visit() (*page.Visit, error) {
	if c.loaded.Load() == nil {
		return nil, errClosed
	}
	if v := c.visits.Get(c.r.PathValue("id")); v != nil {
		c.entry.note(slog.String("model", v.Name))
		return v, nil
	}
	return nil, refuse(notFound, "POST /v1/inside with the picture again",
		"what the layers made of this picture is no longer kept")
}

// pageRefusal is the refusal of a question that package page has no answer to; other errors stay as they are.
func pageRefusal(err error) error {
	var ask *page.AskError
	if errors.As(err, &ask) {
		return refuse(badRequest, "GET /v1/arch/MODEL lists a network's layers", "%s", clipLong(ask.Fault))
	}
	return err
}

// answerPage answers with what package page makes of a question, or its refusal.
func (c *call) answerPage(v any, err error) error {
	if err != nil {
		return pageRefusal(err)
	}
	return c.answerJSON(http.StatusOK, v)
}

// clipLong shortens a message that may quote what a client sent.
func clipLong(s string) string { return printable.Clip(s, 400) }

// insideInput is the picture as the network sees it, or the same part of it sharper.
func (c *call) insideInput() error {
	v, err := c.visit()
	if err != nil {
		return err
	}
	p := v.Picture
	if c.text("as") == "photograph" {
		p = v.Photograph
	}
	if err := c.bytes.add(8 * int64(p.W*p.H)); err != nil {
		return err
	}
	file, err := pngOf(p)
	if err != nil {
		return err
	}
	return c.answer("image/png", http.StatusOK, file)
}

func (c *call) insideMaps() error {
	v, err := c.visit()
	if err != nil {
		return err
	}
	n := c.numbers("from", "count", "side")
	if err := c.bytes.add(4 * int64(n[1]*n[2]*n[2])); err != nil { // the pixels, and their base64
		return err
	}
	return c.answerPage(v.Maps(c.text("layer"), page.Order(c.text("order")), n[0], n[1], n[2]))
}

// insideMap answers with one map's values, or a whole small layer's, as a NumPy file.
func (c *call) insideMap() error {
	v, err := c.visit()
	if err != nil {
		return err
	}
	channel, one := c.number("channel")
	if !one {
		channel = page.AllChannels
	}
	values, shape, err := v.Values(c.text("layer"), channel)
	if err != nil {
		return pageRefusal(err)
	}
	if err := c.bytes.add(4 * int64(len(values))); err != nil {
		return err
	}
	return c.answer(numpyType, http.StatusOK, weights.NPYHeader(shape...), floatBytes(values))
}

func (c *call) insideCell() error {
	v, err := c.visit()
	if err != nil {
		return err
	}
	n := c.numbers("channel", "y", "x")
	in, chosen := c.number("in")
	if !chosen {
		in = page.MostAdding
	}
	return c.answerPage(v.Cell(c.text("layer"), n[0], n[1], n[2], in))
}

// pixel tells what the network is given for a pixel of the picture.
func (c *call) pixel() error {
	v, err := c.visit()
	if err != nil {
		return err
	}
	n := c.numbers("y", "x")
	return c.answerPage(v.Pixel(n[0], n[1]))
}

// scores tells how scores become the answer's probabilities.
func (c *call) scores() error {
	v, err := c.visit()
	if err != nil {
		return err
	}
	if err := c.bytes.add(bytesOfScore * int64(v.Model.ClassCount())); err != nil {
		return err
	}
	return c.answerPage(v.Scores(float64(c.numbers("temperature")[0]) / 100))
}

// bytesOfScore is what a class takes with its name, as a struct and as JSON.
const bytesOfScore = 512

// filters tells a layer's weights for some of its output channels.
func (c *call) filters() error {
	m, err := c.pathModel()
	if err != nil {
		return err
	}
	if err := c.bytes.add(page.MaxValues * 2 * bytesOfFloat); err != nil {
		return err
	}
	n := c.numbers("from", "count")
	f, err := page.Weights(m.Model, c.text("layer"), n[0], n[1])
	if err != nil {
		return pageRefusal(err)
	}
	if at := floatsAsJSON(f.Data).notFinite(); at >= 0 {
		return refuse(notFinite, "vggo's library reads it as it is",
			"weight %d of %s is %v, which JSON cannot hold", at, f.Layer, f.Data[at])
	}
	return c.answerJSON(http.StatusOK, f)
}

// field tells what a cell sees of the picture.
func (c *call) field() error {
	net, err := c.network(c.r.PathValue("model"))
	if err != nil {
		return err
	}
	report, err := c.analysed(net)
	if err != nil {
		return err
	}
	n := c.numbers("y", "x")
	return c.answerPage(page.FieldOf(report, c.text("layer"), n[0], n[1]))
}

// maxDescription bounds a network that a client describes.
const maxDescription = 64 << 10

// maxReport is what the report of as many layers as arch reads takes, as JSON and while it is written.
const maxReport = 4 << 20

// archOf works a network out that the client describes: a compact string, or a YAML or JSON description. It may be the
// name of one that is built in, never a file's.
func (c *call) archOf() error {
	body, err := c.readBody()
	if err != nil {
		return err
	}
	if len(body) > maxDescription {
		return refuse(tooLarge, "describe fewer layers",
			"a network's description of %d bytes is refused: the limit is %d", len(body), maxDescription)
	}
	if err := c.bytes.add(maxReport); err != nil {
		return err
	}
	net, err := describedNetwork(strings.TrimSpace(string(body)))
	if err != nil {
		return refuse(badRequest, "64,64,M/10 is a compact string; GET /v1/arch/vgg16?format=yaml "+
			"is a description", "%s", clipLong(err.Error()))
	}
	return c.answerArch(net)
}

func describedNetwork(text string) (*arch.Network, error) {
	switch {
	case text == "":
		return nil, errors.New("there is no network: the body is empty")
	case strings.ContainsAny(text, "\n{"):
		placed, err := weights.DecodeNetwork(strings.NewReader(text))
		if err != nil {
			return nil, err
		}
		return placed.Network, nil
	case text[0] >= '0' && text[0] <= '9' || strings.Contains(text, ","):
		return arch.Compact("yours", text, arch.ImageNetInput)
	}
	return arch.Builtin(text)
}
