#!/usr/bin/env python3
"""Writes train/testdata/muon.safetensors: ten steps of Muon on a small VGG, for the tests of package train.

    python3 scripts/gen_muon_goldens.py train/testdata/muon.safetensors

The network is that of matrices() in train/muon_test.go, with a weight that is taller than wide, a wide one and a square one.
Muon is written out here from what is known of airbench94_muon (Keller Jordan): of each weight, as a matrix of a row for each
filter, the momentum over its norm goes three times through X <- aX + (bA + cA^2)X with A = XX^T, transposed where it is taller
than wide, and the weight is brought to a norm of the root of its rows before it moves. What else there is learns by
torch.optim.SGD. "nesterov" gives the last layer's weights to SGD, as airbench does, with Nesterov's momentum for all; "all"
has Muon learn them too, with plain momentum. Rates are lower than there: six pictures are learned within ten steps, and from
then on a high rate multiplies every rounding.

The file is laid out as that of gen_train_goldens.py, and PyTorch computes in float64 as there. Seeds are tried in turn until no
ReLU and no max pooling of any step is close to a tie.
"""

import itertools
import math
import sys
from pathlib import Path

import numpy
import torch
import torch.nn.functional as F

from gen_goldens import save
from gen_train_goldens import CLASSES, SMOOTHING, STEPS, forward, initial

BATCH = 6
INPUT = (2, 6, 6)
CONVS = [("1_1", 2, 30, 3, False), ("1_2", 30, 20, 3, True), ("2_1", 20, 20, 1, False)]  # in, out, kernel, pooling after it
MARGIN = 3e-5
A, B, C = 3.4445, -4.7750, 2.0315


def orthogonal(d):
    x = d / d.norm()
    if d.size(0) > d.size(1):
        x = x.T
    for _ in range(3):
        a = x @ x.T
        x = A * x + (B * a + C * a @ a) @ x
    return x.T if d.size(0) > d.size(1) else x


class Muon:
    def __init__(self, weights, rate, momentum, nesterov):
        self.rate, self.momentum, self.nesterov = rate, momentum, nesterov
        self.velocities = [(w, torch.zeros_like(w)) for w in weights]

    @torch.no_grad()
    def step(self):
        for w, v in self.velocities:
            v.mul_(self.momentum).add_(w.grad)
            d = w.grad + self.momentum * v if self.nesterov else v
            w.mul_(math.sqrt(len(w)) / w.norm())
            w.sub_(self.rate * orthogonal(d.flatten(1)).view_as(w))


def optimisers(variant, params):
    def named(*ends):
        return [p for name, p in params.items() if name.endswith(ends)]

    convs = [p for name, p in params.items() if name.startswith("conv")]
    if variant == "nesterov":
        groups = [
            {"params": named("/gamma", "/beta", "/b"), "lr": 0.06, "weight_decay": 0.01},
            {"params": named("fc3/w"), "lr": 0.03, "weight_decay": 0.02},
        ]
        return Muon(convs, 0.06, 0.6, True), torch.optim.SGD(groups, lr=0.06, momentum=0.85, nesterov=True)
    groups = [{"params": named("/gamma", "/beta", "/b"), "weight_decay": 0.01}]
    return Muon(convs + named("fc3/w"), 0.05, 0.8, False), torch.optim.SGD(groups, lr=0.05, momentum=0.8)


def descend(variant, x, labels, start):
    params = {n: p.clone() for n, p in start.items()}
    for name, p in params.items():
        p.requires_grad_(not name.endswith(("/mean", "/var")))
    both = optimisers(variant, params)
    losses = []
    for _ in range(STEPS):
        logits, least = forward(x, params, CONVS)
        if least < MARGIN:
            return None
        loss = F.cross_entropy(logits, labels, label_smoothing=SMOOTHING)
        for p in params.values():
            p.grad = None
        loss.backward()
        for optimiser in both:
            optimiser.step()
        losses.append(loss.detach())
    end = {f"{variant}/{n}": p.detach() for n, p in params.items()}
    end[f"{variant}/losses"] = torch.stack(losses)
    return end


VARIANTS = ("nesterov", "all")


def golden(seed):
    rng = numpy.random.default_rng(seed)
    x = torch.from_numpy(rng.normal(0, 1, (BATCH, *INPUT))).float().double()
    labels = torch.from_numpy(rng.integers(0, CLASSES, BATCH))
    params = initial(rng, CONVS, 20 * (INPUT[1] // 2) * (INPUT[2] // 2))
    tensors = {"input": x, "labels": labels, **params}
    for variant in VARIANTS:
        end = descend(variant, x, labels, params)
        if end is None:
            return None
        tensors.update(end)
    return tensors


def main():
    torch.set_num_threads(1)
    seed, tensors = next((s, t) for s in itertools.count(1) if (t := golden(s)))
    path = Path(sys.argv[1])
    save(path, tensors, {"generator": "scripts/gen_muon_goldens.py", "seed": str(seed), "torch": torch.__version__})
    print(f"{path}: {path.stat().st_size} bytes, seed {seed}")
    for variant in VARIANTS:
        print(variant, " ".join(f"{v:.4g}" for v in tensors[f"{variant}/losses"].tolist()))


if __name__ == "__main__":
    main()
