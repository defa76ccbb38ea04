#!/usr/bin/python3
"""Writes explain/testdata: Grad-CAM and occlusion maps as PyTorch computes them, for the tests of package explain.

    /usr/bin/python3 scripts/gen_explain_goldens.py

Two trained networks: the TinyVGG of weights/testdata, and batchnorm.yaml, which this trains on the 100 pictures of
weights/testdata until it knows them, in a second. It writes

    batchnorm.safetensors  its weights under vggo's names
    golden.safetensors     for each CASE NET/PICTURE/CLASS
                             CASE/logits
                             CASE/gradcam/LAYER         weights by autograd at LAYER's output, for every layer with a map
                             CASE/occlusion/SIZE-STRIDE falls of the class's probability, mid-grey over the picture
                           and resize/from as PyTorch interpolates it to resize/HxW

PyTorch computes in float64 from float32 weights, in evaluation mode, and rounds what it stores to float32.
"""

import gzip
import json
import platform
import struct
from pathlib import Path

import numpy
import torch
import torch.nn.functional as F

from convert_tinyvgg import write_safetensors

ROOT = Path(__file__).parent.parent
OUT = ROOT / "explain" / "testdata"
WEIGHTS = ROOT / "weights" / "testdata"

TINY = ["conv1_1", "relu1_1", "conv1_2", "relu1_2", "pool1", "conv2_1", "relu2_1", "conv2_2", "relu2_2", "pool2", "flatten", "fc3"]
NORM = ["conv1_1", "bn1_1", "relu1_1", "conv1_2", "bn1_2", "relu1_2", "pool1", "conv2_1", "bn2_1", "relu2_1", "conv2_2", "bn2_2", "relu2_2",
        "gap", "flatten", "drop3", "fc3"]
CHANNELS = {"conv1_1": (1, 8), "conv1_2": (8, 12), "conv2_1": (12, 18), "conv2_2": (18, 12)}
# Pictures and classes: the most probable one, and another.
CASES = {"tinyvgg": [(0, 6), (0, 0)], "batchnorm": [(1, 3), (3, 7)]}
OCCLUDERS = [(4, 2), (7, 5)]


def run(layer, x, p, training=False):
    op = layer.rstrip("0123456789_")
    if op == "conv":
        return F.conv2d(x, p[layer + "/w"], p.get(layer + "/b"), padding=1)
    if op == "bn":
        return F.batch_norm(x, *(p[layer + s] for s in ("/mean", "/var", "/gamma", "/beta")), training=training)
    if op == "relu":
        return F.relu(x)
    if op == "pool":
        return F.max_pool2d(x, 2)
    if op == "gap":
        return x.mean((2, 3), keepdim=True)
    if op == "flatten":
        return x.flatten(1)
    if op == "drop":
        return F.dropout(x, 0.5, training)
    return F.linear(x, p[layer + "/w"], p[layer + "/b"])


def forward(layers, x, p, training=False):
    for layer in layers:
        x = run(layer, x, p, training)
    return x


def gradcam(layers, x, p, layer, target):
    """Selvaraju et al. 2017, equations 1 and 2."""
    at = layers.index(layer) + 1
    maps = forward(layers[:at], x, p).detach().requires_grad_()
    forward(layers[at:], maps, p)[0, target].backward()
    weights = maps.grad.mean((2, 3), keepdim=True)
    return F.relu((weights * maps).sum(1))[0].detach()


def occlusion(layers, x, p, size, stride, target):
    """The fall of the class's probability with a square around the middle of each cell covered."""
    height, width = x.shape[2:]
    rows, cols = -(-height // stride), -(-width // stride)
    before = F.softmax(forward(layers, x, p), 1)[0, target]
    falls = torch.zeros(rows, cols, dtype=torch.float64)
    for i in range(rows):
        for j in range(cols):
            # The middle of cell i of n lies at (i + 1/2)/n of the length; half a pixel is rounded down.
            top, left = ((2 * k + 1) * length - size * n for k, n, length in ((i, rows, height), (j, cols, width)))
            top, left = top // (2 * rows), left // (2 * cols)
            covered = x.clone()
            covered[:, :, max(top, 0):top + size, max(left, 0):left + size] = float(numpy.float32(128) / numpy.float32(255))
            falls[i, j] = before - F.softmax(forward(layers, covered, p), 1)[0, target]
    return falls


def train(x, labels):
    torch.manual_seed(1)
    torch.set_num_threads(1)
    p = {}
    for layer, (i, o) in CHANNELS.items():
        p[layer + "/w"] = (torch.randn(o, i, 3, 3) * (2 / (9 * i)) ** 0.5).requires_grad_()
        norm = layer.replace("conv", "bn")
        p[norm + "/gamma"], p[norm + "/beta"] = torch.ones(o).requires_grad_(), torch.zeros(o).requires_grad_()
        p[norm + "/mean"], p[norm + "/var"] = torch.zeros(o), torch.ones(o)
    p["fc3/w"], p["fc3/b"] = (torch.randn(10, 12) * 0.4).requires_grad_(), torch.zeros(10).requires_grad_()
    steps = torch.optim.Adam([v for v in p.values() if v.requires_grad], 0.01)
    for epoch in range(150):
        for part in torch.randperm(len(x)).split(25):
            steps.zero_grad()
            F.cross_entropy(forward(NORM, x[part], p, training=True), labels[part]).backward()
            steps.step()
    p = {name: v.detach() for name, v in p.items()}
    right = (forward(NORM, x, p).argmax(1) == labels).sum().item()
    print(f"batchnorm: {right} of {len(x)} right")
    return p


def read_safetensors(path):
    data = path.read_bytes()
    n, = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + n])
    header.pop("__metadata__", None)
    read = {}
    for name, t in header.items():
        a, b = t["data_offsets"]
        read[name] = torch.from_numpy(numpy.frombuffer(data[8 + n + a:8 + n + b], "<f4").reshape(t["shape"]).copy())
    return read


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    with gzip.open(WEIGHTS / "fashion-mnist-100.idx.gz") as f:
        pixels = numpy.frombuffer(f.read(), numpy.uint8, offset=16).reshape(-1, 1, 28, 28)
    x = torch.from_numpy(pixels.astype(numpy.float32) / numpy.float32(255))
    labels = torch.tensor(json.loads((WEIGHTS / "tinyvgg-fashionmnist.json").read_text())["labels"])
    versions = {"generator": "scripts/gen_explain_goldens.py", "python": platform.python_version(), "torch": torch.__version__}

    norm = train(x, labels)
    write_safetensors(OUT / "batchnorm.safetensors", {k: v.numpy() for k, v in norm.items()}, versions)
    golden = {}
    for net, layers, p in (("tinyvgg", TINY, read_safetensors(WEIGHTS / "tinyvgg-fashionmnist.safetensors")), ("batchnorm", NORM, norm)):
        p = {k: v.double() for k, v in p.items()}
        for picture, target in CASES[net]:
            one, case = x[picture:picture + 1].double(), f"{net}/{picture}/{target}"
            logits = forward(layers, one, p)
            golden[case + "/logits"] = logits[0]
            print(case, "label", labels[picture].item(), "top", logits.argmax().item(), "p", F.softmax(logits, 1)[0, target].item())
            for layer in layers:
                if forward(layers[:layers.index(layer) + 1], one, p)[0, 0].numel() > 1:
                    golden[f"{case}/gradcam/{layer}"] = gradcam(layers, one, p, layer, target)
            for size, stride in OCCLUDERS:
                golden[f"{case}/occlusion/{size}-{stride}"] = occlusion(layers, one, p, size, stride, target)
    small = torch.arange(15.0).reshape(3, 5) ** 2 / 7
    golden["resize/from"] = small
    for h, w in ((7, 11), (2, 3), (3, 20)):
        golden[f"resize/{h}x{w}"] = F.interpolate(small[None, None], (h, w), mode="bilinear", align_corners=False)[0, 0]
    for name, v in golden.items():
        print(name, tuple(v.shape), "%.3g" % v.max().item(), "%.3g" % v.min().item())
    write_safetensors(OUT / "golden.safetensors", {k: v.numpy() for k, v in golden.items()}, versions)


if __name__ == "__main__":
    main()
