package vision

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestMatchClasses(t *testing.T) {
	numbers := func(n int) (names []string) {
		for i := range n {
			names = append(names, fmt.Sprint(i))
		}
		return names
	}
	sorted := slices.Sorted(slices.Values(numbers(11)))
	net := ImageNetClasses()
	for _, c := range []struct {
		what     string
		data     []string
		numbered bool
		names    []string
		synsets  []string
		outputs  int
		of       []int
		by       string // "name", or "guessed number"
		loose    int
		fault    string
		near     []string
	}{
		{"names", []string{"a", "b", "c"}, false, []string{"c", "a", "b"}, nil, 3, []int{1, 2, 0}, "name", 0, "", nil},
		{"some of them", []string{"b"}, false, []string{"c", "a", "b"}, nil, 3, []int{2}, "name", 0, "", nil},
		{"written otherwise", []string{"Ankle_boot", "T-shirt"}, false, []string{"t shirt", "ankle boot"}, nil, 2,
			[]int{1, 0}, "name", 2, "", nil},
		{"accents", []string{"cafe\u0301"}, false, []string{"x", "Caf\u00e9"}, nil, 2, []int{1}, "name", 1, "", nil},
		{"exactly first", []string{"Cat", "cat"}, false, []string{"cat", "Cat"}, nil, 2, []int{1, 0}, "name", 0, "", nil},
		{"synonyms", []string{"Tinca tinca"}, false, []string{"tench, Tinca tinca", "goldfish"}, nil, 2, []int{0}, "name",
			1, "", nil},
		{"synsets", []string{"n01440764", "n01443537"}, false, []string{"goldfish", "tench"},
			[]string{"n01443537", "n01440764"}, 2, []int{1, 0}, "synset", 0, "", nil},
		{"synsets with names", []string{"n02085620-Chihuahua"}, false, []string{"dog", "x"}, []string{"n02085620", ""}, 2,
			[]int{0}, "synset", 0, "", nil},
		{"synsets of a list of names", []string{"n01440764", "n03000684"}, false, []string{"chain saw", "tench"}, nil, 2,
			[]int{1, 0}, "name", 2, "fault?", nil},
		{"names of a list of synsets", []string{"tench"}, false, []string{"n01443537", "n01440764"}, nil, 2, []int{1}, "name",
			1, "", nil},
		{"ImageNet", []string{"n02979186", "n01440764"}, false, net, ImageNetSynsets(), 1000, []int{482, 0}, "synset",
			0, "", nil},
		{"a thousand without names", []string{"n01440764", "n02979186"}, false, nil, nil, 1000, []int{0, 482},
			"guessed synset", 0, "", nil},
		{"numbers by name", []string{"1", "10", "2"}, false, []string{"1", "10", "2"}, nil, 3, []int{0, 1, 2}, "name",
			0, "", nil},
		{"IDX", numbers(2), true, []string{"shirt", "boot", "bag"}, nil, 3, []int{0, 1}, "guessed number", 0, "", nil},
		{"IDX and nothing", numbers(3), true, nil, nil, 10, []int{0, 1, 2}, "guessed number", 0, "", nil},
		{"IDX and its own", numbers(3), true, numbers(10), nil, 10, []int{0, 1, 2}, "name", 0, "", nil},
		{"no names", []string{"a", "b"}, false, nil, nil, 2, []int{0, 1}, "guessed order", 0, "", nil},
		{"no names but numbers", []string{"a", "b"}, false, numbers(2), nil, 2, []int{0, 1}, "guessed order", 0, "", nil},
		{"folders of numbers", numbers(3), false, nil, nil, 3, []int{0, 1, 2}, "guessed number", 0, "", nil},
		{"some folders of numbers", []string{"3", "7"}, false, nil, nil, 10, []int{3, 7}, "guessed number", 0, "", nil},
		{"folders from 1", []string{"1", "10", "2"}, false, nil, nil, 3, []int{0, 1, 2}, "guessed order", 0, "", nil},

		{"in part", []string{"a", "b", "c"}, false, []string{"c", "a", "bee"}, nil, 3, nil, "", 0,
			`the data's class "b" is none of the network's`, []string{"bee"}},
		{"more in part", []string{"a", "cat", "dgo", "x"}, false, []string{"a", "x", "dog", "cats", "y"}, nil, 5, nil, "", 0,
			`2 of the data's 4 classes are none of the network's: "cat", "dgo"`, []string{"cats", "dog"}},
		{"none in common", []string{"a", "b"}, false, []string{"x", "y"}, nil, 2, nil, "", 0,
			`none of the data's classes is one of the network's: the data has "a", "b", the network "x", "y"`, nil},
		{"numbers and names", numbers(2), false, []string{"x", "y"}, nil, 2, nil, "", 0, "none of the data's classes", nil},
		{"ambiguous", []string{"CAT"}, false, []string{"cat", "Cat"}, nil, 2, nil, "", 0,
			`"CAT" may be any of the network's 0 "cat", 1 "Cat"`, nil},
		{"twins", []string{"cat"}, false, []string{"cat", "dog", "cat"}, nil, 3, nil, "", 0,
			`"cat" may be any of the network's 0 "cat", 2 "cat"`, nil},
		{"two of one", []string{"CAT", "cat"}, false, []string{"cat", "dog"}, nil, 2, nil, "", 0,
			`"CAT" and "cat" are both the network's class 0, "cat"`, nil},
		{"too few", []string{"a"}, false, nil, nil, 10, nil, "", 0, "the network has 10 classes, the data 1: which is which?",
			nil},
		{"too many numbers", numbers(3), true, nil, nil, 2, nil, "", 0,
			"the data has a class 2, the network's classes are 0 to 1", nil},
		{"number or order", sorted, false, nil, nil, 11, nil, "", 0,
			`class "10" may be the network's class 10, by its number, or 2, by the order`, nil},
		{"numbers from 0 and from 1", numbers(3), true, []string{"1", "2", "3"}, nil, 3, nil, "", 0,
			`the data's class "0" is none of the network's`, nil},
	} {
		m, err := MatchClasses(&Dataset{Classes: c.data, Numbered: c.numbered}, Labels{c.names, c.synsets}, c.outputs)
		if c.fault != "" && c.fault != "fault?" {
			var fault *ClassesError
			if !errors.As(err, &fault) || !strings.Contains(fault.Fault, c.fault) || !slices.Equal(fault.Near, c.near) {
				t.Errorf("%s: %+v, %v %+v, want %q near %q", c.what, m, err, fault, c.fault, c.near)
			}
			continue
		}
		by, guessed := strings.CutPrefix(c.by, "guessed ")
		if err != nil || !slices.Equal(m.Of, c.of) || m.By != by || m.Guessed != guessed || (m.Why != "") != guessed ||
			len(m.Loose) != c.loose {
			t.Errorf("%s: %+v (%v), want %v by %s", c.what, m, err, c.of, c.by)
		}
	}
}

// TestMatchFromOne: numbers that begin with 1, as those of EMNIST's letters, leave class 0 without pictures.
func TestMatchFromOne(t *testing.T) {
	d := &Dataset{Classes: []string{"0", "1", "2", "3"}, labels: []int{1, 3, 2, 1}, Numbered: true}
	for _, c := range []struct {
		what    string
		names   []string
		outputs int
		of      []int // of classes 1 to 3
		by, why string
	}{
		{"a network of 4", nil, 4, []int{1, 2, 3}, "number", "nothing names the network's classes"},
		{"a network of 3", nil, 3, []int{0, 1, 2}, "order", "nothing names the network's classes; the data's numbers, 1 to " +
			"3, are taken for 0 to 2"},
		{"letters", []string{"a", "b", "c"}, 3, []int{0, 1, 2}, "order", "the data names no classes; the data's numbers, 1 " +
			"to 3, are taken for 0 to 2"},
		{"numbers from 1", []string{"1", "2", "3"}, 3, []int{0, 1, 2}, "name", ""},
		{"numbers in another order", []string{"3", "1", "2"}, 3, []int{1, 2, 0}, "name", ""},
	} {
		m, err := MatchClasses(d, Labels{Names: c.names}, c.outputs)
		if err != nil || !slices.Equal(m.Of[1:], c.of) || (m.Of[0] < 0) != (c.outputs == 3) || m.By != c.by ||
			m.Why != c.why || m.Guessed != (c.why != "") {
			t.Errorf("%s: %+v (%v)", c.what, m, err)
		}
	}
	var fault *ClassesError
	if _, err := MatchByNumber(d, 3); !errors.As(err, &fault) || !fault.ByOrder {
		t.Errorf("by number: %v", err)
	}
	if m, err := MatchByOrder(d, 3); err != nil || !slices.Equal(m.Of[1:], []int{0, 1, 2}) {
		t.Errorf("by order: %+v (%v)", m, err)
	}
	if _, err := MatchClasses(d, Labels{}, 2); err == nil {
		t.Error("three classes are taken for two")
	}
}

func TestMatchBy(t *testing.T) {
	d := &Dataset{Classes: []string{"1", "10", "2"}}
	if m, err := MatchByNumber(d, 11); err != nil || !slices.Equal(m.Of, []int{1, 10, 2}) {
		t.Errorf("by number: %v (%v)", m, err)
	}
	if m, err := MatchByOrder(d, 3); err != nil || !slices.Equal(m.Of, []int{0, 1, 2}) {
		t.Errorf("by order: %v (%v)", m, err)
	}
	for _, c := range []struct {
		data    []string
		outputs int
		want    string
	}{
		{[]string{"a"}, 3, `"a" is no number`},
		{[]string{"3"}, 3, "a class 3, the network's classes are 0 to 2"},
		{[]string{"01", "1"}, 3, `"01" and "1" are the same number`},
	} {
		if _, err := MatchByNumber(&Dataset{Classes: c.data}, c.outputs); err == nil ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%q by number: %v, want %q", c.data, err, c.want)
		}
	}
	if _, err := MatchByOrder(d, 4); err == nil {
		t.Error("three classes are taken for four")
	}
}
