#!/usr/bin/python3
"""Writes weights/testdata/formats: one small network as MatConvNet, Caffe, Torch7, Darknet, MXNet, Lasagne and Chainer
keep it, and what it answers, by PyTorch in float64.

The network is for pictures of 9x9x3: conv 3x3 to 4, batch norm, relu, maxpool 2x2 by 2 with the odd row kept, conv 3x3
to 6 in two groups and by 2, relu, fc to 7, relu, fc to 5, softmax. Each library adds something else to the variance of
a batch norm, or keeps the deviation: the file has what makes the same deviation of it.

Needs Debian's python3-torch, python3-scipy and python3-h5py:

  /usr/bin/python3 scripts/gen_formats.py
"""
import json
import os
import pickle
import struct

import h5py
import numpy as np
import scipy.io
import torch
import torch.nn.functional as F

OUT = os.path.join(os.path.dirname(__file__), "..", "weights", "testdata", "formats")
f4 = np.float32
random = np.random.default_rng(18)


def draw(*shape, scale=1.0):
    return (random.standard_normal(shape) * scale).astype(f4)


net = {
    "conv1/w": draw(4, 3, 3, 3, scale=0.4), "conv1/b": draw(4), "gamma": draw(4) ** 2 + 0.5, "beta": draw(4),
    "mean": draw(4), "deviation": (draw(4) ** 2 + 0.5).astype(f4),
    "conv2/w": draw(6, 2, 3, 3, scale=0.4), "conv2/b": draw(6), "fc1/w": draw(7, 54, scale=0.2), "fc1/b": draw(7),
    "fc2/w": draw(5, 7, scale=0.5), "fc2/b": draw(5),
}
picture = draw(3, 9, 9)


def answer():
    t = {k: torch.tensor(v.astype(np.float64)) for k, v in net.items()}
    x = F.conv2d(torch.tensor(picture.astype(np.float64))[None], t["conv1/w"], t["conv1/b"], padding=1)
    channel = lambda v: v[None, :, None, None]
    x = (x - channel(t["mean"])) / channel(t["deviation"]) * channel(t["gamma"]) + channel(t["beta"])
    x = F.max_pool2d(F.relu(x), 2, 2, ceil_mode=True)
    x = F.relu(F.conv2d(x, t["conv2/w"], t["conv2/b"], stride=2, padding=1, groups=2)).flatten(1)
    return F.linear(F.relu(F.linear(x, t["fc1/w"], t["fc1/b"])), t["fc2/w"], t["fc2/b"])[0].tolist()


def write(name, data):
    with open(os.path.join(OUT, name), "wb") as f:
        f.write(data)


# --- MatConvNet ------------------------------------------------------------------------------------------------------

hwio = lambda w: np.ascontiguousarray(w.transpose(2, 3, 1, 0))  # of O,I,H,W
fc1 = net["fc1/w"].reshape(7, 6, 3, 3)
layers = [
    {"type": "conv", "name": "conv1", "weights": [hwio(net["conv1/w"]), net["conv1/b"]], "stride": 1.0, "pad": 1.0},
    {"type": "bnorm", "name": "bn1", "weights": [net["gamma"], net["beta"],
                                                 np.stack([net["mean"], net["deviation"]], 1)]},
    {"type": "relu", "name": "relu1", "leak": 0.0},
    {"type": "pool", "name": "pool1", "method": "max", "pool": [2.0, 2.0], "stride": [2.0, 2.0], "pad": [0.0, 1.0, 0.0, 1.0]},
    {"type": "conv", "name": "conv2", "weights": [hwio(net["conv2/w"]), net["conv2/b"]], "stride": [2.0, 2.0],
     "pad": [1.0, 1.0, 1.0, 1.0]},
    {"type": "relu", "name": "relu2"},
    {"type": "conv", "name": "fc1", "weights": [hwio(fc1), net["fc1/b"]], "stride": 1.0, "pad": 0.0},
    {"type": "relu", "name": "relu3"},
    {"type": "conv", "name": "fc2", "weights": [hwio(net["fc2/w"].reshape(5, 7, 1, 1)), net["fc2/b"]], "stride": 1.0,
     "pad": 0.0},
    {"type": "softmax", "name": "prob"},
]
names = ["one", "two", "three", "four", "five"]
normalization = {"imageSize": np.array([9.0, 9.0, 3.0]), "averageImage": np.array([1.0, 2.0, 3.0], f4).reshape(1, 1, 3)}


def cell(items):
    a = np.empty((1, len(items)), object)
    for i, item in enumerate(items):
        a[0, i] = item
    return a


def matlab5(layers, **top):
    rows = []
    for layer in layers:
        row = {}
        for key, v in layer.items():
            if key == "weights":
                v = cell([w if w.ndim > 1 else w[None] for w in v])
            row[key] = np.array(v) if isinstance(v, list) else v
        rows.append(row)
    return dict(layers=cell(rows), **top)


def old(layers):  # until 2015: filters and biases are fields, and what is known of pictures is a variable of its own
    rows = []
    for layer in layers:
        layer = dict(layer)
        if layer["type"] == "conv":
            layer["filters"], layer["biases"] = layer.pop("weights")
        rows.append(layer)
    return rows


def matconvnet():
    meta = {"normalization": normalization, "classes": {"name": cell(names), "description": cell(names)}}
    path = lambda name: os.path.join(OUT, name)
    scipy.io.savemat(path("matconvnet.mat"), matlab5(layers, meta=meta), do_compression=True)
    scipy.io.savemat(path("matconvnet-old.mat"), matlab5(old(layers), normalization=normalization,
                                                         classes=meta["classes"]))
    dag = np.array([("conv1", "dagnn.Conv", {"size": [3.0, 3.0, 3.0, 4.0]})], [(k, object) for k in ("name", "type", "block")])
    params = np.array([("conv1f", hwio(net["conv1/w"])), ("conv1b", net["conv1/b"])], [(k, object) for k in ("name", "value")])
    scipy.io.savemat(path("dagnn.mat"), {"net": {"layers": dag, "params": params}})
    for name in ("matconvnet.mat", "matconvnet-old.mat", "dagnn.mat"):
        with open(path(name), "r+b") as f:
            f.write(b"MATLAB 5.0 MAT-file, by gen_formats.py".ljust(116))  # and not today's date
    matlab73(path("matconvnet-7.3.mat"), {"net": {"layers": layers, "meta": meta}})
    matlab73(path("cells-7.3.mat"), {"model": {"weight": cell([net["beta"], names[0]])}})
    with h5py.File(path("circle-7.3.mat"), "w", userblock_size=512) as h:
        d = h.create_dataset("a", (1, 1), dtype=h5py.ref_dtype)
        d.attrs["MATLAB_class"] = np.bytes_("cell")
        d[0, 0] = d.ref
    head73(path("circle-7.3.mat"))


def matlab73(path, variables):
    """As MATLAB lays out 7.3: a group for a struct, references for cells, axes in the other order, a block before."""
    with h5py.File(path, "w", userblock_size=512) as h:
        refs = h.create_group("#refs#")
        count = [0]

        def put(group, name, v):
            if isinstance(v, dict):
                g = group.create_group(name)
                g.attrs["MATLAB_class"] = np.bytes_("struct")
                for key, inner in v.items():
                    put(g, key, inner)
                return g
            if isinstance(v, str):
                d = group.create_dataset(name, data=np.array([[ord(c)] for c in v], np.uint16))
                d.attrs["MATLAB_class"] = np.bytes_("char")
                return d
            if isinstance(v, list) and v and not isinstance(v[0], float) or isinstance(v, np.ndarray) and v.dtype == object:
                items = v if isinstance(v, list) else list(v.flat)
                links = np.empty((len(items), 1), h5py.ref_dtype)
                for i, item in enumerate(items):
                    count[0] += 1
                    if isinstance(item, np.ndarray) and item.ndim == 1:
                        item = item[None]
                    links[i, 0] = put(refs, "r%d" % count[0], item).ref
                d = group.create_dataset(name, data=links, dtype=h5py.ref_dtype)
                d.attrs["MATLAB_class"] = np.bytes_("cell")
                return d
            a = np.atleast_2d(np.asarray(v)).T
            while a.ndim > 2 and a.shape[0] == 1:  # MATLAB leaves out last axes of one
                a = a[0]
            big = a.size > 100
            d = group.create_dataset(name, data=a, compression="gzip" if big else None)
            d.attrs["MATLAB_class"] = np.bytes_({"float32": "single", "float64": "double"}[str(a.dtype)])
            return d

        for name, v in variables.items():
            put(h, name, v)
    head73(path)


def head73(path):
    with open(path, "r+b") as f:
        f.write(b"MATLAB 7.3 MAT-file, by gen_formats.py".ljust(124) + b"\x00\x02IM")


# --- Caffe -----------------------------------------------------------------------------------------------------------

def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def field(number, v):
    if isinstance(v, int):
        return varint(number << 3) + varint(v)
    if isinstance(v, float):
        return varint(number << 3 | 5) + struct.pack("<f", v)
    if isinstance(v, str):
        v = v.encode()
    return varint(number << 3 | 2) + varint(len(v)) + v


def message(*fields):
    return b"".join(field(number, v) for number, v in fields)


def blob(a, legacy):
    data = np.ascontiguousarray(a, f4).tobytes()
    if legacy:
        four = (1,) * (4 - a.ndim) + a.shape
        return message(*zip((1, 2, 3, 4), map(int, four)), (5, data))
    return message((7, message(*[(1, int(d)) for d in a.shape])), (5, data))


def caffe():
    factor = f4(999.5)
    gain = np.array([factor], f4)
    deviation = net["deviation"].astype(np.float64)
    plain = {
        "conv1": [net["conv1/w"], net["conv1/b"]], "conv2": [net["conv2/w"], net["conv2/b"]],
        "fc1": [net["fc1/w"], net["fc1/b"]], "fc2": [net["fc2/w"], net["fc2/b"]],
        "bn1": [net["mean"] * factor, ((deviation ** 2 - 1e-5) * float(factor)).astype(f4), gain],
        "scale1": [net["gamma"], net["beta"]],
    }
    # The first edition knows no batch norm: it is in the convolution before.
    k = (net["gamma"] / net["deviation"]).astype(np.float64)
    folded = dict(plain, conv1=[(net["conv1/w"] * k[:, None, None, None]).astype(f4),
                                ((net["conv1/b"] - net["mean"]) * k + net["beta"]).astype(f4)])
    conv1 = message((1, 4), (3, 1), (4, 3))
    conv2 = message((1, 6), (3, 1), (4, 3), (5, 2), (6, 2))
    pool = message((1, 0), (2, 2), (3, 2))

    def v2(name, kind, bottom, top, *more, blobs=plain):
        return (100, message((1, name), (2, kind), (3, bottom), (4, top), *more,
                             *[(7, blob(b, False)) for b in blobs.get(name, [])]))

    write("caffe-untrained.caffemodel", message(
        (1, "small"), (3, "data"), (4, 1), (4, 3), (4, 9), (4, 9),
        v2("conv1", "Convolution", "data", "conv1", (106, conv1), blobs={}),
        v2("fc1", "InnerProduct", "conv1", "fc1", (117, message((1, 5))))))
    train = (8, message((1, 0)))
    model = message(
        (1, "small"),
        (100, message((1, "data"), (2, "Data"), (4, "data"), (4, "label"), train,
                      (100, message((3, 9), (5, 1.0), (5, 2.0), (5, 3.0))))),
        v2("conv1", "Convolution", "data", "conv1", (106, conv1)), v2("bn1", "BatchNorm", "conv1", "conv1"),
        v2("scale1", "Scale", "conv1", "conv1", (142, message((4, 1)))), v2("relu1", "ReLU", "conv1", "conv1"),
        v2("pool1", "Pooling", "conv1", "pool1", (121, pool)), v2("conv2", "Convolution", "pool1", "conv2", (106, conv2)),
        v2("relu2", "ReLU", "conv2", "conv2"), v2("fc1", "InnerProduct", "conv2", "fc1", (117, message((1, 7)))),
        v2("relu3", "ReLU", "fc1", "fc1"), v2("fc2", "InnerProduct", "fc1", "fc2", (117, message((1, 5)))),
        (100, message((1, "loss"), (2, "SoftmaxWithLoss"), (3, "fc2"), (3, "label"), (4, "loss"))),
    )
    write("caffe-v2.caffemodel", model)

    def v1(name, kind, bottom, top, *more):
        return (2, message((2, bottom), (3, top), (4, name), (5, kind), *[(6, blob(b, True)) for b in folded.get(name, [])],
                           *more))

    write("caffe-v1.caffemodel", message(
        (1, "small"), v1("conv1", 4, "data", "conv1", (10, conv1)), v1("relu1", 18, "conv1", "conv1"),
        v1("pool1", 17, "conv1", "pool1", (19, pool)), v1("conv2", 4, "pool1", "conv2", (10, conv2)),
        v1("relu2", 18, "conv2", "conv2"), v1("fc1", 14, "conv2", "fc1", (17, message((1, 7)))),
        v1("relu3", 18, "fc1", "fc1"), v1("fc2", 14, "fc1", "fc2", (17, message((1, 5)))),
        v1("prob", 20, "fc2", "prob")))
    write("caffe.prototxt", b"""name: "small" # as one writes them
input: "data"
input_shape { dim: [1, 3, 9, 9] }
layer { name: 'conv1' type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 4, kernel_size: 3; pad: 1 weight_filler { type: "gaussian" std: 1e-2 } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1" pooling_param: < pool: MAX kernel_size: 2 stride: 2 > }
layer { name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2"
  convolution_param { num_output: 6 kernel_h: 3 kernel_w: 3 pad_h: 1 pad_w: 1 group: 2 stride: 2 } }
layer { name: "relu2" type: "ReLU" bottom: "conv2" top: "conv2" }
layer { name: "fc1" type: "InnerProduct" bottom: "conv2" top: "fc1" inner_product_param { num_output: 7 } }
layer { name: "relu3" type: "ReLU" bottom: "fc1" top: "fc1" }
layer { name: "drop3" type: "Dropout" bottom: "fc1" top: "fc1" dropout_param { dropout_ratio: 0.5 } }
layer { name: "fc2" type: "InnerProduct" bottom: "fc1" top: "fc2" inner_product_param { num_output: 5 } }
layer { name: "prob" type: "Softmax" bottom: "fc2" top: "prob" }
""")


# --- Torch7 ----------------------------------------------------------------------------------------------------------

class Torch7:
    def __init__(self):
        self.out, self.count = b"", 0

    def int(self, n):
        self.out += struct.pack("<i", n)

    def text(self, s):
        self.int(len(s))
        self.out += s.encode()

    def head(self, kind):
        self.count += 1
        self.int(kind)
        self.int(self.count)

    def object(self, name):
        self.head(4)
        self.text("V 1")
        self.text(name)

    def value(self, v):
        if v is None:
            self.int(0)
        elif isinstance(v, bool):
            self.int(5)
            self.int(int(v))
        elif isinstance(v, (int, float)):
            self.int(1)
            self.out += struct.pack("<d", v)
        elif isinstance(v, str):
            self.int(2)
            self.text(v)
        elif isinstance(v, np.ndarray):
            self.tensor(v)
        elif isinstance(v, list):
            self.value({i + 1: item for i, item in enumerate(v)})
        elif isinstance(v, dict):
            self.head(3)
            self.int(len(v))
            for key, item in v.items():
                self.value(key)
                self.value(item)
        elif isinstance(v, tuple) and v[0] == "long":
            self.object("torch.LongStorage")
            self.out += struct.pack("<%dq" % len(v), len(v) - 1, *v[1:])
        else:
            self.object(v[0])
            self.value(v[1])

    def tensor(self, a):
        self.object("torch.FloatTensor")
        self.int(a.ndim)
        self.out += struct.pack("<%dq" % (2 * a.ndim + 1), *a.shape, *[s // 4 for s in np.zeros(a.shape, f4).strides], 1)
        self.object("torch.FloatStorage")
        self.out += struct.pack("<q", a.size) + np.ascontiguousarray(a).tobytes()


def torch7():
    eps = 1e-3
    variance = (net["deviation"].astype(np.float64) ** 2 - eps).astype(f4)
    window = lambda k, d, p: {"kW": k, "kH": k, "dW": d, "dH": d, "padW": p, "padH": p}
    modules = [
        ("nn.Sequential", {"modules": [
            ("nn.SpatialConvolutionMM", dict(window(3, 1, 1), nInputPlane=3, nOutputPlane=4,
                                             weight=net["conv1/w"].reshape(4, 27), bias=net["conv1/b"])),
            ("nn.SpatialBatchNormalization", {"weight": net["gamma"], "bias": net["beta"], "running_mean": net["mean"],
                                              "running_var": variance, "eps": eps}),
            ("nn.ReLU", {"threshold": 0, "val": 0, "inplace": True}),
            ("nn.SpatialMaxPooling", dict(window(2, 2, 0), ceil_mode=True)),
            ("cudnn.SpatialConvolution", dict(window(3, 2, 1), nInputPlane=4, nOutputPlane=6, groups=2,
                                              weight=net["conv2/w"], bias=net["conv2/b"])),
            ("nn.ReLU", {"threshold": 0, "val": 0})]}),
        ("nn.View", {"size": ("long", 54), "numElements": 54}),
        ("nn.Linear", {"weight": net["fc1/w"], "bias": net["fc1/b"]}), ("nn.ReLU", {"threshold": 0, "val": 0}),
        ("nn.Dropout", {"p": 0.5, "v2": True}), ("nn.Linear", {"weight": net["fc2/w"], "bias": net["fc2/b"]}), ("nn.SoftMax", {}),
    ]
    w = Torch7()
    w.value({"epoch": 3, "model": ("nn.Sequential", {"modules": modules, "train": False})})
    write("torch7.t7", w.out)


# --- Darknet, MXNet, Lasagne, Chainer ----------------------------------------------------------------------------------

def darknet():
    # Darknet's convolution has no bias beside its batch norm
    parts = [struct.pack("<iiiQ", 0, 2, 0, 1234), net["beta"], net["gamma"], net["mean"] - net["conv1/b"],
             ((net["deviation"].astype(np.float64) - 1e-6) ** 2).astype(f4), net["conv1/w"], net["conv2/b"], net["conv2/w"],
             net["fc1/b"], net["fc1/w"], net["fc2/b"], net["fc2/w"]]
    write("darknet.weights", b"".join(p if isinstance(p, bytes) else p.astype(f4).tobytes() for p in parts))
    write("darknet.cfg", b"""# a small network
[net]
batch=1
width=9
height = 9
channels=3

[convolutional]
batch_normalize=1
filters=4
size=3
stride=1
pad=1
activation=relu

[maxpool]
size=2
stride=2

[convolutional]
filters=6
groups=2
size=3
stride=2
pad=1
activation=relu

[connected]
output=7
activation=relu

[dropout]
probability=.5

[connected]
output=5
activation=linear

[softmax]
groups=1
""")


named = {"conv1_weight": net["conv1/w"], "conv1_bias": net["conv1/b"], "bn1_gamma": net["gamma"], "bn1_beta": net["beta"],
         "fc1_weight": net["fc1/w"]}


def mxnet(old):
    out = struct.pack("<QQQ", 0x112, 0, len(named) + 1)
    statistics = dict(named, bn1_moving_mean=net["mean"])
    for a in statistics.values():
        if old:
            out += struct.pack("<%dI" % (1 + a.ndim), a.ndim, *a.shape)
        else:
            out += struct.pack("<IiI%dq" % a.ndim, 0xf993fac9, 0, a.ndim, *a.shape)
        out += struct.pack("<iii", 1, 0, 0) + a.tobytes()
    out += struct.pack("<Q", len(statistics))
    for name in statistics:
        name = ("aux:" if "moving" in name else "arg:") + name
        out += struct.pack("<Q", len(name)) + name.encode()
    return out


def pickles():
    values = [net[k].T if k in ("fc1/w", "fc2/w") else net[k]
              for k in ("conv1/w", "conv1/b", "fc1/w", "fc1/b", "fc2/w", "fc2/b")]
    write("lasagne.pkl", pickle.dumps({"param values": values, "synset words": names,
                                       "mean value": np.array([1, 2, 3], f4)}, 2))
    np.savez(os.path.join(OUT, "chainer.npz"), **{k.replace("_weight", "/W").replace("_bias", "/b"): v
                                                 for k, v in named.items()})


os.makedirs(OUT, exist_ok=True)
matconvnet()
caffe()
torch7()
darknet()
write("mxnet-old.params", mxnet(True))
write("mxnet.params", mxnet(False))
pickles()
with open(os.path.join(OUT, "golden.json"), "w") as f:
    json.dump({"picture": picture.flatten().tolist(), "logits": answer(), "torch": torch.__version__,
               "values": {k: v.flatten().tolist() for k, v in net.items()}}, f)
    f.write("\n")
