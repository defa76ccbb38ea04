// Package similar finds pictures by what a network makes of them: those that are near a picture, and those that are
// copies of each other.
//
// A picture's vector is the output of a layer, averaged over its rows and columns and scaled to length 1; how near two
// pictures are is the product of their vectors, the cosine. The search is exact: no answer is missed, ties go to the
// picture that comes first, and nothing depends on threads or processors but the vectors themselves.
//
// Similar is not the same. Duplicates have to agree in their pixels too (Correlation).
package similar

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"reflect"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/tensor"
	"github.com/vggo/vggo/vision"
)

// Note is what vectors depend on. Those of different notes do not compare.
type Note struct {
	Network    string                 `json:"network"`
	Weights    string                 `json:"weights"` // vggo.Model.Fingerprint's first 16 bytes, in hexadecimal
	Origin     string                 `json:"origin"`  // the file of weights; it may differ
	Layer      string                 `json:"layer"`
	Preprocess vision.PreprocessParts `json:"preprocess"`
}

// OtherError is an index whose vectors were made otherwise.
type OtherError struct {
	What       string // "layer"
	Have, Want string // of the index, and of whom it was to be used with
	Origin     string // the index' weights' file
}

func (e *OtherError) Error() string {
	return fmt.Sprintf("it is of another %s: %s, not %s", e.What, e.Have, e.Want)
}

// differs is an *OtherError unless vectors of two notes compare.
func (n *Note) differs(want *Note) error {
	switch {
	case n.Network != want.Network:
		return &OtherError{"network", n.Network, want.Network, n.Origin}
	case n.Weights != want.Weights:
		return &OtherError{"file of weights", n.Origin + " (" + n.Weights + ")", want.Origin + " (" + want.Weights + ")",
			n.Origin}
	case n.Layer != want.Layer:
		return &OtherError{"layer", n.Layer, want.Layer, n.Origin}
	case !reflect.DeepEqual(n.Preprocess, want.Preprocess):
		return &OtherError{"preparation", inJSON(n.Preprocess), inJSON(want.Preprocess), n.Origin}
	}
	return nil
}

func inJSON(p vision.PreprocessParts) string {
	text, err := json.Marshal(p)
	if err != nil { // of no number
		return err.Error()
	}
	return string(text)
}

// Describer makes vectors of pictures. Its methods may be called from several goroutines.
type Describer struct {
	Note  Note
	Dims  int // of a vector
	model *vggo.Model
}

// New makes a Describer by a model's layer, which must be open as long as it is used. Empty is LastMap. All weights are
// read once, for their checksum. A layer that the network lacks is an *arch.NoLayerError.
func New(model *vggo.Model, layer string) (*Describer, error) {
	if layer == "" {
		layer = LastMap(model)
	}
	until, err := model.Placed.Until(layer)
	if err != nil {
		return nil, err
	}
	sum, err := model.Fingerprint()
	if err != nil {
		return nil, err
	}
	return &Describer{Note{model.Network.Name, hex.EncodeToString(sum[:16]), model.Origin, layer,
		model.Preprocess.Parts()}, until.Output().C, model}, nil
}

// LastMap is the last layer of a network whose output has rows or columns: pool5 of VGG-16, for one. Where there is
// none it is the last layer.
func LastMap(model *vggo.Model) string {
	layers := model.Placed.Layers
	for i := len(layers) - 1; i >= 0; i-- {
		if out := layers[i].Out; out.H*out.W > 1 {
			return layers[i].Name
		}
	}
	return layers[len(layers)-1].Name
}

// Describe makes the vectors of prepared images, one after the other.
func (d *Describer) Describe(ctx context.Context, images *tensor.Tensor) ([]float32, error) {
	out, err := d.model.Features(ctx, d.Note.Layer, images)
	if err != nil {
		return nil, err
	}
	return d.Vectors(out)
}

// Vectors are those of a layer's output, N x C x H x W: averaged over H and W, and scaled to length 1 unless all are 0.
func (d *Describer) Vectors(out *tensor.Tensor) ([]float32, error) {
	vectors := make([]float32, out.N*out.C)
	size := out.H * out.W
	sums := make([]float64, out.C)
	for n := range out.N {
		square := 0.0
		for c := range sums {
			sums[c] = 0
			for _, v := range out.Data[(n*out.C+c)*size : (n*out.C+c+1)*size] {
				sums[c] += float64(v)
			}
			sums[c] /= float64(size)
			square += float64(sums[c] * sums[c])
		}
		if square == 0 {
			continue
		}
		if math.IsNaN(square) || math.IsInf(square, 0) {
			return nil, fmt.Errorf("what %s makes of a picture is not finite", d.Note.Layer)
		}
		for c, v := range sums {
			vectors[n*out.C+c] = float32(v / math.Sqrt(square))
		}
	}
	return vectors, nil
}
