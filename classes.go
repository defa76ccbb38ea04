package vggo

import (
	"fmt"
	"slices"

	"github.com/vggo/vggo/internal/strict"
	"github.com/vggo/vggo/vision"
	"github.com/vggo/vggo/weights"
)

// LabelsError says that the names given for a network's classes are not those that its file notes.
type LabelsError struct {
	File       string
	Class      int // the first that is called otherwise
	Own, Given string
}

func (e *LabelsError) Error() string {
	return fmt.Sprintf("%s: the file names its own classes, and the labels given are others: class %d is %q in it, not %q",
		e.File, e.Class, e.Own, e.Given)
}

// LabelsCountError says that names are not as many as a network's classes.
type LabelsCountError struct {
	Network string
	Classes int
	Names   []string
	Noted   bool // the names are those of the file of weights
}

func (e *LabelsCountError) Error() string {
	return fmt.Sprintf("%s has %d classes, not the %d that are named", e.Network, e.Classes, len(e.Names))
}

// imageNetGuess is Model.ClassesGuess of ImageNet's names.
const imageNetGuess = "nothing names the 1000 classes: they are taken for ImageNet's"

// Labels are the names of the classes, with WordNet's numbers where they are known.
func (m *Model) Labels() vision.Labels { return vision.Labels{Names: m.Classes, Synsets: m.Synsets} }

// nameClasses finds what the network's classes are called: as its file notes, else as the options say. file is nil for
// random weights. imageNet says that a network of a thousand classes without names is one of ImageNet's.
func (m *Model) nameClasses(o Options, file *weights.File, imageNet bool) (err error) {
	if m.lacks != nil {
		return nil // a head that is not there has no classes
	}
	given := vision.Labels{Names: o.Classes, Synsets: o.Synsets}
	var own vision.Labels
	if file != nil {
		if own, err = NotedLabels(file); err != nil {
			return err
		}
	}
	chosen, err := ChooseLabels(own, given, o.Relabel, m.Network.Name, m.ClassCount())
	switch fault := err.(type) {
	case *LabelsError:
		fault.File = file.Path
	case *LabelsCountError:
		if _, none := m.Ending(); none != nil {
			return none // two names for one output: nothing says that they are two classes
		}
		if fault.Noted {
			return fmt.Errorf("%s: %w", file.Path, err)
		}
	}
	if err != nil {
		return err
	}
	if chosen.Names == nil && m.ClassCount() == 1000 && imageNet {
		chosen = vision.Labels{Names: vision.ImageNetClasses(), Synsets: vision.ImageNetSynsets()}
		m.ClassesGuess = imageNetGuess
	}
	m.Classes, m.Synsets = chosen.Names, chosen.Synsets
	return nil
}

// NotedLabels are the names of classes that a file of weights notes, none where it notes none.
func NotedLabels(file *weights.File) (vision.Labels, error) {
	var noted vision.Labels
	for _, note := range []struct {
		name string
		into *[]string
	}{{weights.ClassesNote, &noted.Names}, {weights.SynsetsNote, &noted.Synsets}} {
		if text := file.Metadata[note.name]; text != "" {
			if err := strict.Unmarshal([]byte(text), note.into); err != nil {
				return noted, fmt.Errorf("%s: note %s: %w", file.Path, note.name, err)
			}
		}
	}
	if len(noted.Synsets) != len(noted.Names) {
		noted.Synsets = nil
	}
	if err := noted.Check(); err != nil { // a terminal would obey control characters
		return noted, fmt.Errorf("%s: note %s: %w", file.Path, weights.ClassesNote, err)
	}
	return noted, nil
}

// ChooseLabels decides between the names that a file notes and those that are given, either of which may be none, for a
// network of so many classes. A file's own names stay: names that are given and are others are a *LabelsError, unless
// relabel says that they are meant. Numbers are no names.
func ChooseLabels(own, given vision.Labels, relabel bool, network string, classes int) (vision.Labels, error) {
	for i, labels := range []vision.Labels{given, own} {
		noted := i == 1
		if labels.Names != nil && len(labels.Names) != classes && !(noted && relabel) {
			return own, &LabelsCountError{network, classes, labels.Names, noted}
		}
		if labels.Synsets != nil && len(labels.Synsets) != len(labels.Names) {
			return own, fmt.Errorf("%d WordNet numbers for %d names of classes", len(labels.Synsets), len(labels.Names))
		}
	}
	switch {
	case given.Names == nil:
		return own, nil
	case relabel || vision.AreNumbers(own.Names): // none are numbers too
		return given, nil
	}
	ours, theirs := own.Finder(), given.Finder() // one list may have more names for a class than the other
	for i, name := range given.Names {
		found, _ := ours(name)
		back, _ := theirs(own.Names[i])
		if !slices.Contains(found, i) && !slices.Contains(back, i) {
			return own, &LabelsError{Class: i, Own: own.Names[i], Given: name}
		}
	}
	if own.Synsets == nil {
		own.Synsets = given.Synsets
	}
	return own, nil
}
