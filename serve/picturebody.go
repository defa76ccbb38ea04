package serve

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"mime/multipart"

	"github.com/vggo/vggo/internal/strict"
)

// pictureOfJSON is the picture in a JSON body, {"image": "<base64>"} or a data URL, and the model that it names, or the
// URL does.
func pictureOfJSON(body []byte, inURL string) (file []byte, model string, err error) {
	text, err := validJSON(body)
	if err != nil {
		return nil, "", err
	}
	model = inURL
	var image imageText
	err = text.members("the JSON", func(name string, value jsonText) error {
		if name != "image" && name != "model" {
			return refuse(badJSON, "it takes image and model; what else an endpoint takes stands "+
				"in its URL", "the JSON has a member %q, which is not known here", clip(name))
		}
		if kind := value.kind(); kind != "a string" {
			return refuse(badJSON, pictureHint, "the JSON's %q is %s, not a string", name, kind)
		}
		if name == "image" {
			return value.decode(&image)
		}
		if inURL != "" {
			return refuse(badRequest, "give it in one place", "model comes twice: in the URL and in the JSON")
		}
		if err := value.decode(&model); err != nil || model != "" {
			return err
		}
		return refuse(badRequest, "leave it out for the first model", "model is empty")
	})
	var told *refusal
	switch {
	case errors.As(err, &told):
		return nil, "", told
	case err != nil:
		return nil, "", refuse(badJSON, pictureHint, "%v", err)
	case len(image) == 0:
		return nil, "", refuse(badRequest, pictureHint, "the JSON holds no \"image\"")
	}
	return image, model, nil
}

// decode reads a string; its errors say what is wrong with an image.
func (t jsonText) decode(v any) error {
	err := strict.Unmarshal(t, v)
	var (
		base64 base64.CorruptInputError
		url    dataURLError
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &url):
		return refuse(badJSON, "{\"image\": \"data:image/png;base64,<base64>\"}", "%v", url)
	case errors.As(err, &base64):
		return refuse(badJSON, "use the standard alphabet with padding, without line breaks: "+
			"base64 -w0", "the JSON's base64: %v", base64)
	}
	return refuse(badJSON, jsonHint, "the JSON is wrong: %v", err)
}

// imagePart is the one part of a form, which is called image.
func imagePart(body []byte, boundary string) (file []byte, err error) {
	bad := func(hint, format string, args ...any) ([]byte, error) {
		return nil, refuse(badRequest, hint, format, args...)
	}
	if boundary == "" {
		return bad(pictureHint, "the form's Content-Type has no boundary")
	}
	form := multipart.NewReader(bytes.NewReader(body), boundary)
	for {
		part, err := form.NextRawPart()
		switch {
		case errors.Is(err, io.EOF) && file == nil:
			return bad(pictureHint, "the form has no part called \"image\"")
		case errors.Is(err, io.EOF):
			return file, nil
		case err != nil:
			return bad(pictureHint, "the form is broken: %v", err)
		case part.FormName() != "image":
			return bad("the picture's part is called image; model and whatever else there is to say stand in the URL: POST "+
				"/v1/classify?model=NAME",
				"the form has a part %q, and takes one alone, called \"image\"", clip(part.FormName()))
		case file != nil:
			return bad("send each in a request of its own", "the form holds two pictures: image comes twice")
		}
		all := bytes.NewBuffer(make([]byte, 0, len(body)))
		if _, err := all.ReadFrom(part); err != nil {
			return bad(pictureHint, "the form is broken: %v", err)
		}
		file = all.Bytes()
	}
}
