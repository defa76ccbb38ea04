#!/usr/bin/python3
"""Writes vision/testdata/golden.json: what Pillow makes of small pictures. What it makes of files is in scripts/gen_pictures.py.

Run with Debian's python3, python3-pil and python3-torchvision (the versions used are recorded in the file):

    /usr/bin/python3 scripts/gen_vision_golden.py

Pictures are random noise over a gradient, so that every weight of the filter shows. Each case has the input pixels and,
as base64,

  resize   Image.resize((w, h), BILINEAR or BICUBIC)
  grey     Image.convert("L")
  orient   a JPEG with an EXIF orientation, opened and turned by ImageOps.exif_transpose
  recipe   torchvision's Resize, CenterCrop, ToTensor and Normalize, float32
  caffe    torchvision's Resize, CenterCrop, then Keras' means subtracted, float32
"""

import base64
import io
import json
import os
import platform

import numpy as np
import PIL
import torchvision
from PIL import Image, ImageOps
from torchvision import transforms


def text(array):
    return base64.b64encode(array.tobytes()).decode()


def picture(rng, w, h, channels):
    y, x, c = np.mgrid[0:h, 0:w, 0:channels]
    ramp = 255 * (x / max(w - 1, 1) * 0.5 + y / max(h - 1, 1) * 0.3 + c * 0.1)
    noise = rng.integers(-120, 120, (h, w, channels))
    return np.clip(ramp + noise, 0, 255).astype(np.uint8)


def image(pixels):
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def samples(pixels):
    h, w, c = pixels.shape
    return {"w": w, "h": h, "channels": c, "pix": text(pixels)}


def recipe(size, crop):
    return transforms.Compose([
        transforms.Resize(size), transforms.CenterCrop(crop), transforms.ToTensor(),
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ])


def caffe(size, crop):
    return transforms.Compose([
        transforms.Resize(size), transforms.CenterCrop(crop), transforms.PILToTensor(),
        transforms.Lambda(lambda x: x.float()), transforms.Normalize([123.68, 116.779, 103.939], [1, 1, 1]),
    ])


def main():
    rng = np.random.default_rng(20261123)
    golden = {
        "generator": "scripts/gen_vision_golden.py",
        "versions": {"python": platform.python_version(), "pillow": PIL.__version__,
                     "torchvision": torchvision.__version__, "numpy": np.__version__},
        "resize": [],
        "grey": [],
        "orient": [],
        "recipe": [],
        "caffe": [],
    }
    for w, h, channels, sizes in [
        (37, 23, 3, [(16, 9), (37, 9), (16, 23), (37, 23), (74, 46), (5, 50), (1, 1)]),
        (60, 41, 1, [(32, 21), (13, 41), (59, 40), (61, 42), (2, 3)]),
        (1, 40, 3, [(4, 7), (1, 13)]),
        (5, 1, 1, [(11, 3)]),
        (1, 1, 3, [(6, 5)]),
    ]:
        pixels = picture(rng, w, h, channels)
        out = []
        for size in sizes:
            for name, how in [("bilinear", Image.BILINEAR), ("bicubic", Image.BICUBIC)]:
                made = np.asarray(image(pixels).resize(size, how)).reshape(size[1], size[0], channels)
                out.append({"filter": name, **samples(made)})
        golden["resize"].append({"in": samples(pixels), "out": out})

    pixels = picture(rng, 31, 17, 3)
    golden["grey"].append({"in": samples(pixels), "out": samples(np.asarray(image(pixels).convert("L"))[:, :, None])})

    flat = picture(rng, 3, 2, 1).repeat(8, axis=0).repeat(8, axis=1)  # a colour for each of JPEG's blocks
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        file = io.BytesIO()
        image(flat).save(file, "JPEG", quality=95, exif=exif)
        upright = np.asarray(ImageOps.exif_transpose(Image.open(file)))[:, :, None]
        golden["orient"].append({"file": base64.b64encode(file.getvalue()).decode(), "out": samples(upright)})

    # Odd and even rests of the crop, both orientations, scaling up, a grey picture.
    for w, h, channels, size, crop in [(60, 41, 3, 16, 14), (41, 60, 3, 16, 14), (17, 16, 3, 16, 14), (35, 36, 3, 16, 14),
                                       (10, 7, 1, 8, 7)]:
        pixels = picture(rng, w, h, channels)
        for name, make in [("recipe", recipe), ("caffe", caffe)]:
            made = make(size, crop)(image(pixels).convert("RGB")).numpy()
            golden[name].append({"in": samples(pixels), "crop": crop, "resize": size, "out": text(made)})
    write("golden.json", golden)


def write(name, golden):
    path = os.path.join(os.path.dirname(__file__), "..", "vision", "testdata", name)
    with open(path, "w") as f:
        json.dump(golden, f, indent=1)
        f.write("\n")


main()
