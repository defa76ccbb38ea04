package tensorflow

import "github.com/vggo/vggo/weights/internal/proto"

type schema = proto.Schema

const (
	number = proto.Number
	text   = proto.Text
	float  = proto.Float
	raw    = proto.Bytes
)

// The messages of github.com/tensorflow/tensorflow that are read, as far as networks need their fields.
var (
	// tensorflow/core/framework: tensor_shape, tensor_slice, tensor
	shapeProto = schema{2: {"dim", schema{1: {"size", number}}}, 3: {"unknown_rank", number}}
	slice      = schema{1: {"extent", schema{1: {"start", number}, 2: {"length", number}}}}
	values     = schema{1: {"dtype", number}, 2: {"shape", shapeProto}, 4: {"content", raw}, 5: {"float", raw},
		6: {"double", raw}, 7: {"int", number}, 10: {"int64", number}, 11: {"bool", number}, 13: {"half", number},
		16: {"uint32", number}, 17: {"uint64", number}}

	// tensorflow/core/util/saved_tensor_slice.proto
	savedSlices = schema{
		1: {"meta", schema{1: {"tensor", schema{1: {"name", text}, 2: {"shape", shapeProto}, 3: {"dtype", number},
			4: {"slice", slice}}}}},
		2: {"data", schema{1: {"name", text}, 2: {"slice", slice}, 3: {"data", schema{4: {"content", raw},
			5: {"float", raw}, 6: {"double", raw}}}}},
	}

	// tensorflow/core/protobuf: tensor_bundle, trackable_object_graph
	bundleHeader = schema{1: {"num_shards", number}, 2: {"endianness", number}}
	bundleEntry  = schema{1: {"dtype", number}, 2: {"shape", shapeProto}, 3: {"shard_id", number}, 4: {"offset", number},
		5: {"size", number}, 6: {"crc32c", number}, 7: {"slice", slice}}
	trackable = schema{1: {"node", schema{2: {"attribute", schema{1: {"name", text}, 2: {"full_name", text},
		3: {"key", text}}}}}}
)

// tensorflow/core/framework: attr_value, node_def, op_def, function, graph; core/protobuf: meta_graph, saved_model
var (
	attrValue = schema{1: {"list", schema{2: {"s", text}, 3: {"i", number}}}, 2: {"s", text}, 3: {"i", number},
		4: {"f", float}, 5: {"b", number}, 6: {"type", number}, 7: {"shape", shapeProto}, 8: {"tensor", values},
		10: {"func", schema{1: {"name", text}}}}
	nodeDef = schema{1: {"name", text}, 2: {"op", text}, 3: {"input", text},
		5: {"attr", schema{1: {"key", text}, 2: {"value", attrValue}}}}
	argument    = schema{1: {"name", text}}
	functionDef = schema{1: {"signature", schema{1: {"name", text}, 2: {"input_arg", argument},
		3: {"output_arg", argument}}}, 3: {"node", nodeDef}, 4: {"ret", schema{1: {"key", text}, 2: {"value", text}}}}
	graphDef = schema{1: {"node", nodeDef}, 2: {"library", schema{1: {"function", functionDef}}}}

	tensorInfo   = schema{1: {"key", text}, 2: {"value", schema{1: {"name", text}}}}
	signatureDef = schema{1: {"key", text}, 2: {"value", schema{1: {"input", tensorInfo}, 2: {"output", tensorInfo}}}}
	savedModel   = schema{2: {"meta_graph", schema{1: {"info", schema{4: {"tag", text}}}, 2: {"graph", graphDef},
		5: {"signature", signatureDef}}}}
)
