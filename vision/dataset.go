package vision

import (
	"archive/tar"
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Dataset is a list of pictures, numbered from 0, of known classes. It may be read by several goroutines at once.
type Dataset struct {
	Classes []string // by number; their numbers where the files hold no names
	Limits  Limits   // of its pictures' files; may be set before the first is read
	Skipped Skipped  // files in its folders that are passed over, though they are pictures by their names
	labels  []int
	name    func(i int) string
	picture func(i int) (*Picture, error)
}

// Len is the number of pictures.
func (d *Dataset) Len() int { return len(d.labels) }

// Label is the class of picture i, from 0 to len(Classes)-1.
func (d *Dataset) Label(i int) int { return d.labels[i] }

// Name says where picture i comes from: a path below the data set's, or a file and the picture's number in it.
func (d *Dataset) Name(i int) string { return d.name(i) }

// Picture reads picture i. The caller must not write to its samples. Errors name the file.
func (d *Dataset) Picture(i int) (*Picture, error) { return d.picture(i) }

// Split is a part of a data set.
type Split int

const (
	Test  Split = iota // what a network is measured on
	Train              // what it learns from
)

func (s Split) String() string {
	if s == Train {
		return "train"
	}
	return "test"
}

// Bounds of a data set: pictures in folders, of which only names are kept (ImageNet-21k has 14 million), and unpacked
// bytes of an archive, which are (CIFAR-10's 50,000 PNGs take 115 MB). IDX files and CIFAR's pickles, kept too, have bounds of their own.
const (
	maxPictures = 1 << 24
	maxArchive  = 1 << 30
)

// OpenDataset opens a data set, in any of these layouts:
//
//	class folders      DIR/CLASS/…/PICTURE, as torchvision's ImageFolder: classes in the order of their names
//	                   TAR/…/CLASS/…/PICTURE, the same as .tar, .tar.gz or .tgz, unpacked in memory
//	CIFAR-10, binary   DIR/data_batch_1.bin …, DIR/test_batch.bin, named in batches.meta.txt
//	CIFAR-10, Python   DIR/data_batch_1 …, DIR/test_batch, named in batches.meta
//	CIFAR-100, binary  DIR/train.bin, DIR/test.bin, named in fine_label_names.txt: its 100 fine classes
//	CIFAR-100, Python  DIR/train, DIR/test, named in meta
//	IDX (MNIST)        DIR/train-images-idx3-ubyte, DIR/t10k-images-idx3-ubyte and their labels, .gz or not
//
// path is the folder or archive, or one file of CIFAR or of IDX images. Where it holds both parts of a set, class folders
// in train/ and test/ or val/, split chooses; what names one part is taken as it is.
//
// Nothing need be closed: pictures of folders and of CIFAR's binary version are read from their files when they are asked for. Folders and files
// whose name begins with a dot are passed over, and so are files whose name does not end as a picture's (PictureEndings).
func OpenDataset(path string, split Split) (*Dataset, error) {
	info, err := os.Stat(path)
	if err != nil {
		var cause *fs.PathError
		if errors.As(err, &cause) { // "stat" tells its reader nothing
			err = cause.Err
		}
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var d *Dataset
	switch name := filepath.Base(path); {
	case info.IsDir():
		d, err = openFolder(path, split)
	case isArchive(name):
		d, err = readFile(path, func(r io.Reader) (*Dataset, error) { return readArchive(r, split, maxArchive) })
	case strings.HasSuffix(name, cifarEnding), isPickle(path):
		d, err = openCIFAR(path)
	case isIDXImages(name):
		d, err = openIDX(path)
	default:
		err = fmt.Errorf("%s: not a data set: want a folder, .tar, .tar.gz, a file of CIFAR's (data_batch_1.bin, data_batch_1) or IDX images (…images-idx3-ubyte)", path)
	}
	if err != nil {
		return nil, err
	}
	if d.Len() == 0 {
		return nil, fmt.Errorf("%s: a data set without pictures", path)
	}
	return d, nil
}

func openFolder(dir string, split Split) (*Dataset, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, e := range entries {
		files = append(files, e.Name())
	}
	if parts := cifarFiles(dir, files); parts[split] != nil {
		return openCIFAR(parts[split]...)
	} else if parts != nil {
		return nil, fmt.Errorf("%s: CIFAR without its files to %s on", dir, split)
	}
	if slices.ContainsFunc(files, isIDXImages) {
		images := slices.DeleteFunc(files, func(name string) bool {
			return !isIDXImages(name) || strings.HasPrefix(name, "train") != (split == Train)
		})
		if len(images) != 1 {
			return nil, fmt.Errorf("%s: %d files of IDX images to %s on: name one of them", dir, len(images), split)
		}
		return openIDX(filepath.Join(dir, images[0]))
	}
	return openClassFolders(dir, split)
}

// splitFolders are what folders of a part of a data set are called.
var splitFolders = map[Split][]string{Test: {"test", "val"}, Train: {"train"}}

// openClassFolders lists pictures, in the order of their paths.
func openClassFolders(dir string, split Split) (*Dataset, error) {
	root := dir
	folders, err := subfolders(root)
	if err != nil {
		return nil, err
	}
	if part, isSplit, err := chooseSplit(folders, split); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	} else if isSplit {
		root = filepath.Join(dir, part)
		if folders, err = subfolders(root); err != nil {
			return nil, err
		}
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
			return nil, fmt.Errorf("%s: a class folder without pictures that are read: %v", filepath.Join(root, class), skippedHere)
		}
		if len(files) == before {
			return nil, fmt.Errorf("%s: a class folder without pictures: fill it or take it away, since its place counts", filepath.Join(root, class))
		}
	}
	d := classFolders(files)
	d.Skipped = skipped
	prefix, err := filepath.Rel(dir, root)
	if err != nil {
		return nil, err
	}
	d.name = func(i int) string { return filepath.Join(prefix, filepath.FromSlash(files[i])) }
	d.picture = func(i int) (*Picture, error) {
		return DecodeFile(filepath.Join(root, filepath.FromSlash(files[i])), d.Limits)
	}
	return d, nil
}

// subfolders lists the folders in one, sorted, symbolic links to folders among them.
func subfolders(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var folders []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if info, err := os.Stat(filepath.Join(dir, e.Name())); err == nil && info.IsDir() {
			folders = append(folders, e.Name())
		}
	}
	if len(folders) == 0 {
		return nil, fmt.Errorf("%s: no data set: want class folders with pictures in them, or the files of CIFAR or MNIST", dir)
	}
	return folders, nil
}

// chooseSplit picks the folder of a part where folders are parts and no classes: where all are called as parts are.
func chooseSplit(folders []string, split Split) (part string, isSplit bool, err error) {
	for _, name := range folders {
		if !slices.Contains(splitFolders[Test], name) && !slices.Contains(splitFolders[Train], name) {
			return "", false, nil
		}
	}
	for _, name := range splitFolders[split] {
		if slices.Contains(folders, name) {
			return name, true, nil
		}
	}
	return "", false, fmt.Errorf("there is no folder %s, only %s", strings.Join(splitFolders[split], " or "), strings.Join(folders, ", "))
}

// classFolders numbers the first folders of paths, which are sorted here as torchvision does: by class, folder and name.
func classFolders(files []string) *Dataset {
	class := func(file string) string { return file[:strings.IndexByte(file, '/')] }
	slices.SortFunc(files, func(a, b string) int {
		dirA, nameA := path.Split(a)
		dirB, nameB := path.Split(b)
		return cmp.Or(cmp.Compare(class(a), class(b)), cmp.Compare(path.Clean(dirA), path.Clean(dirB)), cmp.Compare(nameA, nameB))
	})
	d := &Dataset{labels: make([]int, len(files))}
	for i, file := range files {
		if c := class(file); i == 0 || c != d.Classes[len(d.Classes)-1] {
			d.Classes = append(d.Classes, c)
		}
		d.labels[i] = len(d.Classes) - 1
	}
	return d
}

func isArchive(name string) bool {
	return strings.HasSuffix(name, ".tar") || strings.HasSuffix(name, ".tar.gz") || strings.HasSuffix(name, ".tgz")
}

// readArchive unpacks the pictures of a tar archive, gzipped or not, into at most so many bytes, names and a block of 512 for
// each counted.
func readArchive(r io.Reader, split Split, most int64) (*Dataset, error) {
	in, err := gunzip(r)
	if err != nil {
		return nil, err
	}
	content := map[string][]byte{}
	var file bytes.Buffer // which grows with what is there: a header that promises much costs nothing
	hasCIFAR := false
	skipped := Skipped{}
	for archive := tar.NewReader(in); ; {
		header, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("tar: %w", err)
		}
		name := path.Clean("/" + header.Name)[1:]
		for _, kind := range []cifar{cifar10, cifar100} {
			hasCIFAR = hasCIFAR || path.Base(name) == kind.names || path.Base(name) == kind.metaFile
		}
		if header.Typeflag != tar.TypeReg || strings.HasPrefix(name, ".") || strings.Contains(name, "/.") {
			continue
		}
		if !IsPictureName(name) {
			skipped.Add(name)
			continue
		}
		if cost := int64(len(name)) + 512; most < cost || header.Size > most-cost {
			return nil, errors.New("tar: its pictures are too large to be kept in memory: unpack it and name its folder")
		} else {
			most -= cost + header.Size
		}
		file.Reset()
		if _, err := io.Copy(&file, archive); err != nil {
			return nil, fmt.Errorf("tar: %s: %w", name, err)
		}
		content[name] = bytes.Clone(file.Bytes())
	}
	root, err := archiveRoot(maps.Keys(content), split)
	if err != nil && hasCIFAR {
		err = fmt.Errorf("%w, but CIFAR's files are: unpack it and name its folder", err)
	}
	if err != nil {
		return nil, fmt.Errorf("tar: %w", err)
	}
	var files []string
	for name := range content {
		if below, ok := strings.CutPrefix(name, root); ok && strings.Contains(below, "/") {
			files = append(files, below)
		} else {
			delete(content, name)
		}
	}
	d := classFolders(files)
	d.Skipped = skipped
	d.name = func(i int) string { return root + files[i] }
	d.picture = func(i int) (*Picture, error) {
		p, err := Decode(bytes.NewReader(content[root+files[i]]), d.Limits)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", root+files[i], err)
		}
		return p, nil
	}
	return d, nil
}

// archiveRoot finds the folder of class folders: below folders that hold all others, and the part that split chooses.
func archiveRoot(names iter.Seq[string], split Split) (root string, err error) {
	for {
		folders := map[string]bool{}
		wrapped := true // all pictures lie at least two folders down
		for name := range names {
			below, ok := strings.CutPrefix(name, root)
			if !ok {
				continue
			}
			first, rest, inFolder := strings.Cut(below, "/")
			if inFolder {
				folders[first] = true
			}
			wrapped = wrapped && strings.Contains(rest, "/")
		}
		sorted := slices.Sorted(maps.Keys(folders))
		if len(sorted) == 0 {
			return "", errors.New("no pictures in folders of their classes")
		}
		part, isSplit, err := chooseSplit(sorted, split)
		if err != nil {
			return "", err
		}
		if isSplit {
			return root + part + "/", nil
		}
		if len(sorted) > 1 || !wrapped {
			return root, nil
		}
		root += sorted[0] + "/"
	}
}

// gunzip unpacks a stream that is gzipped, and passes on one that is not.
func gunzip(r io.Reader) (io.Reader, error) {
	in := bufio.NewReader(r)
	if magic, _ := in.Peek(2); string(magic) == "\x1f\x8b" {
		return gzip.NewReader(in)
	}
	return in, nil
}
