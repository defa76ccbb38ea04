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
	case p == Pad(p.Top) && p.Top > 0:
		s += fmt.Sprintf(" pad %d", p.Top)
	case p != Pad(0):
		s += fmt.Sprintf(" pad %d,%d,%d,%d", p.Top, p.Left, p.Bottom, p.Right)
	}
	if w.Dilation != Square(1) {
		s += " dilation " + w.Dilation.short()
	}
	if w.Ceil {
		s += " ceil"
	}
	return s
}

// short writes a square size as one number.
func (s Size) short() string {
	if s.H == s.W {
		return strconv.Itoa(s.H)
	}
	return s.String()
}
