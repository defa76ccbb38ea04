package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	root "github.com/vggo/vggo"
	"github.com/vggo/vggo/internal/near"
	"github.com/vggo/vggo/internal/printable"
	"github.com/vggo/vggo/vision"
)

// hintLabels adds the remedy to names that do not fit a network; path is the file that they are in.
func hintLabels(err error, path string) error {
	var other *root.LabelsError
	var count *root.LabelsCountError
	switch {
	case errors.As(err, &other):
		return hint(err, "without --labels the file's own names are used; --relabel takes those of --labels all the same")
	case !errors.As(err, &count):
		return err
	case count.Noted:
		return hint(err, "--labels with --relabel names them")
	}
	err = fmt.Errorf("%s: %w", path, err)
	if len(count.Names) == count.Classes+1 && strings.EqualFold(count.Names[0], "background") {
		return hint(err, "the list fits without its first line, background, which is TensorFlow's")
	}
	return hint(err, "the file must have one name for each class, a line each")
}

// matchWords tells people which class is which.
func matchWords(m vision.Matching) string {
	by := map[string]string{"name": "by name", "synset": "by WordNet's number", "number": "by number",
		"order": "by order, as torchvision and Keras count folders"}[m.By]
	told := "classes matched " + by
	if m.Guessed {
		told = "classes guessed " + by + ": " + m.Why
	}
	for i, loose := range m.Loose {
		if i == 5 {
			return told + fmt.Sprintf("; and %d more", len(m.Loose)-i)
		}
		told += "; " + loose
	}
	return told
}

// The ways to say which class is which.
const (
	matchAuto   = "auto"
	matchNumber = "number"
	matchOrder  = "order"
)

// matchClasses gives the data's classes the network's numbers, in the way that --match says.
func (o *evalOptions) matchClasses(data *vision.Dataset, path string, m *root.Model) (found vision.Matching,
	err error) {
	outputs := m.ClassCount()
	switch o.match {
	case matchNumber:
		found, err = vision.MatchByNumber(data, outputs)
	case matchOrder:
		found, err = vision.MatchByOrder(data, outputs)
	default:
		found, err = vision.MatchClasses(data, m.Labels(), outputs)
	}
	return found, o.hintMatch(err, data, path, m)
}

// hintMatch says how classes can be matched that are not.
func (o *evalOptions) hintMatch(err error, data *vision.Dataset, path string, m *root.Model) error {
	var fault *vision.ClassesError
	if !errors.As(err, &fault) {
		return err
	}
	err = fmt.Errorf("%s: %w", m.Network.Name, err)
	var remedies []string
	if len(fault.Near) > 0 {
		remedies = append(remedies, "did you mean "+strings.Join(fault.Near, ", ")+"?")
	}
	if absolute, err := filepath.Abs(path); err == nil {
		if found, _ := m.Labels().Finder()(filepath.Base(absolute)); len(found) > 0 {
			remedies = append(remedies, "is the folder one too low? it is itself called as a class: name "+filepath.Dir(path))
		}
	}
	var one *vision.OneClassError
	if errors.As(data.OneClass(), &one) && len(one.Below) > 1 {
		remedies = append(remedies, fmt.Sprintf("is the folder one too high? %s holds %s", one.Class,
			strings.Join(one.Below[:min(len(one.Below), 5)], ", ")))
	}
	labels := "--labels names"
	if o.labels == "" && m.Classes != nil { // the file's own
		labels = "--labels with --relabel names"
	}
	remedies = append(remedies, labels+" the network's classes, in its order, as the data does")
	if fault.ByNumber {
		remedies = append(remedies, "--match number goes by the data's numbers")
	}
	if fault.ByOrder {
		remedies = append(remedies, "--match order by the order of its classes")
	}
	return hint(err, strings.Join(remedies, "; "))
}

// chooseClass finds the class that somebody names: by its label first, which may be a number too, then by number, then
// by a part of the label that one alone holds. What else could have been meant is said.
func chooseClass(m *root.Model, name string, faults io.Writer) (int, error) {
	classes, named := m.Classes, m.Labels().Finder()
	outputs := m.ClassCount()
	number, notNumber := strconv.Atoi(name)
	isNumber := notNumber == nil && number >= 0 && number < outputs
	found, _ := named(name)
	switch {
	case len(found) == 1:
		if isNumber && number != found[0] {
			fmt.Fprintf(faults, "vggo: --class %s is the class labelled %q, number %d; number %s is labelled %q\n", name,
				classes[found[0]], found[0], name, classes[number])
		}
		return found[0], nil
	case len(found) > 1 && !isNumber:
		return 0, severalClasses(m, name, found)
	}
	var holding []int
	for i, label := range classes {
		if strings.Contains(strings.ToLower(label), strings.ToLower(name)) {
			holding = append(holding, i)
		}
	}
	switch {
	case isNumber:
		if others := append(slices.Clone(found), holding...); len(others) > 0 && !slices.Contains(others, number) {
			fmt.Fprintf(faults, "vggo: --class %s is the class's number; %q has it in its label\n", name, classes[others[0]])
		}
		return number, nil
	case notNumber == nil && number < 0:
		return 0, usageError{fmt.Errorf("--class must be at least 0, not %d", number)}
	case len(holding) == 1:
		return holding[0], nil
	case len(holding) > 1:
		return 0, severalClasses(m, name, holding)
	case len(classes) == 0 && notNumber == nil:
		return 0, fmt.Errorf("%s has %d classes, numbered from 0: there is no class %d", m.Network.Name, outputs, number)
	case len(classes) == 0:
		return 0, hint(fmt.Errorf("no label %q: nothing names the classes of %s", name, m.Network.Name),
			fmt.Sprintf("--labels FILE, or the class's number, 0 to %d", outputs-1))
	}
	const whole = 20
	remedy := fmt.Sprintf("a number counts too, 0 to %d", outputs-1)
	if n := len(classes); n > whole {
		remedy += fmt.Sprintf("; vggo classify --top %d lists all", n)
	}
	if meant := near.Names(name, classes, 3, strings.ToLower); len(meant) > 0 {
		remedy = "did you mean " + strings.Join(meant, ", ") + "? " + remedy
	}
	return 0, hint(fmt.Errorf("%s has no class %q: it has %s", m.Network.Name, name, printable.Ends(classes, whole)),
		remedy)
}

// severalClasses says which classes a name may mean.
func severalClasses(m *root.Model, name string, found []int) error {
	const listed = 5
	var which []string
	for _, i := range found[:min(len(found), listed)] {
		which = append(which, fmt.Sprintf("%d %s", i, m.Classes[i]))
	}
	if len(found) > listed {
		which = append(which, "…")
	}
	return hint(fmt.Errorf("%d classes of %s have %q in their names", len(found), m.Network.Name, name),
		"one of "+strings.Join(which, ", "))
}
