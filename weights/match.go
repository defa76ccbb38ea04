package weights

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vggo/vggo/arch"
)

// Matched is a file that holds every parameter of a network.
type Matched struct {
	Family     string // whose names the file uses: "vggo", "torchvision", "timm", "Keras" …
	Preprocess string // the name of the vision.Preprocess that the family's pictures come by; empty where its names tell nothing

	file   *File
	source map[string]source
}

// MatchError is a file that does not hold a network's parameters, all of them and nothing else.
type MatchError struct {
	Path      string
	Family    string   // the names that fit best; empty when no name of any family occurs in the file
	Missing   []string // by the file's names
	Extra     []string
	Misshapen []Misshape
}

// Misshape is a tensor whose shape is not the network's.
type Misshape struct {
	Name      string
	Got, Want []int
}

func (e *MatchError) Error() string {
	switch {
	case e.Family == "" && len(e.Extra) == 0:
		return e.Path + ": the file holds no weights"
	case e.Family == "":
		return fmt.Sprintf("%s: another network's weights: it has %s; wanted are %s under the names of %s",
			e.Path, some(e.Extra), some(e.Missing), families)
	}
	var faults []string
	if len(e.Missing) > 0 {
		faults = append(faults, fmt.Sprintf("%d missing (%s)", len(e.Missing), some(e.Missing)))
	}
	if len(e.Extra) > 0 {
		faults = append(faults, fmt.Sprintf("%d not the network's (%s)", len(e.Extra), some(e.Extra)))
	}
	if len(e.Misshapen) > 0 {
		var shapes []string
		for _, m := range e.Misshapen {
			shapes = append(shapes, fmt.Sprintf("%s is %s, not %s", m.Name, shapeText(m.Got), shapeText(m.Want)))
		}
		faults = append(faults, fmt.Sprintf("%d of the wrong shape (%s)", len(shapes), some(shapes)))
	}
	return fmt.Sprintf("%s: the weights, under %s's names, do not fit the network: %s", e.Path, e.Family, strings.Join(faults, "; "))
}

// some names the first three of a list.
func some(list []string) string {
	if len(list) > 3 {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:3], ", "), len(list)-3)
	}
	return strings.Join(list, ", ")
}

func shapeText(shape []int) string {
	return strings.ReplaceAll(strings.Trim(fmt.Sprint(shape), "[]"), " ", "x")
}

// Match finds a network's parameters in a file: as the file itself describes them (ONNX, Keras), else under the names of a
// known family. A file that lacks one, holds one of another shape, or holds anything else, is a *MatchError.
func Match(f *File, placed []arch.Placed) (*Matched, error) {
	candidates := f.namings(placed)
	if f.described != nil {
		candidates = append([]naming{f.described.naming}, candidates...)
	}
	if n, ok := f.inOrder(placed); ok {
		candidates = append(candidates, n)
	}
	var best *MatchError
	most := -1
	for _, n := range candidates {
		found, fault := compare(f, placed, n)
		if fault == nil {
			return &Matched{Family: n.family, Preprocess: n.preprocess, file: f, source: n.source}, nil
		}
		if found > most {
			best, most = fault, found
		}
	}
	if most == 0 {
		best.Family = ""
	}
	return nil, best
}

// compare holds a file against one family's names. found counts the parameters whose names occur in the file.
func compare(f *File, placed []arch.Placed, n naming) (found int, fault *MatchError) {
	fault = &MatchError{Path: f.Path, Family: n.family}
	expected := make(map[string]bool)
	for _, layer := range placed {
		for _, p := range layer.Params {
			src, ok := n.source[p.Name]
			if ok && src.name == "" {
				if n := len(src.values); n > 0 && n != p.Count() {
					fault.Misshapen = append(fault.Misshapen, Misshape{p.Name, []int{n}, p.Shape})
				}
				continue
			}
			name := src.name
			if !ok {
				name = p.Name
			}
			expected[name] = true
			t, ok := f.Info(name)
			if !ok {
				fault.Missing = append(fault.Missing, name)
				continue
			}
			found++
			if want := src.layout.shape(p); !sameValues(t.Shape, want) {
				fault.Misshapen = append(fault.Misshapen, Misshape{name, t.Shape, want})
			}
		}
	}
	for _, name := range f.Names() {
		if !expected[name] && !n.bookkeeping(name) {
			fault.Extra = append(fault.Extra, name)
		}
	}
	if len(fault.Missing)+len(fault.Extra)+len(fault.Misshapen) > 0 {
		return found, fault
	}
	return found, nil
}

// sameValues reports whether two shapes hold the same weights in the same order: equal ones, and a linear layer's O,I
// against the O,I,H,W of a convolution over the whole map, which is how fully convolutional networks keep fc6.
func sameValues(a, b []int) bool {
	if slices.Equal(a, b) {
		return true
	}
	ranks := len(a) == 2 && len(b) == 4 || len(a) == 4 && len(b) == 2
	return ranks && a[0] == b[0] && product(a) == product(b)
}

// Param returns a parameter's values, mapped or converted as Tensor does, in our layout. It suits nn's Params.Load.
func (m *Matched) Param(p arch.Param) ([]float32, error) {
	src, ok := m.source[p.Name]
	if !ok {
		return nil, fmt.Errorf("%s: parameter %s is not of the network this file was matched with", m.file.Path, p.Name)
	}
	return m.file.values(src, p)
}
