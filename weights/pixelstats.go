package weights

import (
	"regexp"
	"slices"
	"strings"

	"github.com/vggo/vggo/weights/internal/format"
)

// A module that prepares its pictures itself keeps their mean and deviation among its tensors: normalize.mean and
// normalize.std, or pixel_mean and pixel_std. These are no parameters, but whoever prepares pictures in its place needs
// them.

// pixelName is what such a tensor is called, behind its module.
var pixelName = regexp.MustCompile(`(?i)^((?:new|img|image|images|pixel|input|data|rgb|channel)?_?)(mean|std)$`)

// pixelStats are the names of the mean and of the deviation; empty where a file has no such pair, or several.
func (f *File) pixelStats() (mean, std string) {
	pairs := 0
	for _, e := range f.list.Tensors {
		module, word := moduleAndWord(e.Name)
		named := pixelName.FindStringSubmatch(word)
		if named == nil || !strings.EqualFold(named[2], "mean") || !channels(e) {
			continue
		}
		for _, other := range []string{"std", "Std", "STD"} {
			t, ok := f.list.Get(format.Join(module, named[1]+other))
			if ok && channels(t) {
				mean, std = e.Name, t.Name
				pairs++
			}
		}
	}
	if pairs != 1 {
		return "", ""
	}
	return mean, std
}

// moduleAndWord parts a name at its last dot.
func moduleAndWord(name string) (module, word string) {
	i := strings.LastIndexByte(name, '.')
	return name[:max(i, 0)], name[i+1:]
}

// channels knows a tensor of one number for each channel of a picture: 3, 3x1x1 or 1x3x1x1.
func channels(e format.Tensor) bool {
	n := format.Product(e.Shape)
	return e.DType.HoldsWeights() && (n == 1 || n == 3) && slices.Max(append([]int{1}, e.Shape...)) == n
}

// Pictures is what a file states of how pictures become its network's input.
type Pictures = format.Pictures

// Pictures is what the matched file states of its pictures; nil where it states nothing.
func (m *Matched) Pictures() *Pictures { return m.file.contents.Pictures }

// PixelStats are what a file keeps as the mean and the deviation of its pictures' samples; nil where it keeps none.
type PixelStats struct {
	MeanName, StdName string // of the tensors
	Mean, Std         []float32
}

// Affine is what is done to samples by them.
func (s *PixelStats) Affine() *Affine {
	a := &Affine{}
	for c, mean := range s.Mean {
		scale := 1 / float64(s.Std[c])
		a.Scale = append(a.Scale, scale)
		a.Shift = append(a.Shift, -float64(mean)*scale)
	}
	return a
}

// PixelStats are those of the matched file.
func (m *Matched) PixelStats() (*PixelStats, error) {
	mean, std := m.file.pixelStats()
	if mean == "" {
		return nil, nil
	}
	s := &PixelStats{MeanName: mean, StdName: std}
	for _, of := range []struct {
		name string
		into *[]float32
	}{{mean, &s.Mean}, {std, &s.Std}} {
		t, err := m.file.Tensor(of.name)
		if err != nil {
			return nil, err
		}
		*of.into = slices.Clone(t.Data)
	}
	if len(s.Mean) != len(s.Std) || !(slices.Min(s.Std) > 0) {
		return nil, nil
	}
	return s, nil
}
