"""Makes weights/testdata/onnx/ends: small ONNX graphs with heads, constants and preparations as exporters write them, and what PyTorch
makes of them (probabilities or logits, outputs.json). Run with Debian's python3-torch and python3-onnx: /usr/bin/python3 scripts/gen_onnx_ends.py
"""
import json
import os

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper

OUT = os.path.join(os.path.dirname(__file__), "..", "weights", "testdata", "onnx", "ends")
H, W, CLASSES = 6, 5, 3
rng = np.random.default_rng(13)


def weights(*shape, scale=0.5):
    return (rng.standard_normal(shape) * scale).astype(np.float32)


def images():
    i = np.arange(2 * 3 * H * W)
    return torch.tensor(((i * 7919 % 2003) / 1001 - 1).reshape(2, 3, H, W).astype(np.float32))


OPS = {
    "Conv": lambda a, x, w, b=None: F.conv2d(x, w, b, padding=a.get("pads", [0])[0]),
    "Relu": lambda a, x: F.relu(x),
    "Sigmoid": lambda a, x: torch.sigmoid(x),
    "Softmax": lambda a, x: F.softmax(x, a.get("axis", -1)),
    "LogSoftmax": lambda a, x: F.log_softmax(x, a.get("axis", -1)),
    "GlobalAveragePool": lambda a, x: x.mean((2, 3), keepdim=True),
    "ReduceMean": lambda a, x, axes=None: x.mean(tuple(a["axes"] if axes is None else axes.tolist()), keepdim=bool(a.get("keepdims", 1))),
    "ReduceMax": lambda a, x: x.amax(tuple(a["axes"]), keepdim=bool(a.get("keepdims", 1))),
    "Flatten": lambda a, x: x.flatten(1),
    "Transpose": lambda a, x: x.permute(*a.get("perm", list(range(x.dim()))[::-1])),
    "Gemm": lambda a, x, w, b=None: F.linear(x, w if a.get("transB") else w.T, b),
    "MatMul": lambda a, x, w: x @ w,
    "Add": lambda a, x, y: x + y,
    "Sub": lambda a, x, y: x - y,
    "Mul": lambda a, x, y: x * y,
    "Div": lambda a, x, y: x / y,
    "Clip": lambda a, x, least, most=None: x.clamp(min=float(least)),
    "Cast": lambda a, x: x.float(),
    "Gather": lambda a, x, i: x.index_select(a["axis"], i),
    "Slice": lambda a, x, start, end, axis, step: x.flip(int(axis)),
    "ArgMax": lambda a, x: x,  # it is read for what it picks from
    "Constant": lambda a: torch.tensor(a["value_floats"]),
    "Identity": lambda a, x: x,
    "Dropout": lambda a, x: x,
}


def run(model, x):
    values = {t.name: torch.tensor(numpy_helper.to_array(t).copy()) for t in model.graph.initializer}
    values["x"] = x
    for n in model.graph.node:
        attributes = {a.name: helper.get_attribute_value(a) for a in n.attribute}
        values[n.output[0]] = OPS[n.op_type](attributes, *[values[i] for i in n.input])
    return values[model.graph.node[-1].output[0]]


class Graph:
    def __init__(self, opset=13, channels_last=False, open_size=False, bytes_=False):
        self.opset, self.last, self.open, self.type = opset, channels_last, open_size, TensorProto.UINT8 if bytes_ else TensorProto.FLOAT
        self.nodes, self.initializers, self.head = [], [], "x"

    def constant(self, value, name):
        value = np.asarray(value)
        if value.dtype != np.float16:
            value = value.astype(np.int64 if value.dtype.kind == "i" else np.float32)
        name = f"{name}{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(value, name))
        return name

    def add(self, op, *constants, first=False, **attributes):
        names = [c if isinstance(c, str) else self.constant(c, op.lower()) for c in constants]
        out = f"y{len(self.nodes)}"
        inputs = names + [self.head] if first else [self.head] + names
        self.nodes.append(helper.make_node(op, inputs, [out], name=f"n{len(self.nodes)}", **attributes))
        self.head = out
        return self

    def made(self, op, *constants, **attributes):
        """A node of constants."""
        out = f"y{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, [self.constant(c, op.lower()) for c in constants], [out], **attributes))
        return out

    def conv(self, out=4, cin=3, bias=True, pad=1):
        w = [weights(out, cin, 3, 3)] + ([weights(out)] if bias else [])
        return self.add("Conv", *w, kernel_shape=[3, 3], pads=[pad] * 4)

    def write(self, name):
        h, w = ("H", "W") if self.open else (H, W)
        shape = ["N", h, w, 3] if self.last else ["N", 3, h, w]
        model = helper.make_model(
            helper.make_graph(self.nodes, name, [helper.make_tensor_value_info("x", self.type, shape)],
                              [helper.make_tensor_value_info(self.head, TensorProto.INT64 if self.nodes[-1].op_type == "ArgMax" else TensorProto.FLOAT, None)], self.initializers),
            opset_imports=[helper.make_opsetid("", self.opset)], ir_version=7, producer_name="gen_onnx_ends.py")
        onnx.save(model, os.path.join(OUT, name + ".onnx"))
        x = images()
        y = run(model, x.permute(0, 2, 3, 1) if self.last else x)
        if "LogSoftmax" in [n.op_type for n in self.nodes]:
            y = y.exp()
        return y.flatten(1).tolist()


def column(n=4, low=0.0):
    return weights(1, n, 1, 1) + np.float32(low)


def body(**options):
    return Graph(**options).conv().add("Relu")


def pooled(**options):
    return body(**options).add("GlobalAveragePool").add("Flatten", axis=1)


def head(g, outs=CLASSES, width=4):
    return g.add("Gemm", weights(outs, width), weights(outs), transB=1)


def weights_made():
    """Weights in 16 bits, a Linear's as they lie, and a bias in a node."""
    g = Graph()
    kernel, matrix = g.made("Cast", weights(4, 3, 3, 3).astype(np.float16), to=TensorProto.FLOAT), g.made("Transpose", weights(CLASSES, 4))
    bias = g.made("Constant", value_floats=[0.5, -1.0, 2.0])
    return g.add("Conv", kernel, kernel_shape=[3, 3], pads=[1] * 4).add("Relu").add("GlobalAveragePool").add("Flatten", axis=1) \
        .add("MatMul", matrix).add("Add", bias)


os.makedirs(OUT, exist_ok=True)
graphs = {
    "sigmoid-one": head(pooled(), 1).add("Sigmoid"),
    "sigmoid-many": head(pooled()).add("Sigmoid"),
    "sigmoid-inside": head(body().add("Sigmoid").add("GlobalAveragePool").add("Flatten", axis=1)),
    "logsoftmax": head(pooled()).add("LogSoftmax", axis=1),
    "softmax-before-flatten": body().conv(CLASSES, 4).add("GlobalAveragePool").add("Softmax", axis=1).add("Flatten", axis=1),
    "softmax-averaged": body().conv(CLASSES, 4).add("Softmax", axis=1).add("GlobalAveragePool").add("Flatten", axis=1),
    "softmax-twice": head(pooled()).add("Softmax", axis=1).add("Softmax", axis=1),
    "mean-attribute": head(body().add("ReduceMean", axes=[2, 3], keepdims=0)),
    "mean-kept": head(body().add("ReduceMean", axes=[-1, -2], keepdims=1).add("Flatten", axis=1)),
    "mean-input": head(body(opset=18).add("ReduceMean", [2, 3], keepdims=0)),
    "mean-channels-last": body(channels_last=False).add("Transpose", perm=[0, 2, 3, 1]).add("ReduceMean", axes=[1, 2], keepdims=0)
    .add("MatMul", weights(4, CLASSES)).add("Add", weights(CLASSES)),
    "max": head(body().add("ReduceMax", axes=[2, 3], keepdims=0)),
    "mul-add": head(Graph().conv().add("Mul", column()).add("Add", column()).add("Relu").add("GlobalAveragePool").add("Flatten", axis=1)),
    "mul-no-bias": head(Graph().conv(bias=False).add("Mul", column(), first=True).add("Sub", column()).add("Relu")
                        .add("GlobalAveragePool").add("Flatten", axis=1)),
    "sub-div-add": head(Graph().conv().add("Sub", column()).add("Div", column(low=3)).add("Add", column()).add("Relu")
                        .add("GlobalAveragePool").add("Flatten", axis=1)),
    "five-constants": head(Graph().conv().add("Mul", column()).add("Add", column()).add("Mul", column()).add("Add", np.float32(0.25))
                           .add("Sub", np.float32(1), first=True).add("Relu").add("GlobalAveragePool").add("Flatten", axis=1)),
    "after-relu": head(body().add("Mul", column()).add("Add", column()).add("GlobalAveragePool").add("Flatten", axis=1)),
    "scaled-logits": head(pooled()).add("Mul", np.float32(1.5)).add("Add", weights(CLASSES)).add("Div", np.float32(0.7)),
    "preparation": head(Graph().add("Sub", np.array([0.485, 0.456, 0.406], np.float32).reshape(1, 3, 1, 1))
                        .add("Div", np.array([0.229, 0.224, 0.225], np.float32).reshape(1, 3, 1, 1)).conv().add("Relu")
                        .add("GlobalAveragePool").add("Flatten", axis=1)),
    "preparation-bytes": head(Graph(channels_last=True).add("Sub", np.array([103.939, 116.779, 123.68], np.float32))
                              .add("Mul", np.float32(1 / 64)).add("Transpose", perm=[0, 3, 1, 2]).conv().add("Relu")
                              .add("GlobalAveragePool").add("Flatten", axis=1)),
    "idle": head(Graph().add("Identity").conv().add("Cast", to=TensorProto.FLOAT).add("Clip", np.float32(0)).add("Dropout", ratio=0.3)
                 .add("GlobalAveragePool").add("Flatten", axis=1)),
    "open-size": head(pooled(open_size=True)),
    "open-channels-last": head(Graph(channels_last=True, open_size=True).add("Transpose", perm=[0, 3, 1, 2]).conv().add("Relu")
                               .add("ReduceMean", axes=[2, 3], keepdims=0)),
    "bytes": head(Graph(bytes_=True).add("Cast", to=TensorProto.FLOAT).conv().add("Relu").add("GlobalAveragePool").add("Flatten", axis=1)),
    # by figures that samples of 0 to 1 have too
    "bytes-prepared": head(Graph(bytes_=True, channels_last=True).add("Transpose", perm=[0, 3, 1, 2]).add("Cast", to=TensorProto.FLOAT)
                           .add("Sub", column(3)).add("Mul", np.float32(0.5)).conv().add("Relu").add("GlobalAveragePool")
                           .add("Flatten", axis=1)),
    "argmax": head(pooled()).add("ArgMax", axis=1),
    "turned": head(Graph().add("Gather", [2, 1, 0], axis=1).conv().add("Relu").add("GlobalAveragePool").add("Flatten", axis=1)),
    "turned-prepared": head(Graph(channels_last=True).add("Slice", [-1], [-2**63 + 1], [3], [-1])
                            .add("Sub", np.array([103.939, 116.779, 123.68])).add("Transpose", perm=[0, 3, 1, 2]).conv().add("Relu")
                            .add("GlobalAveragePool").add("Flatten", axis=1)),
    "idle-preparation": head(Graph().add("Mul", np.float32(1)).add("Add", np.float32(0)).conv().add("Relu").add("GlobalAveragePool")
                             .add("Flatten", axis=1)),
    "weights-made": weights_made(),
}
golden = {name: g.write(name) for name, g in graphs.items()}
with open(os.path.join(OUT, "outputs.json"), "w") as f:
    f.write("{\n" + ",\n".join(f'"{n}": {json.dumps([[round(v, 7) for v in row] for row in golden[n]])}' for n in sorted(golden)) + "\n}\n")
