package onnx

import (
	"fmt"
	"strings"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/weights/internal/onnx/wire"
)

// network is the chain as a network whose layers have the names of the graph's nodes or tensors.
func (c *chain) network(family string) *arch.Network {
	net := &arch.Network{Name: strings.ToLower(family), Title: "read from a graph of " + family + "'s", Input: c.shape}
	if c.rounds {
		net.Title += ", of integers, to which values between layers are not rounded"
	}
	taken := map[string]int{}
	for _, layer := range c.layers {
		base := layerName(layer)
		name := base
		for taken[name] > 0 {
			taken[base]++
			name = fmt.Sprintf("%s_%d", base, taken[base])
		}
		taken[name]++
		net.Layers = append(net.Layers, arch.Layer{Name: name, Op: layer.op})
	}
	return net
}

// layerName makes a layer's name of the name of its weights without what they are of it, else of its node's, else of
// the value that the node makes. A flatten that no node stands for has its own.
func layerName(layer *layer) string {
	if _, ok := layer.op.(arch.Flatten); ok && layer.node.Op != "Flatten" {
		return "flatten"
	}
	name := nodeName(layer.node)
	for _, role := range []string{"w", "gamma"} {
		if p := layer.params[role]; p != nil && p.tensor != nil {
			for _, suffix := range []string{".weight", ".gamma", "_weight", "_gamma", "/kernel", "/kernel:0", "/gamma",
				"/gamma:0", "/weights", "/w", "/W"} {
				if of, ok := strings.CutSuffix(p.tensor.Name, suffix); ok && of != "" {
					name = of
				}
			}
		}
	}
	return arch.FitName(name, layer.op.Kind())
}

// nodeName is a node's name or else its output's. PyTorch calls a module's nodes /features/features.2/Relu: of that it
// is features.2.
func nodeName(n *wire.Node) string {
	name := n.Name
	if name == "" && len(n.Outputs) > 0 {
		name = n.Outputs[0]
	}
	parts := strings.Split(name, "/")
	last := len(parts) - 1
	if last > 1 && parts[0] == "" && strings.HasPrefix(parts[last], n.Op) {
		return parts[last-1]
	}
	return name
}
