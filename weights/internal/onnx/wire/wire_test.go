package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/vggo/vggo/weights/internal/format"
)

// field is one field of a message by hand.
func fieldOf(num protowire.Number, value any) []byte {
	switch v := value.(type) {
	case int:
		return appendInt(nil, num, int64(v))
	case float32:
		return protowire.AppendFixed32(protowire.AppendTag(nil, num, protowire.Fixed32Type), math.Float32bits(v))
	case float64:
		return protowire.AppendFixed64(protowire.AppendTag(nil, num, protowire.Fixed64Type), math.Float64bits(v))
	case string:
		return appendText(nil, num, v)
	}
	panic(value)
}

func packed(values ...int) string {
	var b []byte
	for _, v := range values {
		b = protowire.AppendVarint(b, uint64(v))
	}
	return string(b)
}

// decodeTensor reads a TensorProto by itself.
func decodeTensor(data []byte) (*Tensor, error) {
	d := decoder{left: maxModel}
	t := &Tensor{}
	return t, d.tensor(field{typ: protowire.BytesType, bytes: data}, t)
}

// TestTensors reads a tensor's values from wherever TensorProto may have them.
func TestTensors(t *testing.T) {
	one, two := "\x00\x00\x80\x3f", "\x00\x00\x00\x40"
	for _, c := range []struct {
		what   string
		fields [][]byte
		want   string // the values' bytes, or what the error says
		view   bool
	}{
		{"raw", [][]byte{fieldOf(1, 2), fieldOf(2, 1), fieldOf(9, one+two)}, one + two, true},
		{"raw before the shape", [][]byte{fieldOf(9, one+two), fieldOf(2, 1), fieldOf(1, packed(2, 1))}, one + two, true},
		{"floats in one piece", [][]byte{fieldOf(1, 2), fieldOf(2, 1), fieldOf(4, one+two)}, one + two, true},
		{"floats one by one", [][]byte{fieldOf(1, 2), fieldOf(4, float32(1)), fieldOf(4, float32(2)), fieldOf(2, 1)},
			one + two, false},
		{"floats both ways", [][]byte{fieldOf(1, 3), fieldOf(2, 1), fieldOf(4, one+one), fieldOf(4, float32(2))},
			one + one + two, false},
		{"doubles", [][]byte{fieldOf(2, 11), fieldOf(10, 1.0)}, "\x00\x00\x00\x00\x00\x00\xf0\x3f", false},
		{"halves", [][]byte{fieldOf(1, 2), fieldOf(2, 10), fieldOf(5, packed(0x3c00, 0xc000))}, "\x00\x3c\x00\xc0", false},
		{"bfloats", [][]byte{fieldOf(1, 1), fieldOf(2, 16), fieldOf(5, 0x3f80)}, "\x80\x3f", false},
		{"integers", [][]byte{fieldOf(1, 2), fieldOf(2, 7), fieldOf(7, packed(-1, 5))}, strings.Repeat("\xff", 8) +
			"\x05\x00\x00\x00\x00\x00\x00\x00", false},
		{"small integers", [][]byte{fieldOf(1, 1), fieldOf(2, 6), fieldOf(5, -2)}, "\xfe\xff\xff\xff", false},
		{"none", [][]byte{fieldOf(1, 0), fieldOf(1, 7), fieldOf(2, 1)}, "", false},

		{"raw too short", [][]byte{fieldOf(1, 2), fieldOf(2, 1), fieldOf(9, one)}, "takes 8 bytes, but there are 4", false},
		{"raw twice", [][]byte{fieldOf(9, one), fieldOf(9, two)}, "raw_data twice", false},
		{"too few", [][]byte{fieldOf(1, 3), fieldOf(2, 1), fieldOf(4, one+two)}, "holds 3 numbers, but there are 2", false},
		{"missing", [][]byte{fieldOf(1, 1<<24), fieldOf(2, 1)}, "but there are 0", false},
		{"raw and listed", [][]byte{fieldOf(1, 1), fieldOf(2, 1), fieldOf(9, one), fieldOf(4, one)}, "both raw and in a list",
			false},
		{"another list", [][]byte{fieldOf(1, 1), fieldOf(2, 1), fieldOf(5, 1)}, "list of another type", false},
		{"broken list", [][]byte{fieldOf(1, 1), fieldOf(2, 1), fieldOf(4, one+"x")}, "5 bytes are no numbers", false},
		{"overflow", [][]byte{fieldOf(1, 1<<30), fieldOf(1, 1<<30), fieldOf(1, 1<<30), fieldOf(2, 1)}, "overflows", false},
		{"negative", [][]byte{fieldOf(1, -1), fieldOf(2, 1)}, "a dimension of -1", false},
		{"rank", slices.Repeat([][]byte{fieldOf(1, 1)}, 17), "17 dimensions", false},
		{"many fields", slices.Repeat([][]byte{fieldOf(12, "")}, 200), "200 fields beside", false},
		{"wrong wire type", [][]byte{fieldOf(2, "float")}, "wire type 2, not 0", false},
		{"group", [][]byte{{12<<3 | 3}}, "wire type 3", false},
		{"segments", [][]byte{fieldOf(3, "")}, "segments", false},
		{"nowhere", [][]byte{fieldOf(2, 1), fieldOf(14, 1)}, "without a location", false},
		{"here and there", [][]byte{fieldOf(2, 1), fieldOf(9, one), fieldOf(14, 1)}, "both here and in another file", false},
		{"cut", [][]byte{{9<<3 | 2, 5, 0}}, "truncated", false},
		{"not UTF-8", [][]byte{fieldOf(8, "\xff")}, "not UTF-8", false},
	} {
		x, err := decodeTensor(slices.Concat(c.fields...))
		if err != nil {
			var fault *format.Error
			if !strings.Contains(err.Error(), c.want) || c.want == "" || !errors.As(err, &fault) {
				t.Errorf("%s: %v, want %q", c.what, err, c.want)
			}
			continue
		}
		_, view := x.View()
		if b, err := x.Bytes(); err != nil || string(b) != c.want || view != c.view {
			t.Errorf("%s: %q (%v), in one piece %v, want %q and %v", c.what, b, err, view, c.want, c.view)
		}
	}
}

// TestInt64s reads the lists that shapes come in, and no long ones.
func TestInt64s(t *testing.T) {
	long, err := decodeTensor(slices.Concat(fieldOf(1, 3), fieldOf(2, 7), fieldOf(7, packed(1, -1, 300))))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := long.Int64s(3); err != nil || !slices.Equal(got, []int64{1, -1, 300}) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := long.Int64s(2); err == nil {
		t.Error("three integers where two are allowed")
	}
	if _, err := NewTensor("f", FLOAT, nil, make([]byte, 4)).Int64s(1); err == nil {
		t.Error("a float as an integer")
	}
}

// TestEncode writes a model and reads it back. Whatever lies before them, the values begin at multiples of 4 bytes.
func TestEncode(t *testing.T) {
	for pad := range 140 { // beyond where a length takes a second byte
		m := &Model{IR: 7, Producer: strings.Repeat("p", pad), Opsets: []Opset{{Version: 13}},
			Metadata: []Note{{"key", "value"}}}
		m.Graph = Graph{
			Name: "g",
			Nodes: []Node{{Name: "n", Op: "Conv", Inputs: []string{"x", "w"}, Outputs: []string{"y"},
				Attributes: []Attribute{{Name: "i", Kind: Int, Int: -3}, {Name: "f", Kind: Float, Float: 0.5},
					{Name: "l", Kind: Ints, Ints: []int64{1, 2}}}}},
			Inputs:  []Value{{Name: "x", Type: FLOAT, Shaped: true, Dims: []Dim{{-1, "N"}, {3, ""}}}},
			Outputs: []Value{{Name: "y", Type: FLOAT, Shaped: true, Dims: []Dim{{7, ""}}}},
		}
		want := *m
		m.Graph.Initializers = []Tensor{{Name: "w", Type: FLOAT, Dims: []int{pad % 50}}, {Name: strings.Repeat("v", pad),
			Type: FLOAT, Dims: []int{2, 3}}, *NewTensor("s", INT64, []int{1}, []byte("12345678"))}
		var file bytes.Buffer
		err := Encode(&file, m, func(w io.Writer, i int) error {
			if file.Len()%4 != 0 {
				return fmt.Errorf("values at byte %d", file.Len())
			}
			_, err := w.Write(bytes.Repeat([]byte{byte(i)}, 4*[]int{pad % 50, 6}[i]))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if !IsModel(file.Bytes()) {
			t.Fatal("not known as a model")
		}
		back, err := Decode(file.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		tensors := back.Graph.Initializers
		if len(tensors) != 3 || len(tensors[0].Raw) != 4*(pad%50) ||
			!bytes.Equal(tensors[1].Raw, bytes.Repeat([]byte{1}, 24)) || string(tensors[2].Raw) != "12345678" {
			t.Fatalf("%d tensors: %v", len(tensors), tensors)
		}
		back.Graph.Initializers = nil
		if !reflect.DeepEqual(*back, want) {
			t.Fatalf("%+v, want %+v", *back, want)
		}
	}
}
