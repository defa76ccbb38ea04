package arch

import (
	"fmt"
	"strconv"
	"strings"
)

// Describe writes an operation in a few words: "conv 3x3 pad 1", "maxpool 3x3/2" (stride 2), "dropout 0.5" (the share
// dropped). Widths are left out: they show in the output size.
func Describe(op Op) string {
	s := op.Kind()
	switch op := op.(type) {
	case Conv:
		s += op.describe()
		if op.Groups > 1 {
			s += fmt.Sprintf(" groups %d", op.Groups)
		}
		if op.NoBias {
			s += " no bias"
		}
	case ReflectPad:
		s += " " + op.sides()
	case MaxPool:
		s += op.describe()
	case AvgPool:
		s += op.describe()
	case L2Pool:
		s += l2Window.describe()
	case AdaptiveAvgPool:
		s += " to " + op.Out.String()
	case LRN:
		s += fmt.Sprintf(" over %d", op.Size)
	case Linear:
		if op.NoBias {
			s += " no bias"
		}
	case Dropout:
		s += " " + strconv.FormatFloat(1-op.Keep, 'g', 3, 64)
	}
	return s
}

// Describe writes a kernel as Describe does a layer's: "3x3", "7x7/2" (stride 2), "3x3 dilation 2".
func (k Kernel) Describe() string {
	w := Window{Kernel: Square(k.Size), Stride: Square(k.Stride), Dilation: Square(k.Dilation)}
	return strings.TrimSpace(w.describe())
}

func (w Window) describe() string {
	w = w.canonical()
	s := " " + w.Kernel.String()
	if w.Stride != Square(1) {
		s += "/" + w.Stride.short()
	}
	switch p := w.Pad; {
	case p.Mode == Same:
		s += " same"
	case p.Mode == Valid:
		s += " valid"
	case p != Pad(0):
		s += " pad " + p.sides()
	}
	if w.Dilation != Square(1) {
		s += " dilation " + w.Dilation.short()
	}
	if w.Ceil {
		s += " ceil"
	}
	return s
}

// sides writes padding that is alike on all sides as one number.
func (p Padding) sides() string {
	if p == Pad(p.Top) {
		return strconv.Itoa(p.Top)
	}
	return fmt.Sprintf("%d,%d,%d,%d", p.Top, p.Left, p.Bottom, p.Right)
}

func (p ReflectPad) sides() string { return p.padding().sides() }

func (p ReflectPad) padding() Padding {
	return Padding{Top: p.Top, Left: p.Left, Bottom: p.Bottom, Right: p.Right}
}

// short writes a square size as one number.
func (s Size) short() string {
	if s.H == s.W {
		return strconv.Itoa(s.H)
	}
	return s.String()
}
