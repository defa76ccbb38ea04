package train_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/vggo/vggo/train"
)

// A network whose first block is frozen learns; what the block makes of each picture is kept over the epochs.
func ExampleNew() {
	folder, err := os.MkdirTemp("", "run")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	recipe := train.Default()
	recipe.Model, recipe.Epochs, recipe.Batch = "8x8x1:8,M,16/4", 2, 16
	recipe.Rates = map[string]float64{"block1": 0}
	trainer, err := train.New(train.Options{Recipe: recipe, Train: tinySet, Folder: filepath.Join(folder, "run"),
		Features: 1 << 20, Report: func(r train.Report) {
			if what, size, ok := strings.Cut(r.Notice, ": "); ok {
				fmt.Printf("%s:\n%s\n", what, size)
			}
		}})
	if err != nil {
		log.Fatal(err)
	}
	defer trainer.Close()
	result, err := trainer.Run(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.Steps, "steps")
	// Output:
	// conv1_1:
	// frozen, and at values drawn at random, since none were given
	// what the frozen layers up to pool1 make of each picture, mirrored and not, is kept over epochs:
	// 512 B each, at most 1.05 MB
	// 22 steps
}
