package vision

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"unicode/utf8"
)

// maxLabels bounds a file of labels, 500 times ImageNet's.
const maxLabels = 16 << 20

// synset is WordNet's number at the head of a line of ImageNet's synset list: "n01440764 tench, Tinca tinca".
var synset = regexp.MustCompile(`^n\d{8}\s+`)

// ReadLabelsFile reads class names; its errors name the file.
func ReadLabelsFile(path string) ([]string, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	labels, err := ReadLabels(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return labels, nil
}

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
		if label == "" {
			return nil, fmt.Errorf("label %d is empty", i+1)
		}
		labels[i] = label
	}
	return labels, nil
}
