package vision

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Dataset is a list of pictures, numbered from 0, of known classes. It may be read by several goroutines at once.
type Dataset struct {
	Classes  []string // by number; their numbers where the files hold no names
	Limits   Limits   // of its pictures' files; may be set before the first is read
	Skipped  Skipped  // files in its folders that are passed over, though they are pictures by their names
	Numbered bool     // the files hold no names
	Part     string   // the folder or files that were taken of a set in parts; empty where there are none
	Parts    []Part   // all of them
	Passed   []string // folders that are neither parts nor classes, and were left out
	Deep     bool     // all pictures lie in folders below the classes', which may be the classes rather
	Why      string   // this part was taken, where none was found that is called as what was asked for

	labels  []int
	folder  string // of class folders, outside archives
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
	Test       Split = iota // what a network is measured on: a part for validation where there is no other
	Train                   // what it learns from
	Validation              // what is looked at while it learns
	Whole                   // no part: each folder is a class, whatever it is called
)

func (s Split) String() string { return [...]string{"test", "train", "validate", "look"}[s] }

// Bounds of a data set: pictures in folders, of which only names are kept (ImageNet-21k has 14 million), and unpacked
// bytes of an archive, which are (CIFAR-10's 50,000 PNGs take 115 MB). IDX files and CIFAR's pickles, kept too, have
// bounds of their own.
const (
	maxPictures = 1 << 24
	maxArchive  = 1 << 30
)

// OpenDataset opens a data set, in any of these layouts:
//
//	class folders      DIR/CLASS/…/PICTURE, as torchvision's ImageFolder: classes in the order of their names
//	                   TAR/…/CLASS/…/PICTURE, the same as .tar, .tar.gz or .tgz, unpacked in memory, or as .zip
//	CIFAR-10, binary   DIR/data_batch_1.bin …, DIR/test_batch.bin, named in batches.meta.txt
//	CIFAR-10, Python   DIR/data_batch_1 …, DIR/test_batch, named in batches.meta
//	CIFAR-100, binary  DIR/train.bin, DIR/test.bin, named in fine_label_names.txt: its 100 fine classes
//	CIFAR-100, Python  DIR/train, DIR/test, named in meta
//	IDX (MNIST)        DIR/train-images-idx3-ubyte, DIR/t10k-images-idx3-ubyte and their labels, .gz or not
//
// path is the folder or archive, or one file of CIFAR or of IDX images. Where it holds the parts of a set, split
// chooses. Class folders may lie in train/ and test/ or val/, under the other usual names in any case (Training, valid,
// seg_test, Test_data …), with folders around them; what names one part is taken as it is. Where it cannot be told
// whether folders are parts or classes, the error is a *PartsError.
//
// Nothing need be closed: pictures of folders, of zip archives and of CIFAR's binary version are read from their files
// when they are asked for. Folders and files whose name begins with a dot are passed over, and so are files whose name
// does not end as a picture's (PictureEndings).
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
		d, err = openTar(path, split)
	case isZip(name):
		d, err = openZip(path, split)
	case strings.HasSuffix(name, cifarEnding), isPickle(path):
		d, err = openCIFAR(path)
	case isIDXImages(name):
		d, err = openIDX(path)
	default:
		err = fmt.Errorf("%s: not a data set: want a folder, .tar, .tar.gz, .zip, a file of CIFAR's (data_batch_1.bin, "+
			"data_batch_1) or IDX images (…images-idx3-ubyte)", path)
	}
	if err != nil {
		return nil, err
	}
	if d.Len() == 0 {
		return nil, fmt.Errorf("%s: a data set without pictures", path)
	}
	return d, nil
}

// openFolder looks for the files of CIFAR and MNIST, in folders within each other as their archives and torchvision
// make them (MNIST/raw), and else for class folders.
func openFolder(dir string, split Split) (*Dataset, error) {
	at := dir
	for range maxWrappers {
		entries, err := os.ReadDir(at)
		if err != nil {
			return nil, err
		}
		var files []string
		for _, e := range entries {
			files = append(files, e.Name())
		}
		if parts := cifarFiles(at, files); parts != nil {
			return openCIFARPart(at, parts, split)
		}
		if slices.ContainsFunc(files, isIDXImages) {
			return openIDXPart(at, files, split)
		}
		folders, pictures, err := folderTree(at).look("")
		if err != nil {
			return nil, err
		}
		if folders, _ = withoutSystem(folders); len(folders) != 1 || pictures > 0 {
			break
		}
		at = filepath.Join(at, folders[0])
	}
	return openClassFolders(dir, split)
}

// Renumber is the data set with of[c] in the place of class c, among classes of these names.
func (d *Dataset) Renumber(of []int, classes []string) *Dataset {
	renumbered := *d
	renumbered.Classes, renumbered.labels = classes, make([]int, len(d.labels))
	for i, label := range d.labels {
		renumbered.labels[i] = of[label]
	}
	return &renumbered
}
