package explain_test

import (
	"context"
	"fmt"
	"image/png"
	"log"
	"os"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/explain"
	"github.com/vggo/vggo/vision"
)

// What in a picture speaks for its most probable class, drawn over it.
func ExampleGradCAM() {
	ctx := context.Background()
	model, err := vggo.Open("../weights/testdata/tinyvgg-fashionmnist.safetensors", vggo.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer model.Close()
	picture, err := vision.DecodeFile("../docs/examples/boot.png", vision.Limits{})
	if err != nil {
		log.Fatal(err)
	}
	input, err := model.Prepare(ctx, []*vision.Picture{picture})
	if err != nil {
		log.Fatal(err)
	}
	layer, err := explain.LastMap(model)
	if err != nil {
		log.Fatal(err)
	}
	heat, err := explain.GradCAM(ctx, model, input, layer, -1)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("class %d, by %s: %dx%d\n", heat.Class.Index, heat.Layer, heat.Width, heat.Height)

	seen, err := model.Preprocess.Fit(picture)
	if err != nil {
		log.Fatal(err)
	}
	file, err := os.CreateTemp("", "heat*.png")
	if err != nil {
		log.Fatal(err)
	}
	defer os.Remove(file.Name())
	if err := png.Encode(file, explain.Overlay(seen, &heat.Map, 0.6)); err != nil {
		log.Fatal(err)
	}
	if err := file.Close(); err != nil {
		log.Fatal(err)
	}
	// Output: class 9, by relu2_2: 14x14
}

// The smallest change that is found to change the answer, and how it would be looked at.
func ExampleFool() {
	ctx := context.Background()
	model, err := vggo.Open("../weights/testdata/tinyvgg-fashionmnist.safetensors", vggo.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer model.Close()
	picture, err := vision.DecodeFile("../docs/examples/boot.png", vision.Limits{})
	if err != nil {
		log.Fatal(err)
	}
	seen, err := model.Preprocess.Fit(picture)
	if err != nil {
		log.Fatal(err)
	}
	f, err := explain.Fool(ctx, model, seen, nil)
	if err != nil {
		log.Fatal(err)
	}
	answer, err := model.Classify(ctx, f.At(1).Image())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("class %d becomes class %d\n", f.Was.Index, answer[0].Index)
	// Output: class 9 becomes class 5
}
