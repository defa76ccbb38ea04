package numpy

import (
	"fmt"
	"strconv"
	"strings"
)

// Header is the head of a NumPy file, .npy version 1.0, of float32 values in row-major order (numpy.lib.format). Its
// length, a multiple of 64 bytes, does not depend on the shape's numbers, so that a file whose first dimension grows
// may be given another.
func Header(shape ...int) []byte {
	dims := make([]string, len(shape))
	for i, d := range shape {
		dims[i] = strconv.Itoa(d)
	}
	tuple := strings.Join(dims, ", ")
	if len(dims) == 1 {
		tuple += ","
	}
	const digits = 19 // of the largest int
	length := 64
	for length < 10+len(dict)+len(shape)*(digits+2)+1 {
		length += 64
	}
	rest := length - 10 // after magic, version and this number itself
	head := append([]byte(magic+"\x01\x00"), byte(rest), byte(rest>>8))
	head = fmt.Appendf(head, dict, tuple)
	for len(head) < length-1 {
		head = append(head, ' ')
	}
	return append(head, '\n')
}

const dict = "{'descr': '<f4', 'fortran_order': False, 'shape': (%s), }"
