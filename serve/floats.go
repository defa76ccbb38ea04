package serve

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
)

// floatsAsJSON is finite float32 values, each written in the fewest digits that read back as the same.
type floatsAsJSON []float32

// bytesOfFloat is the most that one takes with its comma: -1.1754944e-38.
const bytesOfFloat = 16

// notFinite is the index of the first value that JSON cannot hold; -1 if there is none.
func (f floatsAsJSON) notFinite() int {
	for i, v := range f {
		if v-v != 0 {
			return i
		}
	}
	return -1
}

// MarshalJSON writes an array.
func (f floatsAsJSON) MarshalJSON() ([]byte, error) {
	if at := f.notFinite(); at >= 0 {
		return nil, fmt.Errorf("value %d is %v, which JSON cannot hold", at, f[at])
	}
	text := append(make([]byte, 0, 2+bytesOfFloat*len(f)), '[')
	for i, v := range f {
		if i > 0 {
			text = append(text, ',')
		}
		text = strconv.AppendFloat(text, float64(v), 'g', -1, 32)
	}
	return append(text, ']'), nil
}

// floatBytes is float32 values in little-endian order.
func floatBytes(f []float32) []byte {
	b := make([]byte, 4*len(f))
	for i, v := range f {
		binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(v))
	}
	return b
}

// readFloats is the way back. There must be 4 bytes for each value.
func readFloats(to []float32, b []byte) {
	b = b[:4*len(to)]
	for i := range to {
		to[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
}

// parseTensor reads JSON numbers into to: a flat array, or arrays nested as shape, whose product is len(to). The text
// must be valid JSON.
func parseTensor(to []float32, text []byte, shape []int) error {
	p := tensorText{text: text, to: to}
	switch first, nested := p.peek(), p.nested(); {
	case first != '[':
		return errors.New("the data is no array")
	case nested:
		if err := p.array(shape); err != nil {
			return err
		}
	default:
		if err := p.array([]int{len(to)}); err != nil {
			return err
		}
	}
	return nil
}

// tensorText is an array being read.
type tensorText struct {
	text []byte
	at   int
	to   []float32
	done int // values read
}

// peek is the next byte that is not space, 0 at the end.
func (p *tensorText) peek() byte {
	for ; p.at < len(p.text); p.at++ {
		switch p.text[p.at] {
		case ' ', '\t', '\n', '\r':
		default:
			return p.text[p.at]
		}
	}
	return 0
}

// nested reports whether the array's first element is one.
func (p *tensorText) nested() bool {
	inner := tensorText{text: p.text, at: p.at + 1}
	return inner.peek() == '['
}

// array reads an array of the given shape.
func (p *tensorText) array(shape []int) error {
	if c := p.peek(); c != '[' {
		return fmt.Errorf("value %d: want an array of %d, the shape's next dimension", p.done, shape[0])
	}
	p.at++
	for i := range shape[0] {
		if p.peek() == ']' {
			return fmt.Errorf("an array that ends with value %d has %d elements, not %d", p.done, i, shape[0])
		}
		if i > 0 {
			p.at++ // a comma: the text is valid
		}
		var err error
		if len(shape) > 1 {
			err = p.array(shape[1:])
		} else {
			err = p.number()
		}
		if err != nil {
			return err
		}
	}
	if p.peek() != ']' {
		return fmt.Errorf("an array has more than its %d elements after value %d", shape[0], p.done)
	}
	p.at++
	return nil
}

// number reads one value.
func (p *tensorText) number() error {
	p.peek()
	start := p.at
	for p.at < len(p.text) && p.text[p.at] != ',' && p.text[p.at] != ']' && p.text[p.at] > ' ' {
		p.at++
	}
	word := p.text[start:p.at]
	v, err := strconv.ParseFloat(string(word), 32)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return fmt.Errorf("value %d, %s, is beyond float32", p.done, clip(string(word)))
	case err != nil || word[0] > '9': // NaN, which JSON has no word for, would be read
		return fmt.Errorf("value %d, %s, is no number", p.done, clip(string(word)))
	}
	p.to[p.done] = float32(v)
	p.done++
	return nil
}
