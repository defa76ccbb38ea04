package caffe

import "github.com/vggo/vggo/weights/internal/proto"

// The fields of BVLC's caffe.proto (src/caffe/proto/caffe.proto) that networks are made of, by their numbers.

type (
	schema = proto.Schema
	words  = proto.Words
)

const (
	number = proto.Number
	text   = proto.Text
	float  = proto.Float
	floats = proto.Bytes // packed, which stay in the file
)

var (
	phases = words{"TRAIN", "TEST"}

	shapeProto = schema{1: {"dim", number}}
	blobProto  = schema{1: {"num", number}, 2: {"channels", number}, 3: {"height", number}, 4: {"width", number},
		5: {"data", floats}, 7: {"shape", shapeProto}, 8: {"double_data", floats}}
	stateRule = schema{1: {"phase", phases}}
	transform = schema{1: {"scale", float}, 3: {"crop_size", number}, 4: {"mean_file", text}, 5: {"mean_value", float}}

	convolution = schema{1: {"num_output", number}, 2: {"bias_term", number}, 3: {"pad", number},
		4: {"kernel_size", number}, 5: {"group", number}, 6: {"stride", number}, 9: {"pad_h", number}, 10: {"pad_w", number},
		11: {"kernel_h", number},
		12: {"kernel_w", number}, 13: {"stride_h", number}, 14: {"stride_w", number}, 16: {"axis", number},
		18: {"dilation", number}}
	pooling = schema{1: {"pool", words{"MAX", "AVE", "STOCHASTIC"}}, 2: {"kernel_size", number}, 3: {"stride", number},
		4: {"pad", number}, 5: {"kernel_h", number}, 6: {"kernel_w", number}, 7: {"stride_h", number},
		8: {"stride_w", number}, 9: {"pad_h", number}, 10: {"pad_w", number}, 12: {"global_pooling", number},
		13: {"round_mode", words{"CEIL", "FLOOR"}}}
	innerProduct = schema{1: {"num_output", number}, 2: {"bias_term", number}, 5: {"axis", number},
		6: {"transpose", number}}
	lrn = schema{1: {"local_size", number}, 2: {"alpha", float}, 3: {"beta", float},
		4: {"norm_region", words{"ACROSS_CHANNELS", "WITHIN_CHANNEL"}}, 5: {"k", float}}
	dropout   = schema{1: {"dropout_ratio", float}}
	relu      = schema{1: {"negative_slope", float}}
	batchNorm = schema{3: {"eps", float}}
	scale     = schema{1: {"axis", number}, 2: {"num_axes", number}, 4: {"bias_term", number}}
	softmax   = schema{2: {"axis", number}}
	flatten   = schema{1: {"axis", number}, 2: {"end_axis", number}}
	input     = schema{1: {"shape", shapeProto}}
	memory    = schema{2: {"channels", number}, 3: {"height", number}, 4: {"width", number}}
	oldData   = schema{2: {"scale", float}, 3: {"mean_file", text}, 5: {"crop_size", number}} // of Caffe before 2014

	layerProto = schema{1: {"name", text}, 2: {"type", text}, 3: {"bottom", text}, 4: {"top", text},
		7: {"blobs", blobProto}, 8: {"include", stateRule}, 9: {"exclude", stateRule}, 100: {"transform_param", transform},
		106: {"convolution_param", convolution}, 108: {"dropout_param", dropout},
		117: {"inner_product_param", innerProduct}, 118: {"lrn_param", lrn}, 119: {"memory_data_param", memory},
		121: {"pooling_param", pooling},
		123: {"relu_param", relu}, 125: {"softmax_param", softmax}, 135: {"flatten_param", flatten}, 139: {"batch_norm_param",
			batchNorm},
		142: {"scale_param", scale}, 143: {"input_param", input}}
	v1LayerProto = schema{2: {"bottom", text}, 3: {"top", text}, 4: {"name", text}, 5: {"type", v1Types},
		6: {"blobs", blobProto}, 10: {"convolution_param", convolution}, 11: {"data_param", oldData},
		12: {"dropout_param", dropout}, 15: {"image_data_param", oldData}, 17: {"inner_product_param", innerProduct},
		18: {"lrn_param", lrn}, 19: {"pooling_param", pooling}, 22: {"memory_data_param", memory}, 30: {"relu_param", relu},
		32: {"include", stateRule}, 33: {"exclude", stateRule}, 36: {"transform_param", transform},
		39: {"softmax_param", softmax}}
	netProto = schema{1: {"name", text}, 2: {"layers", v1LayerProto}, 3: {"input", text}, 4: {"input_dim", number},
		8: {"input_shape", shapeProto}, 100: {"layer", layerProto}}
)

// v1Types are V1LayerParameter's kinds of layers by their numbers.
var v1Types = words{"NONE", "ACCURACY", "BNLL", "CONCAT", "CONVOLUTION", "DATA", "DROPOUT", "EUCLIDEAN_LOSS", "FLATTEN",
	"HDF5_DATA", "HDF5_OUTPUT", "IM2COL", "IMAGE_DATA", "INFOGAIN_LOSS", "INNER_PRODUCT", "LRN",
	"MULTINOMIAL_LOGISTIC_LOSS", "POOLING", "RELU", "SIGMOID", "SOFTMAX", "SOFTMAX_LOSS", "SPLIT", "TANH", "WINDOW_DATA",
	"ELTWISE", "POWER", "SIGMOID_CROSS_ENTROPY_LOSS", "HINGE_LOSS", "MEMORY_DATA", "ARGMAX", "THRESHOLD", "DUMMY_DATA",
	"SLICE", "MVN", "ABSVAL", "SILENCE", "CONTRASTIVE_LOSS", "EXP", "DECONVOLUTION"}

// newTypes are the names that they have had since.
var newTypes = map[string]string{"ACCURACY": "Accuracy", "CONVOLUTION": "Convolution", "DATA": "Data",
	"DROPOUT": "Dropout", "DUMMY_DATA": "DummyData", "FLATTEN": "Flatten", "HDF5_DATA": "HDF5Data",
	"IMAGE_DATA":    "ImageData",
	"INNER_PRODUCT": "InnerProduct", "MEMORY_DATA": "MemoryData", "POOLING": "Pooling", "RELU": "ReLU",
	"SIGMOID": "Sigmoid", "SIGMOID_CROSS_ENTROPY_LOSS": "SigmoidCrossEntropyLoss", "SILENCE": "Silence",
	"SOFTMAX": "Softmax", "SOFTMAX_LOSS": "SoftmaxWithLoss", "SPLIT": "Split", "WINDOW_DATA": "WindowData"}
