package perceptual_test

import (
	"context"
	"fmt"
	"log"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/perceptual"
	"github.com/vggo/vggo/vision"
)

// How different a picture looks once it was shrunk and enlarged again. With torchvision's weights, which vggo pull
// alexnet fetches, vggo.Open(path, vggo.Options{}) stands in place of New, whose weights are drawn at random.
func ExampleMeter() {
	ctx := context.Background()
	model, err := vggo.New("testdata/alexnet.yaml", vggo.Options{Seed: 1})
	if err != nil {
		log.Fatal(err)
	}
	defer model.Close()
	meter, err := perceptual.New(model, perceptual.Options{Metric: perceptual.LPIPS})
	if err != nil {
		log.Fatal(err)
	}
	cat, err := vision.DecodeFile("../page/static/examples/cat.jpg", vision.Limits{})
	if err != nil {
		log.Fatal(err)
	}
	soft := cat.Resize(cat.W/4, cat.H/4, vision.Bilinear).Resize(cat.W, cat.H, vision.Bilinear)

	same, err := meter.Distance(ctx, cat, cat)
	if err != nil {
		log.Fatal(err)
	}
	other, err := meter.Distance(ctx, cat, soft)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%v from itself, more from the softened one: %t\n", same.Value, other.Value > 0)
	fmt.Println(meter.Uncalibrated())
	// Output:
	// 0 from itself, more from the softened one: true
	// the weights are not recognised as those of torchvision, which the metric was fitted to
}
