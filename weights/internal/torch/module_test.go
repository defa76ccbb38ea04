package torch

import (
	"strings"
	"testing"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/pickle"
	"github.com/vggo/vggo/weights/internal/format"
)

// mod is a module of a class with settings and modules in it, by name and value in turn. A *tensor is a parameter.
func mod(class string, fields ...any) *pickle.Object {
	state, parameters, modules := &pickle.Dict{}, &pickle.Dict{}, &pickle.Dict{}
	for i := 0; i < len(fields); i += 2 {
		switch v := fields[i+1].(type) {
		case *tensor:
			parameters.Set(fields[i], v)
		case *pickle.Object:
			modules.Set(fields[i], v)
		default:
			state.Set(fields[i], v)
		}
	}
	state.Set("_parameters", parameters)
	state.Set("_modules", modules)
	return &pickle.Object{Class: "torch.nn.modules." + class, State: state}
}

// values is a tensor of zeros.
func values(size ...int) *tensor {
	n := format.Product(size)
	t := &tensor{&storage{dtype: format.F32, count: n, raw: make([]byte, 4*n)},
		format.View{DType: format.F32, Size: size, Stride: make([]int, len(size))}}
	for i, step := len(size)-1, 1; i >= 0; i-- {
		t.Stride[i] = step
		step *= size[i]
	}
	return t
}

func two(h, w int64) pickle.Tuple { return pickle.Tuple{h, w} }

func conv(more ...any) *pickle.Object {
	return mod("conv.Conv2d", append([]any{"in_channels", int64(3), "out_channels", int64(4), "kernel_size", two(3, 3),
		"stride", two(1, 1), "padding", two(1, 1), "dilation", two(1, 1), "groups", int64(1), "padding_mode", "zeros",
		"weight", values(4, 3, 3, 3), "bias", values(4)}, more...)...)
}

func linear(in, out int) *pickle.Object {
	return mod("linear.Linear", "in_features", int64(in), "out_features", int64(out), "weight", values(out, in),
		"bias", values(out))
}

func pool() *pickle.Object {
	return mod("pooling.MaxPool2d", "kernel_size", int64(2), "stride", int64(2), "padding", int64(0), "dilation", int64(1),
		"ceil_mode", false)
}

func flat() *pickle.Object {
	return mod("flatten.Flatten", "start_dim", int64(1), "end_dim", int64(-1))
}

func sequential(list ...*pickle.Object) *pickle.Object {
	var fields []any
	for i, o := range list {
		fields = append(fields, string(rune('a'+i)), o)
	}
	return mod("container.Sequential", fields...)
}

// own is a module of somebody's own class.
func own(list ...*pickle.Object) *pickle.Object {
	o := sequential(list...)
	o.Class = "__main__.Net"
	return o
}

// overlapping is a pooling as AlexNet's, padded so that it halves a map as VGG's does.
func overlapping() *pickle.Object {
	return mod("pooling.MaxPool2d", "kernel_size", int64(3), "stride", int64(2), "padding", int64(1), "dilation", int64(1),
		"ceil_mode", false)
}

// TestModules: what modules of PyTorch's are as layers, and which are none.
func TestModules(t *testing.T) {
	vgg := mod("x", "features", sequential(conv(), pool()), "avgpool",
		mod("pooling.AdaptiveAvgPool2d", "output_size", two(4, 4)), "classifier", sequential(linear(64, 5)))
	vgg.Class = "torchvision.models.vgg.VGG"
	circle := sequential(conv())
	modules, _ := circle.State.(*pickle.Dict).Get("_modules")
	modules.(*pickle.Dict).Set("again", circle)
	for _, c := range []struct {
		what, want string // the layers, or why it cannot be run; empty: nobody knows what it computes
		root       *pickle.Object
	}{
		{"layers", "conv 3x3 pad 1, relu, maxpool 2x2/2, flatten, dropout 0.5, linear, softmax", sequential(conv(),
			mod("activation.ReLU"), pool(), flat(), mod("dropout.Dropout", "p", 0.5), linear(100, 5),
			mod("activation.Softmax", "dim", int64(1)))},
		{"a stride", "conv 3x3/2 pad 1", sequential(conv("stride", two(2, 2)))},
		{"without bias", "conv 3x3 pad 1, flatten, linear no bias", sequential(conv(), flat(), mod("linear.Linear",
			"in_features", int64(400), "out_features", int64(2), "weight", values(2, 400)))},
		{"same", "conv 3x3 same", sequential(conv("padding", "same"))},
		{"averages", "conv 3x3 pad 1, avgpool 3x3/2 pad 1, globalavgpool", sequential(conv(), mod("pooling.AvgPool2d",
			"kernel_size", int64(3), "stride", int64(2), "padding", int64(1), "ceil_mode", false, "count_include_pad", true),
			mod("pooling.AdaptiveAvgPool2d", "output_size", int64(1)))},
		{"batch norm", "conv 3x3 pad 1, batchnorm", sequential(conv(), mod("batchnorm.BatchNorm2d", "eps", 1e-5,
			"running_mean", values(4), "running_var", values(4)))},
		{"torchvision's", "conv 3x3 pad 1, maxpool 2x2/2, adaptiveavgpool to 4x4, flatten, linear", vgg},
		{"reflected", "reflectpad 1, conv 3x3", sequential(conv("padding_mode", "reflect"))},
		{"reflected before", "reflectpad 3,1,4,2, conv 3x3 pad 1", sequential(mod("padding.ReflectionPad2d", "padding",
			pickle.Tuple{int64(1), int64(2), int64(3), int64(4)}), conv())},
		{"reflected by one number", "its padding is of another kind", sequential(mod("padding.ReflectionPad2d", "padding",
			int64(1)), conv())},
		{"its edge repeated", "it pads by \"replicate\"", sequential(conv("padding_mode", "replicate"))},
		{"no flatten", "is a Flatten missing?", sequential(conv(), linear(4, 5))},
		{"another activation", "LeakyReLU): no layer of vggo's computes it", sequential(conv(), mod("activation.LeakyReLU"))},
		{"a window of text", "its kernel_size is of another kind", sequential(conv("kernel_size", "3"))},
		{"statistics", "it keeps no statistics", sequential(conv(), mod("batchnorm.BatchNorm2d", "eps", 1e-5))},
		{"a circle", "or deeper than 16", circle},
		{"somebody's own", "", own(conv(), mod("activation.ReLU"), pool(), linear(100, 5))},
		{"somebody's own, another activation", "module b.a (torch.nn.modules.activation.ELU): no layer of vggo's computes it",
			own(conv(), sequential(mod("activation.ELU")))},
		{"somebody's own, averages", "its module b is of class AvgPool2d, and where it stands is in its program alone",
			own(conv(), mod("pooling.AvgPool2d", "kernel_size", int64(2), "stride", int64(2), "padding", int64(0),
				"ceil_mode", false, "count_include_pad", true))},
		{"somebody's own, windows that overlap", "its module b is of class MaxPool2d, maxpool 3x3/2 pad 1",
			own(conv(), overlapping())},
		{"somebody's own, as AlexNet", "", own(conv("kernel_size", two(11, 11), "stride", two(4, 4)), overlapping())},
		{"somebody's own, as AlexNet with averages", "its module b is of class AvgPool2d",
			own(conv("kernel_size", two(11, 11), "stride", two(4, 4)), mod("pooling.AvgPool2d", "kernel_size", int64(3),
				"stride", int64(2), "padding", int64(0), "ceil_mode", false, "count_include_pad", true))},
		{"somebody's own, maps and a sigmoid", "its module b is of class Sigmoid: whether its outputs go through it",
			own(conv(), mod("activation.Sigmoid"))},
		{"somebody's own, a stride", "its module a is of class Conv2d of stride 2x2", own(conv("stride", two(2, 2)))},
		{"somebody's own, reflected", "pads by \"reflect\"", own(conv("padding_mode", "reflect"))},
		{"somebody's own, averages at the end", "", own(conv(), mod("pooling.AdaptiveAvgPool2d", "output_size", int64(1)))},
		{"somebody's own, a sigmoid", "its module c is of class Sigmoid: whether its outputs go through it",
			own(conv(), linear(100, 5), mod("activation.Sigmoid"))},
		{"somebody's own, a sigmoid of one output", "", own(conv(), linear(100, 1), mod("activation.Sigmoid"))},
		{"somebody's own, a loss", "", own(conv(), mod("loss.CrossEntropyLoss"))},
	} {
		t.Run(c.what, func(t *testing.T) {
			contents := &format.Contents{}
			var tensors []format.Tensor
			var walk func(o *pickle.Object, path string, depth int)
			walk = func(o *pickle.Object, path string, depth int) {
				state := o.State.(*pickle.Dict)
				for _, of := range []string{"_parameters", "_modules"} {
					held, _ := state.Get(of)
					for _, e := range held.(*pickle.Dict).Entries {
						name := strings.TrimPrefix(path+"."+e.Key.(string), ".")
						switch v := e.Value.(type) {
						case *tensor:
							entry := v.Entry()
							entry.Name = name
							tensors = append(tensors, entry)
						case *pickle.Object:
							if depth < 3 {
								walk(v, name, depth+1)
							}
						}
					}
				}
			}
			walk(c.root, "", 0)
			describe(contents, c.root, nil, tensors)
			net := contents.Network
			if contents.Sized != nil {
				var err error
				if net, err = contents.Sized(arch.Shape{C: 3, H: 10, W: 10}); err != nil {
					t.Fatal(err)
				}
			}
			switch {
			case net == nil && contents.Unrunnable == nil:
				if !strings.Contains(contents.Unknown, c.want) || c.want == "" && contents.Unknown != "" {
					t.Errorf("not described, %q, want %q", contents.Unknown, c.want)
				}
			case net == nil:
				if c.want == "" || !strings.Contains(contents.Unrunnable.Error(), c.want) {
					t.Errorf("%v, want %q", contents.Unrunnable, c.want)
				}
			default:
				var ops []string
				for _, l := range net.Network.Layers {
					ops = append(ops, arch.Describe(l.Op))
				}
				if got := strings.Join(ops, ", "); got != c.want {
					t.Errorf("%s, want %s", got, c.want)
				}
			}
		})
	}
}

// TestForward follows functions of TorchScript that hand a value on, and no others.
func TestForward(t *testing.T) {
	for _, c := range []struct{ what, body, want string }{
		{"one after another", "    a = self.a\n    b = getattr(self, \"b\")\n    y = (a).forward(x, )\n    return " +
			"(b).forward(y, )\n", "a b"},
		{"in each other", "    a = self.a\n    b = self.b\n    return (b).forward(torch.flatten((a).forward(x, ), 1), )\n",
			"a flatten b"},
		{"an activation", "    a = self.a\n    y = torch.relu((a).forward(x, ))\n    return y\n", "a relu"},
		{"returned", "    a = self.a\n    return torch.relu((a).forward(x, ))\n", "a relu"},
		{"two values", "    a = self.a\n    y = (a).forward(x, )\n    return torch.add(y, x)\n", ""},
		{"used twice", "    a = self.a\n    b = self.b\n    y = (a).forward(x, )\n    return (b).forward(x, )\n", ""},
		{"a loop", "    for _0 in range(3):\n      x = x\n    return x\n", ""},
		{"flattened from elsewhere", "    a = self.a\n    return torch.flatten((a).forward(x, ), 0)\n", ""},
		{"nothing", "", ""},
	} {
		code := "class M(Module):\n  n : Final[int] = 3\n  def forward(self: __torch__.M,\n    x: Tensor) -> Tensor:\n" +
			c.body
		program, err := readScript(map[string]format.Member{"m/code/__torch__.py": {Raw: []byte(code), Size: len(code)}},
			"m/")
		if err != nil {
			t.Fatal(err)
		}
		if n, ok := program.constant("__torch__.M", "n"); n != int64(3) || !ok {
			t.Errorf("n is %v", n)
		}
		var got []string
		err = program.forward("__torch__.M", func(name string) error {
			got = append(got, name)
			return nil
		}, func(op arch.Op) { got = append(got, op.Kind()) })
		if c.want == "" && err == nil || c.want != "" && (err != nil || strings.Join(got, " ") != c.want) {
			t.Errorf("%s: %v, %v, want %q", c.what, got, err, c.want)
		}
	}
}

// TestOldModule: the old format names a module's class by a reference that holds the text of its program, too.
func TestOldModule(t *testing.T) {
	loader := loader(func(format.DType, string, int) (*storage, error) { return nil, nil })
	// persistent id ("module", class, file, text), NEWOBJ without arguments
	value, _, err := loader.Load([]byte("\x80\x02(X\x06\x00\x00\x00modulectorch.nn.modules.activation\nReLU\n" +
		"X\x01\x00\x00\x00fX\x01\x00\x00\x00stQ)\x81}X\x08\x00\x00\x00trainingI00\nsb."))
	o, ok := value.(*pickle.Object)
	if err != nil || !ok || o.Class != "torch.nn.modules.activation.ReLU" {
		t.Fatalf("%v, %v", value, err)
	}
}

// A frozen program's tensors have no names, which is said.
func TestFrozen(t *testing.T) {
	in := &format.Input{Name: "x.pt", Members: map[string]format.Member{}}
	for name, data := range map[string]string{"data.pkl": "\x80\x02}.", "constants.pkl": "\x80\x02).",
		"constants/0": "1234"} {
		in.Members["x/"+name] = format.Member{Raw: []byte(data), Size: len(data)}
	}
	if _, err := read(in); err == nil || !strings.Contains(err.Error(), "torch.jit.freeze") {
		t.Error(err)
	}
}
