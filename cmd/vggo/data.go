package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/vggo/vggo/vision"
)

// hintData adds the remedy to what vision.OpenDataset complains of.
func hintData(err error, command string) error {
	var parts *vision.PartsError
	if !errors.As(err, &parts) {
		return err
	}
	info, statErr := os.Stat(parts.Path)
	isFolder := statErr == nil && info.IsDir()
	classes := "--no-parts takes each folder for a class"
	switch {
	case parts.Parts == nil && parts.Folders != nil:
		return hint(err, "--no-parts takes all pictures of a folder for one class, whatever lies between")
	case parts.Parts == nil && !parts.Flat: // files of CIFAR or MNIST, of which one part is not there
		return err
	case parts.Parts == nil:
		return hint(err, "put the pictures into a folder for each class; vggo classify says what a network sees in them")
	case !isFolder:
		remedy := "unpack it, and name one of them"
		if parts.Folders != nil {
			remedy += "; " + classes
		}
		return hint(err, remedy)
	}
	remedy := fmt.Sprintf("name one: vggo %s %s", command, shellWord(filepath.Join(parts.Path, parts.Parts[0])))
	if command == "train" && parts.Folders != nil && len(parts.Parts) > 1 {
		remedy += " --validation " + shellWord(filepath.Join(parts.Path, parts.Parts[1]))
	}
	if parts.Folders != nil {
		remedy += "; " + classes
	}
	return hint(err, remedy)
}

// dataJSON is what JSON tells about the part of a data set that was taken.
type dataJSON struct {
	Part   string   `json:"part,omitempty"`
	Parts  []string `json:"parts,omitempty"`
	Why    string   `json:"part_reason,omitempty"` // it was taken, where it is not called as what was asked for
	Passed []string `json:"passed_over,omitempty"` // folders that are neither parts nor classes
	Deep   bool     `json:"folders_below_classes,omitempty"`
}

func dataTaken(d *vision.Dataset) dataJSON {
	told := dataJSON{Part: d.Part, Why: d.Why, Passed: d.Passed, Deep: d.Deep}
	for _, part := range d.Parts {
		told.Parts = append(told.Parts, part.Name)
	}
	return told
}

// lines are the same for people; none where nothing had to be decided.
func (d dataJSON) lines() (told []string) {
	if d.Part != "" {
		what := "part: " + d.Part
		if len(d.Parts) > 1 {
			what += ", of " + strings.Join(d.Parts, ", ")
		}
		if d.Why != "" {
			what += " (" + d.Why + ")"
		}
		told = append(told, what)
	}
	if len(d.Passed) > 0 {
		told = append(told, "left out: "+strings.Join(d.Passed, ", "))
	}
	if d.Deep {
		told = append(told, "every class folder holds folders alone: if these are the classes, name the folder that "+
			"holds them")
	}
	return told
}

// hintOneClass adds the remedy to a *vision.OneClassError of data to learn from.
func hintOneClass(err error) error {
	var one *vision.OneClassError
	switch {
	case !errors.As(err, &one):
		return err
	case len(one.Below) > 1:
		return hint(err, "to tell these apart: vggo train "+shellWord(filepath.Join(one.Folder, one.Class)))
	case len(one.Beside) > 0:
		return hint(err, "to tell these apart: vggo train "+shellWord(filepath.Dir(filepath.Clean(one.Folder))))
	}
	return hint(err, "a network learns to tell classes apart: give it pictures of two at least, each class in a folder "+
		"of its own")
}

// shellWord is a path as a shell takes it for one word.
func shellWord(path string) string {
	plain := func(r rune) bool {
		return unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("_-./,:+@%", r)
	}
	if path != "" && !strings.ContainsFunc(path, func(r rune) bool { return !plain(r) }) {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
