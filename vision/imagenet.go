package vision

import (
	_ "embed"
	"strings"
	"sync"
)

// The names are those of github.com/anishathalye/imagenet-simple-labels, in the public domain.
//
//go:embed imagenet.txt
var imageNetNames string

// The numbers are those of WordNet (https://wordnet.princeton.edu, free to use) that the challenge took its classes
// from, as synset.txt of github.com/onnx/models lists them (Apache License 2.0). They are sorted.
//
//go:embed imagenet-synsets.txt
var imageNetSynsets string

// ImageNetClasses returns a name for each of the 1,000 classes of ImageNet's challenge of 2012, in the usual order of
// networks' outputs: that of their WordNet numbers, n01440764 "tench" first.
func ImageNetClasses() []string { return strings.Split(strings.TrimSuffix(imageNetNames, "\n"), "\n") }

// ImageNetSynsets returns the WordNet numbers of ImageNetClasses, which ImageNet's folders are called by.
func ImageNetSynsets() []string { return strings.Fields(imageNetSynsets) }

// withImageNet adds the WordNet numbers to ImageNet's thousand names, which differ a little from list to list: half of
// them are enough to tell. Names that are WordNet numbers are their own.
func (l Labels) withImageNet() Labels {
	names := l.Names
	synsets := ImageNetSynsets()
	if len(names) == 1001 && fold(names[0]) == "background" { // TensorFlow's
		names, synsets = names[1:], append([]string{""}, synsets...)
	}
	if l.Synsets != nil || len(names) != 1000 {
		return l
	}
	same := 0
	for i, name := range ImageNetClasses() {
		for called := range strings.SplitSeq(names[i], ",") {
			if fold(called) == fold(name) {
				same++
				break
			}
		}
	}
	if same >= len(names)/2 {
		l.Synsets = synsets
	}
	return l
}

var imageNetBySynset = sync.OnceValue(func() map[string]string {
	names := map[string]string{}
	classes := ImageNetClasses()
	for i, synset := range ImageNetSynsets() {
		names[synset] = classes[i]
	}
	return names
})

// imageNetName is the name of one of ImageNet's classes by its WordNet number, "" where it has none such.
func imageNetName(synset string) string { return imageNetBySynset()[synset] }
