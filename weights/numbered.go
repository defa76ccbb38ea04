package weights

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/weights/internal/format"
)

// Many scripts keep torchvision's or the paper's convolutions and have a classifier of their own, under names of their
// own. The convolutions' names then tell which family a file is of, and the fully connected layers are what is left, in
// the order of the numbers in their names.

// suffixes are what a parameter's name ends with.
type suffixes struct{ w, b string }

// tensorflowSuffixes are those of files made of TensorFlow's variables, or of dicts and lists of arrays: Frossard's
// vgg16_weights.npz (conv1_1_W), tensorflow-vgg's vgg16.npy ({"conv1_1": [W, b]}), caffe-tensorflow's ({"conv1_1":
// {"weights": W, "biases": b}}).
var tensorflowSuffixes = []suffixes{
	{"_W", "_b"}, {".0", ".1"}, {".weights", ".biases"}, {"/weights", "/biases"}, {"_weights", "_biases"}, {".W", ".b"},
	{"/W", "/b"}, {"_w", "_b"},
	{".w", ".b"}, {"/w", "/b"}, {"/w:0", "/b:0"}, {".kernel", ".bias"}, {"/kernel", "/bias"}, {"_kernel", "_bias"},
	{"/kernel:0", "/bias:0"},
	{"/weights:0", "/biases:0"}, {"/weight", "/bias"}, {"_weight", "_bias"}, {".weight", ".bias"},
}

// headed lists the namings that a file's names suggest: those of its convolutions, and whatever else it has for the
// rest. Where part of the network is enough, the rest may be another's.
func (f *File) headed(v view, placed []arch.Placed, part bool) []format.Naming {
	body, linears := bodyOf(placed)
	if body == nil {
		return nil
	}
	flat := body[len(body)-1].Out
	var list []format.Naming
	for _, prefix := range v.prefixes() {
		names := map[string]string{}
		i := 0
		for _, layer := range body {
			if _, ok := layer.Op.(arch.AdaptiveAvgPool); ok {
				continue
			}
			torchNames(names, layer, fmt.Sprint(prefix, i))
			i++
		}
		families := []string{"PyTorch", "Paddle"} // which has PyTorch's names, and fully connected weights in, out
		if prefix == "features." {
			families[0] = "torchvision"
		}
		for i, linear := range []format.Layout{{}, format.InOut} {
			n := format.Naming{Family: families[i], OwnHead: true, Source: plain(names), Bookkeeping: torchCounter}
			if f.withHead(v, &n, linears, suffixes{".weight", ".bias"}, linear, part) {
				list = append(list, n)
			}
		}
	}
	for _, word := range []func(arch.Placed) string{ownWord, kerasWord} {
		for _, s := range tensorflowSuffixes {
			likes := []format.Naming{{Family: "TensorFlow", Preprocess: "caffe"}, {Family: "PyTorch"}}
			if strings.HasSuffix(s.w, "weight") { // TensorFlow has no such word: its layout is tried last
				slices.Reverse(likes)
			}
			for _, like := range likes {
				if f.contents.HWIO && like.Preprocess == "" {
					continue
				}
				n := format.Naming{Family: like.Family, OwnHead: true, Preprocess: like.Preprocess,
					Source:      map[string]format.Source{},
					Bookkeeping: nothing, Words: true}
				if (s.w == "_W" || strings.HasPrefix(s.w, "/weights")) && like.Preprocess != "" {
					// Frossard and TF-slim turned the first layer (cs.toronto.edu/~frossard/post/vgg16; slim/nets/vgg.py)
					n.Preprocess = "caffe-rgb"
				}
				conv, linear := format.HWIO, format.Layout{Axes: format.InOut.Axes, Flat: flat}
				if like.Family == "PyTorch" {
					conv, linear = format.Layout{}, format.Layout{}
				}
				if f.worded(v, &n, body, word, s, conv) && f.withHead(v, &n, linears, s, linear, part) {
					list = append(list, n)
				}
			}
		}
	}
	return list
}

// bodyOf parts a network at its flatten into the layers before and the fully connected ones behind; nil where others
// with parameters stand behind.
func bodyOf(placed []arch.Placed) (body, linears []arch.Placed) {
	behind := false
	for i, layer := range placed {
		_, linear := layer.Op.(arch.Linear)
		_, flatten := layer.Op.(arch.Flatten)
		behind = behind || linear || flatten
		switch {
		case linear:
			linears = append(linears, layer)
		case behind && len(layer.Params) > 0:
			return nil, nil
		case !behind:
			body = placed[:i+1]
		}
	}
	return body, linears
}

// prefixes are what stands before the first layer's number in names such as features.0.weight.
func (v view) prefixes() []string {
	var list []string
	for name := range v {
		if prefix, ok := strings.CutSuffix(name, "0.weight"); ok && (prefix == "" || strings.HasSuffix(prefix, ".")) {
			list = append(list, prefix)
		}
	}
	slices.Sort(list)
	return list[:min(len(list), 8)]
}

func ownWord(layer arch.Placed) string { return layer.Name }

// kerasWord is block1_conv1 for conv1_1.
func kerasWord(layer arch.Placed) string {
	if parts := ownConv.FindStringSubmatch(layer.Name); parts != nil {
		return "block" + parts[1] + "_conv" + parts[2]
	}
	return layer.Name
}

var ownConv = regexp.MustCompile(`^conv(\d+)_(\d+)$`)

// worded gives the body's parameters their layers' words with suffixes, and reports whether the file has the first of
// them.
func (f *File) worded(v view, n *format.Naming, body []arch.Placed, word func(arch.Placed) string, s suffixes,
	conv format.Layout) bool {
	first := true
	for _, layer := range body {
		for _, p := range layer.Params {
			name := word(layer)
			switch p.Role() {
			case "w":
				name += s.w
			case "b":
				name += s.b
			default:
				return false
			}
			if _, ok := v[name]; !ok && first {
				return false
			}
			first = false
			src := format.Source{Name: name}
			if p.Role() == "w" {
				src.Layout = conv
			}
			n.Source[p.Name] = src
		}
	}
	return !first
}

// withHead gives the fully connected layers, the first of which reads a map, what weights are left in the file, and
// reports whether these are as many, in an order that their names tell, or none.
func (f *File) withHead(v view, n *format.Naming, linears []arch.Placed, s suffixes, first format.Layout,
	part bool) bool {
	used := map[string]bool{}
	for _, src := range n.Source {
		used[src.Name] = true
	}
	var heads []string
	for name, of := range v {
		module, ok := strings.CutSuffix(name, s.w)
		if name == strings.TrimLeft(s.w, "._/") {
			module, ok = "", true
		}
		t, _ := f.Info(of)
		if ok && !used[name] && isWeight(t) {
			heads = append(heads, module)
		}
	}
	slices.SortFunc(heads, format.Natural)
	if len(heads) > 0 && (len(heads) != len(linears) || !f.inOrder(v, heads, s.w)) {
		if !part {
			return false
		}
		heads = nil
	}
	linear := first
	for i, layer := range linears {
		module := "classifier." + fmt.Sprint(i)
		if len(heads) > 0 {
			module = heads[i]
		}
		for _, p := range layer.Params {
			src := format.Source{Name: module + s.b}
			if p.Role() == "w" {
				src = format.Source{Name: module + s.w, Layout: linear}
				linear.Flat = arch.Shape{}
			}
			if module == "" {
				src.Name = strings.TrimLeft(src.Name, "._/")
			}
			n.Source[p.Name] = src
		}
	}
	return true
}

var anyNumber = regexp.MustCompile(`\d+`)

// inOrder reports whether the order of modules by the numbers in their names is the network's for sure: the numbers
// alone tell them apart, or their shapes do.
func (f *File) inOrder(v view, modules []string, suffix string) bool {
	words, shapes := map[string]bool{}, map[string]bool{}
	for _, m := range modules {
		words[anyNumber.ReplaceAllString(m, "#")] = true
		t, _ := f.Info(v[m+suffix])
		shapes[shapeText(t.Shape)] = true
	}
	return len(words) == 1 || len(shapes) == len(modules)
}
