#!/usr/bin/env python3
"""Writes train/testdata/descent.safetensors: ten steps of PyTorch's optimisers on a small VGG, for the tests of package train.

    python3 scripts/gen_train_goldens.py train/testdata/descent.safetensors

The network is that of network() in train/optimiser_test.go: batch norm behind convolutions without biases (whose gradient there
is nothing but rounding, which AdamW would blow up), trained on one batch with label smoothing. The file holds input, labels
(as float), every parameter's initial value under its name, and for each optimiser <name>/losses, each taken before its step,
and <name>/<parameter> at the end.

PyTorch computes in float64 and rounds what it stores to float32. Seeds are tried in turn until no ReLU and no max pooling of
any step is so close to a tie that rounding to float32 could flip it, and no gradient so small that AdamW's first step, which
follows its sign alone, could.
"""

import itertools
import math
import sys
from pathlib import Path

import numpy
import torch
import torch.nn.functional as F

from gen_goldens import gap, save

BATCH, CLASSES, STEPS, SMOOTHING = 8, 7, 10, 0.1
INPUT = (3, 12, 10)
CONVS = [("1_1", 3, 8, 3, False), ("1_2", 8, 9, 3, True), ("2_1", 9, 17, 3, True)]  # in, out, kernel, pooling after it
UNITS = 17 * (INPUT[1] // 4) * (INPUT[2] // 4)  # of the map before fc3
MARGIN = 3e-6
TINY = 3e-7  # of a parameter's largest gradient


def shapes(convs, units):
    for name, inputs, outputs, kernel, _ in convs:
        yield f"conv{name}/w", (outputs, inputs, kernel, kernel)
        for role in ("gamma", "beta", "mean", "var"):
            yield f"bn{name}/{role}", (outputs,)
    yield "fc3/w", (CLASSES, units)
    yield "fc3/b", (CLASSES,)


def initial(rng, convs=CONVS, units=UNITS):
    params = {}
    for name, size in shapes(convs, units):
        role = name.split("/")[1]
        if role == "w":
            value = rng.normal(0, math.sqrt(2 / math.prod(size[1:])), size)
        elif role in ("gamma", "var"):
            value = rng.uniform(0.5, 1.5, size)
        else:
            value = rng.normal(0, 0.3, size)
        params[name] = torch.from_numpy(value).float().double()
    return params


def forward(x, p, convs=CONVS):
    """The logits, and how close a ReLU or a pooling came to a tie."""
    least = math.inf
    for name, _, _, kernel, pool in convs:
        x = F.conv2d(x, p[f"conv{name}/w"], padding=kernel // 2)
        norm = [p[f"bn{name}/{role}"] for role in ("mean", "var", "gamma", "beta")]
        x = F.batch_norm(x, *norm, training=True)
        scale = x.detach().pow(2).mean().sqrt()
        least = min(least, float(x.detach().abs().min() / scale))
        x = F.relu(x)
        if pool:
            least = min(least, float(gap(x.detach(), (2, 2), (2, 2)) / scale))
            x = F.max_pool2d(x, 2)
    return F.linear(x.flatten(1), p["fc3/w"], p["fc3/b"]), least


def trainable(params):
    return {name: p for name, p in params.items() if not name.endswith(("/mean", "/var"))}


def sgd(params, **options):
    """Groups as train's rules make them: decay for weights alone, biases at four times the rate."""
    weights = [p for name, p in trainable(params).items() if name.endswith("/w")]
    biases = [p for name, p in trainable(params).items() if name.endswith(("/b", "/beta"))]
    rest = [p for name, p in trainable(params).items() if name.endswith("/gamma")]
    rate = 0.05
    return torch.optim.SGD(
        [
            {"params": weights, "weight_decay": 5e-3},
            {"params": biases, "lr": 4 * rate, "weight_decay": 0},
            {"params": rest, "weight_decay": 0},
        ],
        lr=rate,
        **options,
    )


OPTIMISERS = {
    "sgd": lambda params: sgd(params, momentum=0.9),
    "nesterov": lambda params: sgd(params, momentum=0.9, nesterov=True),
    "adamw": lambda params: torch.optim.AdamW(list(trainable(params).values()), lr=2e-3, betas=(0.9, 0.99), weight_decay=0.05),
    "clipped": lambda params: sgd(params),
}


def descend(name, x, labels, start):
    params = {n: p.clone() for n, p in start.items()}
    for p in trainable(params).values():
        p.requires_grad_()
    optimiser = OPTIMISERS[name](params)
    losses = []
    for step in range(STEPS):
        logits, least = forward(x, params)
        if least < MARGIN:
            return None
        loss = F.cross_entropy(logits, labels, label_smoothing=SMOOTHING)
        optimiser.zero_grad()
        loss.backward()
        if name == "adamw" and step == 0:
            for p in trainable(params).values():
                g = p.grad.abs()
                if g[g > 0].min() < TINY * g.max():
                    return None
        if name == "clipped":
            torch.nn.utils.clip_grad_norm_(list(trainable(params).values()), 0.5)
        optimiser.step()
        losses.append(loss.detach())
    end = {f"{name}/{n}": p.detach() for n, p in params.items()}
    end[f"{name}/losses"] = torch.stack(losses)
    return end


def golden(seed):
    rng = numpy.random.default_rng(seed)
    x = torch.from_numpy(rng.normal(0, 1, (BATCH, *INPUT))).float().double()
    labels = torch.from_numpy(rng.integers(0, CLASSES, BATCH))
    params = initial(rng)
    tensors = {"input": x, "labels": labels, **params}
    for name in OPTIMISERS:
        end = descend(name, x, labels, params)
        if end is None:
            return None
        tensors.update(end)
    return tensors


def main():
    torch.set_num_threads(1)
    seed, tensors = next((s, t) for s in itertools.count(1) if (t := golden(s)))
    path = Path(sys.argv[1])
    save(path, tensors, {"generator": "scripts/gen_train_goldens.py", "seed": str(seed), "torch": torch.__version__})
    print(f"{path}: {path.stat().st_size} bytes, seed {seed}")
    for name in OPTIMISERS:
        print(name, " ".join(f"{v:.4g}" for v in tensors[f"{name}/losses"].tolist()))


if __name__ == "__main__":
    main()
