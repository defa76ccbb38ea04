package lesson

import (
	"fmt"
	"slices"

	"github.com/vggo/vggo/vision"
)

// Side is the height and the width of the pictures, which are grey.
const Side = 28

// pixels is the samples of a picture.
const pixels = Side * Side

// Bounds of data of one's own: no more pictures than Fashion-MNIST's part has, and classes that can be told apart in a
// table.
const (
	MaxPictures = 6000
	MaxClasses  = 100
	maxName     = 1000 // bytes: a folder's name has up to 765
)

// Data are what a network learns from.
type Data struct {
	Name        string // what they are called
	Classes     []string
	Train, Test Pictures
}

// Pictures are Side by Side samples each, 0 for black, and a class each.
type Pictures struct {
	Labels []byte
	Pixels []byte
}

// Len, Label and Picture make them a train.Dataset.
func (p Pictures) Len() int { return len(p.Labels) }

// Label is the class of picture i.
func (p Pictures) Label(i int) int { return int(p.Labels[i]) }

// Picture is picture i, which shares Pixels.
func (p Pictures) Picture(i int) (*vision.Picture, error) {
	return &vision.Picture{W: Side, H: Side, Channels: 1, Pix: p.pixels(i)}, nil
}

func (p Pictures) pixels(i int) []byte { return p.Pixels[i*pixels : (i+1)*pixels : (i+1)*pixels] }

// Part is pictures i to j-1.
func (p Pictures) Part(i, j int) Pictures {
	return Pictures{p.Labels[i:j:j], p.Pixels[i*pixels : j*pixels : j*pixels]}
}

// testsOneOf is the share of one's own pictures that test: one of six, as Fashion-MNIST's thousand are.
const testsOneOf = 6

// DataError is data that nothing can be learned from, and what would do.
type DataError struct{ Fault, Remedy string }

func (e *DataError) Error() string { return e.Fault }

// Own are pictures of one's own. Of each class every sixth tests and the others train.
func Own(name string, classes []string, all Pictures) (Data, error) {
	fault := func(remedy, format string, args ...any) (Data, error) {
		return Data{}, &DataError{fmt.Sprintf(format, args...), remedy}
	}
	n := all.Len()
	switch {
	case len(classes) > MaxClasses:
		return fault("choose a folder of fewer", "more than %d classes", MaxClasses)
	case len(name) > maxName || slices.ContainsFunc(classes, func(class string) bool { return len(class) > maxName }):
		return fault("give it a shorter one", "a name is longer than %d bytes", maxName)
	}
	counts := make([]int, len(classes))
	for i, label := range all.Labels {
		if int(label) >= len(classes) {
			return fault("classes are counted from 0", "picture %d is of class %d, and %d classes have names", i, label,
				len(classes))
		}
		counts[label]++
	}
	const folders = "put the pictures of each class in a folder of its own, and choose the folder around them"
	switch {
	case len(all.Pixels) != n*pixels:
		return fault(fmt.Sprintf("each has %dx%d bytes", Side, Side), "%d pictures have %d bytes", n, len(all.Pixels))
	case n == 0:
		return fault(folders, "there are no pictures")
	case n > MaxPictures:
		return fault("choose fewer", "%d pictures are more than the %d that are taken", n, MaxPictures)
	case len(classes) == 1:
		return fault(folders, "all %d pictures are of one class, %q: a network learns to tell classes apart", n, classes[0])
	}
	for class, count := range counts {
		if count < testsOneOf {
			return fault(fmt.Sprintf("each class needs %d at least, one of which tests", testsOneOf),
				"class %q has %d pictures", classes[class], count)
		}
	}
	d := Data{Name: name, Classes: classes}
	clear(counts)
	for i, label := range all.Labels {
		to := &d.Train
		if counts[label]++; counts[label]%testsOneOf == 0 {
			to = &d.Test
		}
		to.Labels, to.Pixels = append(to.Labels, label), append(to.Pixels, all.pixels(i)...)
	}
	return d, nil
}
