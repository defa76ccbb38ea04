package weights

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/vggo/vggo/internal/printable"
)

// A safetensors file (github.com/huggingface/safetensors, README "Format") is
//
//	8 bytes   N, the length of the header, little-endian
//	N bytes   JSON: {"name": {"dtype": "F32", "shape": [64,3,3,3], "data_offsets": [begin, end]}, …,
//	          "__metadata__": {"key": "value", …}}, padded with spaces
//	the rest  the tensors' values, little-endian, row-major; offsets count from its start and leave no hole
//
// The limits bound the memory and time that a hostile header takes: the format's own 100 MB, and counts, names and a
// rank far beyond any network's.
const (
	maxHeader  = 100_000_000
	maxTensors = 1 << 16 // and as many notes
	maxName    = 512     // bytes of a tensor's name
	maxRank    = 16
	metadata   = "__metadata__"
)

// isSafetensors goes by the header's brace, and by its length, which leaves the last three of eight bytes zero.
func isSafetensors(head []byte) bool {
	return len(head) > 8 && head[8] == '{' && head[5] == 0 && head[6] == 0 && head[7] == 0
}

// readSafetensors fills f from the bytes of a file, which it keeps.
func readSafetensors(f *File, data []byte) error {
	n := binary.LittleEndian.Uint64(data)
	if n > maxHeader {
		return &FormatError{f.Path, 0, fmt.Sprintf("a header of %d bytes is longer than the format's limit of %d", n,
			maxHeader)}
	}
	if n > uint64(len(data)-8) {
		return &FormatError{f.Path, 0, fmt.Sprintf("truncated: the header ends at byte %d, the file at %d", 8+n, len(data))}
	}
	header, values := data[8:8+n], data[8+n:]
	if !utf8.Valid(header) {
		return &FormatError{f.Path, 8, "the header is not UTF-8"}
	}
	h := headerReader{path: f.Path, dec: json.NewDecoder(bytes.NewReader(header))}
	h.dec.UseNumber()
	if err := h.read(f); err != nil {
		return err
	}

	slices.SortStableFunc(h.extents, func(a, b extent) int {
		return cmp.Or(cmp.Compare(a.begin, b.begin),
			cmp.Compare(a.end, b.end))
	})
	at := uint64(0)
	for _, x := range h.extents {
		fail := func(format string, args ...any) error {
			reason := fmt.Sprintf("tensor %q: ", x.name) + fmt.Sprintf(format, args...)
			return &FormatError{f.Path, int64(8 + n + min(x.begin, uint64(len(values)))), reason}
		}
		switch {
		case x.begin != at:
			return fail("its data begins at offset %d, but the tensor before it ends at %d", x.begin, at)
		case x.end > uint64(len(values)):
			return fail("truncated: its data ends at byte %d, the file at %d", 8+n+x.end, len(data))
		}
		if err := f.add(entry{name: x.name, shape: x.shape, dtype: x.dtype, raw: values[x.begin:x.end:x.end]}); err != nil {
			return fail("%v", err)
		}
		at = x.end
	}
	if at != uint64(len(values)) {
		return &FormatError{f.Path, int64(8 + n + at), fmt.Sprintf("%d bytes after the last tensor belong to none",
			uint64(len(values))-at)}
	}
	return nil
}

// checkName refuses tensor names that no message or listing should have to print.
func checkName(name string) error {
	if len(name) > maxName || strings.ContainsFunc(name, unicode.IsControl) {
		return fmt.Errorf("a tensor's name is at most %d bytes without control characters, not %q", maxName, name)
	}
	return nil
}

// extent is one tensor as the header has it. begin ≤ end, and the length is that of shape and dtype.
type extent struct {
	name       string
	shape      []int
	dtype      DType
	begin, end uint64
}

// headerReader walks the header token by token: encoding/json's own decoding would let the last of two equal keys win
// and match keys in any case, and two readers of one file must not disagree.
type headerReader struct {
	path    string
	dec     *json.Decoder
	extents []extent
}

func (h *headerReader) fail(format string, args ...any) error {
	return &FormatError{h.path, 8 + h.dec.InputOffset(), "header: " + fmt.Sprintf(format, args...)}
}

func (h *headerReader) read(f *File) error {
	err := h.object(func(key string) error {
		if len(h.extents) == maxTensors {
			return h.fail("more than %d tensors", maxTensors)
		}
		if key == metadata {
			f.Metadata = make(map[string]string)
			return h.object(func(key string) error {
				if len(f.Metadata) == maxTensors {
					return h.fail("more than %d notes", maxTensors)
				}
				value, err := h.text()
				f.Metadata[key] = value
				return err
			})
		}
		if err := checkName(key); err != nil {
			return h.fail("%v", err)
		}
		x, err := h.tensor(key)
		h.extents = append(h.extents, x)
		return err
	})
	if err != nil {
		return err
	}
	if _, err := h.dec.Token(); !errors.Is(err, io.EOF) {
		return h.fail("something follows the closing brace")
	}
	return nil
}

func (h *headerReader) tensor(name string) (extent, error) {
	x := extent{name: name}
	var dims, offsets []uint64
	var dtype string
	err := h.object(func(key string) (err error) {
		switch key {
		case "dtype":
			dtype, err = h.text()
		case "shape":
			dims, err = h.numbers(maxRank)
		case "data_offsets":
			offsets, err = h.numbers(2)
		default:
			err = h.fail("tensor %q: unknown key %q", name, key)
		}
		return err
	})
	if err != nil {
		return x, err
	}
	x.dtype = DType(dtype)
	size, known := sizes[x.dtype]
	switch {
	case !known:
		return x, h.fail("tensor %q: unknown dtype %q", name, dtype)
	case dims == nil:
		return x, h.fail("tensor %q: no shape", name)
	case len(offsets) != 2 || offsets[0] > offsets[1]:
		return x, h.fail("tensor %q: data_offsets must be a begin and an end, not %s", name, printable.And(offsets))
	}
	x.begin, x.end = offsets[0], offsets[1]
	bytes := uint64(size)
	for _, d := range dims {
		hi, lo := bits.Mul64(bytes, d)
		if hi != 0 {
			return x, h.fail("tensor %q: shape %s overflows", name, printable.Shape(dims))
		}
		bytes = lo
		x.shape = append(x.shape, int(d))
	}
	if bytes != x.end-x.begin {
		return x, h.fail("tensor %q: %s of shape %s takes %d bytes, but its offsets span %d", name, dtype,
			printable.Shape(dims), bytes, x.end-x.begin)
	}
	return x, nil
}

// object reads one JSON object, calling value with each key. Two equal keys are an error.
func (h *headerReader) object(value func(key string) error) error {
	if err := h.delim('{'); err != nil {
		return err
	}
	seen := make(map[string]bool)
	for h.dec.More() {
		key, err := h.text()
		if err != nil {
			return err
		}
		if seen[key] {
			return h.fail("%q occurs twice", key)
		}
		seen[key] = true
		if err := value(key); err != nil {
			return err
		}
	}
	return h.delim('}')
}

func (h *headerReader) delim(want json.Delim) error {
	token, err := h.dec.Token()
	if err != nil {
		return h.syntax(err)
	}
	if token != want {
		return h.fail("%q expected, not %q", want, fmt.Sprint(token))
	}
	return nil
}

func (h *headerReader) text() (string, error) {
	token, err := h.dec.Token()
	if err != nil {
		return "", h.syntax(err)
	}
	s, ok := token.(string)
	if !ok {
		return "", h.fail("a string expected, not %q", fmt.Sprint(token))
	}
	return s, nil
}

// numbers reads an array of at most limit whole numbers, each fit for an int. The result is not nil.
func (h *headerReader) numbers(limit int) ([]uint64, error) {
	if err := h.delim('['); err != nil {
		return nil, err
	}
	list := make([]uint64, 0, 4)
	for h.dec.More() {
		token, err := h.dec.Token()
		if err != nil {
			return nil, h.syntax(err)
		}
		number, _ := token.(json.Number)
		v, err := strconv.ParseUint(number.String(), 10, strconv.IntSize-1)
		if errors.Is(err, strconv.ErrRange) {
			return nil, h.fail("%s is beyond any memory", number)
		}
		if err != nil {
			return nil, h.fail("a whole number expected, not %q", fmt.Sprint(token))
		}
		if len(list) == limit {
			return nil, h.fail("more than %d numbers", limit)
		}
		list = append(list, v)
	}
	return list, h.delim(']')
}

func (h *headerReader) syntax(err error) error {
	if errors.Is(err, io.EOF) {
		return h.fail("it ends within its JSON")
	}
	return h.fail("%s", strings.TrimPrefix(err.Error(), "json: "))
}
