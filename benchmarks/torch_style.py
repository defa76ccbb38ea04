#!/usr/bin/python3
"""Times a loss of style transfer and its gradient at 512x512 in PyTorch, float32, for comparison with

    go test ./style -run '^$' -bench Evaluation

usage: torch_style.py STEPS THREADS

VGG-19 with average pooling as far as conv5_1, and its first three blocks alone; content of conv4_2 or conv3_2, style of
the first convolution of each block, each behind its ReLU. Weights and pictures are random: the time does not depend on
them.
"""

import statistics
import sys
import time

import torch
import torch.nn.functional as F

SIDE = 512
WAYS = {"vgg19": [[64, 64], [128, 128], [256] * 4, [512] * 4, [512]], "vgg19-block1-3": [[64, 64], [128, 128], [256] * 2]}


def he(out, channels):
    return torch.randn(out, channels, 3, 3) * (2 / (channels * 9)) ** 0.5


def weights(blocks):
    made, channels = [], 3
    for widths in blocks:
        made.append([])
        for out in widths:
            made[-1].append((he(out, channels), torch.zeros(out)))
            channels = out
    return made


def vgg(blocks, x):
    """The first maps of each block, and the second of the fourth or, where there is none, of the last."""
    style, content = [], None
    for n, layers in enumerate(blocks):
        if n:
            x = F.avg_pool2d(x, 2)
        for i, (w, b) in enumerate(layers):
            x = F.relu(F.conv2d(x, w, b, padding=1))
            if i == 0:
                style.append(x)
            if i == 1 and n < 4:
                content = x
    return content, style


def gram(f):
    f = f.flatten(2)[0]
    return f @ f.T / f.shape[1]


steps, threads = map(int, sys.argv[1:3])
torch.set_num_threads(threads)
torch.manual_seed(0)
for name, blocks in WAYS.items():
    blocks = weights(blocks)
    with torch.no_grad():
        want, _ = vgg(blocks, torch.randn(1, 3, SIDE, SIDE))
        grams = [gram(f) for f in vgg(blocks, torch.randn(1, 3, SIDE, SIDE))[1]]
    x, seconds = torch.randn(1, 3, SIDE, SIDE, requires_grad=True), []
    for i in range(steps + 1):
        start = time.perf_counter()
        x.grad = None
        content, style = vgg(blocks, x)
        loss = ((content - want) ** 2).sum() / 2
        for f, g in zip(style, grams):
            loss = loss + ((gram(f) - g) ** 2).sum() / (4 * g.shape[0] ** 2) / len(style) * 1e3
        loss.backward()
        if i:
            seconds.append(time.perf_counter() - start)
    print(f"{name}: {statistics.median(seconds) * 1e3:.0f} ms, median of {steps}, PyTorch {torch.__version__}, {threads} threads",
          flush=True)
