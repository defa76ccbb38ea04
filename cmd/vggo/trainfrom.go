package main

import (
	"errors"
	"fmt"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/weights"
)

// ownNetwork is the network of the weights that a run begins with. Training is by a softmax: a sigmoid at its end becomes one.
func (o *trainOptions) ownNetwork(file *weights.File) (*arch.Network, error) {
	net, err := file.Network()
	if errors.As(err, new(*weights.OpenSizeError)) {
		return nil, hint(err, "--model names the network with the size, such as 224x224x3:64,64,M,128,128,M/256,10")
	}
	if err != nil {
		return nil, err
	}
	ending, err := net.Ending()
	if err != nil {
		return nil, err
	}
	if ending == arch.EndsInSigmoid {
		o.notices = append(o.notices, fmt.Sprintf("%s ends in a sigmoid: the network that is trained ends in a softmax", o.from))
	}
	return arch.WithSoftmax(net)
}

// compareOwn tells where the network that is trained computes something else than the one that its first values are of. They may: it
// is no longer the file's. Whatever else is wrong shows when the values are read.
func (o *trainOptions) compareOwn(file *weights.File, net *arch.Network) {
	_, err := file.Resolve(weights.Asked{Network: net})
	var disagree *weights.DisagreeError
	var unreadable *weights.UnreadableError
	switch {
	case errors.As(err, &disagree):
		o.notices = append(o.notices, fmt.Sprintf("%v; its values are only where the training begins", err))
	case errors.As(err, &unreadable):
		o.notices = append(o.notices, fmt.Sprintf("%v; its values are only where the training of %s begins", err, net.Name))
	}
}
