package train_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/vggo/vggo/train"
	"github.com/vggo/vggo/vision"
)

// part is the first samples of a data set.
type part struct {
	train.Dataset
	n int
}

func (p part) Len() int { return p.n }

// TestFashionMNIST trains a small network on 6,000 of Fashion-MNIST's pictures to at least 84 % of 2,000 others, in
// seconds. Seeds 1 and 2 reached 86.6 and 86.8 %, and 87.5 and 87.7 % with the mirror image.
func TestFashionMNIST(t *testing.T) {
	root := os.Getenv("VGGO_TESTDATA")
	if root == "" {
		t.Skip("VGGO_TESTDATA is not set: nothing is trained on Fashion-MNIST")
	}
	if testing.Short() {
		t.Skip("takes minutes under the race detector")
	}
	open := func(split vision.Split) train.Dataset {
		d, err := vision.OpenDataset(filepath.Join(root, "fashion-mnist"), split)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	recipe, err := train.OpenRecipe("fashion-mnist")
	if err != nil {
		t.Fatal(err)
	}
	recipe.Model, recipe.Batch, recipe.Epochs = "28x28x1:16b,M,32b,M,64b,M/10", 64, 5
	// rules name the recipe's own layers
	recipe.Augment, recipe.Optimiser.Rate, recipe.Rules = train.Augment{Flip: "random"}, 0.05, nil
	_, result := run(t, train.Options{Recipe: recipe, Train: part{open(vision.Train), 6000}, Test: part{open(vision.Test),
		2000}, Folder: t.TempDir()})
	for _, score := range result.Test {
		t.Logf("%+v", score)
		if score.Accuracy < 0.84 {
			t.Errorf("%s: %.1f %% are right, want 84 %%", score.Views, 100*score.Accuracy)
		}
	}
}
