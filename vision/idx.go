package vision

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/vggo/vggo/internal/plainfile"
	"github.com/vggo/vggo/internal/printable"
)

// IDX is an array of bytes from an IDX file, the format of MNIST and its descendants: images as N x H x W, labels as N.
type IDX struct {
	Dims []int
	Data []uint8
}

// maxIDX bounds what an IDX file may unpack to: 20 times MNIST's training images.
const maxIDX = 1 << 30

// ReadIDXFile reads an IDX file; its errors name it.
func ReadIDXFile(path string) (*IDX, error) { return plainfile.Read(path, ReadIDX) }

// ReadIDX reads an IDX array of unsigned bytes, gzipped or not:
//
//	0, 0, type (8 for unsigned bytes), number of dimensions, each as 1 byte
//	each dimension, 4 bytes, big-endian
//	the values, the last dimension fastest
func ReadIDX(r io.Reader) (*IDX, error) {
	in, err := gunzip(r)
	if err != nil {
		return nil, fmt.Errorf("IDX: %w", err)
	}
	var head [4]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return nil, fmt.Errorf("IDX: its header is truncated: %w", err)
	}
	switch {
	case head[0] != 0 || head[1] != 0 || head[3] == 0 || head[3] > 8:
		return nil, fmt.Errorf("not an IDX file: it begins %q", head[:])
	case head[2] != 8:
		return nil, fmt.Errorf("IDX: values of type %#02x: only unsigned bytes, 0x08, are read", head[2])
	}
	x := &IDX{Dims: make([]int, head[3])}
	size := int64(1)
	for i := range x.Dims {
		var dim [4]byte
		if _, err := io.ReadFull(in, dim[:]); err != nil {
			return nil, fmt.Errorf("IDX: its header is truncated: %w", err)
		}
		d := binary.BigEndian.Uint32(dim[:])
		if d == 0 || int64(d) > maxIDX/size {
			return nil, fmt.Errorf("IDX: dimension %d is %d: sizes must multiply to between 1 and %d", i, d, maxIDX)
		}
		x.Dims[i] = int(d)
		size *= int64(d)
	}
	// The buffer grows with what is there, so a header that promises much costs nothing.
	var data bytes.Buffer
	n, err := io.Copy(&data, io.LimitReader(in, size+1))
	switch {
	case err != nil && !errors.Is(err, io.ErrUnexpectedEOF):
		return nil, fmt.Errorf("IDX: after %d of %d values: %w", n, size, err)
	case n < size:
		return nil, fmt.Errorf("IDX: truncated after %d of %d values", n, size)
	case n > size:
		return nil, fmt.Errorf("IDX: it goes on after its %d values", size)
	case err != nil:
		return nil, fmt.Errorf("IDX: truncated within its gzip checksum: %w", err)
	}
	x.Data = data.Bytes()
	return x, nil
}

// Len is the number of images or labels.
func (x *IDX) Len() int { return x.Dims[0] }

// Picture returns image i, which shares Data; x must hold images.
func (x *IDX) Picture(i int) (*Picture, error) {
	if len(x.Dims) != 3 || i < 0 || i >= x.Len() {
		return nil, fmt.Errorf("IDX: no image %d in an array of %s", i, printable.Shape(x.Dims))
	}
	h, w := x.Dims[1], x.Dims[2]
	return &Picture{W: w, H: h, Channels: 1, Pix: x.Data[i*h*w : (i+1)*h*w : (i+1)*h*w]}, nil
}

// isIDXImages reports whether a file is called as MNIST's images are: train-images-idx3-ubyte,
// t10k-images.idx3-ubyte.gz.
func isIDXImages(name string) bool {
	return strings.Contains(name, "images") && strings.Contains(name, "idx3")
}

// idxPart tells which part a file of images is: train-images-idx3-ubyte, emnist-letters-test-images-idx3-ubyte.gz,
// t10k-images.idx3-ubyte.
func idxPart(name string) (Split, bool) {
	split, _, ok := partOf(name)
	if strings.Contains(name, "t10k") {
		return Test, true
	}
	return split, ok
}

// openIDXPart opens the images of one part in a folder. Images that are called after no part are for any.
func openIDXPart(dir string, files []string, split Split) (*Dataset, error) {
	var parts []Part
	var images []string
	for _, name := range files {
		// torchvision leaves both
		if plain, zipped := strings.CutSuffix(name, ".gz"); !isIDXImages(name) || zipped && slices.Contains(files, plain) {
			continue
		}
		of, named := idxPart(name)
		if named {
			parts = append(parts, Part{name, of})
		}
		if !named || of == split || split == Whole {
			images = append(images, name)
		}
	}
	if len(images) != 1 {
		e := &PartsError{Path: dir, Fault: fmt.Sprintf("%d files of IDX images to %s on", len(images), split), Parts: images}
		return nil, e
	}
	d, err := openIDX(filepath.Join(dir, images[0]))
	if err != nil {
		return nil, err
	}
	if parts != nil {
		d.Part, d.Parts = images[0], parts
	}
	return d, nil
}

// openIDX reads a file of images and the labels that lie beside it, both into memory.
func openIDX(path string) (*Dataset, error) {
	images, err := ReadIDXFile(path)
	if err != nil {
		return nil, err
	}
	if len(images.Dims) != 3 {
		return nil, fmt.Errorf("%s: an IDX array of %s is not images: want number, height and width", path,
			printable.Shape(images.Dims))
	}
	dir, name := filepath.Split(path)
	plain := strings.TrimSuffix(strings.NewReplacer("images", "labels", "idx3", "idx1").Replace(name), ".gz")
	labelPath := dir + plain
	labels, err := ReadIDXFile(labelPath)
	if errors.Is(err, fs.ErrNotExist) {
		labelPath += ".gz"
		labels, err = ReadIDXFile(labelPath)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: its labels, %s or %[2]s.gz, are not there", path, dir+plain)
	}
	if err != nil {
		return nil, err
	}
	if len(labels.Dims) != 1 || labels.Len() != images.Len() {
		return nil, fmt.Errorf("%s: an IDX array of %s is not the labels of %d images", labelPath,
			printable.Shape(labels.Dims), images.Len())
	}
	d := &Dataset{
		Classes: classNumbers(int(slices.Max(labels.Data)) + 1), Numbered: true,
		labels:  make([]int, labels.Len()),
		name:    func(i int) string { return name + "[" + strconv.Itoa(i) + "]" },
		picture: images.Picture,
	}
	for i, label := range labels.Data {
		d.labels[i] = int(label)
	}
	return d, nil
}
