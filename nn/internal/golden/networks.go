package golden

import "github.com/vggo/vggo/arch"

// The networks of scripts/gen_goldens.py, layer by layer.

var plain = arch.Network{Name: "plain", Input: arch.Shape{C: 3, H: 26, W: 19}, Layers: []arch.Layer{
	{Name: "conv1_1", Op: conv3x3(6)},
	{Name: "relu1_1", Op: arch.ReLU{}},
	{Name: "conv1_2", Op: conv3x3(9)},
	{Name: "relu1_2", Op: arch.ReLU{}},
	{Name: "pool1", Op: halve},
	{Name: "conv2_1", Op: conv3x3(17)},
	{Name: "relu2_1", Op: arch.ReLU{}},
	{Name: "conv2_2", Op: conv3x3(30)},
	{Name: "relu2_2", Op: arch.ReLU{}},
	{Name: "pool2", Op: halve},
	{Name: "conv3_1", Op: conv3x3(19)},
	{Name: "relu3_1", Op: arch.ReLU{}},
	{Name: "pool3", Op: halve},
	{Name: "flatten", Op: arch.Flatten{}},
	{Name: "fc4", Op: arch.Linear{Out: 37}},
	{Name: "relu4", Op: arch.ReLU{}},
	{Name: "fc5", Op: arch.Linear{Out: 11}},
	{Name: "softmax", Op: arch.Softmax{}},
}}

var bn = arch.Network{Name: "bn", Input: arch.Shape{C: 3, H: 13, W: 10}, Layers: []arch.Layer{
	{Name: "conv1_1", Op: conv3x3(9)},
	{Name: "bn1_1", Op: arch.BatchNorm{}},
	{Name: "relu1_1", Op: arch.ReLU{}},
	{Name: "conv1_2", Op: conv3x3(13)},
	{Name: "bn1_2", Op: arch.BatchNorm{}},
	{Name: "relu1_2", Op: arch.ReLU{}},
	{Name: "pool1", Op: halve},
	{Name: "conv2_1", Op: conv3x3(17)},
	{Name: "bn2_1", Op: arch.BatchNorm{}},
	{Name: "relu2_1", Op: arch.ReLU{}},
	{Name: "pool2", Op: halve},
	{Name: "flatten", Op: arch.Flatten{}},
	{Name: "fc3", Op: arch.Linear{Out: 21}},
	{Name: "relu3", Op: arch.ReLU{}},
	{Name: "fc4", Op: arch.Linear{Out: 11}},
	{Name: "softmax", Op: arch.Softmax{}},
}}

var zoo = arch.Network{Name: "zoo", Input: arch.Shape{C: 5, H: 19, W: 16}, Layers: []arch.Layer{
	{Name: "conv1_1", Op: arch.Conv{Out: 12, Window: arch.Window{
		Kernel: arch.Square(5), Pad: arch.Padding{Top: 1, Left: 2, Bottom: 2, Right: 0}}}},
	{Name: "relu1_1", Op: arch.ReLU{}},
	{Name: "lrn1", Op: arch.LRN{Size: 5, Alpha: 0.4, Beta: 0.75, K: 2}},
	{Name: "pool1", Op: arch.MaxPool{Window: arch.Window{Kernel: arch.Square(3), Stride: arch.Square(2), Ceil: true}}},
	{Name: "conv2_1", Op: arch.Conv{Out: 15, Groups: 3, Window: arch.Window{
		Kernel: arch.Square(3), Dilation: arch.Square(2), Pad: arch.Pad(2)}}},
	{Name: "relu2_1", Op: arch.ReLU{}},
	{Name: "pool2", Op: arch.AvgPool{CountPad: true, Window: arch.Window{
		Kernel: arch.Size{H: 3, W: 2}, Stride: arch.Size{H: 3, W: 1}, Pad: arch.Pad(1), Ceil: true}}},
	{Name: "conv2_2", Op: arch.Conv{Out: 14, Window: arch.Window{Kernel: arch.Square(1)}}},
	{Name: "relu2_2", Op: arch.ReLU{}},
	{Name: "lrn2", Op: arch.LRN{Size: 4, Alpha: 0.9, Beta: 0.5, K: 1}},
	{Name: "pool3", Op: arch.AvgPool{Window: arch.Window{Kernel: arch.Square(3), Pad: arch.Pad(1)}}},
	{Name: "conv3_1", Op: arch.Conv{Out: 16, Groups: 2, Window: arch.Window{
		Kernel: arch.Square(3), Stride: arch.Size{H: 1, W: 2}, Pad: arch.Padding{Top: 0, Left: 1, Bottom: 2, Right: 1}}}},
	{Name: "relu3_1", Op: arch.ReLU{}},
	{Name: "pool4", Op: arch.AdaptiveAvgPool{Out: arch.Size{H: 2, W: 3}}},
	{Name: "conv4_1", Op: arch.Conv{Out: 19, Window: arch.Window{
		Kernel: arch.Size{H: 2, W: 3}, Pad: arch.Padding{Top: 1, Left: 1, Bottom: 0, Right: 1}}}},
	{Name: "relu4_1", Op: arch.ReLU{}},
	{Name: "pool5", Op: arch.GlobalAvgPool{}},
	{Name: "flatten", Op: arch.Flatten{}},
	{Name: "fc5", Op: arch.Linear{Out: 11}},
	{Name: "softmax", Op: arch.Softmax{}},
}}

var article = arch.Network{Name: "article", Input: arch.Shape{C: 3, H: 11, W: 14}, Layers: []arch.Layer{
	{Name: "conv1_1", Op: conv3x3Same(9)},
	{Name: "relu1_1", Op: arch.ReLU{}},
	{Name: "conv1_2", Op: conv3x3Same(13)},
	{Name: "relu1_2", Op: arch.ReLU{}},
	{Name: "pool1", Op: halveSame},
	{Name: "conv2_1", Op: conv3x3Same(18)},
	{Name: "relu2_1", Op: arch.ReLU{}},
	{Name: "pool2", Op: halveSame},
	{Name: "conv3_1", Op: arch.Conv{Out: 21, Window: arch.Window{
		Kernel: arch.Size{H: 2, W: 4}, Stride: arch.Size{H: 1, W: 2}, Pad: same}}},
	{Name: "relu3_1", Op: arch.ReLU{}},
	{Name: "flatten", Op: arch.Flatten{}},
	{Name: "fc4", Op: arch.Linear{Out: 29}},
	{Name: "relu4", Op: arch.ReLU{}},
	{Name: "drop4", Op: arch.Dropout{Keep: 1}},
	{Name: "fc5", Op: arch.Linear{Out: 11}},
	{Name: "relu5", Op: arch.ReLU{}},
}}

// normalised is vgg_normalised.pth's kind: a 1x1 convolution, then reflection before each 3x3 one, pooling rounded up.
var normalised = arch.Network{Name: "normalised", Input: arch.Shape{C: 3, H: 17, W: 14}, Layers: []arch.Layer{
	{Name: "conv0", Op: arch.Conv{Out: 3, Window: arch.Window{Kernel: arch.Square(1)}}},
	{Name: "pad1_1", Op: reflect1},
	{Name: "conv1_1", Op: conv3x3Bare(9)},
	{Name: "relu1_1", Op: arch.ReLU{}},
	{Name: "pad1_2", Op: reflect1},
	{Name: "conv1_2", Op: conv3x3Bare(18)},
	{Name: "relu1_2", Op: arch.ReLU{}},
	{Name: "pool1", Op: halveUp},
	{Name: "pad2_1", Op: reflect1},
	{Name: "conv2_1", Op: conv3x3Bare(21)},
	{Name: "relu2_1", Op: arch.ReLU{}},
	{Name: "pool2", Op: halveUp},
	{Name: "pad3_1", Op: arch.ReflectPad{Top: 2, Left: 0, Bottom: 1, Right: 3}},
	{Name: "conv3_1", Op: arch.Conv{Out: 11, Window: arch.Window{Kernel: arch.Square(3), Stride: arch.Square(2)}}},
	{Name: "relu3_1", Op: arch.ReLU{}},
	{Name: "pool3", Op: arch.GlobalAvgPool{}},
	{Name: "flatten", Op: arch.Flatten{}},
	{Name: "softmax", Op: arch.Softmax{}},
}}

var (
	same      = arch.Padding{Mode: arch.Same}
	halve     = arch.MaxPool{Window: arch.Window{Kernel: arch.Square(2), Stride: arch.Square(2)}}
	halveUp   = arch.MaxPool{Window: arch.Window{Kernel: arch.Square(2), Stride: arch.Square(2), Ceil: true}}
	reflect1  = arch.ReflectPad{Top: 1, Left: 1, Bottom: 1, Right: 1}
	halveSame = arch.MaxPool{Window: arch.Window{Kernel: arch.Square(2), Stride: arch.Square(2), Pad: same}}
)

func conv3x3(out int) arch.Conv {
	return arch.Conv{Out: out, Window: arch.Window{Kernel: arch.Square(3), Pad: arch.Pad(1)}}
}

func conv3x3Same(out int) arch.Conv {
	return arch.Conv{Out: out, Window: arch.Window{Kernel: arch.Square(3), Pad: same}}
}

func conv3x3Bare(out int) arch.Conv {
	return arch.Conv{Out: out, Window: arch.Window{Kernel: arch.Square(3)}}
}
