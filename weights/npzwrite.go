package weights

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"math"

	"github.com/vggo/vggo/internal/printable"
)

// WriteNPZ writes tensors to a NumPy archive as float32, for numpy.load, in the order given, with notes that may be
// nil. The values are stored as they are and begin at multiples of 64 bytes, so that Open maps them. The file appears
// under its name complete or not at all. sources are the open files whose Data the tensors have, as for Write.
func WriteNPZ(path string, tensors []Tensor, notes map[string]string, sources ...*File) error {
	return WriteNPZContext(context.Background(), path, tensors, notes, sources...)
}

// WriteNPZContext is WriteNPZ that is given up when ctx ends, as WriteContext is.
func WriteNPZContext(ctx context.Context, path string, tensors []Tensor, notes map[string]string,
	sources ...*File) error {
	return writeFrom(ctx, path, sources, func(w io.Writer) error {
		counted := &countingWriter{w: w}
		archive := zip.NewWriter(counted)
		seen := map[string]bool{}
		for _, t := range tensors {
			if err := checkName(t.Name); err != nil {
				return err
			}
			if count := product(t.Shape); count != len(t.Data) {
				return fmt.Errorf("tensor %q: shape %s holds %d values, not %d", t.Name, printable.Shape(t.Shape), count,
					len(t.Data))
			}
			name := t.Name + ".npy"
			if seen[name] || name == npyNotes {
				return fmt.Errorf("two members of an archive cannot both be named %q", name)
			}
			seen[name] = true
			head := NPYHeader(t.Shape...)
			err := addStored(archive, counted, name, len(head)+4*len(t.Data), func(w io.Writer) error {
				if _, err := w.Write(head); err != nil {
					return err
				}
				return writeFloats(w, t.Data)
			})
			if err != nil {
				return err
			}
		}
		if len(notes) > 0 {
			text, err := json.Marshal(notes)
			if err != nil {
				return err
			}
			content := append(bytesHeader(len(text)), text...)
			err = addStored(archive, counted, npyNotes, len(content), func(w io.Writer) error {
				_, err := w.Write(content)
				return err
			})
			if err != nil {
				return err
			}
		}
		return archive.Close()
	})
}

// bytesHeader is the head of an array of n bytes.
func bytesHeader(n int) []byte {
	return bytes.Replace(NPYHeader(n), []byte("'<f4'"), []byte("'|u1'"), 1)
}

// addStored adds a member as it is, its content at a multiple of 64 bytes. write is called twice: a zip has the
// checksum before the content.
func addStored(archive *zip.Writer, at *countingWriter, name string, size int, write func(io.Writer) error) error {
	if uint64(size) > math.MaxUint32 {
		return fmt.Errorf("tensor %q has %d bytes: a member of the archive has at most 4 GiB", name, size)
	}
	sum := crc32.NewIEEE()
	if err := write(sum); err != nil {
		return err
	}
	if err := archive.Flush(); err != nil {
		return err
	}
	// An extra field (APPNOTE 4.5) of an id of nobody's fills the room up: id, length, zeros.
	const header, field = 30, 4
	const utf8 = 0x800 // of the name: APPNOTE 4.4.4, bit 11
	pad := -(at.n + int64(header+len(name)+field)) & 63
	extra := binary.LittleEndian.AppendUint16(nil, 0x6776)
	extra = binary.LittleEndian.AppendUint16(extra, uint16(pad))
	extra = append(extra, make([]byte, pad)...)
	w, err := archive.CreateRaw(&zip.FileHeader{
		Name: name, Flags: utf8, Method: zip.Store, Extra: extra, CRC32: sum.Sum32(),
		CompressedSize64: uint64(size), UncompressedSize64: uint64(size),
	})
	if err != nil {
		return err
	}
	return write(w)
}

// countingWriter knows how far a file has been written.
type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}
