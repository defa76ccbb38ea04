package train

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"os"

	"github.com/vggo/vggo/weights"
)

// sumNote is a checkpoint's checksum over all of its bytes, header and values, in which the sum's own digits count as
// zeros. CRC-32C sees every fault that is no longer than its 32 bits, and processors have an instruction for it.
const sumNote = "vggo.train.sum"

const noSum = "crc32c 00000000"

// maxHeader is the longest header of a safetensors file, by the format.
const maxHeader = 100_000_000

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func sumText(h hash.Hash32) string { return fmt.Sprintf("crc32c %08x", h.Sum32()) }

// seal adds the checksum of the file that tensors and notes make to the notes.
func seal(tensors []weights.Tensor, notes map[string]string) error {
	notes[sumNote] = noSum
	h := crc32.New(castagnoli)
	if err := weights.Encode(h, tensors, notes); err != nil {
		return err
	}
	notes[sumNote] = sumText(h)
	return nil
}

// DamagedError is a checkpoint that is not as it was written.
type DamagedError struct {
	Path string
	Err  error
}

func (e *DamagedError) Error() string { return fmt.Sprintf("%s is damaged: %v", e.Path, e.Err) }

func (e *DamagedError) Unwrap() error { return e.Err }

var errSum = errors.New("its checksum is another")

// intact is a *DamagedError if a checkpoint's bytes are not those of its checksum. One of an older vggo, which has
// none, passes.
func intact(path string) (err error) {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	var length [8]byte
	if info.Size() < int64(len(length)) {
		return &DamagedError{path, io.ErrUnexpectedEOF}
	}
	if _, err := io.ReadFull(file, length[:]); err != nil {
		return err
	}
	n := binary.LittleEndian.Uint64(length[:])
	if n > uint64(info.Size())-uint64(len(length)) || n > maxHeader {
		return &DamagedError{path, fmt.Errorf("a header of %d bytes", n)}
	}
	header := make([]byte, n)
	if _, err := io.ReadFull(file, header); err != nil {
		return err
	}
	// In a note's text quotes are escaped: these bytes are nothing but the key and its value.
	before := []byte(`"` + sumNote + `":"`)
	at := bytes.Index(header, before)
	if at < 0 {
		return nil
	}
	value := header[at+len(before):]
	if len(value) < len(noSum) {
		return &DamagedError{path, errSum}
	}
	value = value[:len(noSum)]
	sum := string(value)
	copy(value, noSum)
	h := crc32.New(castagnoli)
	h.Write(length[:])
	h.Write(header)
	if _, err := io.Copy(h, file); err != nil {
		return err
	}
	if sum != sumText(h) {
		return &DamagedError{path, errSum}
	}
	return nil
}
