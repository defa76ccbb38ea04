#!/usr/bin/python3
"""Converts a trained TinyVGG from PyTorch to safetensors and records what PyTorch makes of real images.

Run with Debian's python3 and python3-torch (the versions used are recorded in the output), VGGO_TESTDATA naming the test
data:

    /usr/bin/python3 scripts/convert_tinyvgg.py

writes to weights/testdata

    tinyvgg-fashionmnist.safetensors  the weights under vggo's parameter names, float32, as they were
    fashion-mnist-100.idx.gz          the first 100 of Fashion-MNIST's test images
    tinyvgg-fashionmnist.json         PyTorch's logits and top-1 for them, and their labels
"""

import gzip
import json
import os
import platform
import struct

import numpy as np
import torch
from torch import nn

# TinyVGG's two blocks and its classifier, and vggo's names for them.
NAMES = {
    "block_1.0": "conv1_1",
    "block_1.2": "conv1_2",
    "block_2.0": "conv2_1",
    "block_2.2": "conv2_2",
    "classifier.1": "fc3",
}
IMAGES = 100


def block(channels_in, channels):
    return nn.Sequential(
        nn.Conv2d(channels_in, channels, 3, padding=1), nn.ReLU(),
        nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2),
    )


class TinyVGG(nn.Module):
    def __init__(self):
        super().__init__()
        self.block_1 = block(1, 10)
        self.block_2 = block(10, 10)
        self.classifier = nn.Sequential(nn.Flatten(), nn.Linear(490, 10))

    def forward(self, x):
        return self.classifier(self.block_2(self.block_1(x)))


def write_safetensors(path, tensors, metadata):
    header, data = {"__metadata__": metadata}, b""
    for name, array in tensors.items():
        values = np.ascontiguousarray(array, "<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


def idx(path, offset):
    with gzip.open(path) as f:
        return np.frombuffer(f.read(), np.uint8, offset=offset)


def main():
    root = os.environ["VGGO_TESTDATA"]
    testdata = os.path.join(os.path.dirname(__file__), "..", "weights", "testdata")
    out = os.path.join(testdata, "tinyvgg-fashionmnist")
    state = torch.load(os.path.join(root, "weights/pytorch/tinyvgg-fashionmnist.pth"), map_location="cpu")

    tensors = {}
    for name, tensor in state.items():
        layer, kind = name.rsplit(".", 1)
        tensors[NAMES[layer] + {"weight": "/w", "bias": "/b"}[kind]] = tensor.numpy()
    write_safetensors(out + ".safetensors", tensors, {
        "model": "tinyvgg",
        "source": "realyinchen/pytorch-deep-learning @804fb6d",
        "licence": "MIT, Copyright (c) 2024 Nicholas",
    })

    net = TinyVGG()
    net.load_state_dict(state)
    net.eval()
    pixels = idx(os.path.join(root, "fashion-mnist/t10k-images-idx3-ubyte.gz"), 16).reshape(-1, 1, 28, 28)
    labels = idx(os.path.join(root, "fashion-mnist/t10k-labels-idx1-ubyte.gz"), 8)
    with open(os.path.join(testdata, "fashion-mnist-100.idx.gz"), "wb") as f:
        header = struct.pack(">4B3I", 0, 0, 8, 3, IMAGES, 28, 28)
        f.write(gzip.compress(header + pixels[:IMAGES].tobytes(), mtime=0))
    with torch.no_grad():
        logits = net(torch.from_numpy(pixels[:IMAGES].astype(np.float32) / np.float32(255)))
    golden = {
        "generator": "scripts/convert_tinyvgg.py",
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
        "logits": [[float(v) for v in row] for row in logits],
        "top1": logits.argmax(1).tolist(),
        "labels": labels[:IMAGES].tolist(),
    }
    right = sum(a == b for a, b in zip(golden["top1"], golden["labels"]))
    with open(out + ".json", "w") as f:
        # A row of logits on each line; the nine digits of %.9g bring a float32 back exactly.
        rows = ",\n  ".join("[" + ", ".join("%.9g" % v for v in row) + "]" for row in golden.pop("logits"))
        f.write(json.dumps(golden)[:-1] + ',\n "logits": [\n  ' + rows + "\n ]}\n")
    print(f"{right} of {IMAGES} right")


if __name__ == "__main__":
    main()
