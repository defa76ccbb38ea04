package onnx

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vggo/vggo/weights/internal/format"
	"github.com/vggo/vggo/weights/internal/onnx/wire"
)

// attributes are those of each operator that are read, or that change nothing in use: any other is refused, since
// whoever wrote it means something by it.
var attributes = map[string]string{
	"Conv": "auto_pad dilations group kernel_shape pads strides",
	// storage_order is of the second output
	"MaxPool":            "auto_pad ceil_mode dilations kernel_shape pads storage_order strides",
	"AveragePool":        "auto_pad ceil_mode count_include_pad dilations kernel_shape pads strides",
	"LRN":                "alpha beta bias size",
	"BatchNormalization": "epsilon momentum spatial training_mode",
	"Dropout":            "ratio seed",
	"Flatten":            "axis",
	"Reshape":            "allowzero",
	"Squeeze":            "axes",
	"Gather":             "axis",
	"Slice":              "axes ends starts", // opset 9 and before
	"Unsqueeze":          "axes",
	"Transpose":          "perm",
	"Gemm":               "alpha beta transA transB",
	"Clip":               "min max",
	"Cast":               "to saturate",
	"ReduceMean":         "axes keepdims noop_with_empty_axes",
	"ReduceMax":          "axes keepdims noop_with_empty_axes",
	"Softmax":            "axis",
	"LogSoftmax":         "axis",
	"Pad":                "mode pads value",
	"QuantizeLinear":     "axis block_size output_dtype precision saturate",
	"DequantizeLinear":   "axis block_size output_dtype",
	"QGemm":              "alpha transA transB",
	"QLinearConv":        "auto_pad dilations group kernel_shape pads strides",
}

// microsoft are the operators of ONNX Runtime's own that are read. Its tools quantise to these too.
var microsoft = []string{"QGemm", "QuantizeLinear", "DequantizeLinear"}

// checkAttributes refuses a node that says more than is read of it.
func checkAttributes(n *wire.Node) error {
	for _, a := range n.Attributes {
		if !slices.Contains(strings.Fields(attributes[n.Op]), a.Name) {
			return fmt.Errorf("its attribute %s is not understood", format.Clip(a.Name))
		}
	}
	return nil
}
