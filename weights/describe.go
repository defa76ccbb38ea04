package weights

import (
	"io"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/weights/internal/caffe"
	"github.com/vggo/vggo/weights/internal/darknet"
	"github.com/vggo/vggo/weights/internal/format"
	"github.com/vggo/vggo/weights/internal/keras"
)

// descriptions reads networks' descriptions in other libraries' formats.
func descriptions(data []byte) (placed *arch.Placement, known bool, err error) {
	if len(data) == 0 {
		return nil, false, nil
	}
	for _, d := range []format.Description{keras.Description, darknet.Description, caffe.Description} {
		if d.Knows(data) {
			placed, err = d.Read(data)
			return placed, true, err
		}
	}
	return nil, false, nil
}

// ErrGraphModel is the error for a graph-model of TensorFlow.js in place of a description: Open reads it.
var ErrGraphModel = keras.ErrGraph

// OpenNetwork is arch.Open that reads other libraries' descriptions too: Keras' (Model.to_json, and TensorFlow.js'
// model.json), Darknet's (.cfg) and Caffe's (.prototxt).
func OpenNetwork(spec string) (*arch.Placement, error) { return arch.Open(spec, descriptions) }

// ReadNetwork is arch.ReadFile that reads other libraries' descriptions too.
func ReadNetwork(path string) (*arch.Placement, error) { return arch.ReadFile(path, descriptions) }

// DecodeNetwork is arch.Decode that reads other libraries' descriptions too.
func DecodeNetwork(r io.Reader) (*arch.Placement, error) { return arch.Decode(r, descriptions) }
