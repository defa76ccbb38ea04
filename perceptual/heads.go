package perceptual

import (
	"embed"
	"fmt"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/weights"
)

// heads are the metrics' own weights; heads/README.md says whose.
//
//go:embed heads/*.safetensors heads/LICENSE.*
var heads embed.FS

// head reads tensors of a metric's file.
func head(name string, tensors ...string) (values [][]float32, err error) {
	data, err := heads.ReadFile("heads/" + name)
	if err != nil {
		return nil, err
	}
	file, err := weights.Read(name, data)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	for _, tensor := range tensors {
		t, err := file.Tensor(tensor)
		if err != nil {
			return nil, err
		}
		values = append(values, t.Data)
	}
	return values, nil
}

// lpipsHead is a weight for each channel of each layer, which fill whole blocks.
func lpipsHead(name string, placed *arch.Placement, layers []string) ([][]float32, error) {
	all, err := head("lpips-v0.1-"+name+".safetensors", "lin0", "lin1", "lin2", "lin3", "lin4")
	if err != nil {
		return nil, err
	}
	for i, layer := range layers {
		l, _ := placed.Layer(layer)
		if len(all[i]) != l.Out.C || l.Out.C%nn.Lanes != 0 {
			return nil, fmt.Errorf("lpips has %d weights for %s of %d channels", len(all[i]), layer, l.Out.C)
		}
	}
	return all, nil
}

// distsHead divides DISTS' weights between the picture's three channels and the layers'.
func distsHead(placed *arch.Placement, layers []string) (alpha, beta [][]float32, err error) {
	both, err := head("dists.safetensors", "alpha", "beta")
	if err != nil {
		return nil, nil, err
	}
	channels := []int{3}
	for _, layer := range layers {
		l, _ := placed.Layer(layer)
		channels = append(channels, l.Out.C)
	}
	for _, n := range channels {
		if len(both[0]) < n || len(both[1]) < n {
			return nil, nil, fmt.Errorf("dists has too few weights")
		}
		alpha, beta = append(alpha, both[0][:n]), append(beta, both[1][:n])
		both[0], both[1] = both[0][n:], both[1][n:]
	}
	return alpha, beta, nil
}
