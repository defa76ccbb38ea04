//go:build !js

package weights

import (
	"github.com/vggo/vggo/weights/internal/format"
	"github.com/vggo/vggo/weights/internal/tensorflow"
)

// ofTensorFlow reads TensorFlow's files. A program in a browser does without: it is given one file, and a checkpoint is
// several.
var ofTensorFlow = []format.Reader{tensorflow.Reader}
