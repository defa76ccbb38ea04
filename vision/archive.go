package vision

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"math"
	"path"
	"slices"
	"strings"

	"github.com/vggo/vggo/internal/plainfile"
)

// isArchive reports whether a file's name ends as a tar archive's.
func isArchive(name string) bool {
	name = strings.ToLower(name)
	return strings.HasSuffix(name, ".tar") || strings.HasSuffix(name, ".tar.gz") || strings.HasSuffix(name, ".tgz")
}

func isZip(name string) bool { return strings.HasSuffix(strings.ToLower(name), ".zip") }

// archiveTree is the pictures of an archive by their folders.
type archiveTree map[string]*struct {
	folders  map[string]bool
	pictures int
}

// maxFolders is how deep a picture may lie in an archive.
const maxFolders = 64

// add takes a picture in, with the folders above it.
func (t archiveTree) add(name string) error {
	if strings.Count(name, "/") > maxFolders {
		return fmt.Errorf("a picture lies more than %d folders deep", maxFolders)
	}
	for dir, below := path.Dir(name), ""; ; dir, below = path.Dir(dir), path.Base(dir) {
		key := dir
		if dir == "." {
			key = ""
		}
		if t[key] == nil {
			t[key] = &struct {
				folders  map[string]bool
				pictures int
			}{folders: map[string]bool{}}
		}
		if below == "" {
			t[key].pictures++
		} else if t[key].folders[below] {
			return nil // so are those above
		} else {
			t[key].folders[below] = true
		}
		if key == "" {
			return nil
		}
	}
}

func (t archiveTree) look(dir string) (folders []string, pictures int, err error) {
	found := t[dir]
	if found == nil {
		return nil, 0, nil
	}
	return slices.Sorted(maps.Keys(found.folders)), found.pictures, nil
}

// archive is what is read of one.
type archive struct {
	tree  archiveTree
	files []string // pictures
	cifar bool     // CIFAR's files are in it

	skipped Skipped
}

// member takes a file's name in, as it is within the archive, and says whether it is a picture that may be seen.
func (a *archive) member(name string) (clean string, picture bool, err error) {
	clean = path.Clean("/" + strings.ReplaceAll(name, `\`, "/"))[1:]
	for _, kind := range []cifar{cifar10, cifar100} {
		a.cifar = a.cifar || path.Base(clean) == kind.names || path.Base(clean) == kind.metaFile
	}
	if strings.HasPrefix(clean, ".") || strings.Contains(clean, "/.") {
		return clean, false, nil
	}
	if !IsPictureName(clean) {
		if a.skipped == nil {
			a.skipped = Skipped{}
		}
		if !strings.HasSuffix(name, "/") {
			a.skipped.Add(clean)
		}
		return clean, false, nil
	}
	if len(a.files) == maxPictures {
		return clean, false, fmt.Errorf("more than %d pictures", maxPictures)
	}
	return clean, true, nil
}

func (a *archive) add(name string) error {
	if a.tree == nil {
		a.tree = archiveTree{}
	}
	a.files = append(a.files, name)
	return a.tree.add(name)
}

// dataset is the class folders of the part that split chooses. read opens a picture by its name.
func (a *archive) dataset(path string, split Split, read func(name string) (io.Reader, error)) (*Dataset, error) {
	place, err := findLayout(a.tree, path, split, true)
	if err != nil {
		return nil, err
	}
	root := place.root
	if root != "" {
		root += "/"
	}
	var files []string
	for _, name := range a.files {
		below, ok := strings.CutPrefix(name, root)
		first, _, inFolder := strings.Cut(below, "/")
		if ok && inFolder && !slices.Contains(systemFolders, first) {
			files = append(files, below)
		}
	}
	if len(files) == 0 {
		err := errors.New("no pictures in folders of their classes")
		if a.cifar {
			err = fmt.Errorf("%w, but CIFAR's files are: unpack it and name its folder", err)
		}
		return nil, err
	}
	d := classFolders(files, place)
	d.Skipped = a.skipped
	d.name = func(i int) string { return root + files[i] }
	d.picture = func(i int) (*Picture, error) {
		in, err := read(root + files[i])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", root+files[i], err)
		}
		p, err := Decode(in, d.Limits)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", root+files[i], err)
		}
		return p, nil
	}
	return d, nil
}

// openTar reads a tar archive into memory.
func openTar(path string, split Split) (*Dataset, error) {
	file, err := plainfile.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	d, err := readTar(file, path, split, maxArchive)
	return d, inArchive(path, err)
}

// inArchive names the archive in an error that does not.
func inArchive(path string, err error) error {
	if err == nil || errors.As(err, new(*PartsError)) {
		return err
	}
	return fmt.Errorf("%s: %w", path, err)
}

// readTar unpacks the pictures of a tar archive, gzipped or not, into at most so many bytes, names and a block of 512
// for each counted.
func readTar(r io.Reader, path string, split Split, most int64) (*Dataset, error) {
	in, err := gunzip(r)
	if err != nil {
		return nil, err
	}
	var a archive
	content := map[string][]byte{}
	var file bytes.Buffer // which grows with what is there: a header that promises much costs nothing
	for reader := tar.NewReader(in); ; {
		header, err := reader.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("tar: %w", err)
		}
		if header.Typeflag == tar.TypeDir {
			continue
		}
		name, picture, err := a.member(header.Name)
		if err != nil {
			return nil, fmt.Errorf("tar: %w", err)
		}
		if !picture || header.Typeflag != tar.TypeReg {
			continue
		}
		if cost := int64(len(name)) + 512; most < cost || header.Size > most-cost {
			return nil, errors.New("tar: its pictures are too large to be kept in memory: unpack it and name its folder")
		} else {
			most -= cost + header.Size
		}
		file.Reset()
		if _, err := io.Copy(&file, reader); err != nil {
			return nil, fmt.Errorf("tar: %s: %w", name, err)
		}
		if content[name] == nil { // else the later one is meant
			if err := a.add(name); err != nil {
				return nil, fmt.Errorf("tar: %w", err)
			}
		}
		content[name] = append([]byte{}, file.Bytes()...)
	}
	return a.dataset(path, split, func(name string) (io.Reader, error) { return bytes.NewReader(content[name]), nil })
}

// maxZipped bounds the directory of a zip archive, which is kept in memory, at about a kilobyte for each picture.
const maxZipped = 1 << 20

// openZip lists the pictures of a zip archive. They are unpacked when they are asked for.
func openZip(path string, split Split) (*Dataset, error) {
	in, err := zip.OpenReader(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	defer in.Close()
	if len(in.File) > maxZipped {
		return nil, fmt.Errorf("%s: a zip archive of more than %d files: unpack it and name its folder", path, maxZipped)
	}
	var a archive
	at := map[string]*zipMember{}
	for _, file := range in.File {
		name, picture, err := a.member(file.Name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if !picture || !file.Mode().IsRegular() {
			continue
		}
		if at[name] != nil {
			return nil, fmt.Errorf("%s: %s is in it twice", path, name)
		}
		if file.Flags&1 != 0 {
			return nil, fmt.Errorf("%s: %s is encrypted: unpack it and name its folder", path, name)
		}
		if err := a.add(name); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		offset, err := file.DataOffset()
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", path, name, err)
		}
		at[name] = &zipMember{path, offset, int64(file.CompressedSize64), file.Method, file.CRC32,
			int64(min(file.UncompressedSize64, math.MaxInt64))}
	}
	d, err := a.dataset(path, split, func(name string) (io.Reader, error) { return at[name].read() })
	return d, inArchive(path, err)
}

// zipMember is where a file lies in a zip archive.
type zipMember struct {
	path           string
	offset, length int64
	method         uint16
	sum            uint32
	size           int64
}

// gunzip unpacks a stream that is gzipped, and passes on one that is not.
func gunzip(r io.Reader) (io.Reader, error) {
	in := bufio.NewReader(r)
	if magic, _ := in.Peek(2); string(magic) == "\x1f\x8b" {
		return gzip.NewReader(in)
	}
	return in, nil
}

// read unpacks the file, checked against its sum.
func (z *zipMember) read() (io.Reader, error) {
	if z.size > defaultBytes {
		return nil, fmt.Errorf("a picture of more than %d bytes", defaultBytes)
	}
	file, err := plainfile.Open(z.path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var in io.Reader = io.NewSectionReader(file, z.offset, z.length)
	switch z.method {
	case zip.Store:
	case zip.Deflate:
		in = flate.NewReader(in)
	default:
		return nil, fmt.Errorf("zip: compressed by method %d, which is not read: unpack the archive and name its folder",
			z.method)
	}
	var content bytes.Buffer // which grows with what is there
	if _, err := io.Copy(&content, io.LimitReader(in, z.size+1)); err != nil {
		return nil, fmt.Errorf("zip: %w", err)
	}
	if int64(content.Len()) != z.size || crc32.ChecksumIEEE(content.Bytes()) != z.sum {
		return nil, errors.New("zip: damaged: its size or checksum is another")
	}
	return &content, nil
}
