package similar

import (
	"encoding/hex"
	"fmt"

	"github.com/vggo/vggo"
)

// Index is the vectors of pictures, and what tells whether a file is still the one that a vector is of.
type Index struct {
	Note     Note
	Dims     int       // of a vector
	Vectors  []float32 // one for each of Pictures, each of length 1 or 0
	Pictures []Picture
	Smalls   []Small // likewise
}

// Picture is a file at the time when its vector was made.
type Picture struct {
	Path     string `json:"path"`
	Bytes    int64  `json:"bytes"`
	Modified int64  `json:"modified"` // nanoseconds of Unix
	Sum      Sum    `json:"sha256"`   // of its bytes
}

// Sum is a SHA-256.
type Sum [32]byte

// MarshalText writes it in hexadecimal.
func (s Sum) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, s[:]), nil }

// UnmarshalText reads it.
func (s *Sum) UnmarshalText(text []byte) error {
	if len(text) != 2*len(s) {
		return fmt.Errorf("a SHA-256 of %d digits", len(text))
	}
	_, err := hex.Decode(s[:], text)
	return err
}

// Vector is picture i's. It shares Vectors.
func (x *Index) Vector(i int) []float32 { return x.Vectors[i*x.Dims : (i+1)*x.Dims] }

// Describer makes vectors that compare with the index', by the layer that they are of. A model that is another one, or
// prepares pictures otherwise, is an *OtherError.
func (x *Index) Describer(model *vggo.Model) (*Describer, error) {
	if model.Network.Name != x.Note.Network { // which may have no such layer
		return nil, &OtherError{"network", x.Note.Network, model.Network.Name, x.Note.Origin}
	}
	d, err := New(model, x.Note.Layer)
	if err == nil {
		err = x.Note.differs(&d.Note)
	}
	if err != nil {
		return nil, err
	}
	if d.Dims != x.Dims { // nobody but a stranger wrote that
		return nil, &OtherError{"size", fmt.Sprint(x.Dims), fmt.Sprint(d.Dims), x.Note.Origin}
	}
	return d, nil
}

// maxDims bounds a vector: VGG's largest, of its flattened last map, has 25,088.
const maxDims = 1 << 20
