package embedded_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/embedded"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/vision"
)

// TestHalf: with all weights in 16 bits the network gives the same answer to at least 9,980 of CIFAR-10's 10,000 test
// pictures. A short run leaves it out: an emulated processor takes a second for a picture.
func TestHalf(t *testing.T) {
	if testing.Short() {
		t.Skip("10,000 pictures take a while")
	}
	root := os.Getenv("VGGO_TESTDATA")
	if root == "" {
		t.Skip("VGGO_TESTDATA is not set: CIFAR-10's test pictures are not looked at")
	}
	data, err := vision.OpenDataset(filepath.Join(root, "cifar10-png.tar.gz"), vision.Test)
	if err != nil {
		t.Fatal(err)
	}
	const batch = 50
	var models [2]*vggo.Model
	for i, half := range []nn.Half{nn.HalfNone, nn.HalfAll} {
		if models[i], err = embedded.Open(vggo.Options{Batch: batch, Half: half}); err != nil {
			t.Fatal(err)
		}
		defer models[i].Close()
	}
	seen, same := 0, 0
	for from := 0; from < data.Len(); from += batch {
		var pictures []*vision.Picture
		for i := from; i < min(from+batch, data.Len()); i++ {
			p, err := data.Picture(i)
			if err != nil {
				t.Fatal(err)
			}
			pictures = append(pictures, p)
		}
		images, err := models[0].Prepare(t.Context(), pictures)
		if err != nil {
			t.Fatal(err)
		}
		var first [2][]int
		for i, m := range models {
			logits, err := m.Forward(t.Context(), images)
			if err != nil {
				t.Fatal(err)
			}
			for n := range logits.N {
				ranked, err := m.Rank(logits.Images(n, n+1))
				if err != nil {
					t.Fatal(err)
				}
				first[i] = append(first[i], ranked[0].Index)
			}
		}
		for n := range first[0] {
			seen++
			if first[0][n] == first[1][n] {
				same++
			}
		}
	}
	t.Logf("%d of %d answers are the same", same, seen)
	if other := seen - same; seen == 0 || other*500 > seen {
		t.Errorf("%d of %d answers are others, want at most one of 500", other, seen)
	}
}
