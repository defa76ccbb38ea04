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
	"unicode/utf8"

	"github.com/vggo/vggo/internal/printable"
	"github.com/vggo/vggo/weights/internal/format"
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
	maxHeader = 100_000_000
	metadata  = "__metadata__"
)

// isSafetensors goes by the header's brace, and by its length, which leaves the last three of eight bytes zero.
func isSafetensors(in *format.Input) bool {
	head := in.Data
	return len(head) > 8 && head[8] == '{' && head[5] == 0 && head[6] == 0 && head[7] == 0
}

func readSafetensors(in *format.Input) (*format.Contents, error) {
	data := in.Data
	n := binary.LittleEndian.Uint64(data)
	if n > maxHeader {
		return nil, format.Fail(0, "a header of %d bytes is longer than the format's limit of %d", n, maxHeader)
	}
	if n > uint64(len(data)-8) {
		return nil, format.Fail(0, "truncated: the header ends at byte %d, the file at %d", 8+n, len(data))
	}
	header, values := data[8:8+n], data[8+n:]
	if !utf8.Valid(header) {
		return nil, format.Fail(8, "the header is not UTF-8")
	}
	h := headerReader{dec: json.NewDecoder(bytes.NewReader(header))}
	h.dec.UseNumber()
	if err := h.read(); err != nil {
		return nil, err
	}

	slices.SortStableFunc(h.extents, func(a, b extent) int {
		return cmp.Or(cmp.Compare(a.begin, b.begin),
			cmp.Compare(a.end, b.end))
	})
	c := &format.Contents{Metadata: h.notes}
	at := uint64(0)
	for _, x := range h.extents {
		fail := func(text string, args ...any) (*format.Contents, error) {
			return nil, format.Fail(int64(8+n+min(x.begin, uint64(len(values)))), "tensor %q: %s", x.name,
				fmt.Sprintf(text, args...))
		}
		switch {
		case x.begin != at:
			return fail("its data begins at offset %d, but the tensor before it ends at %d", x.begin, at)
		case x.end > uint64(len(values)):
			return fail("truncated: its data ends at byte %d, the file at %d", 8+n+x.end, len(data))
		}
		c.Tensors = append(c.Tensors,
			format.Tensor{Name: x.name, Shape: x.shape, DType: x.dtype, Raw: values[x.begin:x.end:x.end]})
		at = x.end
	}
	if at != uint64(len(values)) {
		return nil, format.Fail(int64(8+n+at), "%d bytes after the last tensor belong to none", uint64(len(values))-at)
	}
	return c, nil
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
	notes   map[string]string
	dec     *json.Decoder
	extents []extent
}

func (h *headerReader) fail(text string, args ...any) error {
	return format.Fail(8+h.dec.InputOffset(), "header: %s", fmt.Sprintf(text, args...))
}

func (h *headerReader) read() error {
	err := h.object(func(key string) error {
		if len(h.extents) == format.MaxTensors {
			return h.fail("more than %d tensors", format.MaxTensors)
		}
		if key == metadata {
			h.notes = make(map[string]string)
			return h.object(func(key string) error {
				if len(h.notes) == format.MaxTensors {
					return h.fail("more than %d notes", format.MaxTensors)
				}
				value, err := h.text()
				h.notes[key] = value
				return err
			})
		}
		if err := format.CheckName(key); err != nil {
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
			dims, err = h.numbers(format.MaxRank)
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
	size := x.dtype.Size()
	switch {
	case size == 0:
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
