// Package fashion is a part of Fashion-MNIST, for networks that learn on the page: of each class the first 500 pictures
// of the training set and the first 100 of the test set. Zalando's licence, MIT, lies beside the files, which package
// subset makes.
package fashion

import (
	"bytes"
	_ "embed"
	"fmt"
	"slices"

	"github.com/vggo/vggo/page/lesson"
	"github.com/vggo/vggo/vision"
)

// Training and test pictures one after the other, as IDX files.
var (
	//go:embed images-idx3-ubyte.gz
	images []byte
	//go:embed labels-idx1-ubyte.gz
	labels []byte
)

// tests are the last pictures of the files.
const tests = 1000

// classes are as Zalando calls them.
var classes = []string{"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
	"Ankle boot"}

// Data unpacks the pictures, 5,000 to learn from and 1,000 to test with.
func Data() (lesson.Data, error) { return Read(images, labels) }

// Read is Data of the files' bytes, packed or not, for a program that has the files beside it: if it calls Read alone,
// the linker leaves the copies out.
func Read(images, labels []byte) (lesson.Data, error) {
	x, err := vision.ReadIDX(bytes.NewReader(images))
	if err != nil {
		return lesson.Data{}, fmt.Errorf("Fashion-MNIST's pictures: %w", err)
	}
	y, err := vision.ReadIDX(bytes.NewReader(labels))
	if err != nil {
		return lesson.Data{}, fmt.Errorf("Fashion-MNIST's labels: %w", err)
	}
	all := lesson.Pictures{Labels: y.Data, Pixels: x.Data}
	n := all.Len() - tests
	if n <= 0 || len(all.Pixels) != all.Len()*lesson.Side*lesson.Side || int(slices.Max(all.Labels)) >= len(classes) {
		return lesson.Data{}, fmt.Errorf("Fashion-MNIST: %v pictures and %v labels are not those of its part", x.Dims,
			y.Dims)
	}
	return lesson.Data{Name: "Fashion-MNIST", Classes: slices.Clone(classes), Train: all.Part(0, n),
		Test: all.Part(n, all.Len())}, nil
}
