package vggo_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/vision"
)

// A handler that classifies the picture in a request's body.
func ExampleModel_service() {
	labels, err := vision.ReadLabelsFile("docs/examples/fashion-mnist.txt")
	if err != nil {
		log.Fatal(err)
	}
	model, err := vggo.Open("weights/testdata/tinyvgg-fashionmnist.safetensors",
		vggo.Options{Classes: labels.Names, Batch: 8})
	if err != nil {
		log.Fatal(err)
	}
	defer model.Close()

	limits := vision.Limits{Bytes: 16 << 20, Pixels: 40_000_000}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		picture, err := vision.Decode(r.Body, limits)
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnprocessableEntity)
			return
		}
		ranked, err := model.ClassifyAll(r.Context(), []*vision.Picture{picture})
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(ranked[0][:3])
	})

	server := httptest.NewServer(handler)
	defer server.Close()
	boot, err := os.ReadFile("docs/examples/boot.png")
	if err != nil {
		log.Fatal(err)
	}
	for _, body := range [][]byte{boot, []byte("hello")} {
		answer, err := http.Post(server.URL, "image/png", bytes.NewReader(body))
		if err != nil {
			log.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil {
			log.Fatal(err)
		}
		var classes []vggo.Class
		if json.Unmarshal(text, &classes) == nil {
			fmt.Println(answer.StatusCode, classes[0].Label)
		} else {
			fmt.Printf("%d %s", answer.StatusCode, text)
		}
	}
	// Output:
	// 200 Ankle boot
	// 422 not a JPEG, PNG, GIF, WebP, BMP or TIFF image: it begins "hello"
}
