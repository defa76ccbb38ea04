package serve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"runtime"
	"strings"
	"time"

	"github.com/vggo/vggo/tensor"
	"github.com/vggo/vggo/vision"
)

// pictureHint says how a picture is sent.
const pictureHint = "curl --data-binary @photo.jpg, or -F image=@photo.jpg, or JSON: {\"image\": \"<base64>\"}, a " +
	"data URL too"

// readPicture finds an image file in a request: the body itself, a part of a form, or base64 or a data URL in JSON,
// which may name the model too.
func (c *call) readPicture() (file []byte, model string, err error) {
	body, err := c.readBody()
	if err != nil {
		return nil, "", err
	}
	model = c.text("model")
	kind, params, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if err != nil && c.r.Header.Get("Content-Type") != "" {
		return nil, "", refuse(unsupportedType, pictureHint, "Content-Type %q: %v",
			clip(c.r.Header.Get("Content-Type")), err)
	}
	switch {
	case len(body) == 0:
		return nil, "", refuse(badRequest, pictureHint, "there is no picture: the body is empty")
	case kind == "multipart/form-data":
		if err := c.bytes.add(int64(len(body))); err != nil {
			return nil, "", err
		}
		file, err := imagePart(body, params["boundary"])
		return file, model, err
	case kind == "application/json":
		// the text without its escapes, those of a URL too, and what it stands for
		if err := c.bytes.add(3 * int64(len(body))); err != nil {
			return nil, "", err
		}
		return pictureOfJSON(body, model)
	case kind == "", kind == "application/octet-stream", kind == "application/x-www-form-urlencoded",
		strings.HasPrefix(kind, "image/"):
		return body, model, nil // curl says urlencoded of whatever it sends
	}
	return nil, "", refuse(unsupportedType, pictureHint, "a body of type %s is no picture", clip(kind))
}

// refusePicture tells why a picture was not decoded, and what helps against just that.
func refusePicture(err error) error {
	var (
		large  *vision.SizeError
		format *vision.FormatError
	)
	switch {
	case errors.As(err, &format):
		return refuse(unsupportedType, format.Remedy, "%s is not read", format.Format)
	case errors.As(err, &large) && large.CutOff:
		return refuse(badImage, "send the whole file, and smaller", "%v", err)
	case errors.As(err, &large):
		return refuse(badImage, "send it smaller; the server's --max-pixels raises the limit", "%v", err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return refuse(badImage, "send the whole file: curl --data-binary @photo.jpg", "%v", err)
	case errors.Is(err, errDecodeTime):
		return refuse(badImage, "send it smaller", "%v", err)
	}
	return refuse(badImage, "send a JPEG, PNG, GIF, WebP, BMP or TIFF file that other programs show", "%v", err)
}

// prepare decodes a picture and makes it the model's input, when its turn comes: decoding takes a processor and memory
// for itself. look, if not nil, is shown the picture meanwhile.
func (c *call) prepare(m *model, file []byte, look func(*vision.Picture) error) (input *tensor.Tensor, w, h int,
	err error) {
	err = c.decoded(file, func(picture *vision.Picture) (err error) {
		w, h = picture.W, picture.H
		if input, err = m.Prepare(c.ctx, []*vision.Picture{picture}); err != nil || look == nil {
			return err
		}
		return look(picture)
	})
	return input, w, h, err
}

// decoded decodes a picture when its turn comes and shows it to use, which may keep it.
func (c *call) decoded(file []byte, use func(*vision.Picture) error) error {
	limits := vision.Limits{Bytes: c.MaxBody, Pixels: c.MaxPixels}
	work, err := vision.Expect(file, limits)
	if err != nil {
		return refusePicture(err)
	}
	if work.Time > max(2*c.DecodeTime, smallTime) {
		return refuse(badImage, "send it smaller",
			"%s of %dx%d pixels%s: decoding it would take about %.0f s, and the limit is %v",
			work.Format, work.H, work.W, inScans(work.Scans), work.Time.Seconds(), c.DecodeTime)
	}
	start := time.Now()
	leave, err := c.decode.enter(c.ctx, work)
	if err != nil {
		return err
	}
	defer func() {
		if work.Memory > smallMemory {
			runtime.GC() // or the next large picture comes on top of what this one left
		}
		leave()
	}()
	c.spend("wait", time.Since(start))
	start = time.Now()
	ctx, cancel := context.WithTimeoutCause(c.ctx, c.DecodeTime, errDecodeTime)
	defer cancel()
	picture, err := vision.DecodeContext(ctx, bytes.NewReader(file), limits)
	switch {
	case err != nil && c.ctx.Err() != nil:
		return context.Cause(c.ctx)
	case err != nil:
		return refusePicture(err)
	}
	if err := use(picture); err != nil {
		if c.ctx.Err() != nil {
			return context.Cause(c.ctx)
		}
		return refuse(badImage, "crop it", "%v", err)
	}
	took := time.Since(start)
	c.spend("decode", took)
	c.metrics.decoded(took)
	return nil
}

// inScans tells of a picture's scans, where there are more than one.
func inScans(n int) string {
	if n == 1 {
		return ""
	}
	return fmt.Sprintf(" in %d scans", n)
}
