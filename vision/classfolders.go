package vision

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// folderTree is a folder of the system's. Symbolic links to folders count as folders.
type folderTree string

func (t folderTree) look(dir string) (folders []string, pictures int, err error) {
	dir = filepath.Join(string(t), filepath.FromSlash(dir))
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, 0, err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		isDir := e.IsDir()
		if e.Type()&fs.ModeSymlink != 0 {
			info, err := os.Stat(filepath.Join(dir, e.Name()))
			isDir = err == nil && info.IsDir()
		}
		switch {
		case isDir:
			folders = append(folders, e.Name())
		case IsPictureName(e.Name()):
			pictures++
		}
	}
	return folders, pictures, nil
}

// openClassFolders lists pictures, in the order of their paths.
func openClassFolders(dir string, split Split) (*Dataset, error) {
	place, err := findLayout(folderTree(dir), dir, split, false)
	if err != nil {
		return nil, err
	}
	folders, pictures, err := folderTree(dir).look(place.root)
	if err != nil {
		return nil, err
	}
	root := filepath.Join(dir, filepath.FromSlash(place.root))
	if folders, _ = withoutSystem(folders); len(folders) == 0 {
		what := "want class folders with pictures in them, or the files of CIFAR or MNIST"
		if pictures > 0 {
			what = fmt.Sprintf("its %d pictures lie in no class folders; if all are of one class, name the folder above",
				pictures)
		}
		return nil, fmt.Errorf("%s: no data set: %s", dir, what)
	}
	var files []string // below root, with slashes
	skipped := Skipped{}
	for _, class := range folders {
		before := len(files)
		skippedHere := Skipped{}
		// The class folder itself may be a symbolic link, as its pictures may; folders further down are not followed if they
		// are, so that no circle can be walked.
		top, err := filepath.EvalSymlinks(filepath.Join(root, class))
		if err != nil {
			return nil, err
		}
		err = filepath.WalkDir(top, func(name string, e fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case strings.HasPrefix(e.Name(), ".") && name != top:
				if e.IsDir() {
					return filepath.SkipDir
				}
				return nil
			case e.IsDir():
				return nil
			case !IsPictureName(name):
				skipped.Add(name)
				skippedHere.Add(name)
				return nil
			case len(files) == maxPictures:
				return fmt.Errorf("%s: more than %d pictures", dir, maxPictures)
			}
			below, err := filepath.Rel(top, name)
			files = append(files, path.Join(class, filepath.ToSlash(below)))
			return err
		})
		if err != nil {
			return nil, err
		}
		if len(files) == before && len(skippedHere) > 0 {
			return nil, fmt.Errorf("%s: a class folder without pictures that are read: %v", filepath.Join(root, class),
				skippedHere)
		}
		if len(files) == before {
			return nil, fmt.Errorf("%s: a class folder without pictures: fill it or take it away, since its place counts",
				filepath.Join(root, class))
		}
	}
	d := classFolders(files, place)
	d.folder, d.Skipped = root, skipped
	d.name = func(i int) string { return filepath.Join(filepath.FromSlash(place.root), filepath.FromSlash(files[i])) }
	d.picture = func(i int) (*Picture, error) {
		return DecodeFile(filepath.Join(root, filepath.FromSlash(files[i])), d.Limits)
	}
	return d, nil
}

// classFolders numbers the first folders of paths, which are sorted here as torchvision does: by class, folder and
// name.
func classFolders(files []string, place folderLayout) *Dataset {
	class := func(file string) string { return file[:strings.IndexByte(file, '/')] }
	slices.SortFunc(files, func(a, b string) int {
		dirA, nameA := path.Split(a)
		dirB, nameB := path.Split(b)
		return cmp.Or(cmp.Compare(class(a), class(b)), cmp.Compare(path.Clean(dirA), path.Clean(dirB)),
			cmp.Compare(nameA, nameB))
	})
	d := &Dataset{labels: make([]int, len(files)), Part: place.part, Parts: place.parts, Passed: place.passed,
		Why: place.why, Deep: true}
	for i, file := range files {
		d.Deep = d.Deep && strings.Count(file, "/") > 1
		if c := class(file); i == 0 || c != d.Classes[len(d.Classes)-1] {
			d.Classes = append(d.Classes, c)
		}
		d.labels[i] = len(d.Classes) - 1
	}
	return d
}

// OneClassError is a data set all of whose pictures are of one class: its folder may be too high or too low.
type OneClassError struct {
	Class  string
	Folder string   // that holds the class's folder; empty for data that is not in folders
	Below  []string // folders in the class's, where no picture lies beside them
	Beside []string // other folders with pictures, beside Folder
}

func (e *OneClassError) Error() string {
	at := ""
	if e.Folder != "" {
		at = e.Folder + ": "
	}
	what := fmt.Sprintf("%sall pictures are of one class, %q", at, e.Class)
	switch {
	case len(e.Below) > 1:
		what += fmt.Sprintf(", whose folder holds %s: is the folder named one too high?", listed(e.Below))
	case len(e.Beside) > 0:
		what += fmt.Sprintf(", and beside %s there is %s: is the folder named one too low?", filepath.Base(e.Folder),
			listed(e.Beside))
	}
	return what
}

// OneClass is a *OneClassError where all pictures are of the same class, else nil: from such data nothing can be
// learned.
func (d *Dataset) OneClass() error {
	for _, label := range d.labels {
		if label != d.labels[0] {
			return nil
		}
	}
	e := &OneClassError{Class: d.Classes[d.labels[0]], Folder: d.folder}
	if d.folder == "" {
		return e
	}
	below, pictures, err := folderTree(d.folder).look(e.Class)
	if err != nil {
		return err
	}
	if below, _ = withoutSystem(below); pictures == 0 {
		e.Below = below
	}
	if d.Part != "" {
		return e // beside it there are the other parts
	}
	absolute, err := filepath.Abs(d.folder)
	if err != nil {
		return err
	}
	above := folderTree(filepath.Dir(absolute))
	beside, _, err := above.look("")
	if err != nil {
		return e // the folder above may be closed to us
	}
	for _, name := range beside {
		if name == filepath.Base(absolute) || len(e.Beside) > maxListed {
			continue
		}
		if some, err := hasPictures(above, name, maxWrappers-2); err == nil && some {
			e.Beside = append(e.Beside, name)
		}
	}
	return e
}
