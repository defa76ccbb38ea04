#!/usr/bin/python3
"""Writes weights/testdata/onnx/quantised: one small network in the forms in which tools quantise ONNX, and the logits of ONNX Runtime.

Run with Debian's python3 and python3-onnx, and onnxruntime-node as `.ci/run onnx` installs it:

    NODE_PATH=$HOME/.cache/vggo-peers/node_modules /usr/bin/python3 scripts/gen_onnx_quantised.py

Weights, biases, scales and pictures are such that every value between layers is one of the integers' own: rounding changes
nothing, and the logits are the same to the bit however they are computed.
"""

import json
import os
import subprocess
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "..", "weights", "testdata", "onnx", "quantised")
MICROSOFT = "com.microsoft"

random = np.random.default_rng(5)


def sparse(*shape):
    """Of each output's weights four are not 0, so that sums stay small."""
    w = np.zeros((shape[0], int(np.prod(shape[1:]))), np.int8)
    for row in w:
        row[random.choice(row.size, 4, replace=False)] = random.integers(1, 4, 4) * random.choice([-1, 1], 4)
    return w.reshape(shape)


W, B = sparse(4, 2, 3, 3), np.array([3, -5, 0, 9], np.int32)  # by scales of CONV
CONV = np.array([1, 0.5, 2, 0.25], np.float32)
# the first sums are quantised by 0.25 to at most 255 * 0.25, or by 0.25 around a zero
FC, FCB = sparse(5, 4 * 3 * 3), np.array([1, -2, 3, 0, 7], np.int32)
LINEAR = np.array([0.5, 1, 0.25, 1, 0.5], np.float32)
PICTURES = random.integers(0, 4, (2, 2, 6, 6)).astype(np.float32)


class Graph:
    def __init__(self, opset):
        self.nodes, self.tensors, self.opset = [], {}, opset

    def constant(self, name, value):
        self.tensors[name] = numpy_helper.from_array(np.asarray(value), name)
        return name

    def node(self, op, inputs, output, **attributes):
        self.nodes.append(helper.make_node(op, inputs, [output], name="", **attributes))
        return output

    def grid(self, name, scale, zero):
        return [self.constant(name + "_scale", np.float32(scale)), self.constant(name + "_zero", zero)]

    def pair(self, name, x, scale, zero):
        """A QuantizeLinear and a DequantizeLinear."""
        grid = self.grid(name, scale, zero)
        self.node("QuantizeLinear", [x] + grid, name + "_q")
        return self.node("DequantizeLinear", [name + "_q"] + grid, name + "_dq")

    def save(self, name):
        value = helper.make_tensor_value_info
        graph = helper.make_graph(self.nodes, "quantised", [value("images", TensorProto.FLOAT, ["N", 2, 6, 6])],
                                  [value(self.nodes[-1].output[0], TensorProto.FLOAT, ["N", 5])], list(self.tensors.values()))
        opsets = [helper.make_opsetid("", self.opset), helper.make_opsetid(MICROSOFT, 1)]
        model = helper.make_model(graph, opset_imports=opsets, producer_name="gen_onnx_quantised.py")
        model.ir_version = 8 if self.opset < 19 else 10
        onnx.save(model, os.path.join(OUT, name + ".onnx"))


def qdq(name, opset, activation, weights):
    """Q/DQ around float operators. weights makes what stands for the integers by their scales along axis 0."""
    g = Graph(opset)
    x = g.pair("in", "images", 1, activation(0) if activation == np.uint8 else activation(-3))
    x = g.node("Conv", [x, weights(g, "conv_w", W, CONV), weights(g, "conv_b", B, CONV)], "conv", pads=[1, 1, 1, 1])
    if activation != np.uint8:  # whose zero of 0 stands for a ReLU
        x = g.node("Relu", [x], "relu")
    x = g.pair("act", x, 0.25, activation(0))
    x = g.node("MaxPool", [x], "pool", kernel_shape=[2, 2], strides=[2, 2])
    x = g.pair("pooled", x, 0.25, activation(0))
    x = g.node("Flatten", [x], "flat")
    g.node("Gemm", [x, weights(g, "fc_w", FC, LINEAR), weights(g, "fc_b", FCB, 0.25 * LINEAR)], "logits", transB=1)
    g.save(name)


def stored(g, name, q, scale):
    """Integers, and one DequantizeLinear."""
    inputs = [g.constant(name, q), g.constant(name + "_scale", np.float32(scale))]
    if q.dtype == np.int8:
        inputs.append(g.constant(name + "_zero", np.zeros(len(scale), np.int8)))
    return g.node("DequantizeLinear", inputs, name + "_dq", axis=0)


def trained(g, name, q, scale):
    """Numbers, which the graph quantises: what training for integers leaves. They lie off the grid by a third of a step."""
    if q.dtype == np.int32:
        return stored(g, name, q, scale)
    steps = np.float32(scale).reshape([-1] + [1] * (q.ndim - 1))
    inputs = [g.constant(name + "_scale", np.float32(scale)), g.constant(name + "_zero", np.zeros(len(scale), np.int8))]
    x = g.constant(name, (q + np.float32(0.33)) * steps)
    x = g.node("QuantizeLinear", [x] + inputs, name + "_q", axis=0)
    return g.node("DequantizeLinear", [x] + inputs, name + "_dq", axis=0)


def operators(name, head):
    """QLinearConv and a matrix product on integers."""
    g = Graph(12)
    grid = g.grid("in", 1, np.uint8(0))
    x = g.node("QuantizeLinear", ["images"] + grid, "in_q")
    act = g.grid("act", 0.25, np.uint8(0))
    weight = [g.constant("conv_w", W), g.constant("conv_w_scale", CONV), g.constant("conv_w_zero", np.zeros(4, np.int8))]
    x = g.node("QLinearConv", [x] + grid + weight + act + [g.constant("conv_b", B)], "conv_q", pads=[1, 1, 1, 1])
    x = g.node("MaxPool", [x], "pool_q", kernel_shape=[2, 2], strides=[2, 2])
    x = g.node("Reshape", [x, g.constant("flat", np.array([0, -1]))], "flat_q")
    if head == "QGemm":
        weight = [g.constant("fc_w", FC), g.constant("fc_w_scale", LINEAR), g.constant("fc_w_zero", np.zeros(5, np.int8))]
        g.node("QGemm", [x] + act + weight + [g.constant("fc_b", FCB)], "logits", transB=1, alpha=1.0, domain=MICROSOFT)
    else:
        weight = [g.constant("fc_w", FC.T.copy())] + g.grid("fc_w", 0.5, np.int8(0))
        out = g.grid("out", 1, np.uint8(128))
        x = g.node("QLinearMatMul", [x] + act + weight + out, "logits_q")
        g.node("DequantizeLinear", [x] + out, "logits")
    g.save(name)


def main():
    os.makedirs(OUT, exist_ok=True)
    qdq("qdq", 13, np.uint8, stored)
    qdq("qdq-16", 21, np.int16, stored)
    qdq("qat", 13, np.uint8, trained)
    operators("operators", "QLinearMatMul")
    operators("qgemm", "QGemm")
    names = sorted(n for n in os.listdir(OUT) if n.endswith(".onnx"))
    with tempfile.NamedTemporaryFile() as file:
        file.write(PICTURES.tobytes())
        file.flush()
        jobs = [{"model": os.path.join(OUT, n), "input": file.name, "dims": PICTURES.shape} for n in names]
        run = subprocess.run(["node", os.path.join(HERE, "run_onnx.js")], input=json.dumps(jobs), stdout=subprocess.PIPE, text=True,
                             check=True)
    golden = {"pictures": PICTURES.ravel().tolist(), "logits": dict(zip(names, json.loads(run.stdout)))}
    for n in names:
        print(n, golden["logits"][n])
    with open(os.path.join(OUT, "logits.json"), "w", encoding="utf-8") as out:
        json.dump(golden, out)
        out.write("\n")


main()
