package main

import (
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// plantFolders makes folders with four pictures each, of a colour that the folder's last name tells: red for a, green
// for b, blue for others.
func plantFolders(t *testing.T, list string) {
	t.Helper()
	for _, folder := range strings.Fields(list) {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		for i := range 4 {
			m := image.NewNRGBA(image.Rect(0, 0, 16, 16))
			for p := range 256 {
				c := [3]uint8{}
				c[map[string]int{"a": 0, "b": 1}[filepath.Base(folder)]] = uint8(200 + i)
				if name := filepath.Base(folder); name != "a" && name != "b" {
					c[0], c[2] = 0, uint8(200+i)
				}
				m.Set(p%16, p/16, color.NRGBA{c[0], c[1], c[2], 255})
			}
			if err := writeTo(filepath.Join(folder, fmt.Sprint(i)+".png"), nil,
				func(w io.Writer) error { return png.Encode(w, m) }); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func writeText(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

// TestEvalMatches: which class is which, or why it cannot be told, on the command line and in JSON.
func TestEvalMatches(t *testing.T) {
	t.Chdir(t.TempDir())
	plantFolders(t, "set/a set/b set/c deeper/a/s1 deeper/a/s2 deeper/b/s1 deeper/b/s2 deeper/c/s1 deeper/c/s2 up/set/a "+
		"up/set/b up/set/c")
	plantFolders(t, "parts/Training/a parts/Training/b parts/Training/c parts/Testing/a parts/Testing/b "+
		"parts/annotations/x imagenette/val/n01440764 imagenette/val/n02979186")
	plantFolders(t, "unknown/one/a unknown/one/b unknown/two/a unknown/two/b Loose/A Loose/B")
	plantFolders(t, "pair/neg pair/pos")
	writeText(t, "pair.txt", "pos\nneg\n")
	writeText(t, "typo.txt", "c\na\nbee\n")
	writeText(t, "right.txt", "c\na\nb\n")
	writeText(t, "other.txt", "x\ny\nz\n")
	writeText(t, "twice.txt", "a\nb\na\n")
	writeText(t, "gap.json", `{"a": 0, "b": 1, "c": 3}`)
	for _, c := range []struct {
		args string
		by   string // "guessed order", "name" …; empty where it is refused
		part string
		said string // or what is refused, and "hint: …"
	}{
		{"set", "guessed order", "", "classes guessed by order, as torchvision and Keras count folders: nothing names the " +
			"network's classes"},
		{"set -l right.txt", "name", "", "classes matched by name\n"},
		{"Loose -l right.txt", "name", "", `classes matched by name; "A" is taken for "a"; "B" is taken for "b"`},
		{"parts -l right.txt", "name", "Testing", "part: Testing, of Testing, Training\nleft out: annotations\nclasses " +
			"matched by name\n"},
		{"parts --train -l right.txt", "name", "Training", "part: Training, of Testing, Training"},
		{"deeper -l right.txt", "name", "", "every class folder holds folders alone"},
		{"deeper --no-parts", "guessed order", "", "classes guessed by order"},
		{"set -l typo.txt --match order", "order", "", "classes matched by order"},
		{"imagenette -m 16x16x3:3/1000", "guessed synset", "imagenette", "classes guessed by WordNet's number: the network " +
			"has 1000 classes"},
		{"pair -m 16x16x3:3/1s", "guessed order", "", "classes guessed by order"}, // one output, two classes
		{"pair -m 16x16x3:3/1s -l pair.txt", "name", "", "is \\ seen as  0  1"},
		{"set -m 16x16x3:3/1s", "", "", "the network has 2 classes, the data 3: which is which?"},
		{"set -l typo.txt", "", "",
			`16x16x3:3/3: the data's class "b" is none of the network's hint: did you mean bee?; --labels names the ` +
				`network's classes, in its order, as the data does; --match order by the order of its classes`},
		{"deeper -l typo.txt", "", "", `the data's class "b" is none of the network's hint: did you mean bee?`},
		{"set -l other.txt", "", "",
			`none of the data's classes is one of the network's: the data has "a", "b", "c", the network "x", "y", "z" hint: ` +
				`--labels `},
		{"set -w embedded", "", "", `none of the data's classes is one of the network's hint: --labels with --relabel names`},
		{"set -l twice.txt", "", "", `twice.txt: "a" is the name of two classes, 0 and 2 `},
		{"set -l gap.json", "", "", `gap.json: class 2 has no name`},
		{"deeper", "", "",
			"deeper: a, b and c hold the same folders (s1 and s2): are they parts of a data set, or classes? " +
				"hint: name one: vggo eval deeper/a; --no-parts takes each folder for a class"},
		{"unknown -l right.txt", "", "", "unknown: one and two hold the same folders (a and b): are they parts of a data " +
			"set, or classes? hint: name one: vggo eval unknown/one"},
		{"up -l right.txt", "", "", "none of the data's classes is one of the network's hint: is the folder one too high? " +
			"set holds a, b, c"},
		{"deeper/a -l right.txt", "", "", "none of the data's classes is one of the network's hint: is the folder one too " +
			"low? it is itself called as a class: name deeper"},
		{"parts/Testing", "", "", "the network has 3 classes, the data 2: which is which? hint: --labels "},
		{"set -m 16x16x3:3/3 --match no", "", "", "--match must be auto, number or order"},
		{"set --match number", "", "", `the data's class "a" is no number hint: `},
		{"set --train --no-parts", "", "", "--train and --no-parts exclude each other"},
	} {
		args := append([]string{"eval", "--preprocess", "unit"}, strings.Fields(c.args)...)
		if !slices.Contains(args, "-w") {
			args = append(args, "--random-weights")
			if !slices.Contains(args, "-m") {
				args = append(args, "-m", "16x16x3:3/3")
			}
		}
		code, stdout, stderr := vggo(t.Context(), args...)
		if c.by == "" {
			want, wantHint, _ := strings.Cut(c.said, " hint: ")
			if code == exitOK || !strings.Contains(stderr, strings.TrimSpace(want)) || !strings.Contains(stderr, wantHint) {
				t.Errorf("eval %s: exit %d, %s, want %q", c.args, code, stderr, c.said)
			}
			continue
		}
		if code != exitOK || stderr != "" || !strings.Contains(stdout, c.said) {
			t.Errorf("eval %s: exit %d, %s%s, want %q", c.args, code, stdout, stderr, c.said)
		}
		var got evaluation
		_, stdout, stderr = vggo(t.Context(), append(args, "--json")...)
		if err := json.Unmarshal([]byte(stdout), &got); err != nil {
			t.Errorf("eval %s --json: %v: %s", c.args, err, stderr)
			continue
		}
		by, guessed := strings.CutPrefix(c.by, "guessed ")
		if got.Match.By != by || got.Match.Guessed != guessed || got.dataJSON.Part != c.part && c.part != "imagenette" {
			t.Errorf("eval %s --json: %+v, part %q", c.args, got.Match, got.dataJSON.Part)
		}
		if c.part == "imagenette" && (got.dataJSON.Part != "val" || got.Classes[1].Class != 482) {
			t.Errorf("eval %s --json: %+v", c.args, got)
		}
	}
}

// TestEvalFromOne: numbers that begin with 1 are taken for those from 0, which is said, and every picture counts once.
func TestEvalFromOne(t *testing.T) {
	t.Chdir(t.TempDir())
	writeText(t, "t10k-images-idx3-ubyte", "\x00\x00\x08\x03\x00\x00\x00\x03\x00\x00\x00\x02\x00\x00\x00\x02"+
		strings.Repeat("0123", 3))
	writeText(t, "t10k-labels-idx1-ubyte", "\x00\x00\x08\x01\x00\x00\x00\x03\x01\x02\x01")
	writeText(t, "ab.txt", "a\nb\n")
	for _, c := range []struct {
		args []string
		why  string
	}{
		{nil, "nothing names the network's classes; the data's numbers, 1 to 2, are taken for 0 to 1"},
		{[]string{"-l", "ab.txt"}, "the data names no classes; the data's numbers, 1 to 2, are taken for 0 to 1"},
	} {
		var got evaluation
		decodeJSON(t, succeeds(t, append([]string{"eval", ".", "--random-weights", "--preprocess", "unit", "-m", "2x2x1:3/2",
			"--json"}, c.args...)...), &got)
		if got.Match.By != "order" || !got.Match.Guessed || got.Match.Why != c.why || got.Pictures != 3 ||
			len(got.Classes) != 2 || got.Classes[0].Pictures != 2 {
			t.Errorf("eval %v: %+v", c.args, got)
		}
	}
}

// TestTrainParts: which part is learned, validated and tested on, and what is refused.
func TestTrainParts(t *testing.T) {
	t.Chdir(t.TempDir())
	plantFolders(t, "tt/Training/a tt/Training/b tt/Testing/a tt/Testing/b tv/train/a tv/train/b tv/valid/a tv/valid/b "+
		"three/Train/a three/Train/b three/Val/a three/test/a three/test/b")
	plantFolders(t, "one/a two/a two/b up/set/a up/set/b unknown/x/a unknown/x/b unknown/y/a unknown/y/b odd/train/a "+
		"odd/train/b odd/valid/a odd/valid/bb")
	plantFolders(t, "tiny/train/a tiny/train/b tiny/val tiny/test yolo/images/train/a yolo/images/train/b "+
		"yolo/images/val/a yolo/labels/train")
	plantFolders(t, "learn/Learning/a learn/Learning/b learn/Testing/a learn/Testing/b plant/it's/it's/train/a "+
		"plant/it's/it's/train/b plant/test/test")
	plantFolders(t, "wrapped/in/training_set/a wrapped/in/training_set/b wrapped/in/test_set/a wrapped/in/test_set/b")
	if err := os.Mkdir("runs", 0o777); err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct {
		args string
		code int
		said string // all of these, in order, parted by |
	}{
		{"tt", 0, "8 pictures of 2 classes|part: Training, of Testing, Training|not used: Testing; --test scores"},
		{"tt --test", 0, "part: Training|test, when all is done: Testing|test, views none"},
		{"tv", 0, "part: train, of train, valid|validation: valid (--validation none leaves it alone)|validation: loss"},
		{"tv --validation none", 0, "part: train, of train, valid|the last step's loss"},
		{"tv --test", 0, "there is no part to test on: valid is taken|test, when all is done: valid|test, views none"},
		{"tv --set hold_out=2", 0, "not used: valid, since the recipe's hold_out validates|of 1|validation: loss"},
		{"three --test", 0, "part: Train, of Train, Val, test|test, when all is done: test|validation: Val|test, views none"},
		{"wrapped", 0, "part: in/training_set, of in/test_set, in/training_set"},
		{"two --validation one", 0, "validation: loss"}, // of one class
		{"two --validation tv", 0, "validation: loss"},
		{"tiny", 0, "part: train, of test, train, val|not validated: the 4 pictures in val lie in no class folders|not " +
			"used: test"},
		{"yolo", 0, "part: images/train, of images/train, images/val\nleft out: labels\nvalidation: images/val"},
		{"learn", 1, "there is no part to train on, only Testing, beside Learning\nhint: name one: vggo train " +
			"|learn/Learning\n"},
		{"plant", 1, `is it a part, or a class?|hint: name one: vggo train '|plant/it'\''s'; --no-parts`},
		{"unknown --no-parts", 0, "16 pictures of 2 classes"},
		{"unknown", 1, "x and y hold the same folders (a and b): are they parts|hint: name one: vggo train |--validation " +
			"|--no-parts"},
		{"one", 1,
			`one: all pictures are of one class, "a", and beside one there is learn, odd, |: is the folder named one too ` +
				`low?|hint: to tell these apart: vggo train `},
		{"up", 1,
			`up: all pictures are of one class, "set", whose folder holds a and b: is the folder named one too high?|hint: ` +
				`to tell these apart: vggo train |up/set`},
		{"two/a", 1, "its 4 pictures lie in no class folders; if all are of one class, name the folder above"},
		{"odd", 1,
			`the data's class "bb" is none of the training set's|hint: its class folders must be called as those to learn from`},
		{"two --no-parts --test", 2, "--no-parts and --test exclude each other"},
	} {
		folder := fmt.Sprintf("runs/%d", i)
		code, stdout, stderr := vggo(t.Context(), append([]string{"train", "--model", "16x16x3:4,M/2", "--batch", "4",
			"--epochs", "1", "-o", folder}, strings.Fields(c.args)...)...)
		rest := stdout + stderr
		for said := range strings.SplitSeq(c.said, "|") {
			_, after, ok := strings.Cut(rest, said)
			if !ok {
				t.Errorf("train %s: %s%s, want %q", c.args, stdout, stderr, said)
				break
			}
			rest = after
		}
		if code != c.code {
			t.Errorf("train %s: exit %d, want %d: %s", c.args, code, c.code, stderr)
		}
		if _, err := os.Stat(folder); c.code != 0 && err == nil {
			t.Errorf("train %s is refused, and leaves a folder", c.args)
		}
		if c.code == 0 {
			if out := succeeds(t, "train", "--resume", folder); !strings.Contains(out, folder) {
				t.Errorf("train --resume, of %s: %s", c.args, out)
			}
		}
	}
}

// TestTrainFromClasses: a last layer that goes on answers for the classes that it was trained for.
func TestTrainFromClasses(t *testing.T) {
	t.Chdir(t.TempDir())
	plantFolders(t, "abc/a abc/b abc/c xyz/x xyz/y xyz/z")
	writeText(t, "cab.txt", "c\na\nb\n")
	succeeds(t, "train", "abc", "--model", "16x16x3:4,M/3", "--batch", "4", "--epochs", "8", "-o", "run")
	if out := succeeds(t, "eval", "abc", "-w", "run/model.safetensors"); !strings.Contains(out, "top-1 100.00 %") {
		t.Fatalf("three colours are not learned:\n%s", out)
	}
	from := func(file, data string, more ...string) string {
		return succeeds(t, append([]string{"train", data, "--from", file, "--batch", "4", "--epochs", "1", "--rate", "1e-9",
			"-o", "tuned-" + filepath.Base(file) + data}, more...)...)
	}
	head := func(file string) []float32 { return tensorOf(t, file, "fc2/w") }
	if out := from("run/model.safetensors", "abc"); strings.Contains(out, "last layer") {
		t.Errorf("the same classes:\n%s", out)
	}
	if out := from("run/model.safetensors", "xyz"); !strings.Contains(out,
		"the last layer is made anew: run/model.safetensors was trained for other classes, a, b, c\n") {
		t.Errorf("other classes:\n%s", out)
	}
	near := func(a, b []float32) bool {
		return slices.EqualFunc(a, b, func(x, y float32) bool { return x-y < 1e-4 && y-x < 1e-4 })
	}
	if near(head("run/model.safetensors"), head("tuned-model.safetensorsxyz/model.safetensors")) ||
		!near(head("run/model.safetensors"), head("tuned-model.safetensorsabc/model.safetensors")) {
		t.Error("the last layer is kept for other classes, or made anew for the same")
	}
	// The same classes in another order, as a file of another program may have them.
	if code, _, stderr := vggo(t.Context(), "convert", "run/model.safetensors", "cab.safetensors", "-l",
		"cab.txt"); code == exitOK || !strings.Contains(stderr, `class 0 is "a" in it, not "c"`) ||
		!strings.Contains(stderr, "hint: ") {
		t.Errorf("other labels: exit %d, %s", code, stderr)
	}
	succeeds(t, "convert", "run/model.safetensors", "cab.safetensors", "-l", "cab.txt", "--relabel")
	if out := from("cab.safetensors", "abc"); !strings.Contains(out,
		"classes in the order of cab.safetensors, whose last layer goes on: c, a, b\n") {
		t.Errorf("another order:\n%s", out)
	}
	if out := succeeds(t, "train", "--resume", "tuned-cab.safetensorsabc"); !strings.Contains(out, "is finished") {
		t.Error(out)
	}
	want := `"c",
    "a",
    "b"`
	if text, err := os.ReadFile("tuned-cab.safetensorsabc/run.json"); err != nil || !strings.Contains(string(text), want) {
		t.Errorf("%s (%v)", text, err)
	}
}

// TestTrainFromPrepared: what a file's network does to its pictures is their preparation when it is trained on, and no
// batch norm that goes by each batch: the result answers as the file does.
func TestTrainFromPrepared(t *testing.T) {
	ends, err := filepath.Abs("../../weights/testdata/onnx/ends")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	plantFolders(t, "abc/a abc/b abc/c")
	pictures, err := filepath.Glob("abc/*/*.png")
	if err != nil || len(pictures) == 0 {
		t.Fatal(pictures, err)
	}
	for i, file := range []string{"preparation.onnx", "preparation-bytes.onnx"} {
		path, run := filepath.Join(ends, file), fmt.Sprintf("run%d", i)
		said := succeeds(t, "train", "abc", "--from", path, "--rate", "1e-12", "--epochs", "1", "--batch", "4", "-o", run)
		if !strings.Contains(said, "what its first layers do to pictures is part of that from here on") {
			t.Errorf("%s: %s", file, said)
		}
		var answers [2][]float32
		for j, w := range []string{path, run + "/model.safetensors"} {
			net := succeeds(t, "arch", w, "--describe")
			if has := strings.Contains(net, "batchnorm"); has != (j == 0) {
				t.Errorf("%s: a batch norm: %t", w, has)
			}
			var told classification
			decodeJSON(t, succeeds(t, "classify", pictures[0], "-w", w, "--top", "3", "--json"), &told)
			answers[j] = make([]float32, 3)
			for _, class := range told.Pictures[0].Classes {
				answers[j][class.Index] = float32(class.Probability)
			}
		}
		if !slices.EqualFunc(answers[0], answers[1], func(x, y float32) bool { return x-y < 1e-4 && y-x < 1e-4 }) {
			t.Errorf("%s: %v, trained on by nothing %v", file, answers[0], answers[1])
		}
		// Said otherwise, the network stays as it is, which is told.
		code, _, errs := vggo(t.Context(), "train", "abc", "--from", path, "--preprocess", "unit", "--epochs", "1", "--batch",
			"4", "-o", run+"said")
		if code != exitOK || !strings.Contains(errs, "it is trained as a batch norm, which goes by each batch") {
			t.Errorf("%s with --preprocess: exit %d, %s", file, code, errs)
		}
	}
	code, _, errs := vggo(t.Context(), "train", "abc", "--from", filepath.Join(ends, "preparation.onnx"), "--model",
		"6x5x3:4,5,G/3", "--epochs", "1", "-o", "other")
	if code == exitOK || !strings.Contains(errs, "hint: without --model the run begins with the file's own network") {
		t.Errorf("another network: exit %d, %s", code, errs)
	}
}

// TestLabels: a file's own names stay, a label comes before a number, and what is ambiguous is said.
func TestLabels(t *testing.T) {
	t.Chdir(t.TempDir())
	plantFolders(t, "abc/a")
	picture := "abc/a/0.png"
	writeText(t, "numeric.txt", "1\n10\n2\n")
	writeText(t, "index.json",
		`{"0": ["n01440764", "tench"], "1": ["n01443537", "goldfish"], "2": ["n01484850", "great_white_shark"]}`)
	writeText(t, "cranes.txt", "old crane\nnew crane\nclass 1\n")
	writeText(t, "fashion.txt", "T-shirt\nTrouser\nPullover\nDress\nCoat\nSandal\nShirt\nSneaker\nBag\nAnkle boot\n")
	writeText(t, "cifar.txt", "Airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n")
	writeText(t, "tensorflow.txt", "background\na\nb\nc\n")
	const net = " -m 16x16x3:3/3 --random-weights"
	for _, c := range []struct {
		args string
		code int
		said string // parted by |
	}{
		{"explain -l numeric.txt --class 1" + net, 0,
			`: class 0 (1), |vggo: --class 1 is the class labelled "1", number 0; number 1 is labelled "10"`},
		{"explain -l numeric.txt --class 10" + net, 0, ": class 1 (10), "},
		{"explain -l numeric.txt --class 0" + net, 0,
			`: class 0 (1), |vggo: --class 0 is the class's number; "10" has it in its label`},
		{"explain -l numeric.txt --class 5" + net, 1,
			`16x16x3:3/3 has no class "5": it has 1, 10 and 2|hint: a number counts too, 0 to 2`},
		{"explain -l cranes.txt --class 1" + net, 0,
			`: class 1 (new crane), |--class 1 is the class's number; "class 1" has it in its label`},
		{"explain -l cranes.txt --class crane" + net, 1,
			`2 classes of 16x16x3:3/3 have "crane" in their names|hint: one of 0 old crane, 1 new crane`},
		{"explain -l index.json --class n01443537" + net, 0, ": class 1 (goldfish), "},
		{"explain -l index.json --class Great-White-Shark" + net, 0, ": class 2 (great_white_shark), "},
		{"explain -l index.json --class goldfihs" + net, 1, `has no class "goldfihs"|hint: did you mean goldfish?`},
		{"explain -l index.json --class zebra" + net, 1,
			`has no class "zebra": it has tench, goldfish and great_white_shark|hint: a number counts too, 0 to 2`},
		{"explain --class 3" + net, 1, "16x16x3:3/3 has 3 classes, numbered from 0: there is no class 3"},
		{"explain --class -1" + net, 2, "--class must be at least 0, not -1"},
		{"explain --class cat" + net, 1,
			`no label "cat": nothing names the classes|hint: --labels FILE, or the class's number, 0 to 2`},
		{"classify -l fashion.txt", 1,
			`embedded: the file names its own classes, and the labels given are others: class 0 is "airplane" in it, not ` +
				`"T-shirt"|hint: without --labels the file's own names are used; --relabel takes`},
		{"classify -l fashion.txt --relabel", 0, "knows only T-shirt, Trouser"},
		{"classify -l cifar.txt", 0, "knows only airplane, automobile"},
		{"features --layer relu1_1 -o o.npy -l fashion.txt", 1, "the labels given are others"},
		{"explain -l fashion.txt", 1, "the labels given are others"},
		{"classify --relabel", 2, "--relabel is for --labels, which is missing"},
		{"classify -l tensorflow.txt" + net, 1, "tensorflow.txt: 16x16x3:3/3 has 3 classes, not the 4 that are named|hint: " +
			"the list fits without its first line, background"},
		{"classify -l numeric.txt -m 16x16x3:3/4 --random-weights", 1, "numeric.txt: 16x16x3:3/4 has 4 classes, not the 3 " +
			"that are named|hint: the file must have one name for each class"},
	} {
		args := strings.Fields(c.args)
		code, stdout, stderr := vggo(t.Context(), slices.Concat(args[:1], []string{picture}, args[1:])...)
		rest := stdout + stderr
		for said := range strings.SplitSeq(c.said, "|") {
			_, after, ok := strings.Cut(rest, said)
			if !ok {
				t.Errorf("%s: %s%s, want %q", c.args, stdout, stderr, said)
				break
			}
			rest = after
		}
		if code != c.code {
			t.Errorf("%s: exit %d, want %d: %s", c.args, code, c.code, stderr)
		}
	}
}

// TestReportedData runs the reported situations of data sets and labels by their own command lines.
func TestReportedData(t *testing.T) {
	data := os.Getenv("VGGO_TESTDATA")
	if data == "" {
		t.Skip("VGGO_TESTDATA is not set: the reported situations are not run")
	}
	t.Chdir(filepath.Join(data, "reports"))
	out := t.TempDir()
	const colour = " --model 16x16x3:3/3 --preprocess unit -w data/colour3.pth"
	for _, c := range []struct {
		args string
		code int
		want []string
	}{
		{"train 33-split-names/Training+Testing --model 16x16x3:8,M,8,M/3 --batch 4 --epochs 1 -o OUT/1", 0,
			[]string{"9 pictures of 3 classes", "part: Training"}},
		{"train 33-split-names/train+valid --model 16x16x3:8,M,8,M/3 --batch 4 --epochs 1 -o OUT/2", 0,
			[]string{"9 pictures of 3 classes", "part: train", "validation: valid"}},
		{"eval data/deeper" + colour + " -l data/labels-typo.txt", 1, []string{`"b"`, "bee"}},
		{"train train/oneclass --model 16x16x3:8,M,8,M/1 --epochs 2 --batch 4 -o OUT/3", 1, []string{"oneclass", "one class",
			"hint: "}},
		{"explain data/numeric/10/00.png" + colour + " -l data/labels-numeric.txt --class 1 -o OUT/a.png", 0,
			[]string{"class 0 (1), probability 0.00 %", `"10"`}},
		{"classify data/numeric/10/00.png" + colour + " -l data/class_indices.json", 0, []string{"100.00 %      1  b"}},
		{"classify data/numeric/10/00.png" + colour + " -l data/class_index.json", 0, []string{"100.00 %      1  b"}},
		{"eval data/numeric" + colour + " -l data/labels-numeric.txt", 0, []string{"top-1 100.00 %",
			"classes matched by name"}},
		{"eval data/imagenette --model 32x32x3:4,M/1000 --random-weights -l ../labels/imagenet-synsets.txt", 0,
			[]string{"classes matched by WordNet's number", "  482  cassette player"}},
		{"eval data/imagenette --model 32x32x3:4,M/1000 --random-weights", 0, []string{"classes guessed by WordNet's number",
			"  482  n02979186"}},
	} {
		code, stdout, stderr := vggo(t.Context(), strings.Fields(strings.ReplaceAll(c.args, "OUT", out))...)
		for _, want := range c.want {
			if !strings.Contains(stdout+stderr, want) {
				t.Errorf("%s: %s%s, want %q", c.args, stdout, stderr, want)
			}
		}
		if code != c.code {
			t.Errorf("%s: exit %d, want %d: %s", c.args, code, c.code, stderr)
		}
	}
}
