package vision

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestReadLabels(t *testing.T) {
	catDog, three := []string{"cat", "dog"}, []string{"a", "b", "c"}
	for _, c := range []struct {
		what, text string
		want       []string
		synsets    []string
		fault      string
	}{
		{"lines", "cat\ndog\n", catDog, nil, ""},
		{"windows", "\ufeffcat\r\ndog\r\n", catDog, nil, ""},
		{"synsets", "n01440764 tench, Tinca tinca\nn01443537 goldfish", []string{"tench, Tinca tinca", "goldfish"},
			[]string{"n01440764", "n01443537"}, ""},
		{"synsets and tabs", "n01440764\ttench\nn01443537\tgoldfish", []string{"tench", "goldfish"},
			[]string{"n01440764", "n01443537"}, ""},
		{"synsets alone", "n01440764\nn01443537", []string{"n01440764", "n01443537"}, []string{"n01440764", "n01443537"}, ""},
		{"numbered", "1: dog\n0: cat", catDog, nil, ""},
		{"numbered by spaces", "0 cat\n1 dog", catDog, nil, ""},
		{"numbered by tabs", "0\tcat\n1\tdog", catDog, nil, ""},
		{"numbers last", "dog 1\ncat 0", catDog, nil, ""},
		{"numbers after commas", "dog,1\ncat,0", catDog, nil, ""},
		{"numbers and synsets", "0: n01440764 tench\n1: n01443537 goldfish", []string{"tench", "goldfish"},
			[]string{"n01440764", "n01443537"}, ""},
		{"numbered by dots", "1. dog\n0. cat", catDog, nil, ""},
		{"numbered by brackets", "1) dog\n0) cat", catDog, nil, ""},
		{"numbered by dashes", "1 - dog\n0 - cat", catDog, nil, ""},
		{"numbered by arrows", "1 -> dog\n0 -> cat", catDog, nil, ""},
		{"numbers after arrows", "dog => 1\ncat => 0", catDog, nil, ""},
		{"numbers after colons", "dog: 1\ncat: 0", catDog, nil, ""},
		{"numbered in quotes", "\"1\",\"dog\"\n\"0\",\"cat, tabby\"", []string{"cat, tabby", "dog"}, nil, ""},
		{"numbered from 1, in order", "1. cat\n2. dog", []string{"1. cat", "2. dog"}, nil, ""},
		{"parts of numbers", "0.5 l\n1.5 l", []string{"0.5 l", "1.5 l"}, nil, ""},
		{"numbers within names", "class 0\nclass 1", []string{"class 0", "class 1"}, nil, ""},
		{"coins", "1 cent\n2 cent\n5 cent", []string{"1 cent", "2 cent", "5 cent"}, nil, ""},
		{"numbers alone", "1\n10\n2", []string{"1", "10", "2"}, nil, ""},
		{"commas within names", "tench, Tinca tinca\ngoldfish, Carassius auratus", []string{"tench, Tinca tinca",
			"goldfish, Carassius auratus"}, nil, ""},
		{"table", "ClassId,SignName\n1,\"Stop, now\"\n0,Speed limit", []string{"Speed limit", "Stop, now"}, nil, ""},
		{"table of more", "name,supercategory,id\ncat,animal,0\ndog,animal,1", catDog, nil, ""},
		{"json", ` ["cat", "wild \"dog\""] `, []string{"cat", `wild "dog"`}, nil, ""},
		{"json pairs", `[["n01440764", "tench"], ["n01443537", "goldfish"]]`, []string{"tench", "goldfish"},
			[]string{"n01440764", "n01443537"}, ""},
		{"json categories", `[{"id": 1, "name": "dog"}, {"id": 0, "name": "cat"}]`, catDog, nil, ""},
		{"class_indices", `{"b": 1, "c": 2, "a": 0}`, three, nil, ""},
		{"class_indices of numbers", `{"1": 0, "10": 1, "2": 2}`, []string{"1", "10", "2"}, nil, ""},
		{"class_indices of synsets", `{"n01440764": 0, "n01443537": 1}`, []string{"n01440764", "n01443537"},
			[]string{"n01440764", "n01443537"}, ""},
		{"class_index", `{"0": ["n01", "a"], "1": ["n02", "b"], "2": ["n03", "c"]}`, three, []string{"n01", "n02", "n03"},
			""},
		{"id2label", `{"0": "a", "2": "c", "1": "b"}`, three, nil, ""},
		{"config.json",
			`{"architectures": ["X"], "id2label": {"0": "a", "1": "b", "2": "c"}, "label2id": {"a": 0, "b": 1, "c": 2}, ` +
				`"hidden_act": null, "p": 0.1}`, three, nil, ""},
		{"label2id", `{"x": true, "label2id": {"a": 0, "b": 1, "c": 2}}`, three, nil, ""},
		{"class_to_idx", `{"class_to_idx": {"a": 0, "b": 1, "c": 2}}`, three, nil, ""},
		{"python", `{'a': 0, 'b': 1, 'c': 2}`, three, nil, ""},
		{"python numbers", `{0: 'a', 1: "b's",
 2: 'c, d'}`, []string{"a", "b's", "c, d"}, nil, ""},
		{"python list", `['cat', 'dog']`, catDog, nil, ""},
		{"ultralytics", "path: ../x\ntrain: images/train\n\nnc: 3\nnames:\n  0: a\n  1: b\n  2: c\n", three, nil, ""},
		{"ultralytics list", "nc: 2\nnames: ['cat', \"dog\"]  # two", catDog, nil, ""},
		{"yaml list", "- cat\n- dog", catDog, nil, ""},
		{"yaml words", "names: [no, yes, 7, ~x]", []string{"no", "yes", "7", "~x"}, nil, ""},
		{"a class called names", `{"names": 0, "b": 1}`, []string{"names", "b"}, nil, ""},

		{"numbered from 1, in another order", "2 dog\n1 cat", nil, nil, "they begin with 1: take 1 from each"},
		{"numbers from 1 last, in another order", "dog 2\ncat 1", nil, nil, "they begin with 1: take 1 from each"},
		{"empty", " \n", nil, nil, "the file is empty"},
		{"empty line", "cat\n\ndog", nil, nil, "label 2 is empty"},
		{"escape", "cat\n\x1b[2Jdog", nil, nil, "label 2 is not a name"},
		{"json null", `["cat", null]`, nil, nil, "label 2 is empty"},
		{"json empty name", `["cat", ""]`, nil, nil, "label 2 is empty"},
		{"json object", `[{"a":1}]`, nil, nil, "labels must be"},
		{"json cut", `["cat"`, nil, nil, "labels as JSON: unexpected EOF"},
		{"json more", `["cat"] x`, nil, nil, "labels as JSON"},
		{"json deep", strings.Repeat("[", 100_000), nil, nil, "labels as JSON"},
		{"json of others", `{"model": {"layers": 3}}`, nil, nil, "labels must be"},
		{"binary", "\xff\xfe", nil, nil, "UTF-8"},
		{"long", strings.Repeat("a", 16<<20+1), nil, nil, "more than 16777216 bytes"},
		{"twice", "cat\ndog\ncat", nil, nil, `"cat" is the name of two classes, 0 and 2`},
		{"twice in json", `{"0": "cat", "1": "cat"}`, nil, nil, `"cat" is the name of two classes, 0 and 1`},
		{"a number twice", `{"0": "cat", "1": "dog", "1": "bird"}`, nil, nil, `class 1 has two names, "dog" and "bird"`},
		{"a key twice", `{"cat": 0, "dog": 1, "cat": 2}`, nil, nil, `"cat" is the name of two classes, 0 and 2`},
		{"an index twice", `{"cat": 0, "dog": 1, "bird": 1}`, nil, nil, `class 1 has two names, "dog" and "bird"`},
		{"a gap", `{"0": "cat", "2": "dog"}`, nil, nil,
			"class 1 has no name: the numbers of 2 classes must be those from 0 " +
				"to 1, and they begin with 0"},
		{"from 1", `{"1": "cat", "2": "dog"}`, nil, nil, "class 0 has no name: the numbers of 2 classes must be those from " +
			"0 to 1, and they begin with 1: take 1 from each"},
		{"a gap in lines", "0: cat\n3: dog", nil, nil, "class 1 has no name"},
		{"a gap after spaces", "0 cat\n1 dog\n3 bird", nil, nil, "class 2 has no name"},
		{"twice in lines", "0 cat\n1 dog\n1 bird", nil, nil, `class 1 has two names, "dog" and "bird"`},
		{"map_clsloc", "n02119789 1 kit_fox\nn02100735 2 English_setter", nil, nil, "class 0 has no name"},
		{"negative", `{"cat": -1, "dog": 0}`, nil, nil, "one is below it"},
		{"huge", `{"cat": 0, "dog": 2000000000}`, nil, nil, "class 1 has no name"},
		{"a gap in a table", "id,name\n0,cat\n2,dog", nil, nil, "class 1 has no name"},
		{"yaml bomb", "a: &a [x, x]\nnames: *a", nil, nil, "aliases are not followed"},
	} {
		got, err := readLabels(strings.NewReader(c.text))
		if c.fault == "" && (err != nil || !slices.Equal(got.Names, c.want) || !slices.Equal(got.Synsets, c.synsets)) {
			t.Errorf("%s: %q (%v), want %q %q", c.what, got, err, c.want, c.synsets)
		}
		if c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault)) {
			t.Errorf("%s: %q, error %v, want %q", c.what, got.Names[:min(3, len(got.Names))], err, c.fault)
		}
	}
}

// TestImageNetTwins: ImageNet has two cranes, whatever else stands twice is refused.
func TestImageNetTwins(t *testing.T) {
	names := ImageNetClasses()
	names[134], names[517] = "crane", "crane"
	l, err := readLabels(strings.NewReader(strings.Join(names, "\n")))
	if err != nil || !slices.Equal(l.Synsets, ImageNetSynsets()) {
		t.Errorf("two cranes: %v", err)
	}
	if l, err = readLabels(strings.NewReader("background\n" + strings.Join(names, "\n"))); err != nil ||
		l.Synsets[1000] != "n15075141" {
		t.Errorf("after TensorFlow's background: %v", err)
	}
	for i := range names {
		names[i] = "class " + names[(i+1)%1000] + "s"
	}
	if l, err = readLabels(strings.NewReader(strings.Join(names, "\n"))); err == nil || l.Synsets != nil {
		t.Errorf("other names: %v", err)
	}
}

func TestImageNetLabels(t *testing.T) {
	root := os.Getenv("VGGO_TESTDATA")
	if root == "" {
		t.Skip("VGGO_TESTDATA is not set: ImageNet's labels are not read")
	}
	for name, want := range map[string]string{
		"imagenet-simple-labels.json": "tench",
		"imagenet-synsets.txt":        "tench, Tinca tinca",
	} {
		labels, err := ReadLabelsFile(filepath.Join(root, "labels", name))
		if err != nil || len(labels.Names) != 1000 || labels.Names[0] != want ||
			!slices.Equal(labels.Synsets, ImageNetSynsets()) {
			t.Errorf("%s: %d labels, the first %q (%v)", name, len(labels.Names), labels.Names[:min(1, len(labels.Names))], err)
		}
	}
}
