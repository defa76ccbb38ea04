#!/usr/bin/env python3
"""Writes train/testdata/finetune.safetensors: what PyTorch's fine-tuning makes of a small VGG whose first block does not learn.

    python3 scripts/gen_finetune_goldens.py train/testdata/finetune.safetensors

The network is that of network() in train/optimiser_test.go. Frozen parameters have requires_grad=False, and their batch norm is
in eval mode: it uses its running statistics, which do not move. The file holds eight pictures of 0 to 255 (as float, N,H,W,C),
their labels, every parameter's initial value under its name, and for each case <case>/<parameter> at the end:

    frozen    ten steps of SGD with momentum; block 1 is frozen
    slower    the same, with the rate of conv2_1 a tenth of the others'
    unfrozen  the same as frozen, but from the sixth step on block 1 learns, its batch norm in train mode
    weighted  the same as frozen, each picture's loss times the weight of its class; the mean is over the pictures

PyTorch computes in float64 and rounds what it stores to float32. Seeds are tried in turn until no ReLU and no max pooling is so
close to a tie that rounding to float32 could flip it.
"""

import itertools
import math
import sys
from pathlib import Path

import numpy
import torch
import torch.nn.functional as F

from gen_goldens import gap, save
from gen_train_goldens import BATCH, CLASSES, CONVS, INPUT, MARGIN, STEPS, initial, trainable

RATE, MOMENTUM, DECAY = 0.02, 0.9, 5e-4
CASES = ("frozen", "slower", "unfrozen", "weighted")
WEIGHTS = torch.tensor([0.5 + 0.25 * c for c in range(CLASSES)]).double()


def forward(x, p, learning):
    """The logits, and how close a ReLU or a pooling came to a tie."""
    least = math.inf
    for name, _, _, _, pool in CONVS:
        x = F.conv2d(x, p[f"conv{name}/w"], padding=1)
        norm = [p[f"bn{name}/{role}"] for role in ("mean", "var", "gamma", "beta")]
        x = F.batch_norm(x, *norm, training=learning(f"bn{name}"))
        scale = x.detach().pow(2).mean().sqrt()
        least = min(least, float(x.detach().abs().min() / scale))
        x = F.relu(x)
        if pool:
            least = min(least, float(gap(x.detach(), (2, 2), (2, 2)) / scale))
            x = F.max_pool2d(x, 2)
    return F.linear(x.flatten(1), p["fc3/w"], p["fc3/b"]), least


def is_frozen(name):
    return name.startswith(("conv1_", "bn1_"))


def tune(case, x, labels, start):
    params = {n: p.clone() for n, p in start.items()}

    def group(names, rate):
        for n in names:
            params[n].requires_grad_()
        return {"params": [params[n] for n in names], "lr": rate}

    names = [n for n in trainable(params) if not is_frozen(n)]
    slow = [n for n in names if case == "slower" and n.startswith("conv2_1")]
    groups = [group([n for n in names if n not in slow], RATE)] + ([group(slow, RATE / 10)] if slow else [])
    optimiser = torch.optim.SGD(groups, lr=RATE, momentum=MOMENTUM, weight_decay=DECAY)
    for step in range(STEPS):
        thawed = case == "unfrozen" and step >= STEPS // 2
        if thawed and step == STEPS // 2:
            optimiser.add_param_group(group([n for n in trainable(params) if is_frozen(n)], RATE))
        logits, least = forward(x, params, lambda name: thawed or not is_frozen(name))
        if least < MARGIN:
            return None
        losses = F.cross_entropy(logits, labels, reduction="none")
        if case == "weighted":
            losses = losses * WEIGHTS[labels]
        optimiser.zero_grad()
        losses.mean().backward()
        optimiser.step()
    return {f"{case}/{n}": p.detach() for n, p in params.items()}


def golden(seed):
    rng = numpy.random.default_rng(seed)
    pictures = rng.integers(0, 256, (BATCH, INPUT[1], INPUT[2], INPUT[0]))
    x = torch.from_numpy(pictures).permute(0, 3, 1, 2).double() / 255
    labels = torch.from_numpy(rng.integers(0, CLASSES, BATCH))
    params = initial(rng)
    tensors = {"pictures": torch.from_numpy(pictures), "labels": labels, **params}
    for case in CASES:
        end = tune(case, x, labels, params)
        if end is None:
            return None
        tensors.update(end)
    return tensors


def main():
    torch.set_num_threads(1)
    seed, tensors = next((s, t) for s in itertools.count(1) if (t := golden(s)))
    path = Path(sys.argv[1])
    save(path, tensors, {"generator": "scripts/gen_finetune_goldens.py", "seed": str(seed), "torch": torch.__version__})
    print(f"{path}: {path.stat().st_size} bytes, seed {seed}")


if __name__ == "__main__":
    main()
