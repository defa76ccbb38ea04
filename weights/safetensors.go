package weights

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"slices"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/vggo/vggo/internal/printable"
	"github.com/vggo/vggo/internal/strict"
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
	h := headerReader{dec: jsontext.NewDecoder(bytes.NewBuffer(header))}
	if err := h.read(); err != nil {
		return nil, format.Fail(8+h.dec.InputOffset(), "header: %v", strict.Error(err))
	}

	slices.SortStableFunc(h.tensors, func(a, b extent) int {
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.end, b.end))
	})
	c := &format.Contents{Metadata: h.notes}
	at := uint64(0)
	for _, x := range h.tensors {
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

// headerReader walks the header member by member, so that counts are bounded. Two readers of one file must not
// disagree: a name that stands twice, in whatever spelling, and one in other letters are errors of the library's.
type headerReader struct {
	notes   map[string]string
	dec     *jsontext.Decoder
	tensors []extent
}

func (h *headerReader) read() error {
	err := h.object(func(key string) error {
		if len(h.tensors) == format.MaxTensors {
			return fmt.Errorf("more than %d tensors", format.MaxTensors)
		}
		if key == metadata {
			h.notes = make(map[string]string)
			return h.object(func(key string) (err error) {
				if len(h.notes) == format.MaxTensors {
					return fmt.Errorf("more than %d notes", format.MaxTensors)
				}
				h.notes[key], err = h.text()
				return err
			})
		}
		if err := format.CheckName(key); err != nil {
			return err
		}
		x, err := h.tensor(key)
		if err != nil {
			return fmt.Errorf("tensor %q: %w", key, err)
		}
		h.tensors = append(h.tensors, x)
		return nil
	})
	if err != nil {
		return err
	}
	if _, err := h.dec.ReadToken(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the closing brace")
	}
	return nil
}

// object reads one JSON object, calling value with each key.
func (h *headerReader) object(value func(key string) error) error {
	if kind := h.dec.PeekKind(); kind != '{' {
		return fmt.Errorf("an object expected, not %q", kind)
	}
	if _, err := h.dec.ReadToken(); err != nil {
		return err
	}
	for h.dec.PeekKind() != '}' {
		key, err := h.text()
		if err == nil {
			err = value(key)
		}
		if err != nil {
			return err
		}
	}
	_, err := h.dec.ReadToken()
	return err
}

func (h *headerReader) text() (string, error) {
	token, err := h.dec.ReadToken()
	if err == nil && token.Kind() != '"' {
		err = fmt.Errorf("a string expected, not %q", token.String())
	}
	if err != nil {
		return "", err
	}
	return token.String(), nil
}

// maxDescription bounds the JSON of one tensor: 16 sides of 19 digits take a tenth of it.
const maxDescription = 1 << 12

func (h *headerReader) tensor(name string) (extent, error) {
	text, err := h.dec.ReadValue()
	if err != nil {
		return extent{}, err
	}
	if len(text) > maxDescription {
		return extent{}, fmt.Errorf("described in more than %d bytes", maxDescription)
	}
	var told struct {
		DType   DType    `json:"dtype"`
		Shape   []uint64 `json:"shape"`
		Offsets []uint64 `json:"data_offsets"`
	}
	if err := strict.UnmarshalKnown(text, &told); err != nil {
		return extent{}, err
	}
	total := uint64(told.DType.Size())
	switch offsets := told.Offsets; {
	case total == 0:
		return extent{}, fmt.Errorf("unknown dtype %q", told.DType)
	case told.Shape == nil:
		return extent{}, errors.New("no shape")
	case len(told.Shape) > format.MaxRank:
		return extent{}, fmt.Errorf("%d dimensions: the most is %d", len(told.Shape), format.MaxRank)
	case len(offsets) != 2 || offsets[0] > offsets[1]:
		return extent{}, fmt.Errorf("data_offsets must be a begin and an end, not %s", printable.And(offsets))
	}
	x := extent{name: name, dtype: told.DType, begin: told.Offsets[0], end: told.Offsets[1]}
	for _, d := range told.Shape {
		hi, lo := bits.Mul64(total, d)
		if hi != 0 || d > math.MaxInt {
			return x, fmt.Errorf("shape %s overflows", printable.Shape(told.Shape))
		}
		total = lo
		x.shape = append(x.shape, int(d))
	}
	if total != x.end-x.begin {
		return x, fmt.Errorf("%s of shape %s takes %d bytes, but its offsets span %d", x.dtype,
			printable.Shape(x.shape), total, x.end-x.begin)
	}
	return x, nil
}
