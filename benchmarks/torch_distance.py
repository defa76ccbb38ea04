#!/usr/bin/python3
"""Times LPIPS and DISTS of one pair of 256x256 pixels in PyTorch, float32, for comparison with

    go test ./perceptual -run '^$' -bench Distance

usage: torch_distance.py STEPS THREADS

Weights and heads are random: the time does not depend on them. LPIPS goes two ways, as its package does, one picture
after the other, and with both in one batch; the quicker one counts.
"""

import statistics
import sys
import time

import torch
import torch.nn.functional as F

VGG = [[64, 64], [128, 128], [256, 256, 256], [512, 512, 512], [512, 512, 512]]
# outputs, kernel, stride, padding; pooled before
ALEX = [(64, 11, 4, 2, False), (192, 5, 1, 2, True), (384, 3, 1, 1, True), (256, 3, 1, 1, False), (256, 3, 1, 1, False)]
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
HANN = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16
HANNS = {c: HANN.repeat(c, 1, 1, 1) for c in (64, 128, 256, 512)}


def he(out, channels, kernel):
    return torch.randn(out, channels, kernel, kernel) * (2 / (channels * kernel**2)) ** 0.5


def vgg_weights():
    weights, channels = [], 3
    for widths in VGG:
        weights.append([])
        for out in widths:
            weights[-1].append((he(out, channels, 3), torch.zeros(out)))
            channels = out
    return weights


def vgg(weights, x, pool):
    x, maps = (x - MEAN) / STD, []
    for stage, layers in enumerate(weights):
        if stage:
            x = pool(x)
        for w, b in layers:
            x = F.relu_(F.conv2d(x, w, b, padding=1))
        maps.append(x)
    return maps


def alex(weights, x):
    x, maps = (x - MEAN) / STD, []
    for w, (_, _, stride, padding, pooled) in zip(weights, ALEX):
        if pooled:
            x = F.max_pool2d(x, 3, 2)
        x = F.relu_(F.conv2d(x, w, stride=stride, padding=padding))
        maps.append(x)
    return maps


def l2pool(x):
    c = x.shape[1]
    return (F.conv2d(x**2, HANNS[c], stride=2, padding=1, groups=c) + 1e-12).sqrt()


def lpips(maps, heads):
    total = 0
    for f, head in zip(maps, heads):
        u = f / ((f**2).sum(1, keepdim=True).sqrt() + 1e-10)
        total = total + F.conv2d((u[:1] - u[1:]) ** 2, head).mean()
    return total


def dists(stages):
    total = 0
    for f in stages:
        x, y = f[:1], f[1:]
        mx, my = x.mean([2, 3], keepdim=True), y.mean([2, 3], keepdim=True)
        s1 = (2 * mx * my + 1e-6) / (mx**2 + my**2 + 1e-6)
        vx, vy = ((x - mx) ** 2).mean([2, 3], keepdim=True), ((y - my) ** 2).mean([2, 3], keepdim=True)
        s2 = (2 * ((x * y).mean([2, 3], keepdim=True) - mx * my) + 1e-6) / (vx + vy + 1e-6)
        total = total + (s1 + s2).sum()
    return total


def apart(features, pair):
    return [torch.cat(maps) for maps in zip(features(pair[:1]), features(pair[1:]))]


steps, threads = map(int, sys.argv[1:3])
torch.set_num_threads(threads)
torch.manual_seed(0)
pair = torch.rand(2, 3, 256, 256)
deep = vgg_weights()
flat = [he(out, channels, kernel) for channels, (out, kernel, *_) in zip([3, 64, 192, 384, 256], ALEX)]
deep_heads = [torch.rand(1, widths[-1], 1, 1) for widths in VGG]
flat_heads = [torch.rand(1, out, 1, 1) for out, *_ in ALEX]


def max_pooled(x):
    return vgg(deep, x, lambda f: F.max_pool2d(f, 2))


def l2_pooled(x):
    return [x] + vgg(deep, x, l2pool)


ways = {
    "lpips/vgg16": [lambda: lpips(max_pooled(pair), deep_heads), lambda: lpips(apart(max_pooled, pair), deep_heads)],
    "lpips/alexnet-torchvision": [lambda: lpips(alex(flat, pair), flat_heads),
                                  lambda: lpips(apart(lambda x: alex(flat, x), pair), flat_heads)],
    "dists/vgg16": [lambda: dists(l2_pooled(pair)), lambda: dists(apart(l2_pooled, pair))],
}
with torch.inference_mode():
    for name, forms in ways.items():
        medians = []
        for form in forms:
            seconds = []
            for i in range(steps + 2):
                start = time.perf_counter()
                form()
                if i >= 2:
                    seconds.append(time.perf_counter() - start)
            medians.append(statistics.median(seconds) * 1e3)
        print(f"{name}: {min(medians):.1f} ms (in one batch {medians[0]:.1f}, one after the other {medians[1]:.1f}), "
              f"median of {steps}, PyTorch {torch.__version__}, {threads} threads", flush=True)
