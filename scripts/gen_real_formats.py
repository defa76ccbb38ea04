#!/usr/bin/python3
"""Writes weights/testdata/formats/real.json: what PyTorch computes in float64 with three real files' weights, DnCNN's of
MatConvNet (MATLAB 7.3, read by h5py), Caffe's CIFAR-10 quick (read by its wire format) and VGG-19's as far as relu3_4
(safetensors), of a picture of sines.

Needs Debian's python3-torch and python3-h5py, and the folder of real files:

  VGGO_TESTDATA=... /usr/bin/python3 scripts/gen_real_formats.py
"""
import json
import os
import struct

import h5py
import numpy as np
import torch
import torch.nn.functional as F

REAL = os.path.join(os.environ["VGGO_TESTDATA"], "formats", "real")
OUT = os.path.join(os.path.dirname(__file__), "..", "weights", "testdata", "formats", "real.json")


def picture(channels, side):
    return torch.sin(torch.arange(channels * side * side, dtype=torch.float64)).reshape(1, channels, side, side)


def dncnn():
    x = picture(1, 12)
    with h5py.File(os.path.join(REAL, "mat", "dncnn-sigma25.mat")) as h:
        for ref in h["net"]["layers"][()].ravel():
            layer = h[ref]
            if bytes(layer["type"][()].astype("u1").ravel()) == b"relu":
                x = F.relu(x)
                continue
            w, b = (torch.tensor(np.array(h[r]).astype("f8")) for r in layer["weights"][()].ravel())
            if w.ndim == 3:  # an output alone
                w = w[None]
            x = F.conv2d(x, w.transpose(2, 3), b.ravel(), padding=int(layer["pad"][()].ravel()[0]))
    return x.ravel().tolist()


def fields(data):
    at = 0

    def varint():
        nonlocal at
        value, shift = 0, 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        tag = varint()
        kind = tag & 7
        if kind == 0:
            value = varint()
        elif kind == 5:
            value, at = data[at:at + 4], at + 4
        elif kind == 2:
            n = varint()
            value, at = data[at:at + n], at + n
        else:
            raise ValueError(kind)
        yield tag >> 3, value


def packed(data):
    value, shift = 0, 0
    for byte in data:
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            yield value
            value, shift = 0, 0


def quick():
    blobs = {}
    with open(os.path.join(REAL, "caffe-cifar10", "cifar10_quick_iter_5000.caffemodel"), "rb") as f:
        for number, layer in fields(f.read()):
            if number != 100:
                continue
            name = [v for n, v in fields(layer) if n == 1][0].decode()
            for blob in (v for n, v in fields(layer) if n == 7):
                of = dict(fields(blob))
                shape = [v for n, v in fields(of[7])]
                shape = [d for s in shape for d in (packed(s) if isinstance(s, bytes) else [s])]
                values = struct.unpack("<%df" % (len(of[5]) // 4), of[5])
                blobs.setdefault(name, []).append(torch.tensor(values, dtype=torch.float64).reshape(shape))
    x = picture(3, 32)
    x = F.relu(F.max_pool2d(F.conv2d(x, *blobs["conv1"], padding=2), 3, 2, ceil_mode=True))
    average = lambda x: F.avg_pool2d(x, 3, 2, ceil_mode=True)
    x = average(F.relu(F.conv2d(x, *blobs["conv2"], padding=2)))
    x = average(F.relu(F.conv2d(x, *blobs["conv3"], padding=2)))
    return F.linear(F.linear(x.flatten(1), *blobs["ip1"]), *blobs["ip2"]).ravel().tolist()


def vgg19():
    with open(os.path.join(REAL, "vgg19-block1-3-oihw-rgb.safetensors"), "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        data = f.read()

    def tensor(name):
        from_, to = header[name]["data_offsets"]
        values = np.frombuffer(data[from_:to], "<f4").astype("f8").reshape(header[name]["shape"])
        return torch.from_numpy(values)

    x = picture(3, 8)
    for block, convolutions in enumerate((2, 2, 4), 1):
        if block > 1:
            x = F.max_pool2d(x, 2)
        for i in range(1, convolutions + 1):
            name = f"conv{block}_{i}"
            x = F.relu(F.conv2d(x, tensor(name + ".weight"), tensor(name + ".bias"), padding=1))
    return x.ravel().tolist()


with open(OUT, "w") as f:
    json.dump({"dncnn": dncnn(), "quick": quick(), "vgg19": vgg19(), "torch": torch.__version__}, f)
    f.write("\n")
