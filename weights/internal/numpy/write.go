package numpy

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"math"

	"github.com/vggo/vggo/weights/internal/format"
)

// Writer writes an archive of arrays. The values are stored as they are and begin at multiples of 64 bytes.
type Writer struct {
	to   countingWriter
	zip  *zip.Writer
	seen map[string]bool
}

// NewWriter begins an archive.
func NewWriter(to io.Writer) *Writer {
	w := &Writer{to: countingWriter{w: to}, seen: map[string]bool{notesName: true}}
	w.zip = zip.NewWriter(&w.to)
	return w
}

// Add adds an array of float32.
func (w *Writer) Add(name string, shape []int, data []float32) error {
	if w.seen[name] {
		return fmt.Errorf("two members of an archive cannot both be named %q", name+".npy")
	}
	w.seen[name] = true
	head := Header(shape...)
	return w.stored(name, len(head)+4*len(data), func(to io.Writer) error {
		if _, err := to.Write(head); err != nil {
			return err
		}
		return format.WriteFloats(to, data)
	})
}

// Close ends the archive, with notes that may be nil.
func (w *Writer) Close(notes map[string]string) error {
	if len(notes) > 0 {
		text, err := json.Marshal(notes)
		if err != nil {
			return err
		}
		content := append(BytesHeader(len(text)), text...)
		err = w.stored(notesName, len(content), func(to io.Writer) error {
			_, err := to.Write(content)
			return err
		})
		if err != nil {
			return err
		}
	}
	return w.zip.Close()
}

// BytesHeader is Header for bytes.
func BytesHeader(shape ...int) []byte {
	return bytes.Replace(Header(shape...), []byte("'<f4'"), []byte("'|u1'"), 1)
}

// stored adds a member as it is, its content at a multiple of 64 bytes. write is called twice: a zip has the checksum
// before the content.
func (w *Writer) stored(name string, size int, write func(io.Writer) error) error {
	name += ".npy"
	if uint64(size) > math.MaxUint32 {
		return fmt.Errorf("tensor %q has %d bytes: a member of the archive has at most 4 GiB", name, size)
	}
	sum := crc32.NewIEEE()
	if err := write(sum); err != nil {
		return err
	}
	if err := w.zip.Flush(); err != nil {
		return err
	}
	// An extra field (APPNOTE 4.5) of an id of nobody's fills the room up: id, length, zeros.
	const header, field = 30, 4
	const utf8 = 0x800 // of the name: APPNOTE 4.4.4, bit 11
	pad := -(w.to.n + int64(header+len(name)+field)) & 63
	extra := binary.LittleEndian.AppendUint16(nil, 0x6776)
	extra = binary.LittleEndian.AppendUint16(extra, uint16(pad))
	extra = append(extra, make([]byte, pad)...)
	member, err := w.zip.CreateRaw(&zip.FileHeader{
		Name: name, Flags: utf8, Method: zip.Store, Extra: extra, CRC32: sum.Sum32(),
		CompressedSize64: uint64(size), UncompressedSize64: uint64(size),
	})
	if err != nil {
		return err
	}
	return write(member)
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
