package report_test

import (
	"log"
	"os"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/report"
)

// A network of one's own as a table; report.SVG in place of report.Table draws it to scale.
func ExampleNetwork() {
	placed, err := arch.Open("32x32x3:16,M,32,M/10")
	if err != nil {
		log.Fatal(err)
	}
	r, err := placed.Analyze(1)
	if err != nil {
		log.Fatal(err)
	}
	if err := report.Network(os.Stdout, r, report.Table, false); err != nil {
		log.Fatal(err)
	}
	// Output:
	// 32x32x3:16,M,32,M/10
	// input 32x32x3, one image
	//
	// layer    operation                 output  weights  biases       MACs  activations  FLOP/byte  field
	// ──────────────────────────────────────────────────────────────────────────────────────────────────────
	// conv1_1  conv 3x3 pad 1, relu    32x32x16      432      16    442,368      65.5 kB       11.1      3
	// pool1    maxpool 2x2/2           16x16x16                                  16.4 kB                 4
	// conv2_1  conv 3x3 pad 1, relu    16x16x32    4,608      32  1,179,648      32.8 kB       34.9      8
	// pool2    maxpool 2x2/2, flatten    8x8x32                                  8.19 kB                10
	// fc3      linear                    1x1x10   20,480      10     20,480         40 B        0.5     38
	// softmax  softmax                   1x1x10                                     40 B                38
	// ──────────────────────────────────────────────────────────────────────────────────────────────────────
	// total                                       25,520      58  1,642,496     123.0 kB       13.8
	//
	// parameters  25,578 = 25,520 weights + 58 biases
	// work        1,642,496 MACs = 3.28 MFLOP per image
	// inference   184.2 kB = 102.3 kB parameters + 81.9 kB activations
	// training    421.8 kB = 102.3 kB parameters + 135.2 kB activations + 184.2 kB gradients of both
}

// Why VGG stacks kernels of 3x3.
func ExampleStack() {
	three := arch.Kernel{Size: 3}
	r, err := arch.AnalyzeStack(three, three, three)
	if err != nil {
		log.Fatal(err)
	}
	if err := report.Stack(os.Stdout, r, report.Table); err != nil {
		log.Fatal(err)
	}
	// Output:
	// seen through  kernel  field
	// ─────────────────────────────────────
	// layer 3       3x3     3
	// layer 2       3x3     (3-1)*1+3 = 5
	// layer 1       3x3     (5-1)*1+3 = 7
	//
	// 3 layers see 7x7, as one 7x7 layer does. With C channels in and out:
	// the stack has (3*3+3*3+3*3)*C² = 27 C² weights, the one layer 7*7*C² = 49 C²: 1.81 times as many.
}
