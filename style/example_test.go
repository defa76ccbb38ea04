package style_test

import (
	"context"
	"fmt"
	"image"
	"log"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/style"
	"github.com/vggo/vggo/vision"
)

// A cat in the style of an owl's feathers. With VGG-19's weights, which vggo pull vgg19 fetches, vggo.Open(path,
// vggo.Options{Until: "relu5_1"}) stands in place of New, whose weights are drawn at random.
func ExamplePainter() {
	model, err := vggo.New("64x64x3:8,8,M,16,16,M,32,32/10", vggo.Options{Seed: 1})
	if err != nil {
		log.Fatal(err)
	}
	defer model.Close()
	painter, err := style.New(model, style.Options{})
	if err != nil {
		log.Fatal(err)
	}
	cat, err := vision.DecodeFile("../page/static/examples/cat.jpg", vision.Limits{})
	if err != nil {
		log.Fatal(err)
	}
	owl, err := vision.DecodeFile("../page/static/examples/owl.jpg", vision.Limits{})
	if err != nil {
		log.Fatal(err)
	}
	job := style.Job{Content: cat, Styles: []*vision.Picture{owl.Resize(96, 96, vision.Bilinear)}, Size: image.Pt(96, 96),
		Ratio: 1e-3, Init: style.FromContent, Optimiser: style.LBFGS, Iterations: 10}
	var first, last float64
	painting, err := painter.Paint(context.Background(), job, func(p style.Progress) error {
		if p.Iteration == 0 {
			first = p.Total
		}
		last = p.Total
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%dx%d pixels, the loss has fallen: %t\n", painting.H, painting.W, last < first)
	fmt.Println(painter.Instead)
	// Output:
	// 96x96 pixels, the loss has fallen: true
	// content by relu3_2, as there is no conv4_2; style by relu1_1, relu2_1, relu3_1, as there is no conv4_1
}

// A picture that excites a channel, grown from noise. With trained weights it shows what the channel looks for.
func ExampleDream() {
	model, err := vggo.New("32x32x3:16,M,32/10", vggo.Options{Seed: 1})
	if err != nil {
		log.Fatal(err)
	}
	defer model.Close()
	dream := style.Dream{Layer: "conv2_1", Channel: 17, Seed: 1, Iterations: 20}
	_, bytes, err := dream.Cost(model)
	if err != nil {
		log.Fatal(err)
	}
	var first, last float64
	picture, err := dream.Grow(context.Background(), model, func(g style.Grown) error {
		if g.Iteration == 0 {
			first = g.Mean
		}
		last = g.Mean
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%dx%d pixels, less than 10 MB: %t, the mean has risen: %t\n", picture.H, picture.W, bytes < 10e6,
		last > first)
	// Output: 32x32 pixels, less than 10 MB: true, the mean has risen: true
}
