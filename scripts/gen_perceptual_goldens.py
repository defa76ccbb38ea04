#!/usr/bin/python3
"""Writes perceptual/testdata: LPIPS, DISTS and their gradients as PyTorch computes them in float64, for the tests of
package perceptual.

    VGGO_PERCEPTUAL_WEIGHTS=DIR go test ./perceptual -run TestGoldens   # writes vgg16.safetensors, alexnet.safetensors
    /usr/bin/python3 scripts/gen_perceptual_goldens.py DIR PHOTOS

DIR has the He-initialised weights that vggo drew; the published ones cannot be had here. The heads are the real ones,
of perceptual/heads. PHOTOS is the folder photos of VGGO_TESTDATA. Written are

    NAME-q10.jpg, NAME-q50.jpg  each photograph, its shorter side shrunk to 80, as JPEG: the second pictures of 20 pairs
    goldens.json                the pairs, how their pictures come about, and each metric's value by layer
    gradients.safetensors       the gradient by both pictures' samples, of one small pair for each metric

LPIPS is lpips.py of richzhang/PerceptualSimilarity, DISTS DISTS_pt.py of dingkeyan93/DISTS, with DISTS' covariance by
the variances' formula, which differs by rounding alone.
"""

import json
import struct
import sys
from pathlib import Path

import numpy
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps

ROOT = Path(__file__).parent.parent
OUT = ROOT / "perceptual" / "testdata"
HEADS = ROOT / "perceptual" / "heads"
SHORTER = 80

VGG = [[64, 64], [128, 128], [256, 256, 256], [512, 512, 512], [512, 512, 512]]
# kernel, stride, padding; pooled before
ALEX = [("conv1", 4, 2, False), ("conv2", 1, 2, True), ("conv3", 1, 1, True), ("conv4", 1, 1, False), ("conv5", 1, 1, False)]
MEAN = torch.tensor([0.485, 0.456, 0.406]).double().view(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).double().view(1, 3, 1, 1)


def read(path):
    raw = Path(path).read_bytes()
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


HANN = torch.tensor(numpy.hanning(5)[1:-1])
HANN = (HANN[:, None] * HANN[None, :])
HANN = HANN / HANN.sum()


def l2pool(x):
    c = x.shape[1]
    return (F.conv2d(x**2, HANN.repeat(c, 1, 1, 1), stride=2, padding=1, groups=c) + 1e-12).sqrt()


def vgg(w, x, pool):
    x, maps = (x - MEAN) / STD, []
    for stage, widths in enumerate(VGG, 1):
        if stage > 1:
            x = pool(x)
        for i in range(1, len(widths) + 1):
            x = F.relu(F.conv2d(x, w[f"conv{stage}_{i}/w"], w[f"conv{stage}_{i}/b"], padding=1))
        maps.append(x)
    return maps


def alex(w, x):
    x, maps = (x - MEAN) / STD, []
    for name, stride, pad, pooled in ALEX:
        if pooled:
            x = F.max_pool2d(x, 3, 2)
        x = F.relu(F.conv2d(x, w[f"{name}/w"], w[f"{name}/b"], stride=stride, padding=pad))
        maps.append(x)
    return maps


def lpips(maps_a, maps_b, head):
    parts = []
    for i, (a, b) in enumerate(zip(maps_a, maps_b)):
        u, v = (f / ((f**2).sum(1, keepdim=True).sqrt() + 1e-10) for f in (a, b))
        parts.append(((u - v) ** 2 * head[f"lin{i}"].view(1, -1, 1, 1)).sum(1).mean())
    return parts


def dists(a, b, w, head):
    maps_a, maps_b = ([x] + vgg(w, x, l2pool) for x in (a, b))
    total, at, parts = head["alpha"].sum() + head["beta"].sum(), 0, []
    for x, y in zip(maps_a, maps_b):
        c = x.shape[1]
        alpha, beta = head["alpha"][at : at + c], head["beta"][at : at + c]
        at += c
        mx, my = x.mean([0, 2, 3], keepdim=True), y.mean([0, 2, 3], keepdim=True)
        s1 = (2 * mx * my + 1e-6) / (mx**2 + my**2 + 1e-6)
        vx, vy = ((x - mx) ** 2).mean([0, 2, 3], keepdim=True), ((y - my) ** 2).mean([0, 2, 3], keepdim=True)
        r = ((x - mx) * (y - my)).mean([0, 2, 3], keepdim=True)
        s2 = (2 * r + 1e-6) / (vx + vy + 1e-6)
        parts.append((alpha * (1 - s1.flatten()) + beta * (1 - s2.flatten())).sum() / total)
    return parts


def small(p):
    """DISTS' prepare_image: the shorter side to 256 if it is longer."""
    w, h = p.size
    if min(w, h) <= 256:
        return p
    return p.resize((256, 256 * h // w) if w < h else (256 * w // h, 256), Image.BILINEAR)


def tensor(p):
    return torch.from_numpy(numpy.asarray(p, dtype=numpy.float64)).permute(2, 0, 1)[None] / 255


def photo(folder, name):
    return ImageOps.exif_transpose(Image.open(folder / name)).convert("RGB")


def shrink(p):
    w, h = p.size
    return p.resize((SHORTER, SHORTER * h // w) if w < h else (SHORTER * w // h, SHORTER), Image.BILINEAR)


def picture(folder, spec):
    if "flat" in spec:
        return Image.new("RGB", (spec["w"], spec["h"]), tuple(spec["flat"]))
    if "jpeg" in spec:
        return Image.open(OUT / spec["jpeg"]).convert("RGB")
    p = photo(folder, spec["photo"])
    if "w" not in spec:
        return shrink(p)
    p = p.crop((spec["x"], spec["y"], spec["x"] + spec["w"], spec["y"] + spec["h"]))
    if spec.get("mirror"):
        p = ImageOps.mirror(p)
    if spec.get("noise"):
        v = numpy.asarray(p, dtype=int)
        v = numpy.clip(v + (numpy.arange(v.size) * 7919 % 5 - 2).reshape(v.shape), 0, 255)
        p = Image.fromarray(v.astype(numpy.uint8))
    return p


def crop(name, x, y, w, h, **more):
    return {"photo": name, "x": x, "y": y, "w": w, "h": h, **more}


def pairs(folder):
    for path in sorted(p for p in folder.iterdir() if p.suffix in (".jpg", ".bmp")):
        for quality in 10, 50:
            jpeg = f"{path.stem}-q{quality}.jpg"
            shrink(photo(folder, path.name)).save(OUT / jpeg, quality=quality)
            yield f"{path.stem}, quality {quality}", {"photo": path.name}, {"jpeg": jpeg}
    yield "17x63", crop("owl.jpg", 100, 80, 63, 17), crop("owl.jpg", 101, 80, 63, 17)
    yield "31x40", crop("parrot.jpg", 340, 210, 40, 31), crop("parrot.jpg", 340, 210, 40, 31, mirror=True)
    yield "64x64", crop("pets.jpg", 90, 60, 64, 64), crop("pets.jpg", 90, 60, 64, 64, mirror=True)
    yield "301x257, another picture", crop("cat_720p.jpg", 200, 100, 257, 301), crop("hot_dog.jpg", 30, 20, 257, 301)
    yield "over 256, noise", crop("kite_and_cold.jpg", 500, 300, 290, 270), crop("kite_and_cold.jpg", 500, 300, 290, 270, noise=True)
    yield "flat and a picture", {"flat": [128, 64, 200], "w": 40, "h": 48}, crop("grace_hopper.bmp", 200, 100, 40, 48)
    yield "flat and flat", {"flat": [10, 20, 30], "w": 33, "h": 32}, {"flat": [11, 20, 30], "w": 33, "h": 32}
    yield "black and white", {"flat": [0, 0, 0], "w": 50, "h": 35}, {"flat": [255, 255, 255], "w": 50, "h": 35}


def main(weights, folder):
    vgg_weights, alex_weights = read(weights / "vgg16.safetensors"), read(weights / "alexnet.safetensors")
    heads = {name: read(HEADS / f"lpips-v0.1-{name}.safetensors") for name in ("vgg", "alex")}
    heads["dists"] = read(HEADS / "dists.safetensors")
    ways = {
        "lpips/vgg16": lambda a, b: lpips(vgg(vgg_weights, a, lambda x: F.max_pool2d(x, 2)),
                                          vgg(vgg_weights, b, lambda x: F.max_pool2d(x, 2)), heads["vgg"]),
        "lpips/alexnet-torchvision": lambda a, b: lpips(alex(alex_weights, a), alex(alex_weights, b), heads["alex"]),
        "dists/vgg16": lambda a, b: dists(a, b, vgg_weights, heads["dists"]),
    }
    told, gradients = [], {}
    for name, spec_a, spec_b in pairs(folder):
        a, b = picture(folder, spec_a), picture(folder, spec_b)
        values = {}
        for way, measure in ways.items():
            if way.endswith("torchvision") and min(a.size) < 31:
                continue
            x, y = (tensor(small(p) if way.startswith("dists") else p) for p in (a, b))
            wanted = name == "31x40"
            x.requires_grad_(wanted), y.requires_grad_(wanted)
            with torch.set_grad_enabled(wanted):
                parts = measure(x, y)
                values[way] = [p.item() for p in parts]
                if wanted:
                    sum(parts).backward()
                    gradients[f"{way}/a"], gradients[f"{way}/b"] = x.grad, y.grad
        told.append({"name": name, "a": spec_a, "b": spec_b, "values": values})
        print(name, {way: sum(v) for way, v in values.items()}, flush=True)
    (OUT / "goldens.json").write_text(json.dumps({"torch": torch.__version__, "pairs": told}, indent=1) + "\n")
    write(OUT / "gradients.safetensors", gradients)


main(Path(sys.argv[1]), Path(sys.argv[2]))
