package weights

import "github.com/vggo/vggo/weights/internal/format"

var ofTensorFlow []format.Reader
