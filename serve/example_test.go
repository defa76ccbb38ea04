package serve_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/serve"
)

// A server as a handler of your own program. Server.Run brings its own listener's deadlines and a graceful end.
func Example() {
	server := serve.New(serve.Config{Models: []serve.Source{{Name: "clothes", Open: func() (*vggo.Model, error) {
		return vggo.Open("../weights/testdata/tinyvgg-fashionmnist.safetensors", vggo.Options{Batch: 8})
	}}}})
	defer server.Close()
	if err := server.Load(context.Background()); err != nil {
		log.Fatal(err)
	}
	web := httptest.NewServer(server)
	defer web.Close()

	boot, err := os.ReadFile("../docs/examples/boot.png")
	if err != nil {
		log.Fatal(err)
	}
	answer, err := http.Post(web.URL+"/v1/classify?top=1", "image/png", bytes.NewReader(boot))
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d %.63s\n", answer.StatusCode, text)
	// Output: 200 {"model":"clothes","width":28,"height":28,"ending":"softmax","c
}
