package weights

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"strings"
)

// member is a file in a zip archive.
type member struct {
	name string
	raw  []byte // as it lies in the archive; nil where it is compressed
	size int    // uncompressed
	open func() (io.ReadCloser, error)
}

// deflateRatio is the most that deflate can shrink: 258 bytes to 2 bits. It bounds what a compressed member may take
// before anything is uncompressed.
const deflateRatio = 1032

func isZip(head []byte) bool { return bytes.HasPrefix(head, []byte("PK\x03\x04")) }

// readZip reads the archives that PyTorch, NumPy and Keras write, and knows them apart by their members.
func readZip(f *File, data []byte) error {
	members, err := zipMembers(f.Path, data)
	if err != nil {
		return err
	}
	has := func(name string) bool { _, ok := members[name]; return ok }
	var object string
	for name := range members {
		if strings.HasSuffix(name, "data.pkl") {
			if object != "" {
				return &FormatError{f.Path, 0, "two pickles: more than one name ends in data.pkl"}
			}
			object = name
		}
	}
	if prefix, pickled := strings.CutSuffix(object, "data.pkl"); pickled {
		if has(prefix+"constants.pkl") || has(prefix+"code/__torch__.py") {
			return &FormatError{f.Path, 0,
				"a TorchScript program, not weights: in Python, torch.save(torch.jit.load(path).state_dict(), new)"}
		}
		f.Format = "PyTorch"
		return readTorchZip(f, members, prefix)
	}
	if has("model.weights.h5") {
		f.Format = "Keras"
		return readKerasZip(f, members)
	}
	for name := range members {
		if strings.HasSuffix(name, ".npy") {
			f.Format = "NumPy"
			return readNPZ(f, members)
		}
	}
	return &FormatError{f.Path, 0,
		"a zip archive of neither PyTorch (data.pkl), NumPy (.npy) nor Keras (model.weights.h5)"}
}

// zipMembers lists an archive. Members that are stored as they are lie in data itself, and their checksums are not
// verified: that would read every byte of a mapped file.
func zipMembers(path string, data []byte) (map[string]member, error) {
	archive, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, &FormatError{path, 0, "a broken zip archive: " + strings.TrimPrefix(err.Error(), "zip: ")}
	}
	if len(archive.File) > 4*maxTensors {
		return nil, &FormatError{path, 0, fmt.Sprintf("%d members in a zip archive: the most is %d", len(archive.File),
			4*maxTensors)}
	}
	members := make(map[string]member, len(archive.File))
	for _, m := range archive.File {
		fail := func(format string, args ...any) error {
			at, _ := m.DataOffset()
			return &FormatError{path, at, fmt.Sprintf("zip member %q: ", clipText(m.Name)) + fmt.Sprintf(format, args...)}
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
		e := member{name: m.Name, open: m.Open}
		switch m.Method {
		case zip.Store:
			if m.CompressedSize64 != m.UncompressedSize64 {
				return nil, fail("is stored in %d bytes and has %d", m.CompressedSize64, m.UncompressedSize64)
			}
			e.raw = data[at : uint64(at)+m.CompressedSize64 : uint64(at)+m.CompressedSize64]
		case zip.Deflate:
			if m.UncompressedSize64/deflateRatio > m.CompressedSize64+16 {
				return nil, fail("%d bytes cannot hold %d", m.CompressedSize64, m.UncompressedSize64)
			}
		default:
			return nil, fail("is compressed by method %d: stored and deflated ones are read", m.Method)
		}
		e.size = int(m.UncompressedSize64)
		members[m.Name] = e
	}
	return members, nil
}

// bytes is a member's content, uncompressed and, if it was compressed, verified by its checksum.
func (m member) bytes() ([]byte, error) {
	if m.raw != nil || m.size == 0 {
		return m.raw, nil
	}
	r, err := m.open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	content := make([]byte, m.size)
	if _, err := io.ReadFull(r, content); err != nil {
		return nil, fmt.Errorf("zip member %q: %w", clipText(m.name), err)
	}
	// its end is where the checksum is looked at
	if n, err := io.Copy(io.Discard, io.LimitReader(r, 1)); n > 0 || err != nil {
		return nil, fmt.Errorf("zip member %q is longer than it says, or broken: %v", clipText(m.name), err)
	}
	return content, nil
}
