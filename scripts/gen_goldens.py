#!/usr/bin/env python3
"""Writes nn/testdata/*.safetensors: small networks as PyTorch computes them, for the tests of package nn.

    python3 scripts/gen_goldens.py nn/testdata

Every file holds input, labels (as float), each parameter under its name (conv1_1/w ...), act/<layer> for every layer,
logits, loss, grad/<parameter>, grad/input, and ten steps of SGD with momentum on that one batch: sgd/losses (each taken
before its step; sgd/rate and sgd/momentum say how) and sgd/<parameter> afterwards. With batch norm all of that is in training mode; stat/<parameter> then
are the running statistics after the first forward pass, and eval/<layer> the activations with the statistics as given.

PyTorch computes in float64 from float32 parameters and rounds what it stores to float32, so a golden is off by half a
unit in the last place and no more. Seeds are tried in turn until no ReLU and no max pooling of the first step is so close
to a tie that float32 rounding could flip it: a flip is not an error, but moves a gradient by far more than rounding does.
"""

import itertools
import json
import math
import platform
import struct
import sys
from pathlib import Path

import numpy
import torch
import torch.nn.functional as F

BATCH = 3
STEPS, MOMENTUM = 10, 0.9
MARGIN = 2e-5  # of the root mean square of the values compared


class Layer:
    """One layer: params(channels, ...) names and shapes its parameters, run computes it."""

    def __init__(self, name, run, params=lambda shape: {}):
        self.name, self.run, self.params = name, run, params


def pair(v):
    return v if isinstance(v, tuple) else (v, v)


def padded(x, pad, kernel, stride, dilation=(1, 1), value=0.0):
    """Pads by (top, left, bottom, right), or by TensorFlow's rule for 'same'."""
    if pad == "same":
        total = [
            max(0, (math.ceil(n / s) - 1) * s + (k - 1) * d + 1 - n)
            for n, k, s, d in zip(x.shape[2:], kernel, stride, dilation)
        ]
        pad = (total[0] // 2, total[1] // 2, total[0] - total[0] // 2, total[1] - total[1] // 2)
    top, left, bottom, right = pad
    return F.pad(x, (left, right, top, bottom), value=value)


def conv(name, out, kernel, pad, stride=1, dilation=1, groups=1):
    kernel, stride, dilation = pair(kernel), pair(stride), pair(dilation)

    def run(x, p, training):
        x = padded(x, pad, kernel, stride, dilation)
        return F.conv2d(x, p[name + "/w"], p[name + "/b"], stride=stride, dilation=dilation, groups=groups)

    return Layer(name, run, lambda shape: {name + "/w": (out, shape[1] // groups, *kernel), name + "/b": (out,)})


def linear(name, out):
    def run(x, p, training):
        return F.linear(x.flatten(1), p[name + "/w"], p[name + "/b"])[:, :, None, None]

    return Layer(name, run, lambda shape: {name + "/w": (out, shape[1]), name + "/b": (out,)})


def batchnorm(name):
    def run(x, p, training):
        gamma, beta, mean, var = (p[name + s] for s in ("/gamma", "/beta", "/mean", "/var"))
        return F.batch_norm(x, mean, var, gamma, beta, training=training)

    return Layer(name, run, lambda shape: {name + s: (shape[1],) for s in ("/gamma", "/beta", "/mean", "/var")})


def maxpool(name, kernel, stride, pad=(0, 0, 0, 0), ceil=False):
    kernel, stride = pair(kernel), pair(stride)

    def run(x, p, training):
        return F.max_pool2d(padded(x, pad, kernel, stride, value=-math.inf), kernel, stride, ceil_mode=ceil)

    layer = Layer(name, run)
    layer.gap = lambda x: gap(padded(x, pad, kernel, stride, value=-math.inf), kernel, stride)
    return layer


def avgpool(name, kernel, stride, pad, count_pad, ceil=False):
    return Layer(name, lambda x, p, training: F.avg_pool2d(x, kernel, stride, pad, ceil, count_pad))


def relu(name):
    layer = Layer(name, lambda x, p, training: F.relu(x))
    layer.gap = lambda x: x.abs().min()
    return layer


def lrn(name, size, alpha, beta, k):
    return Layer(name, lambda x, p, training: F.local_response_norm(x, size, alpha, beta, k))


def adaptive(name, size):
    return Layer(name, lambda x, p, training: F.adaptive_avg_pool2d(x, size))


def flatten():
    return Layer("flatten", lambda x, p, training: x.flatten(1)[:, :, None, None])


def dropout(name):
    return Layer(name, lambda x, p, training: x)  # keep = 1


def reflect(name, pad):
    return Layer(name, lambda x, p, training: F.pad(x, (pad[1], pad[3], pad[0], pad[2]), mode="reflect"))


def softmax():
    return Layer("softmax", lambda x, p, training: F.softmax(x, 1))


def gap(x, kernel, stride):
    """How far the largest value of a max pooling window is from the second, of all windows where they differ."""
    windows = x.unfold(2, kernel[0], stride[0]).unfold(3, kernel[1], stride[1]).flatten(4)
    top = windows.topk(2, dim=4).values
    differences = top[..., 0] - top[..., 1]
    return differences[differences > 0].min()


def vgg(spec, bn=False, pad=(1, 1, 1, 1), pool_pad=(0, 0, 0, 0)):
    """3x3 convolutions with so many channels, 2x2 pooling at each M."""
    layers, block, n = [], 1, 1
    for item in spec:
        if item == "M":
            layers.append(maxpool(f"pool{block}", 2, 2, pool_pad))
            block, n = block + 1, 1
            continue
        layers.append(conv(f"conv{block}_{n}", item, 3, pad))
        if bn:
            layers.append(batchnorm(f"bn{block}_{n}"))
        layers.append(relu(f"relu{block}_{n}"))
        n += 1
    return layers


def cross_entropy(logits, labels):
    return F.cross_entropy(logits.flatten(1), labels)


def l2(logits, labels):
    return (logits**2).sum() / 2


NETWORKS = {
    "plain": (
        (3, 26, 19),
        vgg([6, 9, "M", 17, 30, "M", 19, "M"])
        + [flatten(), linear("fc4", 37), relu("relu4"), linear("fc5", 11), softmax()],
        cross_entropy,
        0.01,
    ),
    "bn": (
        (3, 13, 10),
        vgg([9, 13, "M", 17, "M"], bn=True) + [flatten(), linear("fc3", 21), relu("relu3"), linear("fc4", 11), softmax()],
        cross_entropy,
        0.01,
    ),
    "zoo": (
        (5, 19, 16),
        [
            conv("conv1_1", 12, 5, (1, 2, 2, 0)),
            relu("relu1_1"),
            lrn("lrn1", 5, 0.4, 0.75, 2.0),
            maxpool("pool1", 3, 2, ceil=True),
            conv("conv2_1", 15, 3, (2, 2, 2, 2), dilation=2, groups=3),
            relu("relu2_1"),
            avgpool("pool2", (3, 2), (3, 1), (1, 1), count_pad=True, ceil=True),
            conv("conv2_2", 14, 1, (0, 0, 0, 0)),
            relu("relu2_2"),
            lrn("lrn2", 4, 0.9, 0.5, 1.0),
            avgpool("pool3", 3, 1, 1, count_pad=False),
            conv("conv3_1", 16, 3, (0, 1, 2, 1), stride=(1, 2), groups=2),
            relu("relu3_1"),
            adaptive("pool4", (2, 3)),
            conv("conv4_1", 19, (2, 3), (1, 1, 0, 1)),
            relu("relu4_1"),
            adaptive("pool5", 1),
            flatten(),
            linear("fc5", 11),
            softmax(),
        ],
        cross_entropy,
        0.01,
    ),
    "article": (
        (3, 11, 14),
        vgg([9, 13, "M", 18, "M"], pad="same", pool_pad="same")
        + [
            conv("conv3_1", 21, (2, 4), "same", stride=(1, 2)),
            relu("relu3_1"),
            flatten(),
            linear("fc4", 29),
            relu("relu4"),
            dropout("drop4"),
            linear("fc5", 11),
            relu("relu5"),
        ],
        l2,
        0.0005,
    ),
    "normalised": (
        (3, 17, 14),
        [
            conv("conv0", 3, 1, (0, 0, 0, 0)),
            reflect("pad1_1", (1, 1, 1, 1)),
            conv("conv1_1", 9, 3, (0, 0, 0, 0)),
            relu("relu1_1"),
            reflect("pad1_2", (1, 1, 1, 1)),
            conv("conv1_2", 18, 3, (0, 0, 0, 0)),
            relu("relu1_2"),
            maxpool("pool1", 2, 2, ceil=True),
            reflect("pad2_1", (1, 1, 1, 1)),
            conv("conv2_1", 21, 3, (0, 0, 0, 0)),
            relu("relu2_1"),
            maxpool("pool2", 2, 2, ceil=True),
            reflect("pad3_1", (2, 0, 1, 3)),
            conv("conv3_1", 11, 3, (0, 0, 0, 0), stride=2),
            relu("relu3_1"),
            adaptive("pool3", 1),
            flatten(),
            softmax(),
        ],
        cross_entropy,
        0.01,
    ),
}


def forward(layers, x, params, training):
    activations = {}
    for layer in layers:
        x = layer.run(x, params, training)
        activations[layer.name] = x
    return activations


def logits_of(layers, activations):
    return activations[layers[-2 if layers[-1].name == "softmax" else -1].name]


def initial(layers, shape, rng):
    """He-normal weights, zero biases; batch norm's parameters and statistics away from 1 and 0, so that each shows."""
    params, x = {}, torch.zeros(BATCH, *shape, dtype=torch.float64)
    for layer in layers:
        mine = {}
        for name, size in layer.params(x.shape).items():
            kind = name.split("/")[1]
            if kind == "w":
                value = rng.normal(0, math.sqrt(2 / math.prod(size[1:])), size)
            elif kind == "b":
                value = numpy.zeros(size)
            elif kind in ("gamma", "var"):
                value = rng.uniform(0.5, 1.5, size)
            else:
                value = rng.normal(0, 0.3, size)
            mine[name] = torch.from_numpy(value).float().double()
        params.update(mine)
        x = layer.run(x, {k: v.clone() for k, v in mine.items()}, False)
    return params


def margin(layers, x, activations):
    """The nearest that a ReLU or a max pooling comes to a tie, relative to what it compares."""
    least = math.inf
    for layer in layers:
        if hasattr(layer, "gap"):
            least = min(least, float(layer.gap(x) / x.pow(2).mean().sqrt()))
        x = activations[layer.name]
    return least


def statistic(name):
    return name.endswith(("/mean", "/var"))


def golden(shape, layers, loss_of, rate, seed):
    """All tensors of one network, or None if this seed's first step comes too near a tie."""
    rate, momentum = torch.tensor([rate, MOMENTUM]).float().double()
    rng = numpy.random.default_rng(seed)
    x = torch.from_numpy(rng.normal(0, 1, (BATCH, *shape))).float().double().requires_grad_()
    labels = torch.from_numpy(rng.integers(0, 11, BATCH))
    params = initial(layers, shape, rng)
    tensors = {"input": x, "labels": labels}
    tensors.update({name: p.clone() for name, p in params.items()})
    evaluated = {"eval/" + name: a for name, a in forward(layers, x, params, False).items()}

    trainable = [p.requires_grad_() for name, p in params.items() if not statistic(name)]
    velocity = [torch.zeros_like(p) for p in trainable]
    losses = []
    for step in range(STEPS):
        activations = forward(layers, x, params, True)
        logits = logits_of(layers, activations)
        loss = loss_of(logits, labels)
        losses.append(loss.detach())
        grads = torch.autograd.grad(loss, trainable + [x])
        if step == 0:
            if margin(layers, x, activations) < MARGIN:
                return None
            tensors.update({"act/" + name: a for name, a in activations.items()})
            tensors.update(logits=logits, loss=loss.reshape(1))
            names = [name for name in params if not statistic(name)] + ["input"]
            tensors.update({"grad/" + name: g for name, g in zip(names, grads)})
            tensors.update({"stat/" + name: p.clone() for name, p in params.items() if statistic(name)})
        with torch.no_grad():
            for p, v, g in zip(trainable, velocity, grads):
                v.mul_(momentum).add_(g)
                p.sub_(rate * v)
    tensors.update({"sgd/rate": rate.reshape(1), "sgd/momentum": momentum.reshape(1), "sgd/losses": torch.stack(losses)})
    tensors.update({"sgd/" + name: p for name, p in params.items()})
    if any(map(statistic, params)):
        tensors.update(evaluated)
    return tensors


def save(path, tensors, metadata):
    """The safetensors format: a little-endian length, a JSON header padded with spaces to 8 bytes, the data."""
    header, blobs, offset = {"__metadata__": metadata}, [], 0
    for name, t in tensors.items():
        blob = t.detach().numpy().astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(t.shape), "data_offsets": [offset, offset + len(blob)]}
        blobs.append(blob)
        offset += len(blob)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def main():
    torch.set_num_threads(1)
    out = Path(sys.argv[1])
    for name, (shape, layers, loss, rate) in NETWORKS.items():
        seed, tensors = next((s, t) for s in itertools.count(1) if (t := golden(shape, layers, loss, rate, s)))
        metadata = {
            "network": name,
            "generator": "scripts/gen_goldens.py",
            "seed": str(seed),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": numpy.__version__,
        }
        path = out / (name + ".safetensors")
        save(path, tensors, metadata)
        losses = " ".join(f"{v:.4g}" for v in tensors["sgd/losses"].tolist())
        print(f"{path}: {path.stat().st_size} bytes, seed {seed}, losses {losses}")


if __name__ == "__main__":
    main()
