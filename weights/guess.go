package weights

import (
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/weights/internal/format"
)

// Where names say nothing of layers, as arr_0 or 0.weight do, the order of a file's tensors and their shapes may still
// be those of the network's parameters, and no other order that the file suggests be theirs too. That is a guess, and
// said to be one.

// roleOf tells a parameter's role by the end of its name; of batch norm's, w and b are gamma and beta.
var roleOf = map[string]string{
	"weight": "w", "weights": "w", "kernel": "w", "w": "w", "W": "w", "filter": "w", "filters": "w",
	"kernel:0": "w", "weights:0": "w", "w:0": "w",
	"bias": "b", "biases": "b", "b": "b", "B": "b", "bias:0": "b", "biases:0": "b", "b:0": "b",
	"gamma": "gamma", "beta": "beta", "running_mean": "mean", "running_var": "var", "moving_mean": "mean",
	"moving_variance": "var",
}

// group is the tensors of one layer: by role where names tell it.
type group map[string]string

// guess finds the one way to take a file's tensors for parameters by their order and shapes.
func (f *File) guess(placed []arch.Placed, wanted func(layer string) bool) (format.Naming, bool) {
	layers := format.Weighted(placed)
	if wanted != nil {
		layers = slices.DeleteFunc(layers, func(l arch.Placed) bool { return !wanted(l.Name) })
	}
	names := slices.DeleteFunc(f.Names(), torchCounter)
	sorted := slices.Clone(names)
	slices.SortStableFunc(sorted, format.Natural)
	orders := [][]string{sorted}
	if f.Format == "PyTorch" { // a dict keeps the order in which layers were made
		orders = append(orders, names)
	} else if !f.numbered(names) {
		return format.Naming{}, false
	}
	var ways []map[string]format.Source
	for _, order := range orders {
		for _, groups := range [][]group{grouped(order), inTurn(order, layers)} {
			for _, l := range []struct{ conv, linear format.Layout }{{format.Layout{}, format.Layout{}},
				{format.HWIO, format.InOut}, {format.Layout{}, format.InOut}} {
				if f.contents.HWIO && l.conv.Axes == nil {
					continue
				}
				way := f.take(groups, layers, placed, l.conv, l.linear, wanted != nil)
				if way != nil &&
					!slices.ContainsFunc(ways, func(w map[string]format.Source) bool { return reflect.DeepEqual(w, way) }) {
					ways = append(ways, way)
				}
			}
		}
	}
	if len(ways) != 1 {
		return format.Naming{}, false
	}
	return format.Naming{Source: ways[0], Bookkeeping: torchCounter, Guess: true}, true
}

// numbered reports whether weights of equal shape differ in numbers alone: the order of words means nothing. TensorFlow
// numbers from the second on: conv2d, conv2d_1.
func (f *File) numbered(names []string) bool {
	words := map[string]string{}
	for _, name := range names {
		t, _ := f.Info(name)
		if !isWeight(t) {
			continue
		}
		word, shape := anyNumber.ReplaceAllString(laterNumber.ReplaceAllString(name, "$1"), "#"), shapeText(t.Shape)
		if other, ok := words[shape]; ok && other != word {
			return false
		}
		words[shape] = word
	}
	return true
}

var laterNumber = regexp.MustCompile(`_\d+(/|$)`)

var nameEnd = regexp.MustCompile(`[./_]`)

// grouped gathers the tensors of a layer, whose names differ in their ends; nil where one has none that tells its role.
func grouped(names []string) []group {
	var list []group
	at := map[string]int{}
	for _, name := range names {
		module, role := "", ""
		for _, cut := range append(nameEnd.FindAllStringIndex(name, -1), []int{-1, 0}) {
			if r := roleOf[name[cut[1]:]]; r != "" && role == "" {
				module, role = name[:max(cut[0], 0)], r
			}
		}
		if role == "" {
			return nil
		}
		i, ok := at[module]
		if !ok {
			i = len(list)
			at[module] = i
			list = append(list, group{})
		}
		if list[i][role] != "" {
			return nil
		}
		list[i][role] = name
	}
	return list
}

// inTurn gives layers of weights and biases the tensors one after another; nil for others, whose order is not known.
func inTurn(names []string, layers []arch.Placed) []group {
	var list []group
	for _, layer := range layers {
		g := group{}
		for _, p := range layer.Params {
			if role := p.Role(); role != "w" && role != "b" || len(names) == 0 {
				return nil
			}
			g[p.Role()], names = names[0], names[1:]
		}
		list = append(list, g)
	}
	if len(names) > 0 {
		list = append(list, group{}) // more than the network has
	}
	return list
}

// take gives each layer a group, nil where one does not fit. Of a network's beginning the file may hold more.
func (f *File) take(groups []group, layers, placed []arch.Placed, conv, linear format.Layout,
	part bool) map[string]format.Source {
	if len(groups) < len(layers) || len(groups) > len(layers) && !part || len(layers) == 0 {
		return nil
	}
	way := map[string]format.Source{}
	for i, layer := range layers {
		g := maps.Clone(groups[i])
		if _, ok := layer.Op.(arch.BatchNorm); ok && g["gamma"] == "" {
			g["gamma"], g["beta"] = g["w"], g["b"]
			delete(g, "w")
			delete(g, "b")
		}
		if len(g) != len(layer.Params) {
			return nil
		}
		for _, p := range layer.Params {
			src := format.Source{Name: g[p.Role()]}
			if p.Role() == "w" {
				src.Layout = conv
				if _, ok := layer.Op.(arch.Linear); ok {
					if src.Layout = linear; conv.Axes != nil { // TensorFlow's, which flattens rows, columns, channels
						src.Layout.Flat = flattened(placed, layer)
					}
				}
			}
			t, ok := f.Info(src.Name)
			if !ok || !sameValues(t.Shape, src.Layout.Shape(p), src.Layout) || !t.DType.HoldsWeights() {
				return nil
			}
			way[p.Name] = src
		}
	}
	return way
}

// flattened is the map that a layer reads flattened, if it does.
func flattened(placed []arch.Placed, layer arch.Placed) arch.Shape {
	var flat arch.Shape
	for _, l := range placed[:layer.Index] {
		if _, ok := l.Op.(arch.Flatten); ok {
			flat = l.In
		} else if len(l.Params) > 0 {
			flat = arch.Shape{}
		}
	}
	return flat
}

// separators end the word of a layer in a tensor's name.
const separators = "./_"

// moduleOf is a tensor's name without its last word.
func moduleOf(name string) string { return name[:max(strings.LastIndexAny(name, separators), 0)] }
