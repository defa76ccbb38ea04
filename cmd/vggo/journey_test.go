package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	root "github.com/vggo/vggo"
	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/serve"
	"github.com/vggo/vggo/vision"
	"github.com/vggo/vggo/weights"
)

// TestJourney trains each shipped recipe for a few steps, on grey and on colour pictures, and demands the trainer's own
// score, to the last picture, from every other way to ask the result: eval, classify, features, the server, the Go API,
// and all of them once more after convert. The worst faults lay between commands whose own tests were green.
func TestJourney(t *testing.T) {
	data := journeyPictures(t)
	for _, c := range []struct {
		name string
		args []string
	}{
		{"plain, colour", []string{"--recipe", "plain", "--model", "24x24x3:8,M,8b,M/3", "--epochs", "1", "--batch", "8"}},
		{"plain, grey", []string{"--recipe", "plain", "--model", "24x24x1:8,M,8,M/3", "--epochs", "1", "--batch", "8"}},
		{"plain, blue first", []string{"--recipe", "plain", "--model", "24x24x3:8,M,8,M/3", "--epochs", "1", "--batch", "8",
			"--preprocess", "caffe"}},
		{"plain, parts", []string{"--recipe", "plain", "--model", "24x24x3:8,M,8,M/3", "--epochs", "1", "--batch", "8",
			"--channel-order", "bgr", "--mean", "0.4,0.5,0.6", "--std", "0.3", "--resize", "30x26", "--filter", "bicubic"}},
		{"paper, colour", []string{"--recipe", "paper", "--model", "32x32x3:8,M,16,M/12,3", "--epochs", "2", "--batch", "8",
			"--set", "hold_out=6", "--set", "augment.side=[36, 48]"}},
		{"cifar10, colour", []string{"--recipe", "cifar10", "--epochs", "1", "--batch", "12"}},
		{"fashion-mnist, grey", []string{"--recipe", "fashion-mnist", "--epochs", "1", "--batch", "12"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			run := filepath.Join(t.TempDir(), "run")
			succeeds(t, append([]string{"train", data, "--test", "--threads", "1", "-o", run}, c.args...)...)
			want := trainersScore(t, run)
			askJourney(t, run, data, want)
		})
	}
}

// askJourney demands a score from every way to ask a run's result, and what it converts to.
func askJourney(t *testing.T, run, data string, want int) {
	t.Helper()
	model := filepath.Join(run, "model.safetensors")
	asked := askAll(t, model, data)
	for _, way := range slices.Sorted(maps.Keys(asked)) {
		if asked[way] != want {
			t.Errorf("%s is right on %d of %d pictures, the trainer on %d", way, asked[way], journeyTests, want)
		}
	}
	for _, ending := range []string{".onnx", ".npz"} {
		converted := filepath.Join(run, "converted"+ending)
		succeeds(t, "convert", model, converted)
		for way, right := range askAll(t, converted, data) {
			if right != want {
				t.Errorf("%s after convert to %s is right on %d of %d pictures, the trainer on %d", way, ending, right,
					journeyTests, want)
			}
		}
	}
}

// TestJourneyFinetune does so with a network whose convolutions are another's, under a new head.
func TestJourneyFinetune(t *testing.T) {
	data, dir := journeyPictures(t), t.TempDir()
	base, run := filepath.Join(dir, "base"), filepath.Join(dir, "run")
	succeeds(t, "train", data, "--model", "24x24x3:8,M,8b,M/12,3", "--epochs", "1", "--batch", "8", "-o", base)
	from := filepath.Join(base, "best.safetensors")
	code, out, said := vggo(t.Context(), "train", data, "--from", from, "--freeze", "conv*,bn*", "--new-head", "gap",
		"--epochs", "3", "--batch", "8", "--test", "--cache", "1MB", "--set", "class_weights={flat: 2}", "-o", run)
	if code != exitOK {
		t.Fatalf("exit %d: %s", code, said)
	}
	for _, want := range []string{"24x24x3:8,M,8b,M,G/3, recipe plain"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not said in %s", want, out)
		}
	}
	for _, want := range []string{"gets a new head: the average of each of the 8 last maps, and fc3 for 3 classes",
		"what the frozen layers up to flatten make of each picture, mirrored and not, is kept over epochs: 32 B each, " +
			"at most 1.00 MB"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not said in %s", want, said)
		}
	}
	model := filepath.Join(run, "model.safetensors")
	for _, name := range []string{"conv1_1/w", "bn2_1/mean", "conv2_1/w"} {
		if !slices.Equal(tensorOf(t, model, name), tensorOf(t, from, name)) {
			t.Errorf("%s was frozen, and has changed", name)
		}
	}
	askJourney(t, run, data, trainersScore(t, run))
	off := filepath.Join(dir, "off")
	succeeds(t, "train", data, "--from", from, "--freeze", "conv*,bn*", "--new-head", "gap", "--epochs", "3", "--batch",
		"8", "--test", "--cache", "off", "--threads", "1", "--set", "class_weights={flat: 2}", "-o", off)
	if !slices.Equal(tensorOf(t, model, "fc3/w"), tensorOf(t, filepath.Join(off, "model.safetensors"), "fc3/w")) {
		t.Error("without keeping features it ends with other weights")
	}
	for _, bad := range []struct{ flag, want string }{{"--new-head=fc", `"fc" is not gap`}, {"--cache=much",
		"want auto, off or a size"}} {
		code, _, said := vggo(t.Context(), "train", data, "--from", from, bad.flag, "-o", filepath.Join(dir, "bad"))
		if code != exitUsage || !strings.Contains(said, bad.want) {
			t.Errorf("%s: exit %d, %s", bad.flag, code, said)
		}
	}
}

// journeyTests is how many pictures there are to test on.
const journeyTests = 90

// journeyPictures makes pictures of three classes, which differ in hue and direction: wider than high, noisy enough
// that some are answered wrongly after a few steps.
func journeyPictures(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	r := rand.New(rand.NewPCG(3, 4))
	for part, n := range map[string]int{"train": 16, "test": journeyTests / 3} {
		for class, name := range []string{"flat", "steep", "slanting"} {
			folder := filepath.Join(dir, part, name)
			if err := os.MkdirAll(folder, 0o777); err != nil {
				t.Fatal(err)
			}
			for i := range n {
				m := image.NewRGBA(image.Rect(0, 0, 44, 38))
				for y := range 38 {
					for x := range 44 {
						v := [3]int{y, x, x + y}[class] / 5 % 2 * 90
						noise := r.IntN(150)
						m.Set(x, y, color.RGBA{uint8(min(255, v+noise)), uint8(min(255, v/(class+1)+noise)),
							uint8(min(255, noise+20*class)), 255})
					}
				}
				if err := writeTo(filepath.Join(folder, fmt.Sprintf("%02d.png", i)), nil,
					func(w io.Writer) error { return png.Encode(w, m) }); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	return dir
}

// trainersScore is how many test pictures a run of vggo train found right by one look.
func trainersScore(t *testing.T, run string) int {
	t.Helper()
	lines, err := os.ReadFile(filepath.Join(run, "metrics.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Split(strings.TrimSpace(string(lines)), "\n")
	var last struct {
		Test []struct {
			Views    string
			Pictures int
			Accuracy float64
		}
	}
	if err := json.Unmarshal([]byte(all[len(all)-1]), &last); err != nil {
		t.Fatal(err)
	}
	if len(last.Test) == 0 || last.Test[0].Views != "none" || last.Test[0].Pictures != journeyTests {
		t.Fatalf("no score by one look: %s", all[len(all)-1])
	}
	return int(last.Test[0].Accuracy*journeyTests + 0.5)
}

// askAll counts the right answers on the test pictures by each way to ask a file of weights.
func askAll(t *testing.T, model, data string) map[string]int {
	t.Helper()
	right := map[string]int{}
	test := filepath.Join(data, "test")
	classOf := func(path string) string { return filepath.Base(filepath.Dir(path)) }

	var eval evaluation
	decodeJSON(t, succeeds(t, "eval", data, "-w", model, "--json"), &eval)
	right["eval"] = int(eval.Top1*journeyTests + 0.5)

	var said classification
	decodeJSON(t, succeeds(t, "classify", test, "-w", model, "--json", "--top", "1"), &said)
	for _, p := range said.Pictures {
		if p.Classes[0].Label == classOf(p.File) {
			right["classify"]++
		}
	}

	m, err := root.Open(model, root.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	files, err := filepath.Glob(filepath.Join(test, "*", "*.png"))
	if err != nil || len(files) != journeyTests {
		t.Fatalf("%d pictures, %v", len(files), err)
	}
	for _, file := range files {
		p, err := vision.DecodeFile(file, vision.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		ranked, err := m.ClassifyAll(t.Context(), []*vision.Picture{p})
		if err != nil {
			t.Fatal(err)
		}
		if ranked[0][0].Label == classOf(file) {
			right["the Go API"]++
		}
	}

	// The last fully connected layer's own output are the logits.
	logits := filepath.Join(t.TempDir(), "logits.npy")
	succeeds(t, "features", test, "-w", model, "--layer", lastLinear(m), "-o", logits)
	rows, err := weights.Open(logits)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	array, err := rows.Tensor(rows.Names()[0])
	if err != nil {
		t.Fatal(err)
	}
	names, err := os.ReadFile(strings.TrimSuffix(logits, ".npy") + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range strings.Fields(string(names)) {
		row := array.Data[i*len(m.Classes):][:len(m.Classes)]
		if m.Classes[slices.Index(row, slices.Max(row))] == classOf(name) {
			right["features"]++
		}
	}

	server := serve.New(serve.Config{Models: []serve.Source{{Open: func() (*root.Model, error) {
		return root.Open(model,
			root.Options{Batch: 4})
	}}}})
	if err := server.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		answer := httptest.NewRecorder()
		request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost/v1/classify",
			bytes.NewReader(body))
		server.ServeHTTP(answer, request)
		var said struct {
			Predictions []struct{ Classes []root.Class }
			Classes     []root.Class
		}
		decodeJSON(t, answer.Body.String(), &said)
		classes := said.Classes
		if len(said.Predictions) == 1 {
			classes = said.Predictions[0].Classes
		}
		if len(classes) == 0 {
			t.Fatalf("%d %s", answer.Code, answer.Body)
		}
		if classes[0].Label == classOf(file) {
			right["the server"]++
		}
	}
	return right
}

func decodeJSON(t *testing.T, text string, to any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), to); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
}

func lastLinear(m *root.Model) string {
	for _, layer := range slices.Backward(m.Network.Layers) {
		if _, ok := layer.Op.(arch.Linear); ok {
			return layer.Name
		}
	}
	return ""
}
