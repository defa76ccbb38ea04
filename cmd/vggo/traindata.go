package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	root "github.com/vggo/vggo"
	"github.com/vggo/vggo/train"
	"github.com/vggo/vggo/vision"
	"github.com/vggo/vggo/weights"
)

// runNote is what runFile holds: how to find the data again, and where the first weights came from.
type runNote struct {
	Data        string   `json:"data"`
	NoParts     bool     `json:"no_parts,omitempty"`
	Validation  string   `json:"validation,omitempty"`
	Part        bool     `json:"validation_part,omitempty"` // Data's own part for it is validated on
	Test        bool     `json:"test,omitempty"`
	From        string   `json:"from,omitempty"`
	WeightsPart string   `json:"weights_part,omitempty"`
	Take        []string `json:"take,omitempty"`
	Network     string   `json:"network,omitempty"` // its name
	Changed     string   `json:"changed,omitempty"` // what was made of it for the data, in words
	Known       []string `json:"data_classes,omitempty"`
	Classes     []string `json:"classes,omitempty"` // in the order of From's, where the data's is another

	MaxPixels int `json:"max_pixels,omitempty"` // of a picture

	told   []string // what was decided, for people
	faults io.Writer
}

// noValidation is --validation's value for none, though the data has a part for it.
const noValidation = "none"

func (n *runNote) tell(format string, args ...any) {
	n.told = append(n.told, fmt.Sprintf(format, args...))
}

// open opens the data of a run. first says that the run begins: then a part for validation is validated on unless the
// recipe or the command line says otherwise.
func (n *runNote) open(options *train.Options, first bool, faults io.Writer) error {
	n.faults = faults
	split := vision.Train
	if n.NoParts {
		split = vision.Whole
	}
	learn, err := n.pictures(n.Data, split)
	if err != nil {
		return hintData(err, "train")
	}
	if err := hintOneClass(learn.OneClass()); err != nil {
		return err
	}
	n.told = append(n.told, dataTaken(learn).lines()...)
	if none := unseen(learn); len(none) > 0 {
		n.tell("no picture is of class %s: its output learns nothing but to be silent", someOf(none))
	}
	if n.Classes != nil {
		if learn, err = n.matching(learn, n.Data, n.Classes); err != nil {
			return err
		}
	}
	options.Train, options.Classes = learn, learn.Classes
	if n.Test {
		d, err := n.other(n.Data, vision.Test, learn)
		if err != nil {
			return err
		}
		n.tell("test, when all is done: %s", d.Part)
		options.Test = d
	}
	validation := ""
	for _, part := range learn.Parts {
		if part.For == vision.Validation {
			validation = part.Name
		}
	}
	taken := n.Test && options.Test.(*vision.Dataset).Part == validation // to test on
	if first && n.Validation == "" && validation != "" && options.Recipe.HoldOut == 0 && !taken {
		n.Part = true
	}
	switch {
	case n.Part:
		d, err := n.other(n.Data, vision.Validation, learn)
		var flat *vision.PartsError
		if first && errors.As(err, &flat) && flat.Flat {
			n.Part = false
			n.tell("not validated: %s", flat.Fault)
			break
		}
		if err != nil {
			return err
		}
		options.Validation = d
		n.tell("validation: %s (--validation %s leaves it alone)", validation, noValidation)
	case n.Validation != "" && n.Validation != noValidation:
		d, err := n.other(n.Validation, vision.Validation, learn)
		var none *vision.PartsError
		if errors.As(err, &none) { // it may hold a part to test on alone
			d, err = n.other(n.Validation, vision.Test, learn)
		}
		if err != nil {
			return err
		}
		options.Validation = d
	case validation != "" && !taken && n.Validation == "":
		n.tell("not used: %s, since the recipe's hold_out validates; --validation %s would", validation,
			filepath.Join(n.Data, validation))
	}
	if first && !n.Test {
		for _, part := range learn.Parts {
			if part.For == vision.Test && part.Name != learn.Part {
				n.tell("not used: %s; --test scores the result on it, once", part.Name)
				break
			}
		}
	}
	return nil
}

// pictures opens a data set whose pictures may be as large as the run says.
func (n *runNote) pictures(path string, split vision.Split) (*vision.Dataset, error) {
	return openPictures(path, split, vision.Limits{Pixels: n.MaxPixels}, n.faults)
}

// other opens a data set beside the one to learn from, whose classes it has, or some of them.
func (n *runNote) other(path string, split vision.Split, learn *vision.Dataset) (*vision.Dataset, error) {
	d, err := n.pictures(path, split)
	if err != nil {
		return nil, hintData(err, "train")
	}
	switch {
	case path != n.Data && d.Part != "":
		n.tell("%s: part: %s", path, d.Part)
	case d.Why != "":
		n.tell("%s: %s: %s is taken", path, d.Why, d.Part)
	}
	return n.matching(d, path, learn.Classes)
}

// matching gives a data set's classes the numbers that they have among classes.
func (n *runNote) matching(d *vision.Dataset, path string, classes []string) (*vision.Dataset, error) {
	found, err := vision.MatchClasses(d, vision.Labels{Names: classes}, len(classes))
	var fault *vision.ClassesError
	if err == nil && found.Guessed {
		fault = &vision.ClassesError{Fault: fmt.Sprintf("its classes are called %s, those to learn %s", someOf(d.Classes),
			someOf(classes))}
		err = fault
	}
	if errors.As(err, &fault) {
		remedy := "its class folders must be called as those to learn from"
		if len(fault.Near) > 0 {
			remedy += ": did you mean " + strings.Join(fault.Near, ", ") + "?"
		}
		return nil, hint(fmt.Errorf("%s: %s", path, strings.ReplaceAll(fault.Fault, "the network's", "the training set's")),
			remedy)
	}
	if err != nil {
		return nil, err
	}
	for _, loose := range found.Loose {
		n.tell("%s: %s", path, loose)
	}
	return d.Renumber(found.Of, classes), nil
}

// unseen are the classes of a data set that has no picture of them, such as number 0 of files that count from 1.
func unseen(d *vision.Dataset) (names []string) {
	seen := make([]bool, len(d.Classes))
	for i := range d.Len() {
		seen[d.Label(i)] = true
	}
	for class, name := range d.Classes {
		if !seen[class] {
			names = append(names, name)
		}
	}
	return names
}

// someOf is a few names for a message.
func someOf(names []string) string {
	const few = 5
	if len(names) > few {
		return strings.Join(names[:few], ", ") + ", …"
	}
	return strings.Join(names, ", ")
}

// startClasses compares the classes of the file that a run begins with to the data's, where they are as many: its last
// layer answers for the former. Where they are the same in another order the file's is taken; where they are others
// anew is true, since the layer must be made anew.
func (n *runNote) startClasses(file *weights.File, options *train.Options) (anew bool, err error) {
	own, err := root.NotedLabels(file)
	if err != nil || len(own.Names) == 0 || len(own.Names) != len(options.Classes) ||
		slices.Equal(own.Names, options.Classes) {
		return false, err
	}
	learn, ok := options.Train.(*vision.Dataset)
	if !ok {
		return false, nil
	}
	found, err := vision.MatchClasses(learn, own, len(own.Names))
	var fault *vision.ClassesError
	if errors.As(err, &fault) {
		n.tell("the last layer is made anew: %s was trained for other classes, %s", n.From, someOf(own.Names))
		return true, nil
	}
	if err != nil || found.Guessed {
		return false, err
	}
	n.tell("classes in the order of %s, whose last layer goes on: %s", n.From, someOf(own.Names))
	n.Classes, options.Classes = own.Names, own.Names
	options.Train = learn.Renumber(found.Of, own.Names)
	for _, set := range []*train.Dataset{&options.Validation, &options.Test} {
		if d, ok := (*set).(*vision.Dataset); ok && d != nil {
			*set = d.Renumber(found.Of, own.Names)
		}
	}
	return false, nil
}

// keptHead says what a last layer that is kept was trained for, where its file does not tell.
func (n *runNote) keptHead(file *weights.File, options *train.Options) error {
	own, err := root.NotedLabels(file)
	learn, ok := options.Train.(*vision.Dataset)
	if err == nil && ok && !slices.Equal(own.Names, options.Classes) && (vision.AreNumbers(own.Names) || learn.Numbered) {
		n.tell("the last layer goes on: the classes of %s, which names none of them so, are taken for the data's in their "+
			"order, a guess", n.From)
	}
	return err
}
