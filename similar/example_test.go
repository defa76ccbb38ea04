package similar_test

import (
	"context"
	"fmt"
	"log"
	"path/filepath"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/embedded"
	"github.com/vggo/vggo/similar"
	"github.com/vggo/vggo/vision"
)

// What in a folder is nearest to a picture, and what in it is there twice. With weights of your own vggo.Open stands in
// place of embedded.Open.
func Example() {
	ctx := context.Background()
	model, err := embedded.Open(vggo.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer model.Close()
	files, err := filepath.Glob("../page/static/examples/*.jpg")
	if err != nil {
		log.Fatal(err)
	}
	d, err := similar.New(model, "")
	if err != nil {
		log.Fatal(err)
	}
	index, built, err := d.Index(ctx, files, similar.Build{})
	if err != nil {
		log.Fatal(err)
	}

	picture, err := vision.DecodeFile("../page/static/examples/cat.jpg", vision.Limits{})
	if err != nil {
		log.Fatal(err)
	}
	input, err := model.Prepare(ctx, []*vision.Picture{picture.Resize(picture.W/2, picture.H/2, vision.Bilinear)})
	if err != nil {
		log.Fatal(err)
	}
	vector, err := d.Describe(ctx, input)
	if err != nil {
		log.Fatal(err)
	}
	near, err := index.Find(ctx, vector, 1, 0)
	if err != nil {
		log.Fatal(err)
	}
	copies, err := index.Duplicates(ctx, similar.DefaultRule(), 0)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d pictures by %s; nearest is %s; %d copies\n", built.Decoded, d.Note.Layer, filepath.Base(near[0].Path),
		len(copies))
	// Output: 3 pictures by relu4_2; nearest is cat.jpg; 0 copies
}
