package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"
)

// load is what the clients do: each asks again as soon as it has its answer.
type load struct {
	URL     string
	Kind    string // tensors, as bytes, or jpeg
	Images  int    // of a request
	Clients int
	For     time.Duration
	Picture string
}

func (l load) String() string {
	what := "JPEG"
	if l.Kind == "tensors" {
		what = "tensors of " + strconv.Itoa(l.Images)
	}
	return fmt.Sprintf("%s, %d clients", what, l.Clients)
}

// outcome is what they got.
type outcome struct {
	Images  int // after the warm-up
	Seconds float64
	All     int // with it
}

// warmUp is left out of the outcome.
const warmUp = 3 * time.Second

func beClients(text string, out io.Writer) error {
	var l load
	if err := json.Unmarshal([]byte(text), &l); err != nil {
		return err
	}
	path, header, body, err := l.request()
	if err != nil {
		return err
	}
	web := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: l.Clients}}
	from := time.Now().Add(warmUp)
	to := from.Add(l.For)
	var (
		mu      sync.Mutex
		all     sync.WaitGroup
		got     outcome
		last    = from
		failure error
	)
	for range l.Clients {
		all.Go(func() {
			for time.Now().Before(to) {
				err := ask(web, l.URL+path, header, body)
				now := time.Now()
				mu.Lock()
				if err != nil {
					failure = err
				}
				stop := failure != nil
				got.All += l.Images
				if now.After(from) && now.Before(to) {
					got.Images += l.Images
					last = now
				}
				mu.Unlock()
				if stop {
					return
				}
			}
		})
	}
	all.Wait()
	if failure != nil {
		return failure
	}
	got.Seconds = last.Sub(from).Seconds()
	return json.NewEncoder(out).Encode(got)
}

// request is what every client sends.
func (l load) request() (path string, header http.Header, body []byte, err error) {
	if l.Kind == "jpeg" {
		body, err = os.ReadFile(l.Picture)
		return "/v1/classify", http.Header{"Content-Type": {"image/jpeg"}}, body, err
	}
	size := 4 * l.Images * 3 * 224 * 224
	text := fmt.Appendf(nil,
		`{"inputs":[{"name":"images","shape":[%d,3,224,224],"datatype":"FP32","parameters":{"binary_data_size":%d}}],`+
			`"outputs":[{"name":"logits","parameters":{"binary_data":true}}]}`, l.Images, size)
	head := len(text)
	body = text
	for i := range size / 4 {
		body = binary.LittleEndian.AppendUint32(body, math.Float32bits(float32(i%251)/125-1))
	}
	return "/v2/models/vgg16/infer", http.Header{"Content-Type": {"application/octet-stream"},
		"Inference-Header-Content-Length": {strconv.Itoa(head)}}, body, nil
}

func ask(web *http.Client, url string, header http.Header, body []byte) error {
	r, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header = header
	answer, err := web.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", answer.Status, text)
	}
	return nil
}
