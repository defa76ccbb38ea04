//go:build placings

package arch

import "sync"

// Placings is a build for one test: it counts how often each network is placed on each size.
var Placings struct {
	sync.Mutex
	Of map[string]int // by the network's description and the size
}

func placing(n *Network, input Shape) {
	Placings.Lock()
	defer Placings.Unlock()
	if Placings.Of == nil {
		Placings.Of = map[string]int{}
	}
	key := n.Name + " " + input.String() + ":"
	for _, l := range n.Layers {
		key += " " + l.Name
		if l.Op != nil {
			key += "=" + Describe(l.Op)
		}
	}
	Placings.Of[key]++
}
