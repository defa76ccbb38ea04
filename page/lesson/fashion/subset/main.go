// Command subset makes the files of package fashion from the four files of Fashion-MNIST:
//
//	go run ./page/lesson/fashion/subset FOLDER page/lesson/fashion
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"

	"github.com/vggo/vggo/vision"
)

// classes of Fashion-MNIST, and pictures taken of each.
const (
	classes   = 10
	trained   = 500
	tested    = 100
	pixels    = 28 * 28
	ofLabels  = "labels-idx1-ubyte.gz"
	ofPicture = "images-idx3-ubyte.gz"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: subset FOLDER-OF-FASHION-MNIST FOLDER")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "subset:", err)
		os.Exit(1)
	}
}

func run(from, to string) error {
	var images, labels []byte
	for _, part := range []struct {
		split vision.Split
		each  int
	}{{vision.Train, trained}, {vision.Test, tested}} {
		d, err := vision.OpenDataset(from, part.split)
		if err != nil {
			return err
		}
		var taken [classes]int
		for i := range d.Len() {
			label := d.Label(i)
			if label >= classes || taken[label] == part.each {
				continue
			}
			taken[label]++
			p, err := d.Picture(i)
			if err != nil {
				return err
			}
			if len(p.Pix) != pixels {
				return fmt.Errorf("%s has %dx%d pixels", d.Name(i), p.H, p.W)
			}
			images, labels = append(images, p.Pix...), append(labels, byte(label))
		}
	}
	if n := classes * (trained + tested); len(labels) != n {
		return fmt.Errorf("%s has %d of the %d pictures that are wanted", from, len(labels), n)
	}
	if err := write(filepath.Join(to, ofPicture), images, len(labels), 28, 28); err != nil {
		return err
	}
	return write(filepath.Join(to, ofLabels), labels, len(labels))
}

// write writes an IDX file of bytes, gzipped.
func write(path string, data []byte, dims ...int) error {
	var file bytes.Buffer
	z, err := gzip.NewWriterLevel(&file, gzip.BestCompression)
	if err != nil {
		return err
	}
	head := []byte{0, 0, 8, byte(len(dims))}
	for _, d := range dims {
		head = binary.BigEndian.AppendUint32(head, uint32(d))
	}
	if _, err := z.Write(append(head, data...)); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	return os.WriteFile(path, file.Bytes(), 0o644)
}
