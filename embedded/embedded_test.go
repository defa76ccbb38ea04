package embedded_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/embedded"
	"github.com/vggo/vggo/train"
	"github.com/vggo/vggo/vision"
)

// maxFile is what the weights may add to every copy of the repository and the program.
const maxFile = 8_000_000

func TestSize(t *testing.T) {
	info, err := os.Stat("vgg-cifar10.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > maxFile {
		t.Errorf("%d bytes, more than %d", info.Size(), maxFile)
	}
}

// TestBuiltin: the network of the weights is the built-in of its name, and what the recipe trains that they were made
// by.
func TestBuiltin(t *testing.T) {
	m, err := embedded.Open(vggo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	described := func(net *arch.Network, err error) string {
		t.Helper()
		var text bytes.Buffer
		if err == nil {
			err = net.EncodeYAML(&text)
		}
		if err != nil {
			t.Fatal(err)
		}
		return strings.ReplaceAll(text.String(), "eps: 1e-05, ", "") // what it is anyway
	}
	recipe, err := train.OpenRecipe("cifar10")
	if err != nil {
		t.Fatal(err)
	}
	own := described(m.Network, nil)
	if builtin := described(arch.Builtin(m.Network.Name)); builtin != own {
		t.Errorf("the built-in is\n%s\nthe embedded network\n%s", builtin, own)
	}
	if trained := described(recipe.Network()); trained != own {
		t.Errorf("the recipe trains\n%s\nthe embedded network is\n%s", trained, own)
	}
}

// TestAccuracy: the network that comes along is as right as its card says, here by one look at every twentieth test
// picture. vggo eval counts all 10,000.
func TestAccuracy(t *testing.T) {
	root := os.Getenv("VGGO_TESTDATA")
	if root == "" {
		t.Skip("VGGO_TESTDATA is not set: CIFAR-10's test pictures are not looked at")
	}
	data, err := vision.OpenDataset(filepath.Join(root, "cifar10-png.tar.gz"), vision.Test)
	if err != nil {
		t.Fatal(err)
	}
	const batch, step = 50, 20
	m, err := embedded.Open(vggo.Options{Batch: batch})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	right, seen := 0, 0
	for from := 0; from < data.Len(); from += batch * step {
		var pictures []*vision.Picture
		for i := from; i < from+batch*step; i += step {
			p, err := data.Picture(i)
			if err != nil {
				t.Fatal(err)
			}
			pictures = append(pictures, p)
		}
		answers, err := m.ClassifyAll(t.Context(), pictures)
		if err != nil {
			t.Fatal(err)
		}
		for i, classes := range answers {
			seen++
			if classes[0].Label == data.Classes[data.Label(from+i*step)] {
				right++
			}
		}
	}
	const want = 468 // the kernel sets round differently: one more or less
	if seen != 500 || right < want-1 || right > want+1 {
		t.Errorf("%d of %d pictures are right, want %d", right, seen, want)
	}
}

func ExampleOpen() {
	m, err := embedded.Open(vggo.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	picture, err := vision.DecodeFile("../docs/examples/boot.png", vision.Limits{})
	if err != nil {
		log.Fatal(err)
	}
	answers, err := m.ClassifyAll(context.Background(), []*vision.Picture{picture})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(answers[0]), "classes, of which it has to take one for a boot")
	// Output: 10 classes, of which it has to take one for a boot
}
