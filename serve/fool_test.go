package serve

import (
	"bytes"
	"encoding/json"
	"image/png"
	"math"
	"testing"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/vision"
)

// TestFool: the picture that a client makes of the answer, as openapi.yaml says, is answered by POST /v1/classify as
// told, and half of the change is too little.
func TestFool(t *testing.T) {
	s, web := start(t, Config{Models: []Source{tiny("tiny")}})
	visit := visited(t, web.URL, "tiny")
	answer, text := sent{method: "POST", path: "/v1/inside/" + visit.ID + "/fool"}.do(t, web.URL)
	var told foolJSON
	if err := json.Unmarshal(text, &told); err != nil || answer.StatusCode != 200 {
		t.Fatalf("%d %.300s: %v", answer.StatusCode, text, err)
	}
	_, text = sent{method: "GET", path: "/v1/inside/" + visit.ID + "/input"}.do(t, web.URL)
	shown, err := png.Decode(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	picture := vision.FromImage(shown)
	change := make([]float32, len(told.Change)/4)
	readFloats(change, told.Change)
	if told.Width != 28 || told.Height != 28 || told.Channels != 1 || len(change) != len(picture.Pix) {
		t.Fatalf("%dx%dx%d, %d samples change", told.Height, told.Width, told.Channels, len(change))
	}
	square := 0.0
	for _, point := range told.Course {
		changed := vision.NewPicture(28, 28, 1)
		for i, v := range picture.Pix {
			changed.Pix[i] = uint8(math.Floor(min(max(float64(v)+float64(point.Share*float64(change[i])), 0), 255) + 0.5))
			if off := float64(changed.Pix[i]) - float64(v); point.Share == 1 {
				square += off * off
			}
		}
		var file bytes.Buffer
		if err := png.Encode(&file, changed.Image()); err != nil {
			t.Fatal(err)
		}
		_, text := sent{method: "POST", path: "/v1/classify?top=10", body: file.Bytes()}.do(t, web.URL)
		var got struct{ Classes []vggo.Class }
		if err := json.Unmarshal(text, &got); err != nil || len(got.Classes) != 10 {
			t.Fatalf("%s: %v", text, err)
		}
		if got.Classes[0].Index != point.Class {
			t.Errorf("share %v: class %d, told as %d", point.Share, got.Classes[0].Index, point.Class)
		}
		for _, c := range got.Classes {
			if c.Index == told.Was.Index && math.Abs(c.Probability-point.Was) > 1e-6 ||
				c.Index == told.Is.Index && math.Abs(c.Probability-point.Is) > 1e-6 {
				t.Errorf("share %v: %v, told as %v", point.Share, c, point)
			}
		}
		switch is := got.Classes[0].Index; {
		case point.Share <= 0.5 && is != told.Was.Index, point.Share == 1 && is != told.Is.Index:
			t.Errorf("share %v: class %d of %+v and %+v", point.Share, is, told.Was, told.Is)
		}
	}
	if math.Abs(math.Sqrt(square)/255-told.L2) > 1e-9 || told.L2 == 0 || told.Was.Index != visit.Classes[0].Index {
		t.Errorf("L2 is %v, told as %v of %+v", math.Sqrt(square)/255, told.L2, told.Was)
	}
	if s.buffers.inUse() != 0 || s.loaded.Load().work.inUse() != 0 {
		t.Errorf("%d bytes and %d work are held", s.buffers.inUse(), s.loaded.Load().work.inUse())
	}
	if answer, _ := (sent{method: "POST", path: "/v1/inside/none/fool"}).do(t, web.URL); answer.StatusCode != 404 {
		t.Errorf("of no visit: %d", answer.StatusCode)
	}
}
