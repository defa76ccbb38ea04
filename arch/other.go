package arch

import "fmt"

// alexNetLRN has the constants of Krizhevsky et al. 2012, section 3.3 (k = 2, n = 5, alpha = 1e-4, beta = 0.75), which
// the VGG paper's A-LRN takes over. That paper multiplies the plain sum by alpha; here alpha is divided by n first,
// hence five times its value.
var alexNetLRN = LRN{Size: 5, Alpha: 5e-4, Beta: 0.75, K: 2}

// otherNetworks are the small VGG-style networks, and the ones before VGG for comparison.
func otherNetworks() []*Network {
	return []*Network{
		must("tinyvgg", "TinyVGG of learnpytorch.io for Fashion-MNIST",
			"10,10,M,10,10,M/10", Shape{C: 1, H: 28, W: 28}, false),
		must("tinyvgg-food", "TinyVGG of learnpytorch.io for three foods, no padding",
			"10p0,10p0,M,10p0,10p0,M/3", Shape{C: 3, H: 64, W: 64}, false),
		must("tinyvgg-explainer", "TinyVGG of CNN Explainer (Wang et al. 2020), no padding",
			"10p0,10p0,M,10p0,10p0,M/10", Shape{C: 3, H: 64, W: 64}, false),
		cifar10Net(),
		alexNet(),
		torchvisionAlexNet(),
		zfNet(),
	}
}

// cifar10Net is the network of the recipe cifar10, and of the weights that package embedded has: pooling stands before
// batch norm.
func cifar10Net() *Network {
	var c chain
	conv := func(stage, number, out int, pool bool) {
		at := fmt.Sprintf("%d_%d", stage, number)
		c.add("conv"+at, Conv{Out: out, Window: Window{Kernel: Square(3), Pad: Pad(1)}, NoBias: true})
		if pool {
			c.add(fmt.Sprintf("pool%d", stage), MaxPool{Window{Kernel: Square(2), Stride: Square(2)}})
		}
		c.add("bn"+at, BatchNorm{Momentum: 0.4}).add("relu"+at, ReLU{})
	}
	c.add("conv1_1", Conv{Out: 24, Window: Window{Kernel: Square(2)}}).add("relu1_1", ReLU{})
	for i, out := range []int{64, 256, 256} {
		conv(i+2, 1, out, true)
		conv(i+2, 2, out, false)
	}
	c.add("pool5", MaxPool{Window{Kernel: Square(3), Stride: Square(3)}}).add("flatten", Flatten{})
	c.add("fc5", Linear{Out: 10, NoBias: true}).add("softmax", Softmax{})
	return &Network{Name: "vgg-cifar10", Title: "VGG-like network for CIFAR-10, after airbench94",
		Input: cifarInput, Layers: c.layers}
}

// alexNet is Krizhevsky, Sutskever & Hinton, "ImageNet Classification with Deep Convolutional Neural Networks" (2012).
// Its two GPUs are groups of 2 in conv2, conv4 and conv5. The paper says 224x224; the arithmetic needs 227x227.
func alexNet() *Network {
	var c chain
	c.conv(96, 11, 4, 0, 1).add("lrn1", alexNetLRN).pool(3, 2, false)
	c.conv(256, 5, 1, 2, 2).add("lrn2", alexNetLRN).pool(3, 2, false)
	c.conv(384, 3, 1, 1, 1)
	c.conv(384, 3, 1, 1, 2)
	c.conv(256, 3, 1, 1, 2).pool(3, 2, false)
	c.add("flatten", Flatten{})
	c.head(6, 4096, 4096, 1000)
	return &Network{Name: "alexnet", Title: "AlexNet (Krizhevsky et al. 2012)",
		Input: Shape{C: 3, H: 227, W: 227}, Layers: c.layers}
}

// torchvisionAlexNet is torchvision's, after Krizhevsky, "One weird trick for parallelizing convolutional neural
// networks" (2014): fewer channels, no groups, no normalisation, and dropout before the fully connected layers.
func torchvisionAlexNet() *Network {
	var c chain
	c.conv(64, 11, 4, 2, 1).pool(3, 2, false)
	c.conv(192, 5, 1, 2, 1).pool(3, 2, false)
	c.conv(384, 3, 1, 1, 1)
	c.conv(256, 3, 1, 1, 1)
	c.conv(256, 3, 1, 1, 1).pool(3, 2, false)
	c.add("avgpool", AdaptiveAvgPool{Out: Square(6)}).add("flatten", Flatten{})
	half := Dropout{Keep: 0.5}
	c.add("drop5", half).add("fc6", Linear{Out: 4096}).add("relu6", ReLU{})
	c.add("drop6", half).add("fc7", Linear{Out: 4096}).add("relu7", ReLU{})
	c.add("fc8", Linear{Out: 1000}).add("softmax", Softmax{})
	return &Network{Name: "alexnet-torchvision", Title: "AlexNet as torchvision has it (Krizhevsky 2014)",
		Input: ImageNetInput, Layers: c.layers}
}

// zfNet is Zeiler & Fergus, "Visualizing and Understanding Convolutional Networks" (2013), figure 3: 7x7 stride 2
// first. Its maps of 110, 55, 26, 13 and 6 pixels need padding 1 in conv1 and poolings that round up; contrast
// normalisation follows the pooling.
func zfNet() *Network {
	var c chain
	c.conv(96, 7, 2, 1, 1).pool(3, 2, true).add("lrn1", alexNetLRN)
	c.conv(256, 5, 2, 0, 1).pool(3, 2, true).add("lrn2", alexNetLRN)
	c.conv(384, 3, 1, 1, 1)
	c.conv(384, 3, 1, 1, 1)
	c.conv(256, 3, 1, 1, 1).pool(3, 2, false)
	c.add("flatten", Flatten{})
	c.head(6, 4096, 4096, 1000)
	return &Network{Name: "zfnet", Title: "ZFNet (Zeiler & Fergus 2013)",
		Input: ImageNetInput, Layers: c.layers}
}

// chain builds networks whose convolutions are numbered through: conv1, conv2 …
type chain struct {
	layers []Layer
	convs  int
}

func (c *chain) add(name string, op Op) *chain {
	c.layers = append(c.layers, Layer{name, op})
	return c
}

func (c *chain) conv(out, kernel, stride, pad, groups int) *chain {
	c.convs++
	w := Window{Kernel: Square(kernel), Stride: Square(stride), Pad: Pad(pad)}
	c.add(fmt.Sprintf("conv%d", c.convs), Conv{Out: out, Window: w, Groups: groups})
	return c.add(fmt.Sprintf("relu%d", c.convs), ReLU{})
}

// pool is max pooling, named after the convolution before it.
func (c *chain) pool(kernel, stride int, ceil bool) *chain {
	w := Window{Kernel: Square(kernel), Stride: Square(stride), Ceil: ceil}
	return c.add(fmt.Sprintf("pool%d", c.convs), MaxPool{w})
}

// head adds fully connected layers with ReLU and dropout of a half after all but the last, then softmax.
func (c *chain) head(number int, widths ...int) {
	for i, out := range widths {
		c.add(fmt.Sprintf("fc%d", number+i), Linear{Out: out})
		if i < len(widths)-1 {
			c.add(fmt.Sprintf("relu%d", number+i), ReLU{}).add(fmt.Sprintf("drop%d", number+i), Dropout{Keep: 0.5})
		}
	}
	c.add("softmax", Softmax{})
}
