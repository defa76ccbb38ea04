package weights

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
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
		return fmt.Sprintf("%s: no part %q: the file holds one network's weights", e.Path, clipText(e.Part))
	}
	return fmt.Sprintf("%s: no part %q: it has %s", e.Path, clipText(e.Part), strings.Join(e.Have, ", "))
}

// part is one network's weights as the file's reader lists them, under their names from the part's own.
type part struct {
	name    string
	entries []entry
	single  bool // a tensor beside networks: a figure of the training
}

// addAll takes a list of tensors.
func (f *File) addAll(list []entry) error {
	for _, e := range list {
		if err := f.add(e); err != nil {
			return &FormatError{f.Path, 0, err.Error()}
		}
	}
	return nil
}

// divide takes the part that was asked for, or the one that the file means first, and lists the others. Files of
// formats that know no parts may still hold several networks, under names that begin with other words.
func (f *File) divide() error {
	if f.described != nil || f.named != nil {
		if f.Part != "" {
			return &PartError{f.Path, f.Part, nil}
		}
		return nil
	}
	parts := f.parts
	f.parts = nil
	if parts == nil {
		parts = []part{{entries: f.entries}}
		f.entries, f.index = nil, nil
	}
	var list []part
	for _, p := range parts {
		list = append(list, p.divided()...)
	}
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
			if p.name != "" && !p.single {
				have = append(have, p.name)
			}
		}
		return &PartError{f.Path, f.Part, have}
	}
	if len(list) == 0 {
		return nil
	}
	f.Part = list[taken].name
	var others []Part
	for i, p := range list {
		switch {
		case i == taken:
		case p.single:
			others = append(others, Part{p.name, len(p.entries), "a tensor by itself"})
		default:
			others = append(others, Part{Name: p.name, Tensors: len(p.entries)})
		}
	}
	f.Others = append(others, f.Others...)
	return f.addAll(list[taken].entries)
}

// asked finds the part that was asked for, which may also be any word that names begin with.
func (f *File) asked(parts []part, list *[]part) int {
	if i := slices.IndexFunc(*list, func(p part) bool { return p.name == f.Part && !p.single }); i >= 0 {
		return i
	}
	for _, p := range parts {
		within, ok := strings.CutPrefix(f.Part, join(p.name, ""))
		if p.name == "" {
			within, ok = f.Part, true
		}
		if !ok {
			continue
		}
		if under := p.under(within); len(under.entries) > 0 {
			under.name = f.Part
			*list = append(*list, under)
			return len(*list) - 1
		}
	}
	return -1
}

// rank is how soon a part is taken: the plain weights before averaged ones, as training scripts do when they go on or
// evaluate.
func rank(p part) int {
	keys := strings.Split(p.name, ".")
	known := slices.Index(networkKeys, keys[len(keys)-1])
	switch {
	case p.single:
		return 3 * len(networkKeys)
	case averagedKeys.MatchString(p.name):
		return 2 * len(networkKeys)
	case known >= 0:
		return known
	}
	return len(networkKeys)
}

// under is the tensors whose names begin with words, without them.
func (p part) under(words string) part {
	of := part{name: join(p.name, words)}
	if p.name == "" {
		of.name = words
	}
	for _, e := range p.entries {
		if rest, ok := strings.CutPrefix(e.name, words+"."); ok {
			e.name = rest
			of.entries = append(of.entries, e)
		}
	}
	return of
}

// copyKeys are first words of names under which a network stands beside another of the same kind.
var copyKeys = regexp.MustCompile(`(?i)^_?(model|net|network|module|backbone|encoder|vgg|student|online|source|main|base)([_-][a-z]\w*)?$`)

// divided is a part, or where the same network stands in it several times, under names that begin with other words,
// each of them. What belongs to none is left out as it is where a dict holds the networks, but a tensor that may be
// weights is listed.
func (p part) divided() []part {
	var weights []entry
	for _, e := range p.entries {
		if isWeight(e) {
			weights = append(weights, e)
		}
	}
	words := ""
	for range maxRank {
		groups := map[string][]string{} // names and shapes of weights, by their next word
		var order []string
		for _, e := range weights {
			word, rest, _ := strings.Cut(strings.TrimPrefix(e.name, words), ".")
			if groups[word] == nil {
				order = append(order, word)
			}
			groups[word] = append(groups[word], unwrapped(rest)+" "+shapeText(e.shape))
		}
		if len(order) == 1 && groups[order[0]][0] != " "+shapeText(weights[0].shape) {
			words += order[0] + "."
			continue
		}
		copies := map[string][]string{} // words, by what stands under them
		for _, word := range order {
			if copyKeys.MatchString(word) || averagedKeys.MatchString(word) {
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
			return p.withoutAveraged(words, order, len(weights))
		}
		var list []part
		for _, word := range most {
			list = append(list, p.under(words+word))
		}
		for _, word := range order {
			if slices.Contains(most, word) {
				continue
			}
			rest := p.under(words + word)
			rest.single = len(rest.entries) < 2
			list = append(list, rest)
		}
		return slices.DeleteFunc(list, func(p part) bool { return len(p.entries) == 0 })
	}
	return []part{p}
}

// withoutAveraged is a part in which averaged weights may stand under words of their own, beside plain ones under the
// names of layers: these, and the averaged ones by their words.
func (p part) withoutAveraged(prefix string, words []string, weights int) []part {
	rest := part{name: p.name, entries: p.entries}
	var averaged []part
	for _, word := range words {
		of := p.under(prefix + word)
		if !averagedKeys.MatchString(word) || !slices.ContainsFunc(of.entries, isWeight) {
			continue
		}
		averaged = append(averaged, of)
		rest.entries = slices.DeleteFunc(slices.Clone(rest.entries), func(e entry) bool {
			return strings.HasPrefix(e.name,
				prefix+word+".")
		})
	}
	plain := 0
	for _, e := range rest.entries {
		if isWeight(e) {
			plain++
		}
	}
	if len(averaged) == 0 || 2*plain < weights { // the word is another network's, or a layer's
		return []part{p}
	}
	return append([]part{rest}, averaged...)
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
	for _, read := range []func(string) string{unwrapped, member} {
		common := f.commonWords(read)
		for n := range min(len(common), maxCommon) {
			prefix := strings.Join(common[:n+1], ".") + "."
			add(func(name string) string { return strings.TrimPrefix(read(name), prefix) })
		}
	}
	return list
}

// maxCommon bounds the words that are taken off one after another.
const maxCommon = 6

// commonWords are the words that the names of all weights begin with, the last of each not counted.
func (f *File) commonWords(read func(string) string) []string {
	var common []string
	first := true
	for _, e := range f.entries {
		if !isWeight(e) {
			continue
		}
		words := strings.Split(read(e.name), ".")
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

// natural compares names with the numbers in them as numbers: features.2 before features.10.
func natural(a, b string) int {
	for a != "" && b != "" {
		na, nb := leadingDigits(a), leadingDigits(b)
		if na > 0 && nb > 0 {
			x, y := strings.TrimLeft(a[:na], "0"), strings.TrimLeft(b[:nb], "0")
			if c := cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y)); c != 0 {
				return c
			}
			a, b = a[na:], b[nb:]
			continue
		}
		if a[0] != b[0] {
			return cmp.Compare(a[0], b[0])
		}
		a, b = a[1:], b[1:]
	}
	return cmp.Compare(len(a), len(b))
}

// leadingDigits is the length of the number that a text begins with.
func leadingDigits(s string) int {
	n := 0
	for n < len(s) && '0' <= s[n] && s[n] <= '9' {
		n++
	}
	return n
}
