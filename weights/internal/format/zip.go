package format

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"strings"
)

// Member is a file in a zip archive.
type Member struct {
	Name string
	Raw  []byte // as it lies in the archive; nil where it is compressed
	Size int    // uncompressed
	open func() (io.ReadCloser, error)
}

// deflateRatio is the most that deflate can shrink: 258 bytes to 2 bits. It bounds what a compressed member may take
// before anything is uncompressed.
const deflateRatio = 1032

// IsZip knows the archives that Members lists.
func IsZip(data []byte) bool { return bytes.HasPrefix(data, []byte("PK\x03\x04")) }

// Members lists a zip archive. Members that are stored as they are lie in data itself, and their checksums are not
// verified: that would read every byte of a mapped file.
func Members(data []byte) (map[string]Member, error) {
	archive, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, Fail(0, "a broken zip archive: %s", strings.TrimPrefix(err.Error(), "zip: "))
	}
	if len(archive.File) > 4*MaxTensors {
		return nil, Fail(0, "%d members in a zip archive: the most is %d", len(archive.File), 4*MaxTensors)
	}
	members := make(map[string]Member, len(archive.File))
	for _, m := range archive.File {
		fail := func(format string, args ...any) error {
			at, _ := m.DataOffset()
			return Fail(at, "zip member %q: %s", Clip(m.Name), fmt.Sprintf(format, args...))
		}
		if strings.HasSuffix(m.Name, "/") {
			continue
		}
		if _, twice := members[m.Name]; twice {
			return nil, fail("occurs twice")
		}
		at, err := m.DataOffset()
		switch {
		case err != nil:
			return nil, fail("%v", err)
		case m.Flags&1 != 0:
			return nil, fail("is encrypted")
		case at < 0 || uint64(at) > uint64(len(data)) || m.CompressedSize64 > uint64(len(data))-uint64(at):
			return nil, fail("goes beyond the file's end")
		}
		e := Member{Name: m.Name, open: m.Open}
		switch m.Method {
		case zip.Store:
			if m.CompressedSize64 != m.UncompressedSize64 {
				return nil, fail("is stored in %d bytes and has %d", m.CompressedSize64, m.UncompressedSize64)
			}
			e.Raw = data[at : uint64(at)+m.CompressedSize64 : uint64(at)+m.CompressedSize64]
		case zip.Deflate:
			if m.UncompressedSize64/deflateRatio > m.CompressedSize64+16 {
				return nil, fail("%d bytes cannot hold %d", m.CompressedSize64, m.UncompressedSize64)
			}
		default:
			return nil, fail("is compressed by method %d: stored and deflated ones are read", m.Method)
		}
		e.Size = int(m.UncompressedSize64)
		members[m.Name] = e
	}
	return members, nil
}

// Bytes is a member's content, uncompressed and, if it was compressed, verified by its checksum. It takes Size bytes
// where Raw is nil: bound that first where the file may choose it.
func (m Member) Bytes() ([]byte, error) {
	if m.Raw != nil || m.Size == 0 {
		return m.Raw, nil
	}
	r, err := m.open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	content := make([]byte, m.Size)
	if _, err := io.ReadFull(r, content); err != nil {
		return nil, fmt.Errorf("zip member %q: %w", Clip(m.Name), err)
	}
	// its end is where the checksum is looked at
	if n, err := io.Copy(io.Discard, io.LimitReader(r, 1)); n > 0 || err != nil {
		return nil, fmt.Errorf("zip member %q is longer than it says, or broken: %v", Clip(m.Name), err)
	}
	return content, nil
}

// Head is the beginning of a member, of up to n bytes.
func (m Member) Head(n int) ([]byte, error) {
	if m.Raw != nil {
		return m.Raw[:min(n, len(m.Raw))], nil
	}
	r, err := m.open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, int64(min(n, m.Size))))
}
