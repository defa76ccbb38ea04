package main

import (
	"encoding/json"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vggo/vggo/vision"
)

const (
	checkpoints = "../../weights/testdata/checkpoints/"
	countedNet  = "8x8x3:2,M,2,M/3,2"
)

// grey8 is a picture that the network of the checkpoints takes.
func grey8(t *testing.T) string {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, 8, 8))
	for i := range 64 {
		m.Set(i%8, i/8, color.Gray{Y: uint8(4 * i)})
	}
	path := filepath.Join(t.TempDir(), "p.png")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := png.Encode(f, m); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestWeightsPart: which of a file's networks was taken is said, in words and in JSON, and another can be had, by every
// command.
func TestWeightsPart(t *testing.T) {
	picture := grey8(t)
	const said = "average.pth holds several networks' weights: model is taken, and not model_ema (9 tensors); " +
		"--weights-part takes another"
	run := func(want string, args ...string) string {
		t.Helper()
		code, out, errs := vggo(t.Context(), args...)
		if code != 0 || want == "" && strings.Contains(errs, "holds several") || !strings.Contains(errs, want) {
			t.Errorf("%q: exit %d, %q, want %q", args, code, errs, want)
		}
		return out
	}
	weights := []string{"--model", countedNet, "--weights", checkpoints + "average.pth"}
	with := func(args ...string) []string { return slices.Concat(args, weights) }
	for _, c := range []struct{ ask, part, other, said string }{{"", "model", "model_ema", said},
		{"model_ema", "model_ema", "model", ""}} {
		ask := []string{}
		if c.ask != "" {
			ask = []string{"--weights-part", c.ask}
		}
		var told struct {
			Part    string   `json:"weights_part"`
			Others  []string `json:"weights_other_parts"`
			Names   string   `json:"weights_names"`
			Classes []struct{ Probability float64 }
		}
		out := run(c.said, append(with("classify", picture, "--json"), ask...)...)
		if err := json.Unmarshal([]byte(out), &told); err != nil || told.Part != c.part ||
			!slices.Equal(told.Others, []string{c.other}) || told.Names != "torchvision" {
			t.Errorf("%s (%v)", out, err)
		}
		dir := t.TempDir()
		run(c.said, append(with("features", picture, "--layer", "pool2", "-o", filepath.Join(dir, "f.npy")), ask...)...)
		run(c.said, append(with("explain", picture, "--method", "maps", "--layer", "conv1_1", "-o",
			filepath.Join(dir, "m.png")), ask...)...)
		run(c.said, append([]string{"convert", checkpoints + "average.pth", filepath.Join(dir, "c.npz"), "--model",
			countedNet}, ask...)...)
	}
	// A run that another part began does not go on.
	out := filepath.Join(t.TempDir(), "f.npy")
	if err := os.WriteFile(out+".partial", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	journal, err := json.Marshal(featureRun{countedNet, checkpoints + "average.pth", "model",
		vision.PreprocessParts{Base: "imagenet"}, "pool2", false, 16, []int{2, 2, 2}, ""})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(out+".partial.names", append(journal, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := vggo(t.Context(), append(with("features", picture, "--layer", "pool2", "-o", out),
		"--weights-part", "model_ema")...); code != 1 || !strings.Contains(errs, "is of another run") {
		t.Errorf("exit %d, %q", code, errs)
	}
}

// emptyFile is one of safetensors without a tensor.
func emptyFile(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "empty.safetensors")
	writeText(t, path, "\x08\x00\x00\x00\x00\x00\x00\x00{}      ")
	return path
}

// TestWeightsErrors: refusals of files name a way on.
func TestWeightsErrors(t *testing.T) {
	picture := grey8(t)
	for _, c := range []struct{ args, fault, hint string }{
		{"--weights FILES/average.pth --weights-part ema", `no part "ema": it has model, model_ema`, "--weights-part model"},
		{"--weights FILES/lists.npy --weights-part ema", "the file holds one network's weights", "leave --weights-part out"},
		{"--weights FILES/perceptual.pth", `its part "model" alone fits`, "--weights-part model"},
		{"--weights FILES/adversary.pth", "the file has other parts: netD", "--weights-part netD takes another part"},
		{"--weights FILES/classes.pth", "classifier.3.weight is 5x3, not 2x3",
			"the file is of 5 classes, and so must --model be"},
		{"--weights " + tinyWeights, "do not fit the network", "without --model the file tells its network: tinyvgg of " +
			"10 classes"},
		{"--weights " + emptyFile(t), "the file holds no weights", "they are in another file"},
		{"--weights-part model", "--weights-part is of a file that --weights names, which is missing", ""},
	} {
		args := append([]string{"classify", picture, "--model", countedNet},
			strings.Fields(strings.ReplaceAll(c.args, "FILES/", checkpoints))...)
		if c.hint == "" {
			args = slices.DeleteFunc(args, func(a string) bool { return a == "--model" || a == countedNet })
		}
		code, _, errs := vggo(t.Context(), args...)
		fault, remedy, _ := strings.Cut(errs, "\n")
		if code == 0 || !strings.Contains(fault, c.fault) || !strings.HasPrefix(strings.TrimPrefix(remedy, "hint: "),
			c.hint) {
			t.Errorf("%s: exit %d, %q, want %q and the hint %q", c.args, code, errs, c.fault, c.hint)
		}
	}
	// The remedies do.
	for _, args := range []string{"adversary.pth --weights-part netD", "perceptual.pth --weights-part model",
		"average.pth --weights-part model"} {
		all := append([]string{"classify", picture, "--model", countedNet, "--weights"}, strings.Fields(checkpoints+args)...)
		if code, _, errs := vggo(t.Context(), all...); code != 0 {
			t.Errorf("%s: exit %d, %q", args, code, errs)
		}
	}
}

// TestStateOfRun: a training run's checkpoint is called so, and what is named instead holds the run's weights or makes
// them.
func TestStateOfRun(t *testing.T) {
	data := journeyPictures(t)
	run := filepath.Join(t.TempDir(), "run")
	succeeds(t, "train", data, "--model", "24x24x3:8,M/3", "--epochs", "1", "--batch", "8", "--threads", "1", "-o", run)
	states, err := filepath.Glob(filepath.Join(run, "step-*.safetensors"))
	if err != nil || len(states) == 0 {
		t.Fatalf("%v, %v", states, err)
	}
	picture := filepath.Join(data, "test", "flat", "00.png")
	refused := func(want string) {
		t.Helper()
		for _, args := range [][]string{
			{"classify", picture, "-w", states[0]},
			{"convert", states[0], filepath.Join(run, "x.onnx")},
			{"train", data, "--from", states[0], "--batch", "8", "-o", filepath.Join(run, "next")},
		} {
			code, _, errs := vggo(t.Context(), args...)
			if code != 1 || !strings.Contains(errs, "the state of a training run") || !strings.Contains(errs, "hint: "+want) {
				t.Errorf("%s: exit %d, %q, want the hint %q", args[0], code, errs, want)
			}
		}
	}
	best := filepath.Join(run, "best.safetensors")
	refused(best + " has the run's weights")
	succeeds(t, "classify", picture, "-w", best)
	for _, name := range []string{best, filepath.Join(run, "model.safetensors")} {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	refused("vggo train --resume " + run)
	succeeds(t, "train", "--resume", run)
	succeeds(t, "classify", picture, "-w", best)
}

// TestGuessIsSaid: parameters found by order and shapes are called a guess, in words and in JSON.
func TestGuessIsSaid(t *testing.T) {
	picture := grey8(t)
	code, out, errs := vggo(t.Context(), "classify", picture, "--model", countedNet, "--weights", checkpoints+"words.pth",
		"--json")
	if code != 0 || !strings.Contains(out, `"weights_guessed": true`) ||
		!strings.Contains(errs, "matched by order and shapes: a guess") {
		t.Errorf("exit %d, %s %s", code, out, errs)
	}
}

// TestTrainTakes: weights without a classifier begin a network whose classifier is its own, where the layers to take
// are named.
func TestTrainTakes(t *testing.T) {
	root := os.Getenv("VGGO_TESTDATA")
	if root == "" {
		t.Skip("VGGO_TESTDATA is not set: no weights without a classifier are taken")
	}
	data := t.TempDir()
	for _, class := range []string{"a", "b"} {
		if err := os.Mkdir(filepath.Join(data, class), 0o755); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"1.png", "2.png", "3.png", "4.png"} {
			content, err := os.ReadFile(grey8(t))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(data, class, name), content, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	headless := filepath.Join(root, "reports/23-keras-notop/vgg_small_notop.h5")
	const network = "32x32x3:6,6,M,6,6,M,6,6,6,M,6,6,6,M,6,6,6,M/2"
	// The message names the file's own convolutions, and the command that it leads to works.
	picture := filepath.Join(root, "reports/pic16.png")
	code, _, errs := vggo(t.Context(), "classify", picture, "-w", headless)
	refused(t, code, errs, 1, "6,6,M,6,6,M,6,6,6,M,6,6,6,M,6,6,6,M", "--model")
	named := strings.TrimSpace(errs[strings.LastIndex(errs[:strings.IndexByte(errs, '\n')], " "):strings.IndexByte(errs,
		'\n')])
	succeeds(t, "features", picture, "-w", headless, "--model", named, "--layer", "pool5", "-o",
		filepath.Join(t.TempDir(), "f.npy"))
	code, _, errs = vggo(t.Context(), "classify", picture, "-w", headless, "--model", named)
	refused(t, code, errs, 1, "has no classifier", "vggo features --layer pool5")
	train := func(args ...string) (int, string) {
		t.Helper()
		all := append([]string{"train", data, "--batch", "4", "--epochs", "1", "--validation", data, "-o",
			filepath.Join(t.TempDir(), "run")}, args...)
		code, _, errs := vggo(t.Context(), all...)
		return code, errs
	}
	if code, errs := train("--model", network, "--from", headless, "--take", "conv*"); code != 0 {
		t.Errorf("exit %d, %s", code, errs)
	}
	if code, errs := train("--model", network, "--from", headless); code != 1 ||
		!strings.Contains(errs, "hint: --take 'conv*'") {
		t.Errorf("exit %d, %s", code, errs)
	}
	fewer := strings.Replace(network, "32x32x3:6,6,M,6,6", "32x32x3:6,6,M,6,7", 1)
	if code, errs := train("--model", fewer, "--from", headless); code != 1 ||
		!strings.Contains(errs, "hint: --take conv1_1,conv1_2,conv2_1 takes the layers that fit\n") {
		t.Errorf("exit %d, %s", code, errs)
	}
	if code, errs := train("--model", fewer, "--from", headless, "--take", "conv1_1,conv1_2,conv2_1"); code != 0 {
		t.Errorf("exit %d, %s", code, errs)
	}
	if code, errs := train("--model", network, "--from", headless, "--take", "conv9*"); code != 2 ||
		!strings.Contains(errs, `has no layer "conv9*" with weights`) {
		t.Errorf("exit %d, %s", code, errs)
	}
	if code, errs := train("--model", countedNet, "--from", checkpoints+"average.pth"); code != 0 ||
		!strings.Contains(errs, "model is taken, and not model_ema") {
		t.Errorf("exit %d, %s", code, errs)
	}
	if code, errs := train("--model", countedNet, "--from", checkpoints+"average.pth", "--weights-part",
		"model_ema"); code != 0 {
		t.Errorf("exit %d, %s", code, errs)
	}
}
