#!/usr/bin/python3
"""Writes weights/testdata/onnx: a small VGG with batch norm as several exporters write it, and the logits that PyTorch has.

Run with Debian's python3, python3-torch and python3-onnx:

    /usr/bin/python3 scripts/gen_onnx_goldens.py

All files are of one network with the same weights but for stated exceptions, so one list of logits serves them all.
"""

import copy
import json
import os

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

OUT = os.path.join(os.path.dirname(__file__), "..", "weights", "testdata", "onnx")
BATCH, C, H, W = 3, 3, 16, 12


class VGG(nn.Module):
    def __init__(self, flatten):
        super().__init__()
        layers, channels = [], C
        for out in [4, 6, "M", 8, "M"]:
            if out == "M":
                layers.append(nn.MaxPool2d(2))
            else:
                layers += [nn.Conv2d(channels, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU()]
                channels = out
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d((H // 4, W // 4))
        self.classifier = nn.Sequential(nn.Linear(channels * (H // 4) * (W // 4), 10), nn.ReLU(), nn.Dropout(), nn.Linear(10, 5))
        self.flatten = flatten

    def forward(self, x):
        return self.classifier(self.flatten(self.avgpool(self.features(x))))


def images():
    """What the Go test computes too."""
    i = np.arange(BATCH * C * H * W)
    return torch.tensor(((i * 7919) % 2003 / 1001 - 1).astype(np.float32).reshape(BATCH, C, H, W))


def network(flatten=lambda x: torch.flatten(x, 1)):
    torch.manual_seed(1)
    net = VGG(flatten)
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d):
            for p in (m.weight, m.running_var):
                p.data.uniform_(0.5, 1.5)
            for p in (m.bias, m.running_mean):
                p.data.normal_(0, 0.2)
    return net.eval()


def export(net, name, x=None, dynamic=True, **options):
    axes = {"images": {0: "N"}, "logits": {0: "N"}} if dynamic else None
    torch.onnx.export(net, images()[:1] if x is None else x, os.path.join(OUT, name), input_names=["images"], output_names=["logits"],
                      dynamic_axes=axes, **options)


def nhwc(net):
    """The network as a converter from TensorFlow writes it: pictures N,H,W,C, transposed; SAME padding; the map flattened in
    H,W,C order before a MatMul and an Add."""
    nodes, tensors, head = [], [], "images"

    def add(op, *inputs, **attributes):
        nonlocal head
        out = f"{op}_{len(nodes)}"
        names = []
        for i, v in enumerate(inputs):
            names.append(f"{out}/{i}")
            tensors.append(numpy_helper.from_array(np.asarray(v), names[-1]))
        nodes.append(helper.make_node(op, [head] + names, [out], **attributes))
        head = out

    add("Transpose", perm=[0, 3, 1, 2])
    for m in net.features:
        if isinstance(m, nn.Conv2d):
            add("Conv", m.weight.detach().numpy(), m.bias.detach().numpy(), auto_pad="SAME_UPPER", kernel_shape=[3, 3])
        elif isinstance(m, nn.BatchNorm2d):
            add("BatchNormalization", *(v.detach().numpy() for v in (m.weight, m.bias, m.running_mean, m.running_var)), epsilon=m.eps)
        elif isinstance(m, nn.ReLU):
            add("Relu")
        else:
            add("MaxPool", kernel_shape=[2, 2], strides=[2, 2], auto_pad="VALID")
    add("Transpose", perm=[0, 2, 3, 1])
    add("Reshape", np.array([-1, 8 * (H // 4) * (W // 4)], np.int64))
    fc1, _, _, fc2 = net.classifier
    w = fc1.weight.detach().numpy().reshape(10, 8, H // 4, W // 4).transpose(2, 3, 1, 0).reshape(-1, 10)
    add("MatMul", np.ascontiguousarray(w))
    add("Add", fc1.bias.detach().numpy())
    add("Relu")
    add("MatMul", np.ascontiguousarray(fc2.weight.detach().numpy().T))
    add("Add", fc2.bias.detach().numpy()[None])
    nodes[-1].output[0] = "logits"
    graph = helper.make_graph(nodes, "tf2onnx", [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", H, W, C])],
                              [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 5])], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)], ir_version=7)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, os.path.join(OUT, "nhwc.onnx"))


def convolutional(net):
    """The head as convolutions, as timm keeps it; still exported by torch."""
    net = copy.deepcopy(net)
    fc1, relu, drop, fc2 = net.classifier
    a, b = nn.Conv2d(8, 10, (H // 4, W // 4)), nn.Conv2d(10, 5, 1)
    a.weight.data, a.bias.data = fc1.weight.data.reshape(a.weight.shape), fc1.bias.data
    b.weight.data, b.bias.data = fc2.weight.data.reshape(b.weight.shape), fc2.bias.data
    net.classifier = nn.Sequential(a, relu, drop, b, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    net.flatten = lambda x: x
    return net.eval()


def listed(name, to):
    """A model's weights in typed lists, not raw."""
    model = onnx.load(os.path.join(OUT, name))
    for t in model.graph.initializer:
        v = numpy_helper.to_array(t)
        t.CopyFrom(helper.make_tensor(t.name, t.data_type, v.shape, v.flatten()))
        assert not t.raw_data
    onnx.save(model, os.path.join(OUT, to))


def halved(name, to):
    """A model's weights in half precision, in int32_data, its batch norms included."""
    model = onnx.load(os.path.join(OUT, name))
    for t in model.graph.initializer:
        v = numpy_helper.to_array(t).astype(np.float16)
        t.CopyFrom(helper.make_tensor(t.name, TensorProto.FLOAT16, v.shape, v.flatten()))
    onnx.save(model, os.path.join(OUT, to))


def seeds():
    """Small graphs for fuzzing: between them they have every operator and every way to keep a tensor that is read."""
    f = lambda name, *shape: numpy_helper.from_array(np.linspace(-1, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape), name)
    i = lambda name, *v: numpy_helper.from_array(np.array(v, np.int64), name)
    node = helper.make_node
    conv = node("Conv", ["x", "w", "b"], ["c"], "conv", pads=[1, 1, 1, 1], strides=[2, 2], group=1)
    graphs = {
        "conv": ([conv, node("Relu", ["c"], ["r"]), node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], auto_pad="SAME_LOWER", ceil_mode=1),
                  node("Flatten", ["p"], ["f"], axis=1), node("Gemm", ["f", "g", "h"], ["y"], alpha=0.5, beta=2.0, transB=1)],
                 [f("w", 2, 1, 3, 3), f("b", 2), f("g", 3, 18), f("h", 1)], 13),
        "shape": ([node("Shape", ["x"], ["s"]), node("Constant", [], ["zero"], value=i("", 0)), node("Gather", ["s", "zero"], ["n"], axis=0),
                   node("Concat", ["n", "minus"], ["t"], axis=0), node("Reshape", ["x", "t"], ["v"]), node("MatMul", ["v", "m"], ["k"]),
                   node("Add", ["k", "a"], ["d"]), node("Dropout", ["d"], ["e"]), node("Softmax", ["e"], ["y"], axis=1)],
                  [i("minus", -1), f("m", 25, 2), f("a", 1, 2)], 13),
        "norm": ([node("BatchNormalization", ["x", "one", "one", "one", "one"], ["n"], epsilon=1e-3), node("LRN", ["n"], ["l"], size=3),
                  node("Pad", ["l", "pads"], ["d"], mode="constant"), node("AveragePool", ["d"], ["a"], kernel_shape=[2, 2], count_include_pad=1),
                  node("Transpose", ["a"], ["t"], perm=[0, 2, 3, 1]), node("Identity", ["t"], ["i"]), node("Reshape", ["i", "flat"], ["v"]),
                  node("Gemm", ["v", "g"], ["y"])], [f("one", 1), i("pads", 0, 0, 1, 1, 0, 0, 0, 0), i("flat", 0, -1), f("g", 25, 2)], 15),
        "pool": ([node("GlobalAveragePool", ["x"], ["p"]), node("Squeeze", ["p", "two"], ["s"]), node("Unsqueeze", ["s", "two"], ["u"]),
                  node("Add", ["u", "a"], ["y"])], [i("two", 2, 3), f("a", 1)], 13),
    }
    for name, (nodes, tensors, opset) in graphs.items():
        graph = helper.make_graph(nodes, name, [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 1, 5, 5])],
                                  [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], tensors)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7), os.path.join(OUT, "small", name + ".onnx"))
    listed("small/conv.onnx", "small/listed.onnx")
    halved("small/conv.onnx", "small/half.onnx")
    model = onnx.load(os.path.join(OUT, "small/pool.onnx"))
    onnx.save(model, os.path.join(OUT, "small/external.onnx"), save_as_external_data=True, location="external.bin", size_threshold=0)


def main():
    os.makedirs(os.path.join(OUT, "small"), exist_ok=True)
    seeds()
    net = network()
    logits = net(images())
    assert torch.equal(logits, network(lambda x: x.view(x.size(0), -1))(images()))
    export(net, "fused.onnx", opset_version=13)  # PyTorch folds batch norm into convolutions when it exports for inference
    export(net, "batchnorm.onnx", opset_version=16, training=torch.onnx.TrainingMode.PRESERVE)
    export(net, "fixed.onnx", dynamic=False, opset_version=9, training=torch.onnx.TrainingMode.PRESERVE)
    export(network(lambda x: x.view(x.size(0), -1)), "view.onnx", opset_version=11, do_constant_folding=False)
    export(network(lambda x: x.view(-1, 8 * (H // 4) * (W // 4))), "view-fixed.onnx", opset_version=13)
    export(convolutional(net), "convolutional.onnx", opset_version=13)
    nhwc(net)
    listed("batchnorm.onnx", "listed.onnx")
    halved("batchnorm.onnx", "half.onnx")
    half = network().half().float().eval()(images()).tolist()
    model = onnx.load(os.path.join(OUT, "batchnorm.onnx"))
    onnx.save(model, os.path.join(OUT, "external.onnx"), save_as_external_data=True, location="external.bin", size_threshold=0)
    with open(os.path.join(OUT, "logits.json"), "w") as f:
        json.dump({"generator": "scripts/gen_onnx_goldens.py", "torch": torch.__version__, "onnx": onnx.__version__,
                   "logits": logits.tolist(), "half": half}, f)
        f.write("\n")


main()
