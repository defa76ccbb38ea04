package serve

import (
	"bytes"
	"context"
	"errors"
	"image"
	"io"
	"log/slog"
	"mime"
	"mime/multipart"
	"net/http"
	"sync"

	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/perceptual"
	"github.com/vggo/vggo/vision"
)

// comparison answers POST /v1/compare.
type comparison struct {
	Model string `json:"model"`
	*perceptual.Told
}

// pairHint says how two pictures are sent.
const pairHint = "curl -F a=@one.png -F b=@other.png, or JSON: {\"a\": \"<base64>\", \"b\": \"<base64>\"}"

// meter is how a model compares pictures. It is made once, when it is first asked for: recognising the weights reads
// their whole file.
func (m *model) meter(metric perceptual.Metric) (*perceptual.Meter, error) {
	once, _ := m.meters.LoadOrStore(metric, sync.OnceValues(func() (*perceptual.Meter, error) {
		// what a comparison takes is counted while it goes on
		return perceptual.New(m.Model, perceptual.Options{Metric: metric, Once: true})
	}))
	return once.(func() (*perceptual.Meter, error))()
}

// compare tells how different two pictures look.
func (c *call) compare() error {
	m, err := c.model(c.text("model"))
	if err != nil { // before a body is read
		return err
	}
	c.entry.note(slog.String("model", m.name))
	meter, err := m.meter(perceptual.Metric(c.text("metric")))
	if err != nil {
		return refuse(badRequest, "model=NAME takes another model; GET /v1/models lists them", "%v",
			err)
	}
	files, err := c.readPair()
	if err != nil {
		return err
	}
	var size [2]image.Point
	for i, file := range files {
		work, err := vision.Expect(file, vision.Limits{Bytes: c.MaxBody, Pixels: c.MaxPixels})
		if err != nil {
			return refusePicture(err)
		}
		size[i] = image.Pt(work.W, work.H)
	}
	if size[0] != size[1] && size[0] != image.Pt(size[1].Y, size[1].X) { // turned upright, these may be the same
		return uncompared(&perceptual.SizesError{A: size[0], B: size[1]})
	}
	// Which way they are turned makes no difference to the cost but for the last few pixels of a row.
	cost, bytes, err := meter.Cost(size[0])
	if err != nil {
		return uncompared(err)
	}
	if err := c.enterWork(cost); err != nil {
		return err
	}
	if err := c.bytes.add(bytes + 2*3*int64(size[0].X)*int64(size[0].Y)); err != nil {
		return err
	}
	var pictures [2]*vision.Picture
	for i, file := range files {
		if err := c.decoded(file, func(p *vision.Picture) error { pictures[i] = p; return nil }); err != nil {
			return err
		}
	}
	var d *perceptual.Distance
	err = c.alone(cost, func(ctx context.Context) (err error) {
		d, err = meter.Distance(ctx, pictures[0], pictures[1])
		return err
	})
	if err != nil {
		return uncompared(err)
	}
	return c.answerJSON(http.StatusOK, comparison{m.name, meter.Tell(d)})
}

// uncompared is the refusal of two pictures that cannot be compared; other errors stay what they are.
func uncompared(err error) error {
	bad := func(hint string) error { return refuse(badImage, hint, "%v", err) }
	switch {
	case errors.As(err, new(*perceptual.SizesError)):
		return bad("scale one to the size of the other")
	case errors.As(err, new(*perceptual.TransparentError)):
		return bad("send it on the background that it is seen on")
	case errors.As(err, new(*perceptual.SmallError)):
		return bad("send larger pictures")
	case errors.As(err, new(*nn.MemoryError)):
		return bad("send smaller pictures")
	}
	return err
}

// readPair finds two image files in a request: the parts a and b of a form, or of JSON.
func (c *call) readPair() (files [2][]byte, err error) {
	body, err := c.readBody()
	if err != nil {
		return files, err
	}
	kind, params, _ := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	bad := func(format string, args ...any) error {
		return refuse(badRequest, pairHint, format, args...)
	}
	found := func(name string, file []byte) error {
		at := map[string]int{"a": 0, "b": 1}
		i, ok := at[name]
		switch {
		case !ok:
			return bad("there is a part %q, and only a and b are known", clip(name))
		case files[i] != nil:
			return bad("%s comes twice", name)
		case len(file) == 0:
			return bad("%s is empty", name)
		}
		files[i] = file
		return nil
	}
	switch kind {
	case "multipart/form-data":
		if err := c.bytes.add(2 * int64(len(body))); err != nil { // of a part while it is read
			return files, err
		}
		form := multipart.NewReader(bytes.NewReader(body), params["boundary"])
		for {
			part, err := form.NextRawPart()
			if errors.Is(err, io.EOF) {
				break
			}
			var file []byte
			if err == nil {
				file, err = io.ReadAll(part)
			}
			if err != nil {
				return files, bad("the form is broken: %v", err)
			}
			if err := found(part.FormName(), file); err != nil {
				return files, err
			}
		}
	case "application/json":
		if err := c.bytes.add(3 * int64(len(body))); err != nil {
			return files, err
		}
		text, err := validJSON(body)
		if err != nil {
			return files, err
		}
		var told *refusal
		err = text.members("the JSON", func(name string, value jsonText) error {
			if kind := value.kind(); kind != "a string" {
				return bad("the JSON's %q is %s, not a string", clip(name), kind)
			}
			var file imageText
			if err := value.decode(&file); err != nil {
				return err
			}
			return found(name, file)
		})
		switch {
		case errors.As(err, &told):
			return files, told
		case err != nil:
			return files, refuse(badJSON, pairHint, "%v", err)
		}
	default:
		return files, refuse(unsupportedType, pairHint,
			"a body of type %q holds no two pictures", clip(kind))
	}
	for i, name := range []string{"a", "b"} {
		if files[i] == nil {
			return files, bad("there is no picture %s", name)
		}
	}
	return files, nil
}
