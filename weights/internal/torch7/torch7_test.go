package torch7

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/weights/internal/format/formattest"
)

func TestHostile(t *testing.T) { formattest.Hostile(t, Reader, formattest.File(t, "torch7.t7")) }

func FuzzTorch7(f *testing.F) { formattest.Fuzz(f, Reader, "torch7.t7") }

// TestOrder reads a file with a batch norm again and again: its tensors come in one order.
func TestOrder(t *testing.T) {
	want := []string{"1.1.weight", "1.1.bias", "1.2.weight", "1.2.bias", "1.2.running_mean", "1.2.running_var"}
	for range 20 {
		c, err := Reader.Read(formattest.File(t, "torch7.t7"))
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, tensor := range c.Tensors {
			names = append(names, tensor.Name)
		}
		if !slices.Equal(names[:min(len(names), len(want))], want) {
			t.Fatalf("%v, want %v first", names, want)
		}
	}
}

// lua writes values as Torch does.
type lua []byte

func (l lua) int(list ...int32) lua {
	for _, n := range list {
		l = binary.LittleEndian.AppendUint32(l, uint32(n))
	}
	return l
}

func (l lua) long(list ...int64) lua {
	for _, n := range list {
		l = binary.LittleEndian.AppendUint64(l, uint64(n))
	}
	return l
}

func (l lua) text(s string) lua { return append(l.int(int32(len(s))), s...) }

func (l lua) object(number int32, class string) lua {
	return l.int(typeTorch, number).text("V 1").text(class)
}

func TestLies(t *testing.T) {
	tensor := lua{}.object(1, "torch.FloatTensor")
	storage := func(l lua, n int64) lua { return l.object(2, "torch.FloatStorage").long(n).int(0, 0, 0, 0) }
	for name, data := range map[string]lua{
		"a text beyond the end":           lua{}.object(1, "x").int(typeString, 1<<20),
		"a text of negative length":       lua{}.object(1, "x").int(typeString, -1),
		"a table without end":             lua{}.int(typeTable, 1, 1<<19, typeNil, typeNil),
		"an unknown type":                 lua{}.object(1, "x").int(9),
		"a storage beyond the end":        lua{}.object(1, "torch.FloatStorage").long(1 << 61),
		"a storage of negative length":    lua{}.object(1, "torch.FloatStorage").long(-1),
		"many dimensions":                 tensor.int(1 << 30),
		"a tensor beyond its storage":     storage(tensor.int(1).long(5, 1, 1), 4),
		"strides beyond its storage":      storage(tensor.int(2).long(2, 2, 1<<62, 1, 1), 4),
		"a negative stride":               storage(tensor.int(1).long(2, -1, 1), 4),
		"an offset before its storage":    storage(tensor.int(1).long(2, 1, 0), 4),
		"one value for many":              storage(tensor.int(2).long(1<<31, 1<<31, 0, 0, 1), 4),
		"a storage of another type":       tensor.int(1).long(2, 1, 1).object(2, "torch.LongStorage").long(2, 0, 0),
		"a tensor that is its storage":    tensor.int(1).long(2, 1, 1).int(typeTorch, 1),
		"a sequence that holds itself":    circle(),
		"a function longer than the file": lua{}.object(1, "x").int(typeFunction, 1<<30),
	} {
		if _, err := Reader.Read(formattest.Bytes("x.t7", data)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// circle is an nn.Sequential whose only module is itself.
func circle() lua {
	return lua{}.object(1, "nn.Sequential").int(typeTable, 2, 1, typeString).text("modules").
		int(typeTable, 3, 1, typeNumber).long(0x3ff0000000000000).int(typeTorch, 1)
}

// Values that hold each other deeply come to an end.
func TestDeep(t *testing.T) {
	var l lua
	for n := range int32(maxDepth + 8) {
		l = l.int(typeTable, n+1, 1, typeNil)
	}
	if _, err := parse(l); err == nil || !strings.Contains(err.Error(), "deep") {
		t.Error(err)
	}
	l = nil
	for n := range int32(40) { // each table holds the next twice
		l = l.int(typeTable, n+1, 2, typeNumber).long(0)
	}
	l = l.int(typeNil)
	for n := int32(39); n >= 0; n-- {
		l = l.int(typeNumber).long(1)
		if n < 39 {
			l = l.int(typeTable, n+2)
		} else {
			l = l.int(typeNil)
		}
	}
	if _, err := Reader.Read(formattest.Bytes("x.t7", l)); err != nil {
		t.Error(err)
	}
}

// An object may be its own fields.
func TestSelf(t *testing.T) {
	c, err := Reader.Read(formattest.Bytes("x.t7", lua{}.object(1, "x").int(typeTorch, 1)))
	if err != nil || len(c.Tensors) != 0 {
		t.Error(c, err)
	}
}

// What a module is set to that vggo does not compute is named, and its tensors are listed nevertheless.
func TestUnrunnable(t *testing.T) {
	in := formattest.File(t, "torch7.t7")
	in.Data = []byte(strings.Replace(string(in.Data), "nn.SoftMax", "nn.SoftMin", 1))
	c, err := Reader.Read(in)
	if err != nil || c.Unrunnable == nil || !strings.Contains(c.Unrunnable.Error(), "SoftMin") || len(c.Tensors) != 12 {
		t.Fatal(err, c.Unrunnable, len(c.Tensors))
	}
}

// Padding by reflection, as the encoder of AdaIN has it before each convolution.
func TestReflection(t *testing.T) {
	const one = 0x3ff0000000000000 // 1 as a float64
	l := lua{}.object(1, "nn.Sequential").int(typeTable, 2, 1, typeString).text("modules").
		int(typeTable, 3, 1, typeNumber).long(one).object(4, "nn.SpatialReflectionPadding").int(typeTable, 5, 4)
	for i, side := range []string{"pad_l", "pad_r", "pad_t", "pad_b"} {
		l = l.int(typeString).text(side).int(typeNumber).long(int64(math.Float64bits(float64(i + 1))))
	}
	c, err := Reader.Read(formattest.Bytes("x.t7", l))
	if err != nil || c.Sized == nil {
		t.Fatal(err, c)
	}
	net, err := c.Sized(arch.Shape{C: 2, H: 8, W: 8})
	if err != nil {
		t.Fatal(err)
	}
	if op := net.Network.Layers[0].Op; op != (arch.ReflectPad{Top: 3, Left: 1, Bottom: 4, Right: 2}) {
		t.Errorf("%+v", op)
	}
}

// Dropout that scales what it is run on is none of vggo's: SpatialDropout always does, Dropout in its first version.
func TestDropout(t *testing.T) {
	in := formattest.File(t, "torch7.t7")
	for was, c := range map[string]struct {
		becomes  string
		runnable bool
	}{
		"nn.Dropout":                             {"nn.Dropout", true},
		"\x0a\x00\x00\x00nn.Dropout":             {"\x11\x00\x00\x00nn.SpatialDropout", false},
		"\x02\x00\x00\x00v2\x05\x00\x00\x00\x01": {"\x02\x00\x00\x00v2\x05\x00\x00\x00\x00", false},
	} {
		data := strings.Replace(string(in.Data), was, c.becomes, 1)
		if (data == string(in.Data)) == (was != c.becomes) {
			t.Fatalf("the file has no %q", was)
		}
		contents, err := Reader.Read(formattest.Bytes("x.t7", []byte(data)))
		if err != nil || (contents.Unrunnable == nil) != c.runnable {
			t.Errorf("%q for %q: %v, %v", c.becomes, was, err, contents.Unrunnable)
		}
	}
}
