package vggo_test

import (
	"context"
	"fmt"
	"image"
	_ "image/png"
	"log"
	"os"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/vision"
)

func Example() {
	labels, err := vision.ReadLabelsFile("docs/examples/fashion-mnist.txt")
	if err != nil {
		log.Fatal(err)
	}
	model, err := vggo.Open("weights/testdata/tinyvgg-fashionmnist.safetensors", vggo.Options{Classes: labels.Names})
	if err != nil {
		log.Fatal(err)
	}
	defer model.Close()

	file, err := os.Open("docs/examples/boot.png")
	if err != nil {
		log.Fatal(err)
	}
	defer file.Close()
	picture, _, err := image.Decode(file)
	if err != nil {
		log.Fatal(err)
	}
	classes, err := model.Classify(context.Background(), picture)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s, says %s: %.0f %%\n", classes[0].Label, model.Network.Name, 100*classes[0].Probability)
	// Output: Ankle boot, says tinyvgg: 100 %
}

// The features of a picture, for a search for similar ones or a classifier of one's own.
func ExampleModel_Features() {
	ctx := context.Background()
	model, err := vggo.Open("weights/testdata/tinyvgg-fashionmnist.safetensors", vggo.Options{Batch: 8})
	if err != nil {
		log.Fatal(err)
	}
	defer model.Close()
	boot, err := vision.DecodeFile("docs/examples/boot.png", vision.Limits{})
	if err != nil {
		log.Fatal(err)
	}
	batch, err := model.Prepare(ctx, []*vision.Picture{boot})
	if err != nil {
		log.Fatal(err)
	}
	features, err := model.Features(ctx, "pool2", batch)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(features.Shape())
	// Output: 1x10x7x7
}
