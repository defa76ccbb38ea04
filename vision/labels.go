package vision

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxLabels bounds a file of labels, 500 times ImageNet's.
const maxLabels = 16 << 20

// maxLabel bounds one label; ImageNet's longest has 121 bytes.
const maxLabel = 1 << 10

// synset is WordNet's number at the head of a line of ImageNet's synset list: "n01440764 tench, Tinca tinca".
var synset = regexp.MustCompile(`^n\d{8}\s+`)

// ReadLabelsFile reads class names; its errors name the file.
func ReadLabelsFile(path string) ([]string, error) { return readFile(path, ReadLabels) }

// ReadLabels reads class names in order: a JSON array of strings, or one on each line. A WordNet number before a name is
// dropped.
func ReadLabels(r io.Reader) ([]string, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxLabels+1))
	if err != nil {
		return nil, err
	}
	text = bytes.TrimSpace(bytes.TrimPrefix(text, []byte("\ufeff")))
	var labels []string
	switch {
	case len(text) > maxLabels:
		return nil, fmt.Errorf("labels of more than %d bytes are refused", maxLabels)
	case len(text) == 0:
		return nil, errors.New("no labels: the file is empty")
	case !utf8.Valid(text):
		return nil, errors.New("labels must be UTF-8 text")
	case text[0] == '[':
		if err := json.Unmarshal(text, &labels); err != nil {
			return nil, fmt.Errorf("labels must be a JSON array of strings: %w", err)
		}
	default:
		labels = strings.Split(string(text), "\n")
	}
	for i, label := range labels {
		label = synset.ReplaceAllString(strings.TrimSpace(label), "")
		if err := checkLabel(i, label); err != nil {
			return nil, err
		}
		labels[i] = label
	}
	return labels, nil
}

// checkLabel refuses what is no name for class i.
func checkLabel(i int, label string) error {
	switch {
	case label == "":
		return fmt.Errorf("label %d is empty", i+1)
	case len(label) > maxLabel || !utf8.ValidString(label) || strings.ContainsFunc(label, unicode.IsControl):
		return fmt.Errorf("label %d is not a name: at most %d bytes without control characters", i+1, maxLabel)
	}
	return nil
}
