package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "rewrite the expected output in testdata/script")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"vggo": main})
}

// TestScripts runs testdata/script/*.txtar: the command line as people use it. $WEIGHTS is a trained TinyVGG, $BOOT a
// picture.
func TestScripts(t *testing.T) {
	files := map[string]string{"WEIGHTS": tinyWeights, "BOOT": "../../docs/examples/boot.png"}
	for name, path := range files {
		whole, err := filepath.Abs(path)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = whole
	}
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"), UpdateScripts: *update, RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			for name, path := range files {
				env.Setenv(name, path)
			}
			return nil
		},
	})
}

// TestArchErrors: one line that names the thing, a hint where there is a remedy, exit 2 for a wrong command line and 1
// for what it asks that cannot be.
func TestArchErrors(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("bad.yaml",
		[]byte("name: bad\ninput: 8x8x3\nlayers:\n- {name: a, op: conv, out: 4, kernal: 3}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args       string
		code       int
		want, hint string
	}{
		{"arhc", 2, `unknown command "arhc"`, "did you mean arch?"},
		{"nothing", 2, `unknown command "nothing"`, "vggo --help lists the commands"},
		{"arch", 2, "no network named", "vggo arch vgg16, or vggo arch --list"},
		{"arch vgg16 vgg19", 2, "more than one network named", "vggo arch --compare vgg16,vgg19"},
		{"arch --nosuch", 2, "unknown flag: --nosuch", "vggo arch --help lists the flags"},
		{"arch --formulsa", 2, "unknown flag: --formulsa", "did you mean --formulas? vggo arch --help lists the flags"},
		{"arch -formulas vgg16", 2, "unknown shorthand flag: 'f' in -formulas", "did you mean --formulas?"},
		{"--versoin", 2, "unknown flag: --versoin", "did you mean --version?"},
		{"help arhc", 2, `there is no command "arhc" to help with`, "did you mean arch?"},
		{"help nothing", 2, `there is no command "nothing" to help with`, "vggo --help lists the commands"},
		{"completion basj", 2, `vggo completes for no shell "basj"`, "vggo completion bash, fish, powershell or zsh"},
		{"serve vgg16.pth", 2, `vggo serve takes flags alone, and "vgg16.pth" is none`, "--weights vgg16.pth"},
		{"bench vgg19", 2, `vggo bench takes flags alone, and "vgg19" is none`, "--model vgg19"},
		{"pull vgg61", 1, `no published weights are called "vgg61"`,
			"did you mean vgg11, vgg16, vgg13? vggo models lists them"},
		{"arch vgg16 -o x.png", 2, "-o x.png: its ending must be .svg, .json, .csv, .md or .txt", ""},
		{"arch vgg16 -o x.yaml", 2, "-o x.yaml: its ending must be .svg, ",
			"--describe writes a description, in YAML or JSON"},
		{"arch vgg16 --describe -o x.svg", 2, "-o x.svg: its ending must be .yaml, .yml or .json", ""},
		{"arch --list -o x.svg", 2, "svg draws one network", ""},
		{"bench -o x.csv", 2, "-o x.csv: its ending must be .svg, .json or .txt", ""},
		{"bench --explain-plan -o x.svg", 2, "--explain-plan has nothing to draw", ""},
		{"calibrate -o x.svg", 2, "-o x.svg: its ending must be .json", ""},
		{"arch vgg16 --format png", 2, `unknown format "png": want table, markdown, csv, json or svg`, ""},
		{"arch vgg16 --format csv --json", 2, "vggo: --format and --json exclude each other", ""},
		{"arch vgg16 --head big", 2, `unknown head "big": want paper, adaptive or dense`, ""},
		{"arch vgg16 --input 224", 2, `--input: shape "224": want height x width x channels, as 224x224x3`, ""},
		{"arch --list vgg16", 2, "--list takes no network", ""},
		{"arch --list --format svg", 2, "svg draws one network", ""},
		{"arch --compare vgg16,vgg19 --format svg", 2, "svg draws one network", ""},
		{"arch vgg61", 1, `no network is called "vgg61"`, "did you mean vgg11, vgg16, vgg13, vgg16c? vggo arch --list " +
			"lists all"},
		{"arch resnet50", 1, `no network is called "resnet50"`, "vggo arch --list lists all; there is no file called so, " +
			"and a compact string looks like"},
		{"arch none.yaml", 1, "open none.yaml: ", "vggo arch vgg16 --describe -o none.yaml makes one"},
		{"arch bad.yaml", 1,
			`bad.yaml: line 4: layer a: unknown field "kernal": conv takes out, kernel, stride, pad, dilation, groups, bias`,
			""},
		{"arch 64,X", 1, `compact string: item 2, "X" at column 4: want a channel count, M, A, R, L or G`, ""},
		{"arch vgg16 --input 16x16x3", 1, "vgg16: layer pool5: input 1x1x512: height: a kernel of 2 is larger than its " +
			"padded input of 1", ""},
		{"arch vgg16 --batch 0", 2, "--batch must be at least 1, not 0", ""},
		{"arch vgg16 --batch 1048577", 1, "batch 1048577 must lie between 1 and 1048576", ""},
		{"arch vgg16 --batch many", 2, `--batch: "many" is no whole number in range`, "vggo arch --help lists the flags"},
		{"arch 64,M --head dense", 1, "64,M: a head needs one flatten layer", ""},
		{"arch vgg16 -o missing/out.txt", 1, "cannot write missing/out.txt: ", ""},
		{"arch vgg16 -o .", 1, "open .: ", ""},
		{"field", 2, "neither a network nor kernels named", "vggo field vgg16, or vggo field 3 3 3"},
		{"field 3 vgg16", 2, `kernel "vgg16": want a number`, "name one network, or a stack of kernels such as 3 3 3"},
		{"field 3 3 --layer conv1_1", 2, "--layer and --input are for a network", ""},
		{"field vgg16 --layer conv9", 1,
			`vgg16 has no layer "conv9": it has conv1_1, relu1_1, conv1_2, relu1_2 … relu7, drop7, fc8, softmax, 40 in all`,
			"vggo arch vgg16 --describe lists all"},
		{"field vgg16 --layer conv55_3", 1, `vgg16 has no layer "conv55_3"`, "did you mean conv5_3"},
		{"field 8x8x1:4/2 --layer fc1", 1, `8x8x1:4/2 has no layer "fc1": it has conv1_1, relu1_1, flatten, fc2 and softmax`,
			"did you mean fc2? vggo arch 8x8x1:4/2 --describe"},
		{"field 1048576s1048576 1048576s1048576 1048576s1048576", 1, "the receptive field is more than", ""},
		{"version extra", 2, `vggo version takes flags alone, and "extra" is none`, "vggo version --help"},
	} {
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), strings.Fields(c.args), &stdout, &stderr)
		lines := strings.Split(strings.TrimSuffix(stderr.String(), "\n"), "\n")
		if code != c.code || !strings.HasPrefix(lines[0], "vggo: ") || !strings.Contains(lines[0], c.want) ||
			stdout.Len() > 0 {
			t.Errorf("vggo %s: exit %d, %q, stdout %q; want exit %d and %q", c.args, code, stderr.String(), stdout.String(),
				c.code, c.want)
		}
		if list := goList.FindString(stderr.String()); list != "" {
			t.Errorf("vggo %s: a list of Go's, %s, in %s", c.args, list, stderr.String())
		}
		switch {
		case c.hint == "" && len(lines) == 1:
		case c.hint != "" && len(lines) == 2 && strings.HasPrefix(lines[1], "hint: ") && strings.Contains(lines[1], c.hint):
		default:
			t.Errorf("vggo %s: %q, want the hint %q", c.args, lines[1:], c.hint)
		}
	}
}

// TestWriteTo: a file takes its name only when it is whole.
func TestWriteTo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.txt")
	if err := os.WriteFile(path, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code := run(t.Context(), []string{"arch", "vgg16", "--head", "none", "-o", path}, os.Stdout,
		new(bytes.Buffer)); code != exitUsage {
		t.Errorf("exit %d, want %d", code, exitUsage)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "before" {
		t.Errorf("after a failure the file holds %q (%v)", got, err)
	}
	if code := run(t.Context(), []string{"arch", "vgg16", "--json", "-o", path}, os.Stdout,
		new(bytes.Buffer)); code != exitOK {
		t.Errorf("exit %d, want %d", code, exitOK)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Contains(got, []byte(`"parameters": 138357544`)) {
		t.Errorf("the file lacks the report (%v)", err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("%v is left in the folder (%v), want out.txt alone", left, err)
	}
}

// goList is a list as Go writes it: [a b].
var goList = regexp.MustCompile(`\[[^\[\],]+ [^\[\],]+\]`)

// refused checks what a command that fails says: one line with want in it, and one with a hint or none.
func refused(t *testing.T, code int, stderr string, wantCode int, want, wantHint string) {
	t.Helper()
	if list := goList.FindString(stderr); list != "" {
		t.Errorf("a list of Go's, %s, in %s", list, stderr)
	}
	fault, rest, _ := strings.Cut(stderr, "\n")
	remedy, more, _ := strings.Cut(rest, "\n")
	if code != wantCode || !strings.HasPrefix(fault, "vggo: ") || !strings.Contains(fault, want) {
		t.Errorf("exit %d: %s, want exit %d with %q", code, fault, wantCode, want)
	}
	if wantHint != "" && (!strings.HasPrefix(remedy, "hint: ") || !strings.Contains(remedy, wantHint)) || wantHint == "" &&
		remedy != "" || more != "" {
		t.Errorf("after the error: %q, want a hint with %q", rest, wantHint)
	}
}
