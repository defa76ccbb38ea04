package serve

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDataURL: a picture in JSON may be a data URL, of any media type, in base64 or with escapes; its answer is that of
// the file.
func TestDataURL(t *testing.T) {
	_, web := start(t, Config{})
	file := boot(t)
	answer, want := (sent{"POST", "/v1/classify", nil, file}).do(t, web.URL)
	if answer.StatusCode != 200 {
		t.Fatalf("%d %s", answer.StatusCode, want)
	}
	classes := func(text []byte) string {
		var got struct{ Classes json.RawMessage }
		if err := json.Unmarshal(text, &got); err != nil {
			t.Error(err)
		}
		return string(got.Classes)
	}
	plain := base64.StdEncoding.EncodeToString(file)
	var escaped strings.Builder
	for _, b := range file {
		fmt.Fprintf(&escaped, "%%%02x", b)
	}
	for what, image := range map[string]string{
		"base64":       plain,
		"PNG":          "data:image/png;base64," + plain,
		"another type": "data:application/octet-stream;base64," + plain,
		"no type":      "data:;base64," + plain,
		"parameters":   "data:image/png;name=a.png;charset=utf-8;base64," + plain,
		"capitals":     "DATA:IMAGE/PNG;BASE64," + plain,
		"no padding":   "data:image/png;base64," + strings.TrimRight(plain, "="),
		"escapes":      "data:image/png," + escaped.String(),
		"escapes of base64": "data:image/png;base64," + strings.NewReplacer("+", "%2B", "/", "%2f", "=",
			"%3D").Replace(plain),
		"with a line's end":   "data:image/png;base64," + plain + "\r\n",
		"lines within base64": "data:image/png;base64," + plain[:40] + "\n" + plain[40:],
	} {
		body, err := json.Marshal(map[string]string{"image": image})
		if err != nil {
			t.Fatal(err)
		}
		answer, text := (sent{"POST", "/v1/classify", []string{"Content-Type", "application/json"}, body}).do(t, web.URL)
		if answer.StatusCode != 200 || classes(text) != classes(want) {
			t.Errorf("%s: %d %s", what, answer.StatusCode, text)
		}
	}
	for image, want := range map[string]string{
		"data:image/png;base64":        "no comma",
		"data:image/png;base64,":       "it is empty",
		"data:,":                       "it is empty",
		"data:image/png;base64,a*b=":   "its base64: illegal base64 data at input byte 1",
		"data:image/png,%4":            "ends within",
		"data:image/png,%zz":           `\"%zz\" is no byte`,
		"http://example.com/photo.png": "not fetched",
	} {
		body := []byte(`{"image": "` + image + `"}`)
		answer, text := (sent{"POST", "/v1/classify", []string{"Content-Type", "application/json"}, body}).do(t, web.URL)
		if answer.StatusCode != 400 || !strings.Contains(string(text), want) {
			t.Errorf("%s: %d %s, want %q", image, answer.StatusCode, text, want)
		}
	}
	root := os.Getenv("VGGO_TESTDATA")
	if root == "" {
		t.Skip("VGGO_TESTDATA is not set: the reported data URL is not tested")
	}
	body, err := os.ReadFile(filepath.Join(root, "reports/serve/dataurl.json"))
	if err != nil {
		t.Fatal(err)
	}
	if answer, text := (sent{"POST", "/v1/classify", []string{"Content-Type", "application/json"}, body}).do(t,
		web.URL); answer.StatusCode != 200 {
		t.Errorf("the reported data URL: %d %s", answer.StatusCode, text)
	}
}

// TestPictureHints: what is wrong with a picture is answered with what helps against just that.
func TestPictureHints(t *testing.T) {
	_, web := start(t, Config{MaxPixels: 1 << 20})
	whole := jpegOf(t, 64, 64)
	broken := strings.Replace(string(whole), "\xff\xdb", "\xff\xfe", -1) // its quantization tables
	for what, c := range map[string]struct {
		body   string
		status int
		hint   string
	}{
		"cut off":     {string(whole[:500]), 422, "send the whole file"},
		"header only": {string(pngHeader(t, 9, 9))[:33], 422, "send the whole file"},
		"broken":      {broken, 422, "send a JPEG, PNG"},
		"no picture":  {"hello", 422, "send a JPEG, PNG"},
		"too large":   {string(pngHeader(t, 3000, 3000)), 422, "--max-pixels raises"},
		"HEIC":        {"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic", 415, "heif-convert FILE out.jpg"},
		"SVG":         {"\ufeff<?xml version='1.0'?><!-- a --><svg/>", 415, "rsvg-convert"},
		"MP4":         {"\x00\x00\x00\x18ftypisom\x00\x00\x00\x00isommp41", 415, "ffmpeg"},
	} {
		answer, text := (sent{"POST", "/v1/classify", nil, []byte(c.body)}).do(t, web.URL)
		var got struct{ Error, Hint string }
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		if answer.StatusCode != c.status || !strings.Contains(got.Hint, c.hint) || what != "too large" &&
			strings.Contains(string(text), "max-pixels") {
			t.Errorf("%s: %d %s, want %d and %q", what, answer.StatusCode, text, c.status, c.hint)
		}
		if c.status == 415 && !strings.Contains(got.Error, "is not read") {
			t.Errorf("%s: %s", what, text)
		}
	}
}
