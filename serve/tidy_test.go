package serve

import (
	"bytes"
	"image"
	"image/png"
	"net/http"
	"testing"
	"time"
)

// TestMemoryFallsBack: after load the process goes back to what it took before, at once and not after minutes, while
// probes go on; what was kept for the page is forgotten.
func TestMemoryFallsBack(t *testing.T) {
	if testing.Short() {
		t.Skip("with -short: what the system has of memory falls back slowly under the race detector")
	}
	config := Config{Models: []Source{tiny("tiny"), colour("colour")}, KeptFor: 300 * time.Millisecond,
		DecodeTime: time.Minute, Timeout: 2 * time.Minute}
	s, address := startRunning(t, config, func(s *Server) {
		s.tidyEvery, s.quietAfter = 50*time.Millisecond,
			200*time.Millisecond
	})
	time.Sleep(100 * time.Millisecond) // until loading is tidied up
	idle := residentBytes()
	var large bytes.Buffer
	if err := png.Encode(&large, image.NewNRGBA(image.Rect(0, 0, 4000, 4000))); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/v1/classify?model=colour", "/v1/features?layer=pool1&model=colour",
		"/v1/features?layer=pool2&model=colour", "/v1/inside?model=colour"} {
		if answer, text := (sent{method: "POST", path: path, body: large.Bytes()}).do(t,
			"http://"+address); answer.StatusCode != 200 {
			t.Fatalf("%s: %d %s", path, answer.StatusCode, text)
		}
	}
	if s.visits.Used() == 0 {
		t.Error("nothing is kept for the page")
	}
	highest := residentBytes()
	large = bytes.Buffer{}
	http.DefaultClient.CloseIdleConnections()
	end := time.Now().Add(20 * time.Second)
	for residentBytes() > idle*3/2 || s.visits.Used() > 0 {
		if time.Now().After(end) {
			t.Fatalf("%d MB before, %d MB under load, %d MB afterwards; %d bytes are kept for the page", idle>>20, highest>>20,
				residentBytes()>>20, s.visits.Used())
		}
		probe(t, address)
		time.Sleep(20 * time.Millisecond)
	}
	if highest < idle+32<<20 { // the picture alone has 64 MB of pixels
		t.Errorf("the load took no memory: %d MB before, %d MB under load", idle>>20, highest>>20)
	}
	// What was let go is laid out again.
	for _, path := range []string{"/v1/inside?model=colour", "/v1/features?layer=pool1&model=colour"} {
		if answer, text := (sent{method: "POST", path: path, body: boot(t)}).do(t,
			"http://"+address); answer.StatusCode != 200 {
			t.Errorf("afterwards %s: %d %s", path, answer.StatusCode, text)
		}
	}
}
