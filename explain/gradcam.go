package explain

import (
	"context"
	"fmt"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/tensor"
)

// GradCAM is Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391, section 3) of one prepared image. With A the layer's
// maps of Z pixels and y the class's logit:
//
//	weight[k] = 1/Z · sum over i, j of ∂y/∂A[k][i][j]
//	heat[i][j] = max(0, sum over k of weight[k]·A[k][i][j])
//
// A class of -1 is the most probable one. The layer is any with a map and something behind it. "conv5_3" is the
// convolution's own output; the authors take it behind its ReLU, as LastMap does.
func GradCAM(ctx context.Context, m *vggo.Model, image *tensor.Tensor, layer string, class int) (*Heat, error) {
	if err := HasMap(m, layer); err != nil {
		return nil, err
	}
	g, err := m.Gradient(ctx, layer, class, image)
	if err != nil {
		return nil, err
	}
	a := g.Output
	pixels := a.H * a.W
	sums := make([]float64, pixels)
	for k := range a.C {
		weight := 0.0
		for _, d := range g.Gradient.Data[k*pixels:][:pixels] {
			weight += float64(d)
		}
		weight /= float64(pixels)
		for i, v := range a.Data[k*pixels:][:pixels] {
			sums[i] += float64(weight * float64(v)) // rounded before it is added, on every processor
		}
	}
	heat := &Heat{Map: Map{a.W, a.H, make([]float32, pixels)}, Layer: layer, Class: g.Class}
	for i, s := range sums {
		heat.Values[i] = float32(max(s, 0))
	}
	return heat, nil
}

// LastMap is the layer that tells most about classes by place: the last convolution with a map and something behind it,
// taken behind its batch norm and ReLU where it has them.
func LastMap(m *vggo.Model) (string, error) {
	last, follows := "", false // follows: only its batch norm is between
	for _, l := range m.Placed.Layers[:len(m.Placed.Layers)-1] {
		if l.Out.H*l.Out.W == 1 {
			break
		}
		switch l.Op.(type) {
		case arch.Conv:
			last, follows = l.Name, true
			continue
		case arch.BatchNorm:
			if follows {
				last = l.Name
				continue
			}
		case arch.ReLU:
			if follows {
				last = l.Name
			}
		}
		follows = false
	}
	if last == "" {
		return "", fmt.Errorf("%s has no convolution with a map and a layer behind it", m.Network.Name)
	}
	return last, nil
}

// HasMap is an error for a layer whose output has no places.
func HasMap(m *vggo.Model, layer string) error {
	placed, err := m.Placed.Until(layer)
	if err != nil {
		return err
	}
	if out := placed.Output(); out.H*out.W == 1 {
		return fmt.Errorf("%s of %s has no map: its output is %v", layer, m.Network.Name, out)
	}
	return nil
}
