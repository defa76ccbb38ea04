package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"github.com/vggo/vggo/vision"
)

// pictureFlags are the flags of commands that decode pictures.
type pictureFlags struct {
	maxPixels int
}

func (o *pictureFlags) add(f *pflag.FlagSet) {
	f.IntVar(&o.maxPixels, "max-pixels", vision.DefaultPixels, "largest picture, height times width, from which follows "+
		"the memory that decoding takes")
}

func (o *pictureFlags) check() error {
	if o.maxPixels < 1 {
		return usageError{fmt.Errorf("--max-pixels must be at least 1, not %d", o.maxPixels)}
	}
	return nil
}

func (o *pictureFlags) limits() vision.Limits { return vision.Limits{Pixels: o.maxPixels} }

// openPictures opens a data set, and says what of its folders is passed over.
func openPictures(path string, split vision.Split, limits vision.Limits, faults io.Writer) (*vision.Dataset, error) {
	d, err := vision.OpenDataset(path, split)
	if err != nil {
		return nil, err
	}
	d.Limits = limits
	if what := d.Skipped.String(); what != "" {
		fmt.Fprintf(faults, "vggo: %s: files are passed over: %s\n", path, what)
	}
	return d, nil
}

// nameFlag tells which flag lets a picture in that is too large.
func nameFlag(err error) error {
	var large *vision.SizeError
	if errors.As(err, &large) && !large.CutOff {
		return fmt.Errorf("%w; --max-pixels %d takes it", err, large.W*large.H)
	}
	return err
}

// pictureList is what a command's arguments come to.
type pictureList struct {
	files  []string
	faults io.Writer
	closed int // folders that could not be read
}

// listPictures turns a command's arguments into files: a folder into the pictures in it and below it, sorted by name,
// symbolic links to files among them. Folders that cannot be read, and pictures in formats that are not, are reported.
func listPictures(args []string, faults io.Writer) (*pictureList, error) {
	l := &pictureList{faults: faults}
	for _, arg := range args {
		info, err := os.Stat(arg)
		if arg == stdin || err != nil || !info.IsDir() {
			l.files = append(l.files, arg) // a missing one is said in its turn
			continue
		}
		found, skipped := len(l.files), vision.Skipped{}
		links, err := l.walk(arg, skipped)
		if err != nil {
			return nil, err
		}
		if what := skipped.String(); what != "" {
			fmt.Fprintf(faults, "vggo: %s: files are passed over: %s\n", arg, what)
		}
		if links > 0 {
			fmt.Fprintf(faults, "vggo: %s: %d symbolic links to folders are not followed: name what they lead to\n", arg, links)
		}
		if len(l.files) == found {
			return nil, fmt.Errorf("%s: no pictures in this folder: their names end in %s", arg,
				strings.Join(vision.PictureEndings(), " "))
		}
	}
	return l, nil
}

// walk adds the pictures of a folder and those below it. links counts what leads to other folders, and perhaps in a
// circle.
func (l *pictureList) walk(dir string, skipped vision.Skipped) (links int, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if e.IsDir() {
			below, err := l.walk(path, skipped)
			links += below
			if err != nil { // the others are read all the same
				l.closed++
				fmt.Fprintf(l.faults, "vggo: %v\n", err)
			}
			continue
		}
		if e.Type()&os.ModeSymlink != 0 {
			if info, err := os.Stat(path); err == nil && info.IsDir() {
				links++
				continue
			}
		}
		if vision.IsPictureName(path) {
			l.files = append(l.files, path) // what is a pipe, or leads nowhere, is said in its turn
		} else {
			skipped.Add(path)
		}
	}
	return links, nil
}

// end is how a command ends that went on after some pictures failed, or some folders.
func (l *pictureList) end(failed int) error { return someUnread(failed, len(l.files), l.closed) }

// someUnread is an error where some of all pictures could not be read, or some folders.
func someUnread(failed, all, folders int) error {
	var parts []string
	if failed > 0 {
		parts = append(parts, fmt.Sprintf("%d of %d pictures", failed, all))
	}
	switch {
	case folders == 1:
		parts = append(parts, "1 folder")
	case folders > 1:
		parts = append(parts, fmt.Sprintf("%d folders", folders))
	}
	if len(parts) == 0 {
		return nil
	}
	return errors.New(strings.Join(parts, " and ") + " could not be read")
}
