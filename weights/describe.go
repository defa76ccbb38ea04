package weights

import (
	"io"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/weights/internal/keras"
)

// descriptions reads networks' descriptions in other libraries' formats.
func descriptions(data []byte) (placed *arch.Placement, known bool, err error) {
	if !keras.Description.Knows(data) {
		return nil, false, nil
	}
	placed, err = keras.Description.Read(data)
	return placed, true, err
}

// OpenNetwork is arch.Open that reads other libraries' descriptions too: Keras' (Model.to_json).
func OpenNetwork(spec string) (*arch.Placement, error) { return arch.Open(spec, descriptions) }

// ReadNetwork is arch.ReadFile that reads other libraries' descriptions too.
func ReadNetwork(path string) (*arch.Placement, error) { return arch.ReadFile(path, descriptions) }

// DecodeNetwork is arch.Decode that reads other libraries' descriptions too.
func DecodeNetwork(r io.Reader) (*arch.Placement, error) { return arch.Decode(r, descriptions) }
