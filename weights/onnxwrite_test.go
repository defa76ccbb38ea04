package weights

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/arch/archtest"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/tensor"
	"github.com/vggo/vggo/weights/internal/format"
)

// exported is a network written as ONNX, with a batch and what a Plan makes of it.
type exported struct {
	net    *arch.Network
	params *nn.Params
	path   string
	images *tensor.Tensor
	output *tensor.Tensor // probabilities where the network ends with them
}

// narrow divides a built-in's widths, the last layer's excepted, and gives it another input.
func narrow(t *testing.T, name string, by int, input arch.Shape) *arch.Network {
	t.Helper()
	net, err := arch.Builtin(name)
	if err != nil {
		t.Fatal(err)
	}
	net.Input = input
	last := 0
	for i, layer := range net.Layers {
		switch op := layer.Op.(type) {
		case arch.Conv:
			op.Out /= by
			net.Layers[i].Op = op
		case arch.Linear:
			op.Out /= by * 8
			net.Layers[i].Op, last = op, i
		}
	}
	net.Layers[last].Op = arch.Linear{Out: 10}
	net.Layers = net.Layers[:len(net.Layers)-1] // the softmax, whose probabilities differences would hide behind
	return net
}

// compact reads a compact string.
func compact(t *testing.T, s string) *arch.Network {
	t.Helper()
	placed, err := arch.Open(s)
	if err != nil {
		t.Fatal(err)
	}
	return placed.Network
}

// chainOf names layers by their numbers.
func chainOf(input arch.Shape, ops ...arch.Op) *arch.Network {
	net := &arch.Network{Name: "chain", Input: input}
	for i, op := range ops {
		net.Layers = append(net.Layers, arch.Layer{Name: fmt.Sprint(op.Kind(), i), Op: op})
	}
	return net
}

// onnxTrials are networks that have every layer in every way that ONNX can say.
func onnxTrials(t *testing.T) map[string]*arch.Network {
	k3 := arch.Window{Kernel: arch.Square(3)}
	k4 := arch.Window{Kernel: arch.Square(4), Stride: arch.Square(4), Pad: arch.Pad(2), Ceil: true}
	return map[string]*arch.Network{
		"batchnorm": compact(t, "40x28x3:8b,8b,M,16b,M/24,10"),
		"article":   narrow(t, "vgg16-article", 16, arch.Shape{C: 3, H: 50, W: 61}),
		"alexnet":   narrow(t, "alexnet", 8, arch.Shape{C: 3, H: 115, W: 131}),
		"zfnet":     narrow(t, "zfnet", 8, arch.Shape{C: 3, H: 224, W: 193}),
		"torch":     narrow(t, "alexnet-torchvision", 8, arch.Shape{C: 3, H: 415, W: 415}),
		"global":    compact(t, "30x30x1:8,M,8,G/5"),
		"odd": chainOf(arch.Shape{C: 6, H: 23, W: 18},
			arch.Conv{Out: 9, Window: arch.Window{Kernel: arch.Size{H: 3, W: 2}, Dilation: arch.Size{H: 2, W: 1},
				Stride: arch.Size{H: 1, W: 2}, Pad: arch.Padding{Top: 2, Right: 1}}, Groups: 3, NoBias: true},
			arch.BatchNorm{Eps: 1e-3, Momentum: 0.01}, arch.ReLU{},
			arch.MaxPool{Window: arch.Window{Kernel: arch.Square(2), Dilation: arch.Size{H: 2, W: 1},
				Stride: arch.Size{H: 2, W: 1}, Ceil: true}},
			arch.AvgPool{Window: arch.Window{Kernel: arch.Square(3), Stride: arch.Square(2), Pad: arch.Pad(1), Ceil: true}},
			arch.LRN{Size: 3, Alpha: 0.3, Beta: 0.5, K: 1.5}, arch.Softmax{},
			arch.Flatten{}, arch.BatchNorm{}, arch.Linear{Out: 12, NoBias: true}, arch.Dropout{Keep: 0.7},
			arch.Conv{Out: 7, Window: arch.Window{Kernel: arch.Square(1)}}, arch.GlobalAvgPool{}, arch.Linear{Out: 4}),
		"counted": chainOf(arch.Shape{C: 2, H: 9, W: 9},
			arch.AvgPool{Window: arch.Window{Kernel: arch.Square(3), Stride: arch.Square(2), Pad: arch.Pad(1)}, CountPad: true},
			arch.Conv{Out: 3, Window: k3}),
		"ceiled": chainOf(arch.Shape{C: 2, H: 10, W: 9},
			arch.AvgPool{Window: arch.Window{Kernel: arch.Square(3), Stride: arch.Square(2), Pad: arch.Pad(1), Ceil: true},
				CountPad: true}),
		// four rows of windows, the last one hanging over, three columns, of which a fourth would lie in the padding
		"dropped":     chainOf(arch.Shape{C: 2, H: 11, W: 9}, arch.MaxPool{Window: k4}, arch.Conv{Out: 3, Window: k3}),
		"dropped too": chainOf(arch.Shape{C: 2, H: 11, W: 9}, arch.AvgPool{Window: k4}, arch.Conv{Out: 3, Window: k3}),
		"reflected": chainOf(arch.Shape{C: 3, H: 9, W: 7},
			arch.Conv{Out: 3, Window: arch.Window{Kernel: arch.Square(1)}},
			arch.ReflectPad{Top: 1, Left: 1, Bottom: 1, Right: 1},
			arch.Conv{Out: 5, Window: k3}, arch.ReLU{}, arch.ReflectPad{Top: 2, Bottom: 1, Right: 3}, arch.ReLU{},
			arch.MaxPool{Window: arch.Window{Kernel: arch.Square(2), Stride: arch.Square(2), Ceil: true}}),
		"nothing": chainOf(arch.Shape{C: 2, H: 3, W: 4}, arch.Dropout{Keep: 0.5}),
	}
}

func export(t *testing.T, name string, net *arch.Network) *exported {
	t.Helper()
	params := nn.NewParams(archtest.Place(t, net))
	params.Init(nn.He, 1)
	r := rand.New(rand.NewPCG(1, 2))
	for _, p := range params.List {
		for i := range p.Data {
			if p.Role() != "w" {
				p.Data[i] = 0.5 + r.Float32()
			}
		}
	}
	e := &exported{net: net, params: params, path: filepath.Join(t.TempDir(), name+".onnx")}
	if err := WriteONNX(t.Context(), e.path, archtest.Place(t, net), func(p arch.Param) ([]float32,
		error) {
		return params.Get(p.Name).Data, nil
	}, map[string]string{"by": "a test"}); err != nil {
		t.Fatal(err)
	}
	e.images = tensor.New(2, net.Input.C, net.Input.H, net.Input.W)
	for i := range e.images.Data {
		e.images.Data[i] = float32(r.NormFloat64())
	}
	e.output = outputOf(t, net, params, e.images)
	return e
}

// outputOf runs a network.
func outputOf(t *testing.T, net *arch.Network, params *nn.Params, images *tensor.Tensor) *tensor.Tensor {
	t.Helper()
	placed := archtest.Place(t, net)
	plan, err := nn.Compile(placed, params, nn.Options{Batch: images.N, Algo: nn.Direct})
	if err != nil {
		t.Fatal(err)
	}
	defer plan.Close()
	if err := plan.Forward(images); err != nil {
		t.Fatal(err)
	}
	if ending, _ := placed.Ending(); ending != arch.EndsInLogits {
		return plan.Probabilities()
	}
	return plan.Logits()
}

// fromFile is the network that a file holds, with its parameters.
func fromFile(t *testing.T, f *File) (*arch.Network, *nn.Params) {
	t.Helper()
	placed, err := f.Network()
	if err != nil {
		t.Fatal(err)
	}
	net := placed.Network
	matched, err := Match(f, placed.Layers)
	if err != nil {
		t.Fatal(err)
	}
	params := nn.NewParams(archtest.Place(t, net))
	if err := params.Load(matched.Param); err != nil {
		t.Fatal(err)
	}
	return net, params
}

// TestONNXRoundTrip: what is written is read as the same network, and computes the same bits.
func TestONNXRoundTrip(t *testing.T) {
	for name, net := range onnxTrials(t) {
		t.Run(name, func(t *testing.T) {
			e := export(t, name, net)
			f := open(t, e.path)
			back, params := fromFile(t, f)
			if !reflect.DeepEqual(describe(t, back), describe(t, net)) {
				t.Fatalf("the network came back as\n%s\nfrom\n%s", describe(t, back), describe(t, net))
			}
			if f.Format != "ONNX" || f.Metadata["by"] != "a test" {
				t.Errorf("format %q, notes %v", f.Format, f.Metadata)
			}
			for _, p := range params.List {
				stored, _ := f.list.Get(p.Name)
				if p.Trainable && len(p.Data) > 0 &&
					uintptr(unsafe.Pointer(&p.Data[0])) != uintptr(unsafe.Pointer(&stored.Raw[0])) {
					t.Errorf("%s was copied from the file", p.Name)
				}
			}
			if got := outputOf(t, back, params, e.images); !slices.Equal(got.Data, e.output.Data) {
				t.Error("other bits than before")
			}

			// Without the note the graph alone has to tell what is computed.
			g := &File{Path: e.path}
			model := strings.Replace(string(readFile(t, e.path)), NetworkNote, "vggo.nothing", 1) // as long
			if err := g.read([]byte(model)); err != nil {
				t.Fatal(err)
			}
			bare, params := fromFile(t, g)
			if got := outputOf(t, bare, params, e.images); !slices.Equal(got.Data, e.output.Data) {
				t.Error("other bits without the note")
			}
		})
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func describe(t *testing.T, net *arch.Network) string {
	t.Helper()
	var text strings.Builder
	if err := net.EncodeYAML(&text); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

// peer is the command of another library's check, or a skip where the library is not installed; with VGGO_REQUIRE_PEERS
// set that is a failure.
func peer(t *testing.T, probe *exec.Cmd, remedy string) {
	t.Helper()
	out, err := probe.CombinedOutput()
	if err == nil {
		return
	}
	if os.Getenv("VGGO_REQUIRE_PEERS") != "" {
		t.Fatalf("%s: %v\n%s", remedy, err, out)
	}
	t.Skip(remedy)
}

// TestONNXChecker has ONNX's own checker look at what is written.
func TestONNXChecker(t *testing.T) {
	const python = "/usr/bin/python3" // Debian's packages are there alone
	peer(t, exec.Command(python, "-c", "import onnx"), "onnx.checker is not here: apt-get install python3-onnx")
	args := []string{"../scripts/check_onnx.py"}
	for name, net := range onnxTrials(t) {
		args = append(args, export(t, name, net).path)
	}
	if out, err := exec.Command(python, args...).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestONNXRuntime has ONNX Runtime compute what is written, and compares.
func TestONNXRuntime(t *testing.T) {
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	node := func(args ...string) *exec.Cmd {
		cmd := exec.Command("node", args...)
		cmd.Env = append(os.Environ(), "NODE_PATH="+filepath.Join(cache, "vggo-peers", "node_modules"))
		return cmd
	}
	peer(t, node("-e", "require('onnxruntime-node')"), "ONNX Runtime is not here: go run ./benchmarks installs it")
	type job struct {
		Model string `json:"model"`
		Input string `json:"input"`
		Dims  []int  `json:"dims"`
	}
	var jobs []job
	var all []*exported
	for name, net := range onnxTrials(t) {
		e := export(t, name, net)
		var raw bytes.Buffer
		if err := format.WriteFloats(&raw, e.images.Data); err != nil {
			t.Fatal(err)
		}
		input := e.path + ".input"
		if err := os.WriteFile(input, raw.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		jobs = append(jobs, job{e.path, input, []int{e.images.N, e.images.C, e.images.H, e.images.W}})
		all = append(all, e)
	}
	text, err := json.Marshal(jobs)
	if err != nil {
		t.Fatal(err)
	}
	cmd := node("../scripts/run_onnx.js")
	cmd.Stdin = bytes.NewReader(text)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	var outputs [][]float32
	if err := json.Unmarshal(out, &outputs); err != nil || len(outputs) != len(all) {
		t.Fatalf("%d outputs: %v", len(outputs), err)
	}
	for i, e := range all {
		name := filepath.Base(e.path)
		if len(outputs[i]) != len(e.output.Data) {
			t.Errorf("%s: %d values, not %d", name, len(outputs[i]), len(e.output.Data))
			continue
		}
		largest, apart := 0.0, 0.0
		for j, v := range e.output.Data {
			largest = max(largest, math.Abs(float64(v)))
			apart = max(apart, math.Abs(float64(v-outputs[i][j])))
		}
		t.Logf("%s: apart by %.2g of %.3g", name, apart, largest)
		if !(apart <= 1e-5*largest) {
			t.Errorf("%s: ONNX Runtime's outputs are apart by %g, the largest is %g", name, apart, largest)
		}
	}
}

// TestWriteONNXRefuses: what ONNX cannot say, and what protobuf cannot hold. No file is left behind.
func TestWriteONNXRefuses(t *testing.T) {
	big := chainOf(arch.Shape{C: 1 << 15, H: 1, W: 1}, arch.Linear{Out: 1 << 13}, arch.ReLU{}, arch.Linear{Out: 1 << 15})
	for _, c := range []struct {
		what, want string
		net        *arch.Network
	}{
		{"uneven adaptive pooling", "adaptiveavgpool0: adaptive pooling from 9x9 to 4x3",
			chainOf(arch.Shape{C: 1, H: 9, W: 9}, arch.AdaptiveAvgPool{Out: arch.Size{H: 4, W: 3}})},
		{"dilated average pooling", "opset 19", chainOf(arch.Shape{C: 1, H: 9, W: 9},
			arch.AvgPool{Window: arch.Window{Kernel: arch.Square(2), Dilation: arch.Square(2)}})},
		{"a dropped window", "leaves a window out", chainOf(arch.Shape{C: 2, H: 11, W: 9},
			arch.AvgPool{Window: arch.Window{Kernel: arch.Square(4), Stride: arch.Square(4), Pad: arch.Pad(2), Ceil: true},
				CountPad: true})},
		{"even normalisation", "choose an odd size", chainOf(arch.Shape{C: 4, H: 9, W: 9}, arch.LRN{Size: 4, Alpha: 1,
			Beta: 1, K: 1})},
		{"2 GB", "protobuf's limit of 2 GB", big},
		{"no parameter", "no parameter", chainOf(arch.Shape{C: 4, H: 9, W: 9}, arch.Flatten{}, arch.Linear{Out: 2})},
	} {
		folder := t.TempDir()
		path := filepath.Join(folder, "net.onnx")
		err := WriteONNX(t.Context(), path, archtest.Place(t, c.net), func(p arch.Param) ([]float32, error) {
			return nil, fmt.Errorf("no parameter %s", p.Name)
		}, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.what, err, c.want)
		}
		if left, _ := os.ReadDir(folder); len(left) > 0 {
			t.Errorf("%s: %v is left behind", c.what, left)
		}
	}
}
