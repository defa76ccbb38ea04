package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/hub"
)

// TestVersionFlag: the flag that every program has says what the command says.
func TestVersionFlag(t *testing.T) {
	_, want, _ := vggo(t.Context(), "version")
	if code, got, errs := vggo(t.Context(), "--version"); code != exitOK || got != want || want == "" {
		t.Errorf("exit %d, %q %s, want %q", code, got, errs, want)
	}
}

// TestOwnNames: what vggo prints as the name of a network or of weights, it understands as one.
func TestOwnNames(t *testing.T) {
	boot, dir := "../../docs/examples/boot.png", t.TempDir()
	t.Setenv("VGGO_CACHE", dir)
	_, answer, _ := vggo(t.Context(), "classify", boot)
	network, rest, _ := strings.Cut(answer, ", weights: ")
	weights, _, _ := strings.Cut(rest, ",")
	for _, args := range [][]string{
		{"arch", network}, {"arch", weights}, {"arch", "--compare", network + ",vgg16"}, {"field", network, "--layer",
			"relu4_2"},
		{"bench", "--model", network, "--explain-plan"}, {"classify", boot, "--model", network, "--random-weights"},
		{"classify", boot, "--model", network}, {"classify", boot, "--weights", weights}, {"classify", boot, "--weights",
			weights, "--model", network},
		{"explain", boot, "--weights", weights, "-o", filepath.Join(dir, "x.png")},
		{"convert", weights, filepath.Join(dir, "x.npz")},
		{"convert", weights, filepath.Join(dir, "x.npz"), "--model", network},
	} {
		code, _, errs := vggo(t.Context(), args...)
		if want := len(args) == 4 && args[0] == "classify" && args[2] == "--model"; want { // which has no weights
			if code != exitUsage || !strings.Contains(errs, "no weights for "+network) {
				t.Errorf("%q: exit %d, %s", args, code, errs)
			}
		} else if code != exitOK {
			t.Errorf("%q: exit %d, %s", args, code, errs)
		}
	}
	pixels, err := os.ReadFile(boot)
	if err != nil {
		t.Fatal(err)
	}
	for _, picture := range []string{"a/1.png", "a/2.png", "b/1.png", "b/2.png"} {
		path := filepath.Join(dir, "set", picture)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, pixels, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	train := func(take, out string) (int, string) {
		code, _, errs := vggo(t.Context(), "train", filepath.Join(dir, "set"), "--from", weights, "--take", take, "--batch",
			"4", "--epochs", "1", "-o", filepath.Join(dir, out))
		return code, errs
	}
	if code, errs := train("conv*", "run"); code != exitOK {
		t.Errorf("train --from %s: exit %d, %s", weights, code, errs)
	}
	if code, errs := train("fc9", "other"); code != exitUsage ||
		!strings.Contains(errs, `no layer "fc9" with weights: it has conv1_1, `) || !strings.Contains(errs, "fc5") {
		t.Errorf("train --take fc9: exit %d, %s", code, errs)
	}
	for _, e := range hub.All() {
		want := e.Network
		if slices.Contains(arch.Names(), e.Name) { // alexnet is the paper's; its published weights are of torchvision's
			want = e.Name
		}
		code, out, errs := vggo(t.Context(), "arch", e.Name)
		if code != exitOK || !strings.HasPrefix(out, want+": ") {
			t.Errorf("arch %s: exit %d, %s %.60s, want %s", e.Name, code, errs, out, want)
		}
	}
}

// TestArchOpensAnyFile: a file of a network is known by its bytes, whatever it is called.
func TestArchOpensAnyFile(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	for _, args := range [][]string{
		{"convert", tinyWeights, path("w.onnx")}, {"convert", tinyWeights, path("w.npz")},
		{"arch", "tinyvgg", "--describe", "-o", path("d.yaml")}, {"arch", "tinyvgg", "--describe", "-o", path("d.json")},
	} {
		if code, _, errs := vggo(t.Context(), args...); code != exitOK {
			t.Fatalf("%q: exit %d, %s", args, code, errs)
		}
	}
	_, want, _ := vggo(t.Context(), "arch", path("d.yaml"))
	_, body, _ := strings.Cut(want, "\n")
	for _, file := range []string{tinyWeights, path("w.onnx"), path("w.npz"), path("d.yaml"), path("d.json")} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"plain", "net.dat", "net.bin", "net.txt", "net.yaml", "net.onnx", "net.PTH", "64,M"} {
			if err := os.WriteFile(path(name), text, 0o666); err != nil {
				t.Fatal(err)
			}
			code, got, errs := vggo(t.Context(), "arch", path(name))
			if _, got, _ = strings.Cut(got, "\n"); code != exitOK || got != body {
				t.Errorf("%s as %s: exit %d, %s", filepath.Base(file), name, code, errs)
			}
		}
	}
	const graph = "../../weights/testdata/formats/tfjs-graph/uint8.json" // a description and weights at once
	if code, out, errs := vggo(t.Context(), "arch", graph); code != exitOK || !strings.Contains(out, "conv 3x3/2 same") {
		t.Errorf("a graph-model: exit %d, %s%s", code, out, errs)
	}
	t.Chdir(dir) // without a slash in the name
	for _, name := range []string{"plain", "net.dat"} {
		if code, _, errs := vggo(t.Context(), "arch", name); code != exitOK {
			t.Errorf("%s: exit %d, %s", name, code, errs)
		}
	}
	code, _, errs := vggo(t.Context(), "classify", "x.png", "--model", "w.npz")
	refused(t, code, errs, exitUsage, "--model w.npz: a network's description is text, and this file is not",
		"--weights w.npz")
}

// TestEndings: what -o's file is called is what is written, unless --format says otherwise.
func TestEndings(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, c := range []struct{ args, file, begins string }{
		{"arch tinyvgg", "x.svg", "<svg "}, {"arch tinyvgg", "x.SVG", "<svg "}, {"arch tinyvgg", "x.json", "{\n"},
		{"arch tinyvgg", "x.csv", "layer,kind,"},
		{"arch tinyvgg", "x.md", "## tinyvgg"}, {"arch tinyvgg", "x.txt", "tinyvgg: "}, {"arch tinyvgg", "x", "tinyvgg: "},
		{"arch tinyvgg --format csv", "x.svg", "layer,kind,"}, {"arch tinyvgg --json", "x.txt", "{\n"},
		{"arch --list", "x.csv", "name,"},
		{"arch --compare tinyvgg,vgg16", "x.md", "| network"},
		{"arch tinyvgg --describe", "x.yml", "name: tinyvgg"}, {"arch tinyvgg --describe", "x.json", "{\n"},
		{"arch tinyvgg --describe", "x", "name: tinyvgg"},
		{"bench --model tinyvgg --explain-plan", "x.json", "{\n"}, {"bench --model tinyvgg --explain-plan", "x.txt",
			"tinyvgg, input "},
		{"bench --model tinyvgg --batch 1 --steps 1 --burn-in 0 --mode forward", "x.svg", "<svg "},
		{"bench --model tinyvgg --batch 1 --steps 1 --burn-in 0 --mode forward", "x.json", "{\n"},
	} {
		code, _, errs := vggo(t.Context(), append(strings.Fields(c.args), "-o", c.file)...)
		text, err := os.ReadFile(c.file)
		if code != exitOK || err != nil || !bytes.HasPrefix(text, []byte(c.begins)) {
			t.Errorf("vggo %s -o %s: exit %d, %s%v\n%.60q, want %q", c.args, c.file, code, errs, err, text, c.begins)
		}
		os.Remove(c.file)
	}
}

// TestHelpNamesReLU: the commands that take a layer say how the output of a ReLU is called.
func TestHelpNamesReLU(t *testing.T) {
	for _, command := range []string{"explain", "features"} {
		if _, help, _ := vggo(t.Context(), command, "--help"); !strings.Contains(help,
			"The ReLU behind conv5_3 is a layer of its own,\nrelu5_3") {
			t.Errorf("%s --help:\n%.600s", command, help)
		}
	}
}
