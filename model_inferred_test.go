package vggo

import (
	"path/filepath"
	"testing"

	"github.com/vggo/vggo/arch"
)

// TestNetworksOfLayouts: files that tell their network, by what they hold or by names and shapes alone, answer as
// PyTorch does without being told it. How their pictures come nothing tells: that is called a guess.
func TestNetworksOfLayouts(t *testing.T) {
	folder := layoutsFolder(t)
	for _, c := range []struct {
		file  string
		rgb   bool
		sized bool   // but for the size of pictures
		layer string // the last, of a file without a classifier
		name  string
	}{
		{file: "whole-module.pth", name: "pytorch"},
		{file: "torchscript.pt", name: "pytorch"},
		{file: "jcjohnson-classifier-1-4-6-bgr.pth", name: "vgg"},
		{file: "pytorch-examples-imagenet.pth.tar", name: "vgg"},
		{file: "torchvision-names-bgr.pth", name: "vgg"},
		{file: "vgg_conv-bgr.pth", name: "vgg", sized: true, layer: "pool5"},
		{file: "vgg16_weights-frossard-rgb.npz", name: "vgg", rgb: true},
		{file: "vgg16-tensorflow-vgg-bgr.npy", name: "vgg"},
	} {
		t.Run(c.file, func(t *testing.T) {
			path := filepath.Join(folder, c.file)
			options := Options{}
			if c.sized {
				if m, err := Open(path, options); err == nil {
					m.Close()
					t.Error("nothing tells the size of pictures")
				}
				options.Input = arch.ImageNetInput
			}
			m, err := Open(path, options)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			if m.Network.Name != c.name || m.Network.Input != arch.ImageNetInput || !m.Preprocess.Guess {
				t.Errorf("network %s for %v, preparation %s", m.Network.Name, m.Network.Input, m.Preprocess)
			}
			name, layer := "logits", c.layer
			if layer != "" {
				name = layer
			}
			got, err := m.Forward(t.Context(), owl(t, !c.rgb))
			if err != nil {
				t.Fatal(err)
			}
			if d := distance(got.Data, expected(t, name)); !(d <= 1e-5) {
				t.Errorf("%s differ by %v of the largest value, want 1e-5", name, d)
			}
		})
	}
}
