package hub

// Where the figures were read. A repository's file is named with its commit or release where that is known.
const (
	torchvisionSource  = "github.com/pytorch/vision, v0.14.1, torchvision/models/vgg.py"
	torchvisionAlexNet = "github.com/pytorch/vision, v0.14.1, torchvision/models/alexnet.py"
	// torchvision tells sizes from 0.15 on, in its weights' _file_size; its documentation rounds the same to one digit.
	// 527.796 for vgg16, in units of 2^20 bytes, is the 553,433,881 bytes that torch.hub reports while it downloads.
	torchvisionSize = "torchvision's _file_size (since 0.15), as copies of its source keep it " +
		"(github.com/Ace1928/eidosian_forge, archive_forge/code, among them)"
	torchvisionHash    = "the file's name (torch.hub, check_hash: the first digits of its SHA-256)"
	torchvisionLicence = "the library's, by Debian's python3-torchvision 0.14.1-2, copyright; weights may have terms " +
		"of their own (github.com/pytorch/vision, pull request 5714)"
	torchvisionCredit = "Soumith Chintala and the torchvision contributors"

	timmLicence = "the model card, front matter"
	timmRecipe  = "github.com/huggingface/pytorch-image-models, 066e490, timm/models/vgg.py, _cfg"
	timmResults = "github.com/huggingface/pytorch-image-models, 0173a13, results/results-imagenet.csv"
	timmCredit  = "torchvision's weights, converted by Ross Wightman for timm"

	keras16       = "github.com/keras-team/keras, 51d7e77, keras/src/applications/vgg16.py"
	keras19       = "github.com/keras-team/keras, 3859fb4, keras/src/applications/vgg19.py"
	kerasLicence  = "github.com/fchollet/deep-learning-models, 0296f3f, README.md, License"
	kerasAccuracy = "github.com/keras-team/keras-applications, 05ff470, README.md, Performance (given there as errors)"
	kerasCredit   = "K. Simonyan and A. Zisserman, Visual Geometry Group, University of Oxford"

	onnxMirror = "huggingface.co/onnxmodelzoo/legacy_models, file list (the ONNX Model Zoo's files, since GitHub no " +
		"longer serves them)"
	onnxManifest = "github.com/onnx/models, 0618993, ONNX_HUB_MANIFEST.json"
	onnxReadme   = "github.com/onnx/models, 4498f84, vision/classification/vgg/README.md"
	onnxCredit   = "the ONNX Model Zoo, trained in MXNet by its contributors"

	// which turns the first convolution and the average to RGB
	matconvnetConverter = "github.com/vlfeat/matconvnet, 000f296, utils/import-caffe.py"
	matconvnetPage      = "github.com/vlfeat/matconvnet, 5da490a, doc/site/docs/pretrained.md"
	johnsonReadme       = "github.com/jcjohnson/pytorch-vgg, 121d07b, README.md"
	// The authors' page says "The models are released under Creative Commons Attribution License", as Lasagne's issue
	// quotes it.
	authorsLicence = "robots.ox.ac.uk/~vgg/research/very_deep, as github.com/Lasagne/Recipes, issue 71, quotes it"
)

// torchvision is a file of download.pytorch.org, whose name carries eight digits of its SHA-256.
func torchvision(name, network, file, digits, source string, size, top1, top5 float64) Entry {
	return Entry{
		Name: name, Network: network, File: file + "-" + digits + ".pth",
		URL:      Cited[string]{"https://download.pytorch.org/models/" + file + "-" + digits + ".pth", source},
		Size:     Cited[Size]{mebibytes(size), torchvisionSize},
		Checksum: Cited[Checksum]{Checksum("sha256:" + digits), torchvisionHash},
		Licence:  Cited[string]{"BSD-3-Clause", torchvisionLicence}, Credit: torchvisionCredit,
		Preprocess: Cited[string]{"imagenet", source},
		Accuracy:   Cited[Performance]{Performance{top1, top5}, source},
	}
}

// timm is a repository of huggingface.co at one commit.
func timm(name, network, repository, commit, sha256 string, size int64, top1, top5 float64) Entry {
	home := "huggingface.co/timm/" + repository
	e := Entry{
		Name: name, Network: network, File: repository + ".safetensors",
		URL:     Cited[string]{"https://" + home + "/resolve/" + commit + "/model.safetensors", home + ", commit history"},
		Licence: Cited[string]{"BSD-3-Clause", home + ", " + timmLicence}, Credit: timmCredit,
		Preprocess: Cited[string]{"imagenet", timmRecipe},
		Accuracy:   Cited[Performance]{Performance{top1, top5}, timmResults},
	}
	if size > 0 {
		e.Size = Cited[Size]{megabytes(size), home + ", file list"}
	}
	if sha256 == "" {
		e.Pointer = "https://" + home + "/raw/" + commit + "/model.safetensors"
	} else {
		e.Checksum = Cited[Checksum]{Checksum("sha256:" + sha256), home + ", page of model.safetensors, Git LFS details"}
	}
	return e
}

// keras is a file of Keras' storage, whose source carries its MD5.
func keras(name, network, file, md5, source string, accuracy Cited[Performance]) Entry {
	return Entry{
		Name: name, Network: network, File: file,
		URL: Cited[string]{"https://storage.googleapis.com/tensorflow/keras-applications/" + network + "/" + file,
			source},
		Checksum: Cited[Checksum]{Checksum("md5:" + md5), source + ", file_hash"},
		Licence:  Cited[string]{"CC-BY-4.0", kerasLicence}, Credit: kerasCredit,
		Preprocess: Cited[string]{"caffe", source},
		Accuracy:   accuracy,
	}
}

// onnx is a file of the ONNX Model Zoo.
func onnx(name, network, file, sha256 string, size int64, top1, top5 float64) Entry {
	return Entry{
		Name: name, Network: network, File: file,
		URL:      Cited[string]{"https://huggingface.co/onnxmodelzoo/legacy_models/resolve/main/validated/vision/classification/vgg/model/" + file, onnxMirror},
		Size:     Cited[Size]{exactly(size), onnxManifest},
		Checksum: Cited[Checksum]{Checksum("sha256:" + sha256), onnxManifest},
		Licence:  Cited[string]{"Apache-2.0", onnxReadme}, Credit: onnxCredit,
		Preprocess: Cited[string]{"imagenet", onnxReadme},
		Accuracy:   Cited[Performance]{Performance{top1, top5}, onnxReadme},
	}
}

// matconvnet is a file of vlfeat.org, whose page carries its MD5. The page gives errors of one centre crop.
func matconvnet(name, network, file, md5 string, top1, top5 float64) Entry {
	return Entry{
		Name: name, Network: network, File: file,
		URL:      Cited[string]{"https://www.vlfeat.org/matconvnet/models/" + file, matconvnetPage},
		Checksum: Cited[Checksum]{Checksum("md5:" + md5), matconvnetPage + ", File checksums"},
		Licence:  Cited[string]{"CC-BY-4.0", authorsLicence}, Credit: kerasCredit,
		Preprocess: Cited[string]{"caffe-rgb", matconvnetConverter},
		Accuracy:   Cited[Performance]{Performance{100 - top1, 100 - top5}, matconvnetPage + " (given there as errors)"},
	}
}

// johnson is a file of J. Johnson's, whose name carries eight digits of its SHA-256.
func johnson(name, network, file, digits string) Entry {
	file += "-" + digits + ".pth"
	return Entry{
		Name: name, Network: network, File: file,
		URL:      Cited[string]{"https://web.eecs.umich.edu/~justincj/models/" + file, johnsonReadme},
		Checksum: Cited[Checksum]{Checksum("sha256:" + digits), torchvisionHash},
		Licence:  Cited[string]{"CC-BY-4.0", authorsLicence}, Credit: kerasCredit,
		Preprocess: Cited[string]{"caffe", johnsonReadme},
	}
}

// with changes an entry.
func with(e Entry, change func(*Entry)) Entry {
	change(&e)
	return e
}

// noTop notes that a file holds the convolutions alone.
func noTop(e *Entry) { e.Note = "the convolutions alone, without fully connected layers" }

var (
	kerasTop16 = Cited[Performance]{Performance{71.268, 90.050}, kerasAccuracy}
	kerasTop19 = Cited[Performance]{Performance{71.256, 89.988}, kerasAccuracy}
)

var table = []Entry{
	torchvision("vgg11", "vgg11", "vgg11", "8a719046", torchvisionSource, 506.840, 69.020, 88.628),
	torchvision("vgg11-bn", "vgg11-bn", "vgg11_bn", "6002323d", torchvisionSource, 506.881, 70.370, 89.810),
	torchvision("vgg13", "vgg13", "vgg13", "19584684", torchvisionSource, 507.545, 69.928, 89.246),
	torchvision("vgg13-bn", "vgg13-bn", "vgg13_bn", "abd245e5", torchvisionSource, 507.590, 71.586, 90.374),
	torchvision("vgg16", "vgg16", "vgg16", "397923af", torchvisionSource, 527.796, 71.592, 90.382),
	torchvision("vgg16-bn", "vgg16-bn", "vgg16_bn", "6c64b313", torchvisionSource, 527.866, 73.360, 91.516),
	torchvision("vgg19", "vgg19", "vgg19", "dcbb9e9d", torchvisionSource, 548.051, 72.376, 90.876),
	torchvision("vgg19-bn", "vgg19-bn", "vgg19_bn", "c79401a0", torchvisionSource, 548.143, 74.218, 91.842),
	with(torchvision("vgg16-features", "vgg16", "vgg16_features-amdegroot", "88682ab5", torchvisionSource, 527.802, 0, 0),
		func(e *Entry) {
			e.Accuracy = Cited[Performance]{}
			e.Preprocess.Value = "caffe"
			e.Note = "for features alone: its fully connected layers hold NaN. torchvision subtracts 123, 117 and 104 of " +
				"255, the pre-processing caffe 123.68, 116.779 and 103.939"
			e.Credit = "ported by torchvision from github.com/amdegroot/ssd.pytorch"
		}),
	torchvision("alexnet", "alexnet-torchvision", "alexnet-owt", "7be5be79", torchvisionAlexNet, 233.087, 56.522, 79.066),

	timm("vgg11-timm", "vgg11", "vgg11.tv_in1k", "38b46049b490ec2bdb6d4d32b8354c74977f3347",
		"682c023808812148d4e60c76d80ad83dbeaf5d50eb1a952a0b836895003151e5", 531, 69.022, 88.624),
	timm("vgg11-bn-timm", "vgg11-bn", "vgg11_bn.tv_in1k", "1eb350bbb712e01a71a259d3296ac996539a9f0e", "", 0,
		70.382, 89.808),
	timm("vgg13-timm", "vgg13", "vgg13.tv_in1k", "398c5a92d29787ceca04d7b45c8a07efd8f934f7", "", 532, 69.932, 89.250),
	timm("vgg13-bn-timm", "vgg13-bn", "vgg13_bn.tv_in1k", "ed6e64d6167edbe08697cb4d7ceaef5077972131",
		"7dae235e35772693cd527e7ac9ef8f6594707a14a8d26aabdb83c0baa6847861", 532, 71.588, 90.378),
	timm("vgg16-timm", "vgg16", "vgg16.tv_in1k", "3394518cba29aee1ea82a49d971be90d2dd1dab7",
		"57b026918159a6bf9faf8405c3a551903768e7138989d9c6224a14227203fad8", 553, 71.592, 90.384),
	timm("vgg16-bn-timm", "vgg16-bn", "vgg16_bn.tv_in1k", "e00c01e7cee168262dcba6428dc4a8f41e27e965",
		"88bbedbc8e780413736db38ac4efd41b06fc0e93fd5b8879b584bba63a950129", 554, 73.370, 91.514),
	timm("vgg19-timm", "vgg19", "vgg19.tv_in1k", "128d4708565b3a414bcbb9bbad440b2fe37b9f18",
		"11aea017b543ff59233749d8f1cf544cda749378f5790d2fedab841fb86b7669", 575, 72.378, 90.874),
	timm("vgg19-bn-timm", "vgg19-bn", "vgg19_bn.tv_in1k", "5df00d8510c2b1bd2ab67da8b2ef47034f30a7fa",
		"f8249087e63bae61c6166bb23d7c26efe1b2a43fd9fb5cd60ac6ce00535ba312", 575, 74.216, 91.844),

	keras("vgg16-keras", "vgg16", "vgg16_weights_tf_dim_ordering_tf_kernels.h5", "64373286793e3c8b2b4e3219cbf3544b",
		keras16, kerasTop16),
	with(keras("vgg16-keras-notop", "vgg16", "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
		"6d6bbae143d832006294945121d1f1fc", keras16, Cited[Performance]{}), func(e *Entry) {
		noTop(e)
		e.Size = Cited[Size]{exactly(58_889_256), "github.com/keras-team/keras, issue 6221 (the end of the file by its " +
			"own header)"}
	}),
	keras("vgg19-keras", "vgg19", "vgg19_weights_tf_dim_ordering_tf_kernels.h5", "cbe5617147190e668d6c5d5026f83318",
		keras19, kerasTop19),
	with(keras("vgg19-keras-notop", "vgg19", "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5",
		"253f8cb515780f3b799900260a226db6", keras19, Cited[Performance]{}), noTop),

	onnx("vgg16-onnx", "vgg16", "vgg16-12.onnx", "722c42f53ca03a5480296bf8f9c85a151de3eed9ec982d7d2302ff6e2900c67b",
		553_437_752, 72.38, 91.00),
	onnx("vgg16-onnx7", "vgg16", "vgg16-7.onnx", "f20805a3ecccaa88647bbab4ad011ff2412a9838485ea844de0fcbce349820b9",
		553_437_328, 72.62, 91.14),
	onnx("vgg16-bn-onnx", "vgg16-bn", "vgg16-bn-7.onnx",
		"4fdceabf1ef715c9ed3020fa2eac1cb2a448296c086b03633c80cf47e1c5afce", 553_512_191, 72.71, 91.21),
	onnx("vgg19-onnx", "vgg19", "vgg19-7.onnx", "692f9f927f1df1b89033787a77a73eac59fd9b3344f9ecdf0b13221e41c2046f",
		574_677_321, 73.72, 91.58),
	onnx("vgg19-bn-onnx", "vgg19-bn", "vgg19-bn-7.onnx",
		"ce0987dfa6228ad29708013f38b7f73cbc14ca6066a05fc22ee49b35871c63ed", 574_774_380, 73.83, 91.79),

	matconvnet("vgg16-matconvnet", "vgg16", "imagenet-vgg-verydeep-16.mat", "f72d927587ca4c97fbd165ec9cb9997f", 28.5, 9.9),
	matconvnet("vgg19-matconvnet", "vgg19", "imagenet-vgg-verydeep-19.mat", "106118b7cf60435e6d8e04f6a6dc3657", 28.7, 9.9),

	johnson("vgg16-johnson", "vgg16", "vgg16", "00b39a1b"),
	johnson("vgg19-johnson", "vgg19", "vgg19", "d01eb7cb"),
}
