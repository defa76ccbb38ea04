package vision

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/vggo/vggo/internal/plainfile"
)

// Labels are what classes are called, by the number of the network's output.
type Labels struct {
	Names   []string // nil where nothing tells them
	Synsets []string // WordNet's numbers, such as n01440764; "" for a class without, nil where none has one
}

// maxLabels bounds a file of labels, 500 times ImageNet's.
const maxLabels = 16 << 20

// maxLabel bounds one label; ImageNet's longest has 121 bytes.
const maxLabel = 1 << 10

// synsetPattern is WordNet's number, alone or before a name: "n01440764 tench, Tinca tinca", "n02085620-Chihuahua".
var synsetPattern = regexp.MustCompile(`^(n\d{8})(?:$|[\s_-]+)`)

// splitSynset takes WordNet's number off a label. A number alone is a name as well.
func splitSynset(label string) (synset, name string) {
	found := synsetPattern.FindStringSubmatch(label)
	if found == nil {
		return "", label
	}
	if name = label[len(found[0]):]; name == "" {
		name = found[1]
	}
	return found[1], name
}

// ReadLabelsFile reads class names; its errors name the file.
func ReadLabelsFile(path string) (Labels, error) { return plainfile.Read(path, readLabels) }

// readLabels reads class names, in any of these forms:
//
//	lines    one name on each, in order: "tench"; "n01440764 tench, Tinca tinca"
//	         numbered from 0, in any order: "0: cat", "0 cat", "0,cat", "cat: 0"; a table with a heading: "ClassId,SignName"
//	JSON     ["cat", "dog"]; {"0": "cat"}; {"cat": 0}, as Keras' class_indices and torchvision's class_to_idx;
//	         {"0": ["n01440764", "tench"]}, as imagenet_class_index.json
//	         one of these as a member of an object: Hugging Face's config.json (id2label)
//	YAML     names: [cat, dog]; names: {0: cat}, as Ultralytics' data.yaml; what Python prints of a dict
//
// A number that is missing or stands twice is an error, and so is a name that stands twice, but for ImageNet's, which
// has two cranes.
func readLabels(r io.Reader) (Labels, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxLabels+1))
	if err != nil {
		return Labels{}, err
	}
	text = bytes.TrimSpace(bytes.TrimPrefix(text, []byte("\ufeff")))
	switch {
	case len(text) > maxLabels:
		return Labels{}, fmt.Errorf("labels of more than %d bytes are refused", maxLabels)
	case len(text) == 0:
		return Labels{}, errors.New("no labels: the file is empty")
	case !utf8.Valid(text):
		return Labels{}, errors.New("labels must be UTF-8 text: save the file so")
	}
	var list []label
	if told, structured, err := structure(text); err != nil {
		return Labels{}, err
	} else if structured {
		if list, err = labelsIn(told, 0); err != nil {
			return Labels{}, err
		}
	} else {
		lines := strings.Split(string(text), "\n")
		for i := range lines {
			if lines[i] = strings.TrimSpace(lines[i]); lines[i] == "" {
				return Labels{}, fmt.Errorf("label %d is empty", i+1)
			}
		}
		list = labelsOnLines(lines)
	}
	return arrange(list)
}

// label is a class as a file of labels has it.
type label struct {
	number int // -1: its place in the file
	synset string
	name   string
}

// arrange puts labels in the order of their numbers, which must be those from 0 on.
func arrange(list []label) (Labels, error) {
	l := Labels{Names: make([]string, len(list)), Synsets: make([]string, len(list))}
	lowest, known := len(list), false
	for i, found := range list {
		n := found.number
		if n < 0 {
			n = i
		}
		if err := checkLabel(n, found.name); err != nil {
			return Labels{}, err
		}
		if lowest = min(lowest, n); n >= len(list) {
			continue // some number is missing, which is said below
		}
		if l.Names[n] != "" {
			return Labels{}, fmt.Errorf("class %d has two names, %q and %q", n, l.Names[n], found.name)
		}
		l.Names[n], l.Synsets[n] = found.name, found.synset
		known = known || found.synset != ""
	}
	if missing := slices.Index(l.Names, ""); missing >= 0 {
		remedy := ""
		if missing == 0 && lowest == 1 && !slices.Contains(l.Names[1:], "") {
			remedy = ": take 1 from each"
		}
		return Labels{}, fmt.Errorf("class %d has no name: the numbers of %d classes must be those from 0 to %d, and they "+
			"begin with %d%s",
			missing, len(list), len(list)-1, lowest, remedy)
	}
	if !known {
		l.Synsets = nil
	}
	l = l.withImageNet()
	return l, l.checkTwins()
}

// checkTwins refuses classes that are called alike: an answer could not say which it means.
func (l Labels) checkTwins() error {
	first := map[string]int{}
	for i, name := range l.Names {
		j, twice := first[name]
		first[name] = i
		if twice && (l.Synsets == nil || l.Synsets[i] == l.Synsets[j]) {
			return fmt.Errorf("%q is the name of two classes, %d and %d: each needs one of its own", name, j, i)
		}
	}
	return nil
}

// Check refuses what is no name: an empty one, a very long one, one with control characters.
func (l Labels) Check() error {
	for i, name := range l.Names {
		if err := checkLabel(i, name); err != nil {
			return err
		}
	}
	return nil
}

// checkLabel refuses what is no name for class i.
func checkLabel(i int, name string) error {
	switch {
	case name == "":
		return fmt.Errorf("label %d is empty", i+1)
	case len(name) > maxLabel || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Errorf("label %d is not a name: at most %d bytes without control characters", i+1, maxLabel)
	}
	return nil
}

// AreNumbers reports whether names tell nothing but each class's own number, as those of data whose files hold no
// names.
func AreNumbers(names []string) bool {
	for i, name := range names {
		if name != strconv.Itoa(i) {
			return false
		}
	}
	return true
}
