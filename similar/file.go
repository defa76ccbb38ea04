package similar

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"regexp"
	"strconv"

	"github.com/vggo/vggo/internal/durable"
	"github.com/vggo/vggo/internal/plainfile"
	"github.com/vggo/vggo/internal/strict"
	"github.com/vggo/vggo/weights"
)

// An index is one file, so that it is whole or not there: three NumPy arrays one behind the other, as numpy.save writes
// several into one file and numpy.load reads them. The vectors come first, N x Dims float32, as vggo features writes
// them; then the Smalls, N x Side x Side bytes; then a text as bytes, lines of JSON: a header and a line for each
// picture.

const kind = "vggo similar index"

// header is the text's first line.
type header struct {
	Kind    string `json:"kind"`
	Version int    `json:"version"`
	Note
	Sum Sum `json:"sha256"` // of both arrays with their heads, this line with 64 zeros here, and the pictures' lines
}

// line is the header's, which sum has seen what comes before of. rest is what comes after.
func (h header) line(sum hash.Hash, rest []byte) ([]byte, error) {
	h.Sum = Sum{}
	line, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	sum.Write(line)
	sum.Write(rest)
	h.Sum = Sum(sum.Sum(nil))
	line, err = json.Marshal(h)
	return append(line, '\n'), err
}

const version = 1

// DamagedError is a file that is no index, or no longer.
type DamagedError struct {
	Path, Why string
	Foreign   bool // it is something else; damaged otherwise
}

func (e *DamagedError) Error() string {
	if e.Foreign {
		return fmt.Sprintf("%s is no index of pictures: %s", e.Path, e.Why)
	}
	return fmt.Sprintf("the index %s is damaged: %s", e.Path, e.Why)
}

// Write writes an index. A failure leaves what was there.
func (x *Index) Write(path string) error {
	var text bytes.Buffer
	lines := json.NewEncoder(&text)
	lines.SetEscapeHTML(false)
	for i := range x.Pictures {
		if err := lines.Encode(&x.Pictures[i]); err != nil {
			return err
		}
	}
	return durable.Write(path, func(to io.Writer) error {
		sum := sha256.New()
		w := io.MultiWriter(to, sum)
		n := len(x.Pictures)
		if _, err := w.Write(weights.NPYHeader(n, x.Dims)); err != nil {
			return err
		}
		if err := weights.WriteNPYValues(w, x.Vectors); err != nil {
			return err
		}
		if _, err := w.Write(weights.NPYBytesHeader(n, Side, Side)); err != nil {
			return err
		}
		for i := range x.Smalls {
			if _, err := w.Write(x.Smalls[i][:]); err != nil {
				return err
			}
		}
		first, err := header{kind, version, x.Note, Sum{}}.line(sum, text.Bytes())
		if err != nil {
			return err
		}
		for _, part := range [][]byte{weights.NPYBytesHeader(len(first) + text.Len()), first, text.Bytes()} {
			if _, err := to.Write(part); err != nil {
				return err
			}
		}
		return nil
	})
}

// floatsAtOnce are converted in one piece, which takes little memory.
const floatsAtOnce = 1 << 16

// Open reads an index. What is none, or has changed since it was written, is a *DamagedError. It takes no more memory
// than twice the file.
func Open(path string) (*Index, error) {
	file, err := plainfile.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	x, err := read(bufio.NewReaderSize(file, 1<<20), info.Size())
	var damaged *DamagedError
	if errors.As(err, &damaged) {
		damaged.Path = path
	}
	return x, err
}

// shapeOf finds the vectors' numbers in the head of their array.
var shapeOf = regexp.MustCompile(`'shape': \((\d{1,10}), (\d{1,7})\)`)

// reader reads a file of a known size, and sums up what it read.
type reader struct {
	from io.Reader
	sum  hash.Hash
	left int64
}

// take reads n bytes, if there are as many.
func (r *reader) take(n int64) ([]byte, error) {
	if n > r.left {
		return nil, &DamagedError{Why: "it is cut off"}
	}
	part := make([]byte, n)
	return part, r.fill(part)
}

func (r *reader) fill(part []byte) error {
	if _, err := io.ReadFull(r.from, part); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return &DamagedError{Why: "it is cut off"}
		}
		return err
	}
	r.left -= int64(len(part))
	r.sum.Write(part)
	return nil
}

// read reads an index of so many bytes.
func read(from io.Reader, size int64) (*Index, error) {
	damaged := func(format string, args ...any) (*Index, error) {
		return nil, &DamagedError{Why: fmt.Sprintf(format, args...)}
	}
	r := &reader{from, sha256.New(), size}
	head := weights.NPYHeader(0, 0)
	if size < int64(len(head)) {
		return nil, &DamagedError{Why: "it is too short", Foreign: true}
	}
	head, err := r.take(int64(len(head)))
	if err != nil {
		return nil, err
	}
	shape := shapeOf.FindSubmatch(head)
	if shape == nil {
		return nil, &DamagedError{Why: "it does not begin with an array of vectors", Foreign: true}
	}
	n, _ := strconv.Atoi(string(shape[1]))
	dims, _ := strconv.Atoi(string(shape[2]))
	if !bytes.Equal(head, weights.NPYHeader(n, dims)) || dims < 1 || dims > maxDims {
		return nil, &DamagedError{Why: "it does not begin with an array of vectors", Foreign: true}
	}
	if int64(n) > r.left/(4*int64(dims)) {
		return damaged("it is cut off: %d vectors of %d numbers take more than its %d bytes", n, dims, size)
	}
	x := &Index{Dims: dims, Vectors: make([]float32, n*dims)}
	if err := r.floats(x.Vectors); err != nil {
		return nil, err
	}
	if r.left == 0 {
		return nil, &DamagedError{Why: "it is an array alone, as vggo features writes it", Foreign: true}
	}
	if head, err = r.take(int64(len(weights.NPYBytesHeader(0, 0, 0)))); err != nil {
		return nil, err
	}
	if !bytes.Equal(head, weights.NPYBytesHeader(n, Side, Side)) {
		return damaged("%d small pictures do not follow the vectors", n)
	}
	if int64(n) > r.left/(Side*Side) {
		return damaged("it is cut off within its small pictures")
	}
	x.Smalls = make([]Small, n)
	for i := range x.Smalls {
		if err := r.fill(x.Smalls[i][:]); err != nil {
			return nil, err
		}
	}
	sum := r.sum
	r.sum = sha256.New() // of what is not summed up
	if head, err = r.take(int64(len(weights.NPYBytesHeader(0)))); err != nil {
		return nil, err
	}
	if r.left > math.MaxInt || !bytes.Equal(head, weights.NPYBytesHeader(int(r.left))) {
		return damaged("its notes are not as long as they should be")
	}
	text, err := r.take(r.left)
	if err != nil {
		return nil, err
	}
	at := bytes.IndexByte(text, '\n') + 1
	first, lines := text[:at], text[at:]
	var h header
	if err := strict.Unmarshal(first, &h); err != nil || h.Kind != kind {
		return damaged("its notes do not begin as they should")
	}
	if h.Version != version {
		return damaged("it is of version %d, and this vggo knows %d", h.Version, version)
	}
	if line, err := h.line(sum, lines); err != nil || !bytes.Equal(line, first) {
		return damaged("its checksum does not fit")
	}
	x.Note = h.Note
	if err := x.readPictures(lines, n); err != nil {
		return nil, err
	}
	return x, x.check()
}

func (r *reader) floats(values []float32) error {
	piece := make([]byte, 4*min(len(values), floatsAtOnce))
	for len(values) > 0 {
		n := min(len(values), floatsAtOnce)
		if err := r.fill(piece[:4*n]); err != nil {
			return err
		}
		if _, err := binary.Decode(piece[:4*n], binary.LittleEndian, values[:n]); err != nil {
			return err
		}
		values = values[n:]
	}
	return nil
}

// readPictures reads n lines.
func (x *Index) readPictures(lines []byte, n int) error {
	if got := bytes.Count(lines, []byte("\n")); got != n {
		return &DamagedError{Why: fmt.Sprintf("it tells of %d pictures and has %d vectors", got, n)}
	}
	x.Pictures = make([]Picture, n)
	for i := range x.Pictures {
		var line []byte
		line, lines, _ = bytes.Cut(lines, []byte("\n"))
		if err := strict.Unmarshal(line, &x.Pictures[i]); err != nil {
			return &DamagedError{Why: fmt.Sprintf("picture %d: %v", i, err)}
		}
	}
	return nil
}

// check is an error unless each vector has length 1 or 0, which the search relies on. A checksum is no proof of that:
// whoever wrote the file wrote it too.
func (x *Index) check() error {
	for i := range x.Pictures {
		square := dot64(x.Vector(i), x.Vector(i))
		if square != 0 && !(math.Abs(square-1) < unit) {
			return &DamagedError{Why: fmt.Sprintf("the vector of picture %d has the length %.4g, not 1", i, math.Sqrt(square))}
		}
	}
	return nil
}

// unit is how far a vector's squared length may be from 1: rounding 2^20 numbers to float32 moves it by 1e-7 at most.
const unit = 1e-5
