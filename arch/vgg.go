package arch

// table1 is table 1 of Simonyan & Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition"
// (arXiv 1409.1556): the convolution parts of configurations A to E. C's 1x1 convolutions are k1.
var table1 = []struct{ name, config, layers string }{
	{"vgg11", "A", "64,M,128,M,256,256,M,512,512,M,512,512,M"},
	{"vgg11-lrn", "A-LRN", "64,L,M,128,M,256,256,M,512,512,M,512,512,M"},
	{"vgg13", "B", "64,64,M,128,128,M,256,256,M,512,512,M,512,512,M"},
	{"vgg16c", "C", "64,64,M,128,128,M,256,256,256k1,M,512,512,512k1,M,512,512,512k1,M"},
	{"vgg16", "D", "64,64,M,128,128,M,256,256,256,M,512,512,512,M,512,512,512,M"},
	{"vgg19", "E", "64,64,M,128,128,M,256,256,256,256,M,512,512,512,512,M,512,512,512,512,M"},
}

const (
	imageNetHead = "/4096,4096,1000" // FC-4096, FC-4096, FC-1000, soft-max
	cifarHead    = "/10"
)

// cifarInput is the input of CIFAR-10's networks.
var cifarInput = Shape{C: 3, H: 32, W: 32}

// vggNetworks are table 1, its batch-norm variants, the article's network and the adaptations to 32x32 images.
func vggNetworks() []*Network {
	var paper, normed, cifar []*Network
	for _, row := range table1 {
		title := "VGG paper, configuration " + row.config
		paper = append(paper, must(row.name, title, row.layers+imageNetHead, ImageNetInput, false))
		if row.config == "A-LRN" {
			continue
		}
		normed = append(normed, must(row.name+"-bn", title+", with batch norm", row.layers+imageNetHead, ImageNetInput, true))
		if row.config == "C" {
			continue
		}
		// The usual adaptation (kuangliu/pytorch-cifar's vgg.py, and Liu & Deng 2015 before it): five poolings take
		// 32x32 to 1x1, so one fully connected layer on 512 values is head enough.
		title = "VGG " + row.config + " for 32x32 images (CIFAR-10)"
		cifar = append(cifar,
			must(row.name+"-cifar", title, row.layers+cifarHead, cifarInput, false),
			must(row.name+"-cifar-bn", title+", with batch norm", row.layers+cifarHead, cifarInput, true))
	}
	networks := append(paper, normed...)
	networks = append(networks, article())
	return append(networks, cifar...)
}

// article is VGG-16 as the article's TensorFlow code builds it (after Huang Wenjian, "TensorFlow in Action"), to the
// letter: SAME padding for convolutions and pooling, and tf.nn.relu_layer, hence a ReLU, on fc8 too.
func article() *Network {
	n := must("vgg16-article", "VGG-16 to the letter of the article's code: SAME padding, ReLU on fc8",
		table1[4].layers+imageNetHead, ImageNetInput, false)
	var layers []Layer
	for _, layer := range n.Layers {
		switch op := layer.Op.(type) {
		case Conv:
			op.Pad = Padding{Mode: Same}
			layer.Op = op
		case MaxPool:
			op.Pad = Padding{Mode: Same}
			layer.Op = op
		}
		layers = append(layers, layer)
		if layer.Name == "fc8" {
			layers = append(layers, Layer{"relu8", ReLU{}})
		}
	}
	n.Layers = layers
	return n
}

// must reads a compact string of this package; a mistake in one is a bug that every test meets.
func must(name, title, layers string, input Shape, batchNorm bool) *Network {
	n, err := parseCompact(name, layers, input, batchNorm)
	if err != nil {
		panic("arch: " + name + ": " + err.Error())
	}
	n.Title = title
	return n
}
