// Package standin makes what benchmarks need and nobody should have to fetch: a file of weights, a picture.
package standin

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"io/fs"
	"os"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/weights"
)

// VGG16 is the network with random weights.
func VGG16() (*arch.Placement, *nn.Params, error) {
	placed, err := arch.Open("vgg16")
	if err != nil {
		return nil, nil, err
	}
	params := nn.NewParams(placed)
	params.Init(nn.He, 1)
	return placed, params, nil
}

// Weights writes a VGG-16 of random weights, if it is not there.
func Weights(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	_, params, err := VGG16()
	if err != nil {
		return err
	}
	var tensors []weights.Tensor
	for _, p := range params.List {
		tensors = append(tensors, weights.Tensor{Name: p.Name, Shape: p.Shape, Data: p.Data})
	}
	return weights.Write(path, tensors, nil)
}

// Picture writes a JPEG of waves, 640x480 pixels.
func Picture(path string) error {
	picture := image.NewRGBA(image.Rect(0, 0, 640, 480))
	for y := range 480 {
		for x := range 640 {
			picture.SetRGBA(x, y, color.RGBA{uint8(x ^ y), uint8(x * y / 640), uint8(x + 2*y), 255})
		}
	}
	var file bytes.Buffer
	if err := jpeg.Encode(&file, picture, nil); err != nil {
		return err
	}
	return os.WriteFile(path, file.Bytes(), 0o666)
}
