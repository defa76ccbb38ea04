package weights

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/vggo/vggo/weights/internal/checkpoint"
	"github.com/vggo/vggo/weights/internal/format"
)

// Part is the weights of one network in a file that holds several, as a checkpoint with plain and averaged ones does.
type Part struct {
	Name    string // the keys to it, or the words that its tensors' names begin with: "model_ema"
	Tensors int
	Unread  string // why it cannot be taken: it is an object, a tensor alone; else empty
}

// PartError is a part of a file that was asked for and is not there.
type PartError struct {
	Path, Part string
	Have       []string
}

func (e *PartError) Error() string {
	if len(e.Have) == 0 {
		return fmt.Sprintf("%s: no part %q: the file holds one network's weights", e.Path, format.Clip(e.Part))
	}
	return fmt.Sprintf("%s: no part %q: it has %s", e.Path, format.Clip(e.Part), strings.Join(e.Have, ", "))
}

// hold lists tensors as the file's.
func (f *File) hold(list []format.Tensor) error {
	for _, t := range list {
		if err := f.list.Add(t); err != nil {
			return &FormatError{f.Path, 0, err.Error()}
		}
	}
	return nil
}

// divide takes the part that was asked for, or the one that the file means first, and lists the others. Files of
// formats that know no parts may still hold several networks, under names that begin with other words.
func (f *File) divide() error {
	c := &f.contents
	if c.Network != nil || c.Sized != nil || c.Naming != nil {
		if f.Part != "" {
			return &PartError{f.Path, f.Part, nil}
		}
		return f.hold(c.Tensors)
	}
	parts := c.Parts
	if parts == nil {
		parts = []format.Part{{Tensors: c.Tensors}}
	}
	c.Tensors, c.Parts = nil, nil
	var list []format.Part
	var unread []Part
	for _, p := range parts {
		if p.Unread != "" {
			unread = append(unread, Part{p.Name, p.Count, p.Unread})
			continue
		}
		list = append(list, divided(p)...)
	}
	parts = slices.DeleteFunc(parts, func(p format.Part) bool { return p.Unread != "" })
	taken := 0
	if f.Part == "" {
		for i, p := range list {
			if rank(p) < rank(list[taken]) {
				taken = i
			}
		}
	} else if taken = f.asked(parts, &list); taken < 0 {
		var have []string
		for _, p := range list {
			if p.Name != "" && !p.Single {
				have = append(have, p.Name)
			}
		}
		return &PartError{f.Path, f.Part, have}
	}
	if len(list) == 0 {
		return nil
	}
	f.Part = list[taken].Name
	c.Unrunnable, c.Unknown = cmp.Or(c.Unrunnable, list[taken].Unrunnable), cmp.Or(c.Unknown, list[taken].Unknown)
	var others []Part
	for i, p := range list {
		switch {
		case i == taken:
		case p.Single:
			others = append(others, Part{p.Name, len(p.Tensors), "a tensor by itself"})
		default:
			others = append(others, Part{Name: p.Name, Tensors: len(p.Tensors)})
		}
	}
	f.Others = append(others, unread...)
	return f.hold(list[taken].Tensors)
}

// asked finds the part that was asked for, which may also be any word that names begin with.
func (f *File) asked(parts []format.Part, list *[]format.Part) int {
	if i := slices.IndexFunc(*list, func(p format.Part) bool { return p.Name == f.Part && !p.Single }); i >= 0 {
		return i
	}
	for _, p := range parts {
		within, ok := strings.CutPrefix(f.Part, format.Join(p.Name, ""))
		if p.Name == "" {
			within, ok = f.Part, true
		}
		if !ok {
			continue
		}
		if of := under(p, within); len(of.Tensors) > 0 {
			of.Name = f.Part
			*list = append(*list, of)
			return len(*list) - 1
		}
	}
	return -1
}

// rank is how soon a part is taken: the plain weights before averaged ones, as training scripts do when they go on or
// evaluate.
func rank(p format.Part) int {
	keys := strings.Split(p.Name, ".")
	known := slices.Index(checkpoint.NetworkKeys, keys[len(keys)-1])
	switch {
	case p.Single:
		return 3 * len(checkpoint.NetworkKeys)
	case checkpoint.AveragedKeys.MatchString(p.Name):
		return 2 * len(checkpoint.NetworkKeys)
	case known >= 0:
		return known
	}
	return len(checkpoint.NetworkKeys)
}

// under is the tensors whose names begin with words, without them.
func under(p format.Part, words string) format.Part {
	of := format.Part{Name: format.Join(p.Name, words), Unrunnable: p.Unrunnable, Unknown: p.Unknown}
	if p.Name == "" {
		of.Name = words
	}
	for _, e := range p.Tensors {
		if rest, ok := strings.CutPrefix(e.Name, words+"."); ok {
			e.Name = rest
			of.Tensors = append(of.Tensors, e)
		}
	}
	return of
}

// copyKeys are first words of names under which a network stands beside another of the same kind.
var copyKeys = regexp.MustCompile(`(?i)^_?(model|net|network|module|backbone|encoder|vgg|student|online|source|main|base)([_-][a-z]\w*)?$`)

// divided is a part, or where the same network stands in it several times, under names that begin with other words,
// each of them. What belongs to none is left out as it is where a dict holds the networks, but a tensor that may be
// weights is listed.
func divided(p format.Part) []format.Part {
	weights := format.Weights(p.Tensors)
	words := ""
	for range format.MaxRank {
		groups := map[string][]string{} // names and shapes of weights, by their next word
		var order []string
		for _, e := range weights {
			word, rest, _ := strings.Cut(strings.TrimPrefix(e.Name, words), ".")
			if groups[word] == nil {
				order = append(order, word)
			}
			groups[word] = append(groups[word], unwrapped(rest)+" "+shapeText(e.Shape))
		}
		if len(order) == 1 && groups[order[0]][0] != " "+shapeText(weights[0].Shape) {
			words += order[0] + "."
			continue
		}
		copies := map[string][]string{} // words, by what stands under them
		for _, word := range order {
			if copyKeys.MatchString(word) || checkpoint.AveragedKeys.MatchString(word) {
				slices.Sort(groups[word])
				same := strings.Join(groups[word], "\n")
				copies[same] = append(copies[same], word)
			}
		}
		var most []string
		for _, same := range slices.Sorted(maps.Keys(copies)) {
			if len(copies[same]) > len(most) {
				most = copies[same]
			}
		}
		if len(most) < 2 {
			return withoutAveraged(p, words, order, len(weights))
		}
		var list []format.Part
		for _, word := range most {
			list = append(list, under(p, words+word))
		}
		for _, word := range order {
			if slices.Contains(most, word) {
				continue
			}
			rest := under(p, words+word)
			rest.Single = len(rest.Tensors) < 2
			list = append(list, rest)
		}
		return slices.DeleteFunc(list, func(p format.Part) bool { return len(p.Tensors) == 0 })
	}
	return []format.Part{p}
}

// withoutAveraged is a part in which averaged weights may stand under words of their own, beside plain ones under the
// names of layers: these, and the averaged ones by their words.
func withoutAveraged(p format.Part, prefix string, words []string, weights int) []format.Part {
	rest := p
	var averaged []format.Part
	for _, word := range words {
		of := under(p, prefix+word)
		if !checkpoint.AveragedKeys.MatchString(word) || !slices.ContainsFunc(of.Tensors, format.Tensor.IsWeight) {
			continue
		}
		averaged = append(averaged, of)
		rest.Tensors = slices.DeleteFunc(slices.Clone(rest.Tensors), func(e format.Tensor) bool {
			return strings.HasPrefix(e.Name, prefix+word+".")
		})
	}
	if len(averaged) == 0 || 2*len(format.Weights(rest.Tensors)) < weights { // the word is another network's, or a layer's
		return []format.Part{p}
	}
	return append([]format.Part{rest}, averaged...)
}

// wrappers are the words that wrapping a module puts into its tensors' names, wherever it stands: DataParallel's and
// AveragedModel's, torch.compile's, FSDP's, activation checkpointing's.
var wrappers = []string{"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}

// unwrapped is a tensor's name without them.
func unwrapped(name string) string {
	words := strings.Split(name, ".")
	return strings.Join(slices.DeleteFunc(words, func(w string) bool { return slices.Contains(wrappers, w) }), ".")
}

// memberWords are words for a network that is a member of another module, as in Lightning's, at the beginning of names.
var memberWords = append([]string{"model", "net", "network", "backbone", "encoder", "ema", "ema_model", "model_ema",
	"student", "teacher", "state_dict"}, wrappers...)

// view is a file's tensors under names without what wraps them.
type view map[string]string // name → the file's

// maxViewed bounds the names that are read in several ways: no VGG has so many.
const maxViewed = 1 << 12

// views lists the ways to read a file's names: as they are, without wrappers, and without words that those of all
// weights begin with.
func (f *File) views() []view {
	names := f.Names()
	list := []view{{}}
	for _, name := range names {
		list[0][name] = name
	}
	if len(names) > maxViewed {
		return list
	}
	add := func(shorten func(string) string) {
		v := make(view, len(names))
		for _, name := range names {
			v[shorten(name)] = name
		}
		if len(v) == len(names) && !slices.ContainsFunc(list, func(w view) bool { return maps.Equal(v, w) }) {
			list = append(list, v)
		}
	}
	member := func(name string) string {
		words := strings.Split(unwrapped(name), ".")
		for len(words) > 2 && slices.Contains(memberWords, words[0]) {
			words = words[1:]
		}
		return strings.Join(words, ".")
	}
	add(unwrapped)
	add(member)
	// where a dot could not stand
	if !slices.ContainsFunc(names, func(name string) bool { return strings.Contains(name, ".") }) {
		add(func(name string) string { return strings.NewReplacer("_", ".", "/", ".").Replace(name) })
	}
	add(func(name string) string { return slimGroup.ReplaceAllString(strings.TrimPrefix(name, f.scope()), "$1") })
	for _, read := range []func(string) string{unwrapped, member} {
		common := f.commonWords(read)
		for n := range min(len(common), maxCommon) {
			prefix := strings.Join(common[:n+1], ".") + "."
			add(func(name string) string { return strings.TrimPrefix(read(name), prefix) })
		}
	}
	return list
}

// slimGroup is the scope that TF-slim (slim/nets/vgg.py) puts around the layers of a block: conv1/conv1_1/weights.
var slimGroup = regexp.MustCompile(`^conv\d+/(conv\d+_\d+/)`)

// scope is what the names of all of a TensorFlow program's weights begin with: vgg_16/.
func (f *File) scope() string {
	if !f.contents.HWIO {
		return ""
	}
	words := f.commonWords(func(name string) string { return strings.ReplaceAll(name, "/", ".") })
	if len(words) == 0 {
		return ""
	}
	return strings.Join(words, "/") + "/"
}

// maxCommon bounds the words that are taken off one after another.
const maxCommon = 6

// commonWords are the words that the names of all weights begin with, the last of each not counted.
func (f *File) commonWords(read func(string) string) []string {
	var common []string
	first := true
	for _, e := range format.Weights(f.list.Tensors) {
		words := strings.Split(read(e.Name), ".")
		words = words[:len(words)-1]
		if first {
			common, first = words, false
			continue
		}
		n := 0
		for n < min(len(common), len(words)) && common[n] == words[n] {
			n++
		}
		common = common[:n]
	}
	return common
}
