package vision

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"github.com/vggo/vggo/internal/near"
)

// Matching says which of a network's classes the classes of a data set are.
type Matching struct {
	// the network's number of each of the data's classes; -1 for one of no pictures that the network has not
	Of []int `json:"-"`
	// "name", "synset" (WordNet's number), "number" (the data's own) or "order" (of the data's classes)
	By      string `json:"by"`
	Guessed bool   `json:"guessed"`          // that the data's numbers or order are the network's: nothing tells it
	Why     string `json:"reason,omitempty"` // Guessed: in a few words
	// names that are equal only in part, as `"ankle_boot" is taken for "Ankle boot"`
	Loose []string `json:"loose,omitempty"`
}

// ClassesError says why a data set's classes are not a network's.
type ClassesError struct {
	Fault string
	Near  []string // names of the network's that the data's may mean
	// ByNumber and ByOrder say that MatchByNumber and MatchByOrder would do.
	ByNumber, ByOrder bool
}

func (e *ClassesError) Error() string { return e.Fault }

// fold is a name without what people write otherwise: case, spaces, underscores, dashes, dots, and how accents are put
// together.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r), r == '_', r == '-', r == '.':
			return -1
		}
		return unicode.ToLower(r)
	}, norm.NFC.String(name))
}

// synonyms are the parts of a label that each name the class alone: "tench, Tinca tinca".
func synonyms(name string) []string {
	parts := strings.Split(name, ",")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts
}

// Finder returns a function that looks for classes by what somebody calls them: by name, else by WordNet's number, else
// by the name written otherwise, else by one of the names that a label lists. exact is of the first two. It returns all
// that the first way finds.
func (l Labels) Finder() func(name string) (found []int, exact bool) { return l.index().find }

// labelIndex holds classes by each of the ways to call them.
type labelIndex [4]map[string][]int

func (l Labels) index() labelIndex {
	var index labelIndex
	for way := range index {
		index[way] = map[string][]int{}
	}
	add := func(way, class int, name string) {
		if name != "" && !slices.Contains(index[way][name], class) {
			index[way][name] = append(index[way][name], class)
		}
	}
	for i, name := range l.Names {
		add(0, i, name)
		synset, plain := splitSynset(name)
		if l.Synsets != nil && l.Synsets[i] != "" {
			synset = l.Synsets[i]
		}
		add(1, i, synset)
		add(2, i, fold(name))
		for _, called := range append(synonyms(plain), imageNetName(synset)) {
			add(3, i, fold(called))
		}
	}
	return index
}

func (x labelIndex) find(name string) (found []int, exact bool) {
	synset, plain := splitSynset(name)
	for way, keys := range [][]string{{name}, {synset}, {fold(name)}, {fold(plain), fold(imageNetName(synset))}} {
		for _, key := range keys {
			if found := x[way][key]; key != "" && len(found) > 0 {
				return found, way < 2
			}
		}
	}
	return nil, false
}

// MatchClasses gives a data set's classes the numbers of a network with so many outputs, which called has the names of.
// By name, where both have names: each of the data's must be one of the network's, exactly, by WordNet's number, or
// else but for how it is written. By the data's own numbers or its order only where one side has no names at all. What
// is uncertain is a *ClassesError.
func MatchClasses(d *Dataset, called Labels, outputs int) (Matching, error) {
	m := Matching{Of: make([]int, len(d.Classes)), By: "name"}
	unnamed := len(called.Names) == 0 || AreNumbers(called.Names)
	if len(called.Names) == 0 && outputs == 1000 && !slices.ContainsFunc(d.Classes, func(name string) bool {
		synset, _ := splitSynset(name)
		return imageNetName(synset) == ""
	}) {
		called = Labels{ImageNetClasses(), ImageNetSynsets()}
		m.Guessed, m.Why = true, "the network has 1000 classes, the folders are called as ImageNet's"
	}
	index := called.index()
	var missing []string
	of := map[int]string{}
	from := d.firstSeen()
	for i, name := range d.Classes {
		found, exact := index.find(name)
		if len(found) == 0 && i < from {
			m.Of[i] = -1
			continue
		}
		if len(found) == 0 {
			missing = append(missing, name)
			continue
		}
		if len(found) > 1 {
			return m, &ClassesError{Fault: fmt.Sprintf("the data's class %q may be any of the network's %s", name,
				called.list(found)), ByOrder: d.asMany(outputs)}
		}
		if other, twice := of[found[0]]; twice {
			return m, &ClassesError{Fault: fmt.Sprintf("the data's classes %q and %q are both the network's class %d, %q", other,
				name, found[0], called.Names[found[0]])}
		}
		of[found[0]], m.Of[i] = name, found[0]
		switch {
		case !exact:
			m.Loose = append(m.Loose, fmt.Sprintf("%q is taken for %q", name, called.Names[found[0]]))
		case called.Names[found[0]] != name:
			m.By = "synset"
		}
	}
	switch {
	case len(missing) == 0:
		return m, nil
	case unnamed:
		return matchUnnamed(d, called, outputs)
	case d.Numbered && len(missing) == len(d.Classes)-from:
		m, err := MatchByNumber(d, outputs)
		if byOrder, orderErr := MatchByOrder(d, outputs); err != nil && orderErr == nil {
			m, err = byOrder, nil
		}
		m.Guessed, m.Why = true, "the data names no classes"+d.offset(m)
		return m, err
	}
	return m, missingError(d, called, outputs, missing)
}

// matchUnnamed guesses which class is which for a network that names none.
func matchUnnamed(d *Dataset, called Labels, outputs int) (Matching, error) {
	why := "nothing names the network's classes"
	if called.Names != nil {
		why = "the network's classes are called by their numbers"
	}
	byNumber, numberErr := MatchByNumber(d, outputs)
	byOrder, orderErr := MatchByOrder(d, outputs)
	m := byNumber
	switch {
	case numberErr != nil && orderErr != nil && !d.Numbered:
		return m, orderErr
	case numberErr != nil && orderErr != nil:
		return m, numberErr
	case numberErr != nil:
		m = byOrder
	case orderErr == nil && !slices.Equal(byNumber.Of, byOrder.Of):
		i := 0
		for byNumber.Of[i] == byOrder.Of[i] {
			i++
		}
		return m, &ClassesError{
			Fault: fmt.Sprintf("the data's class %q may be the network's class %d, by its number, or %d, by the order of the "+
				"names, as torchvision and Keras count folders: %s",
				d.Classes[i], byNumber.Of[i], byOrder.Of[i], why),
			ByNumber: true, ByOrder: true,
		}
	}
	m.Guessed, m.Why = true, why+d.offset(m)
	return m, nil
}

// firstSeen is the first class of numbered data that it has pictures of: EMNIST's letters count from 1. Others have
// pictures of all.
func (d *Dataset) firstSeen() int {
	if !d.Numbered || len(d.labels) == 0 {
		return 0
	}
	return slices.Min(d.labels)
}

// asMany reports whether the data's classes are as many as a network's outputs, those below the first seen counted or
// not.
func (d *Dataset) asMany(outputs int) bool {
	return len(d.Classes) == outputs || len(d.Classes)-d.firstSeen() == outputs
}

// offset says so where the data's numbers begin above 0 and are taken by their order.
func (d *Dataset) offset(m Matching) string {
	from := d.firstSeen()
	if from == 0 || m.By != "order" {
		return ""
	}
	last := len(d.Classes) - 1
	return fmt.Sprintf("; the data's numbers, %s to %s, are taken for 0 to %d", d.Classes[from], d.Classes[last],
		last-from)
}

// MatchByNumber takes the data's numbers for the network's: those of files that hold numbers alone, or of folders that
// are called by numbers.
func MatchByNumber(d *Dataset, outputs int) (Matching, error) {
	m := Matching{Of: make([]int, len(d.Classes)), By: "number"}
	for i, name := range d.Classes {
		n, err := strconv.Atoi(name)
		if err != nil || n < 0 {
			return m, &ClassesError{Fault: fmt.Sprintf("the data's class %q is no number", name), ByOrder: d.asMany(outputs)}
		}
		if n >= outputs {
			return m, &ClassesError{Fault: fmt.Sprintf("the data has a class %d, the network's classes are 0 to %d", n,
				outputs-1), ByOrder: d.asMany(outputs)}
		}
		if at := slices.Index(m.Of[:i], n); at >= 0 {
			return m, &ClassesError{Fault: fmt.Sprintf("the data's classes %q and %q are the same number", d.Classes[at], name),
				ByOrder: d.asMany(outputs)}
		}
		m.Of[i] = n
	}
	return m, nil
}

// MatchByOrder takes the data's classes in their order for the network's, which must be as many. Numbers may begin
// above 0.
func MatchByOrder(d *Dataset, outputs int) (Matching, error) {
	m := Matching{Of: make([]int, len(d.Classes)), By: "order"}
	from := d.firstSeen()
	if len(d.Classes) == outputs { // whether or not there are pictures of the first
		from = 0
	}
	if len(d.Classes)-from != outputs {
		return m, &ClassesError{Fault: fmt.Sprintf("the network has %d classes, the data %d: which is which?", outputs,
			len(d.Classes)-from)}
	}
	for i := range m.Of {
		m.Of[i] = max(i-from, -1)
	}
	return m, nil
}

// maxListed is how many names a message lists.
const maxListed = 5

// list is classes with their numbers, for a message.
func (l Labels) list(classes []int) string {
	var told []string
	for _, i := range classes[:min(len(classes), maxListed)] {
		told = append(told, fmt.Sprintf("%d %q", i, l.Names[i]))
	}
	if len(classes) > maxListed {
		told = append(told, "…")
	}
	return strings.Join(told, ", ")
}

// quoted is names for a message.
func quoted(names []string) string {
	var told []string
	for _, name := range names[:min(len(names), maxListed)] {
		told = append(told, strconv.Quote(name))
	}
	if len(names) > maxListed {
		told = append(told, fmt.Sprintf("and %d more", len(names)-maxListed))
	}
	return strings.Join(told, ", ")
}

// missingError names the data's classes that are none of the network's.
func missingError(d *Dataset, called Labels, outputs int, missing []string) error {
	e := &ClassesError{ByOrder: d.asMany(outputs)}
	_, numberErr := MatchByNumber(d, outputs)
	e.ByNumber = numberErr == nil
	what := fmt.Sprintf("%d of the data's %d classes are none of the network's: %s", len(missing), len(d.Classes),
		quoted(missing))
	if len(missing) == len(d.Classes) {
		what = fmt.Sprintf("none of the data's classes is one of the network's: the data has %s, the network %s",
			quoted(d.Classes), quoted(called.Names))
	} else if len(missing) == 1 {
		what = fmt.Sprintf("the data's class %q is none of the network's", missing[0])
	}
	e.Fault = what
	free := slices.DeleteFunc(slices.Clone(called.Names),
		func(name string) bool { return slices.Contains(d.Classes, name) })
	for _, name := range missing {
		for _, meant := range near.Names(name, free, 3, fold) {
			if !slices.Contains(e.Near, meant) && len(e.Near) < maxListed {
				e.Near = append(e.Near, meant)
			}
		}
	}
	return e
}
