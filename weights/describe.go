package weights

import (
	"io"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/weights/internal/keras"
)

// descriptions reads networks' descriptions in other libraries' formats.
func descriptions(data []byte) (net *arch.Network, known bool, err error) {
	if !keras.Description.Knows(data) {
		return nil, false, nil
	}
	net, err = keras.Description.Read(data)
	return net, true, err
}

// OpenNetwork is arch.Open that reads other libraries' descriptions too: Keras' (Model.to_json).
func OpenNetwork(spec string) (*arch.Network, error) { return arch.Open(spec, descriptions) }

// ReadNetwork is arch.ReadFile that reads other libraries' descriptions too.
func ReadNetwork(path string) (*arch.Network, error) { return arch.ReadFile(path, descriptions) }

// DecodeNetwork is arch.Decode that reads other libraries' descriptions too.
func DecodeNetwork(r io.Reader) (*arch.Network, error) { return arch.Decode(r, descriptions) }
