#!/usr/bin/python3
"""Writes style/testdata: losses of content and style, their gradients and how L-BFGS goes on from there, as PyTorch
computes them in float64, for the tests of package style.

    /usr/bin/python3 scripts/gen_style_goldens.py TESTDATA

TESTDATA is the folder that VGGO_TESTDATA names. The weights are the real ones of VGG-19's first three blocks
(formats/real/vgg19-block1-3-oihw-rgb.safetensors), the pictures are of photos/, shrunk by Pillow. Written are

    goldens.json            the losses of five pictures, the total loss after each of 20 iterations of L-BFGS, and 50
                            iterations of L-BFGS along Rosenbrock's function from (-1.2, 1)
    gradients.safetensors   the total loss's gradient by the samples of the five pictures

L-BFGS is torch.optim.LBFGS with line_search_fn "strong_wolfe", both tolerances 0, an iteration a call. Its curve is of a ratio of 0.1: in a picture this small
a ratio of 1e-3 leaves nothing of the content, and a loss of style alone is steered by single ReLUs' kinks.
"""

import json
import struct
import sys
from pathlib import Path

import numpy
import torch
import torch.nn.functional as F
from PIL import Image

OUT = Path(__file__).parent.parent / "style" / "testdata"
MEAN = torch.tensor([123.68, 116.779, 103.939], dtype=torch.float64).view(1, 3, 1, 1)
BLOCKS = [2, 2, 4]
STYLE, CONTENT = ["relu1_1", "relu2_1", "relu3_1"], "relu3_2"
RATIO = 1e-3
CURVE_RATIO = 0.1
W, H = 50, 38
STYLE_SIZE = 44, 52


def read(path):
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    head = json.loads(raw[8 : 8 + length])
    head.pop("__metadata__", None)
    return {name: torch.from_numpy(numpy.frombuffer(raw, "<f4", int(numpy.prod(t["shape"])), 8 + length + t["data_offsets"][0])
                                   .reshape(t["shape"]).copy()).double() for name, t in head.items()}


def write(path, tensors):
    head, data = {}, b""
    for name, t in tensors.items():
        raw = t.numpy().astype("<f4").tobytes()
        head[name] = {"dtype": "F32", "shape": list(t.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(head, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def vgg(w, x):
    x, maps = 255 * x - MEAN, {}
    for block, convolutions in enumerate(BLOCKS, 1):
        if block > 1:
            x = F.avg_pool2d(x, 2)
        for i in range(1, convolutions + 1):
            x = F.relu(F.conv2d(x, w[f"conv{block}_{i}.weight"], w[f"conv{block}_{i}.bias"], padding=1))
            maps[f"relu{block}_{i}"] = x
    return maps


def gram(f):
    f = f.flatten(2)[0]
    return f @ f.T / f.shape[1]


def photo(folder, name, w, h):
    p = Image.open(folder / "photos" / name).convert("RGB").resize((w, h), Image.BILINEAR)
    return torch.from_numpy(numpy.asarray(p, dtype=numpy.float64)).permute(2, 0, 1)[None].contiguous() / 255


def lbfgs(x, f, iterations):
    opt = torch.optim.LBFGS([x], max_iter=1, max_eval=1000, tolerance_grad=0, tolerance_change=0, history_size=100,
                            line_search_fn="strong_wolfe")

    def closure():
        opt.zero_grad()
        loss = f(x)
        loss.backward()
        return loss

    for i in range(iterations + 1):
        loss = opt.step(closure).item()  # of the place that it steps from
        if i > 0:
            yield place, loss
        place = x.tolist() if x.numel() == 2 else None


def rosenbrock():
    x = torch.tensor([-1.2, 1.0], dtype=torch.float64, requires_grad=True)
    return [[*place, loss] for place, loss in lbfgs(x, lambda x: (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2, 50)]


class Scene:
    """The loss of a content and a style for a picture of w by h."""

    def __init__(self, folder, weights, w, h):
        self.weights, self.ratio = weights, RATIO
        self.content, style = photo(folder, "owl.jpg", w, h), photo(folder, "kite_and_cold.jpg", *STYLE_SIZE)
        with torch.no_grad():
            self.want = vgg(weights, self.content)[CONTENT]
            self.grams = {layer: gram(vgg(weights, style)[layer]) for layer in STYLE}

    def losses(self, x):
        maps = vgg(self.weights, x)
        parts = [((maps[CONTENT] - self.want) ** 2).sum() / 2]
        for layer in STYLE:
            g = gram(maps[layer])
            parts.append(((g - self.grams[layer]) ** 2).sum() / (4 * g.shape[0] ** 2))
        return parts

    def total(self, x):
        parts = self.losses(x)
        return parts[0] + sum(parts[1:]) / len(STYLE) / self.ratio


def main(folder):
    weights = read(folder / "formats/real/vgg19-block1-3-oihw-rgb.safetensors")
    scene = Scene(folder, weights, W, H)
    noise = torch.from_numpy((numpy.arange(3 * W * H) * 7907 % 251).reshape(1, 3, H, W) / 255)
    pictures = {"content": scene.content, "style": photo(folder, "kite_and_cold.jpg", W, H), "noise": noise,
                "grey": torch.full((1, 3, H, W), 128 / 255, dtype=torch.float64),
                "other": photo(folder, "parrot.jpg", W, H)}
    told, gradients = [], {}
    for name, x in pictures.items():
        x = x.clone().requires_grad_()
        parts = [p.item() for p in scene.losses(x)]
        loss = scene.total(x)
        loss.backward()
        told.append({"name": name, "content": parts[0], "style": parts[1:], "total": loss.item()})
        gradients[name] = x.grad
        print(told[-1], flush=True)
    scene.ratio, curve = CURVE_RATIO, []
    for _, loss in lbfgs(scene.content.clone().requires_grad_(), scene.total, 20):
        curve.append(loss)
        print(loss, flush=True)
    OUT.mkdir(exist_ok=True)
    (OUT / "goldens.json").write_text(json.dumps({"torch": torch.__version__, "pictures": told, "curve": curve,
                                                  "rosenbrock": rosenbrock()}, indent=1) + "\n")
    write(OUT / "gradients.safetensors", gradients)


main(Path(sys.argv[1]))
