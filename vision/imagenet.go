package vision

import (
	_ "embed"
	"strings"
)

// The names are those of github.com/anishathalye/imagenet-simple-labels, in the public domain.
//
//go:embed imagenet.txt
var imageNetNames string

// ImageNetClasses returns a name for each of the 1,000 classes of ImageNet's challenge of 2012, in the usual order of
// networks' outputs: that of their WordNet numbers, n01440764 "tench" first.
func ImageNetClasses() []string { return strings.Split(strings.TrimSuffix(imageNetNames, "\n"), "\n") }
