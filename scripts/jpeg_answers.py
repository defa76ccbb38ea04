#!/usr/bin/python3
"""Counts how often a network answers otherwise because vggo decodes a JPEG a rounding away from Pillow.

Run with Debian's python3, python3-pil and python3-numpy, Go, and VGGO_TESTDATA naming the test data:

    VGGO_TESTDATA=... /usr/bin/python3 scripts/jpeg_answers.py

CIFAR-10's 10,000 test pictures become JPEGs (Pillow, quality 90, 4:2:0), which vggo decodes itself, and PNGs of what Pillow decodes
of these JPEGs. The Keras network of the test data answers for both, and so it does for the photographs and PNGs of what
Pillow makes of them. Samples are compared by `vggo features` on a network whose first layer passes them on. The margin is how
much more probable the first class is than the second.
"""

import io
import json
import os
import platform
import subprocess
import sys
import tarfile
import tempfile

import numpy
import PIL
import PIL.features
from PIL import Image, ImageOps

DATA = os.environ.get("VGGO_TESTDATA") or sys.exit("VGGO_TESTDATA is not set")
ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
WEIGHTS = os.path.join(DATA, "weights", "keras", "vggbn-cifar10.h5")


def vggo(work, *args):
    return subprocess.run([os.path.join(work, "vggo"), *args], check=True, stdout=subprocess.PIPE).stdout


def cifar(work):
    """Writes the pictures to jpeg/ and png/ in work, and returns their classes, which the network numbers as the folders are sorted."""
    classes = []
    with tarfile.open(os.path.join(DATA, "cifar10-png.tar.gz")) as archive:
        for member in archive:
            if not (member.isfile() and member.name.startswith("test/")):
                continue
            file = io.BytesIO()
            Image.open(archive.extractfile(member)).convert("RGB").save(file, "JPEG", quality=90, subsampling="4:2:0")
            with open(os.path.join(work, "jpeg", f"{len(classes):05}.jpg"), "wb") as f:
                f.write(file.getvalue())
            Image.open(file).save(os.path.join(work, "png", f"{len(classes):05}.png"), compress_level=1)
            classes.append(member.name.split("/")[1])
    return [sorted(set(classes)).index(c) for c in classes]


def photos(work):
    folder = os.path.join(DATA, "photos")
    for name in sorted(os.listdir(folder)):
        base, ending = os.path.splitext(name)
        if ending in (".jpg", ".bmp"):
            os.symlink(os.path.join(folder, name), os.path.join(work, "jpeg", name))
            picture = Image.open(os.path.join(folder, name))
            ImageOps.exif_transpose(picture).convert("RGB").save(os.path.join(work, "png", base + ".png"), compress_level=1)


def answers(work, folder):
    files = sorted(os.listdir(os.path.join(work, folder)))
    out = json.loads(vggo(work, "classify", *(os.path.join(work, folder, f) for f in files), "--json", "--top", "5", "--weights", WEIGHTS))
    return [[c["class"] for c in p["classes"]] for p in out["pictures"]], [p["classes"][0]["probability"] - p["classes"][1]["probability"] for p in out["pictures"]]


def samples(work, files, side):
    """The samples of files of one size (height, width), as vggo decodes them."""
    net, out = os.path.join(work, "net.json"), os.path.join(work, "samples.npy")
    with open(net, "w") as f:
        json.dump({"name": "samples", "input": f"{side[0]}x{side[1]}x3", "layers": [
            {"name": "samples", "op": "relu"}, {"name": "mean", "op": "globalavgpool"}, {"name": "fc", "op": "linear", "out": 2}]}, f)
    vggo(work, "features", *files, "--model", net, "--random-weights", "--recipe", "unit", "--layer", "samples", "-o", out, "--restart")
    return numpy.rint(numpy.load(out).transpose(0, 2, 3, 1) * 255).astype(numpy.int16)


def compare(what, make):
    with tempfile.TemporaryDirectory() as work:
        subprocess.run(["go", "build", "-o", os.path.join(work, "vggo"), "./cmd/vggo"], cwd=ROOT, check=True)
        os.mkdir(os.path.join(work, "jpeg"))
        os.mkdir(os.path.join(work, "png"))
        classes = make(work)
        (ours, margins), (pillows, _) = answers(work, "jpeg"), answers(work, "png")
        pairs = list(zip(ours, pillows))
        count = lambda differ: sum(1 for a, b in pairs if differ(a, b))
        worst, total, equal, of = 0, 0.0, 0, 0
        by_size = {}
        for a, b in zip(*(sorted(os.listdir(os.path.join(work, f))) for f in ("jpeg", "png"))):
            picture = Image.open(os.path.join(work, "png", b))
            by_size.setdefault((picture.height, picture.width), []).append((os.path.join(work, "jpeg", a), picture.filename))
        for side, files in by_size.items():
            for i in range(0, len(files), 1000):
                part = files[i : i + 1000]
                d = numpy.abs(samples(work, [a for a, _ in part], side) - numpy.stack([numpy.asarray(Image.open(b), numpy.int16) for _, b in part]))
                worst, total, equal, of = max(worst, int(d.max())), total + float(d.sum()), equal + int((d == 0).sum()), of + d.size
    print(f"{what}: {len(pairs)} pictures; top-1 differs in {count(lambda a, b: a[0] != b[0])}, the set of the top 5 in "
          f"{count(lambda a, b: set(a) != set(b))}, its order alone in {count(lambda a, b: set(a) == set(b) and a != b)}; "
          f"samples by {worst} of 255 at most, {total / of:.4f} in the mean, equal {100 * equal / of:.2f} %")
    changed = sorted(m for m, (a, b) in zip(margins, pairs) if a[0] != b[0])
    if changed:
        print(f"  margin where top-1 differs: {100 * changed[len(changed) // 2]:.2f} % in the median, {100 * changed[-1]:.2f} % at most")
    if classes:
        right = [sum(a[0] == c for a, c in zip(answer, classes)) for answer in (ours, pillows)]
        print(f"  right: {right[0]} as vggo decodes, {right[1]} as Pillow does")


print(f"Pillow {PIL.__version__}, libjpeg-turbo {PIL.features.version('libjpeg_turbo')}, Python {platform.python_version()}, "
      f"{subprocess.run(['go', 'version'], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()}")
compare("CIFAR-10's test pictures as JPEGs of quality 90, 4:2:0", cifar)
compare("the photographs", photos)
