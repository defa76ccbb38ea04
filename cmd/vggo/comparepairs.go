package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/vggo/vggo/vision"
)

// picturePair is two files to compare. first is shared by the pairs that have the same first file.
type picturePair struct {
	a, b  string
	first *firstPicture
}

// firstPicture is a decoded file, which is kept as long as it is the first of a pair.
type firstPicture struct {
	picture *vision.Picture
	err     error
}

func (f *firstPicture) decode(path string, limits vision.Limits) (*vision.Picture, error) {
	if f.picture == nil && f.err == nil {
		f.picture, _, f.err = decodePicture(path, nil, limits)
	}
	return f.picture, f.err
}

// pairs are what the arguments come to, and how many pictures of two folders have no counterpart, each of which is
// named.
func (o *compareOptions) pairs(args []string, faults io.Writer) (pairs []picturePair, lone int, err error) {
	folders := 0
	for _, arg := range args {
		if arg == stdin {
			return nil, 0, usageError{errors.New("pictures to compare are files: standard input is none")}
		}
		if info, err := os.Stat(arg); err == nil && info.IsDir() {
			folders++
		}
	}
	switch {
	case o.all && folders == 0:
		return nil, 0, usageError{hint(fmt.Errorf("--all is of a folder, and %s is none", args[0]), "vggo compare A B")}
	case o.all:
		return allPairs(args[0], faults)
	case folders == 1:
		return nil, 0, usageError{hint(fmt.Errorf("%s and %s: a file and a folder", args[0], args[1]),
			"name two files, or two folders whose pictures have the same names")}
	case folders == 0:
		return []picturePair{{args[0], args[1], &firstPicture{}}}, 0, nil
	}
	var byName [2]map[string]string
	var list [2]*pictureList
	for i, folder := range args {
		if list[i], err = listPictures([]string{folder}, faults); err != nil {
			return nil, 0, err
		}
		if err := list[i].end(0); err != nil {
			return nil, 0, err
		}
		if byName[i], err = namesOf(folder, list[i].files); err != nil {
			return nil, 0, err
		}
	}
	for i, l := range list {
		for _, file := range l.files {
			other, ok := byName[1-i][nameIn(args[i], file)]
			switch {
			case !ok:
				lone++
				fmt.Fprintf(faults, "vggo: %s: there is no picture of this name in %s\n", file, args[1-i])
			case i == 0:
				pairs = append(pairs, picturePair{file, other, &firstPicture{}})
			}
		}
	}
	if len(pairs) == 0 {
		return nil, 0, hint(fmt.Errorf("%s and %s: no picture of one has the name of one of the other", args[0], args[1]),
			"pictures are paired by their paths within the folders, whatever these end in: x/1.png with x/1.jpg")
	}
	return pairs, lone, nil
}

// allPairs are those within a folder.
func allPairs(folder string, faults io.Writer) (pairs []picturePair, lone int, err error) {
	list, err := listPictures([]string{folder}, faults)
	if err != nil {
		return nil, 0, err
	}
	if err := list.end(0); err != nil {
		return nil, 0, err
	}
	if len(list.files) < 2 {
		return nil, 0, fmt.Errorf("%s: there is one picture in this folder, and nothing to compare it with", folder)
	}
	for i, a := range list.files {
		first := &firstPicture{}
		for _, b := range list.files[i+1:] {
			pairs = append(pairs, picturePair{a, b, first})
		}
	}
	return pairs, 0, nil
}

// nameIn is a file's path within a folder, without its ending.
func nameIn(folder, file string) string {
	name, err := filepath.Rel(folder, file)
	if err != nil {
		name = file
	}
	return strings.TrimSuffix(name, filepath.Ext(name))
}

// namesOf finds files by their names within a folder.
func namesOf(folder string, files []string) (map[string]string, error) {
	byName := map[string]string{}
	for _, file := range files {
		name := nameIn(folder, file)
		if other := byName[name]; other != "" {
			return nil, fmt.Errorf("%s and %s have the same name but for its ending: which is meant cannot be told", other, file)
		}
		byName[name] = file
	}
	return byName, nil
}
