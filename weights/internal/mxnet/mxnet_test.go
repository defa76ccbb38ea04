package mxnet

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/vggo/vggo/weights/internal/format"
	"github.com/vggo/vggo/weights/internal/format/formattest"
)

func TestHostile(t *testing.T) {
	formattest.Hostile(t, Reader, formattest.File(t, "mxnet.params"))
	formattest.Hostile(t, Reader, formattest.File(t, "mxnet-old.params"))
}

func FuzzMXNet(f *testing.F) { formattest.Fuzz(f, Reader, "mxnet.params", "mxnet-old.params") }

// Both forms hold the same arrays under the same names.
func TestForms(t *testing.T) {
	want := []struct {
		name  string
		shape []int
	}{{"conv1_weight", []int{4, 3, 3, 3}}, {"conv1_bias", []int{4}}, {"bn1_gamma", []int{4}}, {"bn1_beta", []int{4}},
		{"fc1_weight", []int{7, 54}}, {"bn1_moving_mean", []int{4}}}
	var lists [2][]format.Tensor
	for i, name := range []string{"mxnet.params", "mxnet-old.params"} {
		c, err := Reader.Read(formattest.File(t, name))
		if err != nil {
			t.Fatal(err)
		}
		lists[i] = c.Tensors
	}
	for i, w := range want {
		for j, list := range lists {
			if got := list[i]; got.Name != w.name || !slices.Equal(got.Shape, w.shape) || got.DType != format.F32 ||
				!slices.Equal(got.Raw, lists[0][i].Raw) {
				t.Errorf("form %d: %s %v %s, want %s %v", j, got.Name, got.Shape, got.DType, w.name, w.shape)
			}
		}
	}
}

func TestLies(t *testing.T) {
	head := binary.LittleEndian.AppendUint64(nil, listNumber)
	head = append(head, make([]byte, 8)...)
	list := func(count uint64, words ...uint32) []byte {
		data := binary.LittleEndian.AppendUint64(slices.Clone(head), count)
		for _, w := range words {
			data = binary.LittleEndian.AppendUint32(data, w)
		}
		return data
	}
	for name, data := range map[string][]byte{
		"arrays without end": list(1 << 62),
		"many dimensions":    list(1, 1<<31),
		"a huge array":       list(1, 4, 1<<31, 1<<31, 1<<31, 1<<31, 1, 0, 0),
		"a negative side":    list(1, arrayV2, 0, 1, 0xffffffff, 0xffffffff, 1, 0, 0),
		"an unknown type":    list(1, 1, 1, 1, 0, 99),
		"a sparse array":     list(1, arrayV2, 1, 1, 1, 0, 1, 0, 0),
		"no names":           list(1, 1, 1, 1, 0, 0, 0),
	} {
		if _, err := Reader.Read(formattest.Bytes("x.params", data)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
