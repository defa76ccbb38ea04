package matlab

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"github.com/vggo/vggo/weights/internal/format/formattest"
)

func TestHostile(t *testing.T) {
	for _, name := range []string{"matconvnet.mat", "matconvnet-old.mat", "cells-7.3.mat"} {
		formattest.Hostile(t, Reader, formattest.File(t, name))
	}
}

func FuzzMATLAB(f *testing.F) {
	formattest.Fuzz(f, Reader, "matconvnet.mat", "matconvnet-old.mat", "cells-7.3.mat")
}

var le = binary.LittleEndian

// head begins a file of MATLAB 5.
var head = []byte("MATLAB 5.0 MAT-file" + strings.Repeat(" ", 124-19) + "\x00\x01IM")

// element is one with its tag, padded.
func element(kind uint32, body ...[]byte) []byte {
	all := bytes.Join(body, nil)
	b := le.AppendUint32(nil, kind)
	b = append(le.AppendUint32(b, uint32(len(all))), all...)
	return append(b, make([]byte, -len(b)&7)...)
}

func words(list ...uint32) (b []byte) {
	for _, w := range list {
		b = le.AppendUint32(b, w)
	}
	return b
}

// array is one of a class, with dimensions, a name and what else it has.
func array(class uint32, dims []uint32, name string, rest ...[]byte) []byte {
	return element(miMatrix, element(miUint32, words(class, 0)),
		element(miInt32, words(dims...)), element(1, []byte(name)), bytes.Join(rest, nil))
}

// Whole numbers are kept as bytes, whatever their class.
func TestNumbers(t *testing.T) {
	data := slices.Concat(head, array(7, []uint32{1, 3}, "a", element(2, []byte{1, 2, 200})),
		array(6, []uint32{2, 1}, "b", element(3, words(0xffff<<16|0xffff))),
		array(7, []uint32{1, 1}, "c", element(7, words(0x3fc00000))))
	list, err := readV5(data)
	if err != nil || len(list) != 3 {
		t.Fatal(list, err)
	}
	for i, want := range [][]float64{{1, 2, 200}, {-1, -1}, {1.5}} {
		if got, err := list[i].few(9); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v, want %v", list[i].name, got, err, want)
		}
	}
	copy(data[124:], "\x01\x00MI")
	if _, err := readV5(data); err == nil || !strings.Contains(err.Error(), "big-endian") {
		t.Error(err)
	}
}

func TestLies(t *testing.T) {
	deep := array(mxCell, []uint32{1, 1}, "")
	for range maxDepth + 2 {
		deep = array(mxCell, []uint32{1, 1}, "", deep)
	}
	var bomb bytes.Buffer
	z := zlib.NewWriter(&bomb)
	_, _ = z.Write(words(miMatrix, 0xfffffff0))
	_, _ = z.Write(make([]byte, 1<<20))
	_ = z.Close()
	compressed := words(miCompressed, uint32(bomb.Len()))
	for name, data := range map[string][]byte{
		"an element beyond the end": words(miMatrix, 1<<31),
		"numbers that are too few":  array(7, []uint32{1, 1 << 30}, "a", element(7, words(0))),
		"dimensions that overflow":  array(7, []uint32{1 << 30, 1 << 30, 1 << 30}, "a", element(7, words(0))),
		"a negative dimension":      array(7, []uint32{1, 1<<32 - 1}, "a", element(7, words(0))),
		"cells without end":         array(mxCell, []uint32{1 << 15, 1 << 15}, "a"),
		"cells deep in each other":  deep,
		"a bomb":                    append(compressed, bomb.Bytes()...),
		"compressed and broken":     append(words(miCompressed, 8), "nonsense"...),
		"structs with a length of 0": array(mxStruct, []uint32{1, 1}, "a",
			element(miInt32, words(0)), element(1, []byte("x"))),
		"a small element of 5 bytes": words(5<<16|1, 0),
	} {
		if _, err := readV5(append(slices.Clone(head), data...)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// A cell of MATLAB 7.3 that holds itself comes to an end.
func TestCircle(t *testing.T) {
	in := formattest.File(t, "circle-7.3.mat")
	if _, err := Reader.Read(in); err == nil || !strings.Contains(err.Error(), "too deep") {
		t.Error(err)
	}
}

// What MatConvNet has and vggo does not compute is named, and the weights are listed nevertheless.
func TestUnrunnable(t *testing.T) {
	for _, c := range [][2]string{{"softmax", "pdist\x00\x00"}, {"relu", "lrel"}} {
		in := formattest.File(t, "matconvnet-old.mat")
		in.Data = bytes.Replace(in.Data, []byte(c[0]), []byte(c[1]), 1)
		contents, err := Reader.Read(in)
		if err != nil || contents.Unrunnable == nil || !strings.Contains(contents.Unrunnable.Error(), c[1][:4]) ||
			len(contents.Tensors) != 11 {
			t.Errorf("%s: %v, %v, %d tensors", c[1], err, contents.Unrunnable, len(contents.Tensors))
		}
	}
}

// A graph is named; its parameters are listed by their names.
func TestDagNN(t *testing.T) {
	c, err := Reader.Read(formattest.File(t, "dagnn.mat"))
	if err != nil || c.Unrunnable == nil || !strings.Contains(c.Unrunnable.Error(), "DagNN") || len(c.Tensors) != 2 ||
		c.Tensors[0].Name != "conv1f" || !slices.Equal(c.Tensors[0].Shape, []int{4, 3, 3, 3}) {
		t.Errorf("%v, %+v", err, c)
	}
}
