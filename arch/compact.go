package arch

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/vggo/vggo/internal/printable"
)

// MaxLayers bounds the layers of a network read from a string or a file.
const MaxLayers = 1024

// ImageNetInput is the input of the ImageNet networks, and of a compact string that names none.
var ImageNetInput = Shape{C: 3, H: 224, W: 224}

// Compact reads a VGG-style network from a string such as
//
//	64,64,M,128,128,M/256,10
//
// A convolution part, then, after a slash, the widths of a fully connected head. The items of the convolution part:
//
//	64   a 3x3 convolution to 64 channels, stride 1, padded to keep its size, then ReLU
//	M    max pooling 2x2, stride 2; it ends a block
//	A    average pooling 2x2, stride 2; it ends a block
//	R    padding of 1 on every side by reflection: R,64p0
//	L    local response normalisation with AlexNet's constants
//	G    global average pooling, last of the convolution part
//
// Options follow an item in any order. Convolutions take k (kernel), s (stride), p (padding), d (dilation), g (groups),
// each with a number, and b (batch norm before the ReLU): 96k11s4p0, 256k1, 64b. Pooling takes k, s (else the kernel),
// p with a number, and c (round the size up): Mk3s2. R takes p. The last width of the head takes s: a sigmoid in place
// of the softmax, 64,M/16,1s. A string may begin with its input: 32x32x3:64,M/10; else it is for the given one.
//
// Layers are named as in the VGG paper, pad1_1, conv1_1, bn1_1, relu1_1, lrn1_1, pool1 … flatten, fc6, relu6, drop6,
// softmax, where fully connected layers are numbered on from the blocks. All but the last of them are followed by ReLU
// and dropout of a half. Whether the network is possible for an input is Place's to say.
func Compact(name, s string, input Shape) (*Network, error) {
	return parseCompact(name, s, input, false)
}

// parseCompact is Compact, with batch norm after every convolution on request.
func parseCompact(name, s string, input Shape, batchNorm bool) (*Network, error) {
	b := compactBuilder{net: &Network{Name: name, Input: input}, block: 1, batchNorm: batchNorm}
	rest, at := s, 0
	if prefix, after, ok := strings.Cut(s, ":"); ok {
		shape, err := ParseShape(strings.TrimSpace(prefix))
		if err != nil {
			return nil, fmt.Errorf("compact string: %w before the colon", err)
		}
		b.net.Input, rest, at = shape, after, len(prefix)+1
	}
	convs, head, hasHead := strings.Cut(rest, "/")
	number := 0
	each := func(part string, add func(item string, last bool) error) error {
		items := strings.Split(part, ",")
		for i, item := range items {
			number++
			trimmed := strings.TrimSpace(item)
			if err := add(trimmed, i == len(items)-1); err != nil {
				column := at + len(item) - len(strings.TrimLeft(item, " \t\r\n")) + 1
				return fmt.Errorf("compact string: item %d, %q at column %d: %w", number, clip(trimmed), column, err)
			}
			if len(b.net.Layers) > MaxLayers {
				return fmt.Errorf("compact string: more than %d layers", MaxLayers)
			}
			at += len(item) + 1
		}
		return nil
	}
	if err := each(convs, b.convItem); err != nil {
		return nil, err
	}
	if hasHead {
		b.startHead()
		if err := each(head, b.headItem); err != nil {
			return nil, err
		}
	}
	return b.net, nil
}

// compactBuilder adds the layers of one item after another.
type compactBuilder struct {
	net       *Network
	block     int // the number of this block, from 1
	conv      int // convolutions in this block so far
	fc        int // number of the next fully connected layer
	batchNorm bool
}

func (b *compactBuilder) add(op Op, format string, args ...any) {
	b.net.Layers = append(b.net.Layers, Layer{fmt.Sprintf(format, args...), op})
}

func (b *compactBuilder) convItem(item string, last bool) error {
	switch {
	case item == "":
		return fmt.Errorf("an item is missing: want a channel count, M, A, R, L or G")
	case item == "L":
		if n := len(b.net.Layers); n > 0 {
			if _, twice := b.net.Layers[n-1].Op.(LRN); twice {
				return fmt.Errorf("it normalises what L has just normalised")
			}
		}
		b.add(alexNetLRN, "lrn%d_%d", b.block, b.conv)
	case item == "G":
		if !last {
			return fmt.Errorf("global average pooling can only be the last item before the head")
		}
		b.add(GlobalAvgPool{}, "globalpool")
	case item[0] == 'R':
		return b.reflect(item)
	case item[0] == 'M', item[0] == 'A':
		return b.pool(item)
	case item[0] >= '0' && item[0] <= '9':
		return b.convolution(item)
	default:
		return fmt.Errorf("want a channel count, M, A, R, L or G")
	}
	return nil
}

func (b *compactBuilder) reflect(item string) error {
	if n := len(b.net.Layers); n > 0 {
		if _, twice := b.net.Layers[n-1].Op.(ReflectPad); twice {
			return fmt.Errorf("it pads what R has just padded")
		}
	}
	o := options{'p': 1}
	if err := o.parse(item[1:], "p", ""); err != nil {
		return err
	}
	b.add(ReflectPad{o['p'], o['p'], o['p'], o['p']}, "pad%d_%d", b.block, b.conv+1)
	return nil
}

func (b *compactBuilder) pool(item string) error {
	o := options{'k': 2, 'p': 0}
	if err := o.parse(item[1:], "ksp", "c"); err != nil {
		return err
	}
	stride, ok := o['s']
	if !ok {
		stride = o['k']
	}
	w := Window{Kernel: Square(o['k']), Stride: Square(stride), Pad: Pad(o['p']), Ceil: o['c'] == 1}
	var op Op = MaxPool{w}
	if item[0] == 'A' {
		op = AvgPool{Window: w, CountPad: true}
	}
	b.add(op, "pool%d", b.block)
	b.block, b.conv = b.block+1, 0
	return nil
}

func (b *compactBuilder) convolution(item string) error {
	out, rest, err := number(item)
	if err != nil {
		return err
	}
	o := options{'k': 3, 's': 1, 'd': 1, 'g': 1}
	if err := o.parse(rest, "kspdg", "b"); err != nil {
		return err
	}
	pad, ok := o['p']
	if !ok {
		pad = (o['k'] - 1) * o['d'] / 2 // keeps the size of an odd kernel's map
	}
	b.conv++
	w := Window{Kernel: Square(o['k']), Stride: Square(o['s']), Dilation: Square(o['d']), Pad: Pad(pad)}
	b.add(Conv{Out: out, Window: w, Groups: o['g']}, "conv%d_%d", b.block, b.conv)
	if b.batchNorm || o['b'] == 1 {
		b.add(BatchNorm{}, "bn%d_%d", b.block, b.conv)
	}
	b.add(ReLU{}, "relu%d_%d", b.block, b.conv)
	return nil
}

func (b *compactBuilder) startHead() {
	b.fc = b.block + 1
	if b.conv == 0 { // the last block has just ended
		b.fc = b.block
	}
	b.add(Flatten{}, "flatten")
}

func (b *compactBuilder) headItem(item string, last bool) error {
	out, rest, err := number(item)
	switch {
	case err != nil || rest != "" && rest != "s":
		return fmt.Errorf("want the width of a fully connected layer")
	case rest == "s" && !last:
		return fmt.Errorf("s, for a sigmoid, follows the last width alone")
	}
	b.add(Linear{Out: out}, "fc%d", b.fc)
	if rest == "s" {
		b.add(Sigmoid{}, "sigmoid")
		return nil
	}
	if last {
		b.add(Softmax{}, "softmax")
		return nil
	}
	b.add(ReLU{}, "relu%d", b.fc)
	b.add(Dropout{Keep: 0.5}, "drop%d", b.fc)
	b.fc++
	return nil
}

// options are an item's letters with their numbers; 1 for a letter that stands alone.
type options map[byte]int

// parse reads options: letters of numbered with a number each, letters of flags alone, each at most once.
func (o options) parse(s, numbered, flags string) error {
	seen := ""
	for s != "" {
		letter := s[:1]
		if strings.Contains(seen, letter) {
			return fmt.Errorf("option %s appears twice", letter)
		}
		seen += letter
		switch s = s[1:]; {
		case strings.Contains(flags, letter):
			o[letter[0]] = 1
		case strings.Contains(numbered, letter):
			n, rest, err := number(s)
			if err != nil {
				return fmt.Errorf("option %s: %w", letter, err)
			}
			if n == 0 && letter != "p" {
				return fmt.Errorf("option %s must be at least 1", letter)
			}
			o[letter[0]], s = n, rest
		default:
			return fmt.Errorf("unknown option %q: want one of %s", letter, strings.Join(strings.Split(numbered+flags, ""), ", "))
		}
	}
	return nil
}

// number reads the digits that s begins with.
func number(s string) (n int, rest string, err error) {
	end := 0
	for end < len(s) && s[end] >= '0' && s[end] <= '9' {
		end++
	}
	if end == 0 {
		return 0, s, fmt.Errorf("want a number")
	}
	n, err = strconv.Atoi(s[:end])
	if err != nil || n > 1<<20 {
		return 0, s, fmt.Errorf("%s is more than %d", clip(s[:end]), 1<<20)
	}
	return n, s[end:], nil
}

// clip keeps what a message quotes from a stranger short.
func clip(s string) string { return printable.Clip(s, 40) }

// CompactString writes the network as Compact reads it. A layer that the notation has no way to say is an error.
func (n *Network) CompactString() (string, error) {
	var convs, head []string
	for i, layer := range n.Layers {
		switch op := layer.Op.(type) {
		case Conv:
			item := strconv.Itoa(op.Out) + windowOptions(op.Window, 3, 1, (op.Kernel.H-1)*orOne(op.Dilation).H/2)
			if op.Groups > 1 {
				item += fmt.Sprintf("g%d", op.Groups)
			}
			if i+1 < len(n.Layers) && n.Layers[i+1].Op.Kind() == (BatchNorm{}).Kind() {
				item += "b"
			}
			convs = append(convs, item)
		case ReflectPad:
			item := "R"
			if op.Top != 1 {
				item += fmt.Sprintf("p%d", op.Top)
			}
			convs = append(convs, item)
		case MaxPool:
			convs = append(convs, "M"+windowOptions(op.Window, 2, op.Kernel.H, 0))
		case AvgPool:
			convs = append(convs, "A"+windowOptions(op.Window, 2, op.Kernel.H, 0))
		case LRN:
			convs = append(convs, "L")
		case GlobalAvgPool:
			convs = append(convs, "G")
		case Linear:
			head = append(head, strconv.Itoa(op.Out))
		case Sigmoid:
			if len(head) > 0 {
				head[len(head)-1] += "s"
			}
		}
	}
	s := strings.Join(convs, ",")
	if len(head) > 0 {
		s += "/" + strings.Join(head, ",")
	}
	if n.Input != ImageNetInput {
		s = n.Input.String() + ":" + s
	}
	// What was written is the network exactly if reading it gives the same layers.
	read, err := Compact(n.Name, s, n.Input)
	if err != nil {
		return "", fmt.Errorf("%s has no compact string: %w", n.Name, err)
	}
	for i, layer := range n.Layers {
		if i >= len(read.Layers) || read.Layers[i].Name != layer.Name || canonical(read.Layers[i].Op) != canonical(layer.Op) {
			return "", fmt.Errorf("%s has no compact string: it cannot say layer %s, %s", n.Name, layer.Name, Describe(layer.Op))
		}
	}
	if len(read.Layers) > len(n.Layers) {
		return "", fmt.Errorf("%s has no compact string: it would add layer %s", n.Name, read.Layers[len(n.Layers)].Name)
	}
	return s, nil
}

// windowOptions writes what differs from a kernel, stride and padding.
func windowOptions(w Window, kernel, stride, pad int) string {
	w = w.canonical()
	s := ""
	for _, o := range []struct {
		letter      byte
		value, omit int
	}{{'k', w.Kernel.H, kernel}, {'s', w.Stride.H, stride}, {'p', w.Pad.Top, pad}, {'d', w.Dilation.H, 1}} {
		if o.value != o.omit {
			s += fmt.Sprintf("%c%d", o.letter, o.value)
		}
	}
	if w.Ceil {
		s += "c"
	}
	return s
}
