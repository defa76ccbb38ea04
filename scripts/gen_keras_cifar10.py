#!/usr/bin/python3
"""Writes weights/testdata/keras/vggbn-cifar10.txt: the classes that a trained Keras network sees in CIFAR-10's test pictures.

The weights are read by h5py and run by PyTorch, layer by layer as the file's model_config lists them; the pictures are those of
cifar10-png.tar.gz in the order of their paths, samples scaled to 0..1. Needs Debian's python3-h5py, python3-torch and python3-pil.

  VGGO_TESTDATA=... /usr/bin/python3 scripts/gen_keras_cifar10.py
"""
import io
import json
import os
import tarfile

import h5py
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

root = os.environ["VGGO_TESTDATA"]
out = os.path.join(os.path.dirname(__file__), "..", "weights", "testdata", "keras", "vggbn-cifar10.txt")


def pictures():
    found = {}
    with tarfile.open(os.path.join(root, "cifar10-png.tar.gz")) as tar:
        for member in tar:
            at = member.name.find("test/")
            if member.isfile() and at >= 0 and member.name.endswith(".png"):
                found[member.name[at:]] = np.asarray(Image.open(io.BytesIO(tar.extractfile(member).read())).convert("RGB"))
    names = sorted(found)
    return names, np.stack([found[n] for n in names])


def run(h, x):
    weights = h["model_weights"]
    get = lambda layer, name: torch.from_numpy(weights[layer][layer][name + ":0"][()])
    for layer in json.loads(h.attrs["model_config"])["config"]["layers"]:
        kind, c = layer["class_name"], layer["config"]
        name = c["name"]
        if kind == "Conv2D":
            assert c["padding"] == "same" and c["strides"] == [1, 1]
            x = F.conv2d(x, get(name, "kernel").permute(3, 2, 0, 1), get(name, "bias"), padding=c["kernel_size"][0] // 2)
        elif kind == "BatchNormalization":
            x = F.batch_norm(x, get(name, "moving_mean"), get(name, "moving_variance"), get(name, "gamma"), get(name, "beta"), eps=c["epsilon"])
        elif kind == "MaxPooling2D":
            assert c["padding"] == "valid"
            x = F.max_pool2d(x, c["pool_size"], c["strides"])
        elif kind == "Flatten":
            x = x.permute(0, 2, 3, 1).reshape(len(x), -1)
        elif kind == "Dense":
            x = x @ get(name, "kernel") + get(name, "bias")
        else:
            assert kind in ("Dropout", "InputLayer"), kind
        if c.get("activation") == "relu":
            x = F.relu(x)
        else:
            assert c.get("activation") in (None, "linear", "softmax")
    return x


def main():
    names, images = pictures()
    labels = sorted({n.split("/")[1] for n in names})
    truth = np.array([labels.index(n.split("/")[1]) for n in names])
    with h5py.File(os.path.join(root, "weights", "keras", "vggbn-cifar10.h5"), "r") as h, torch.no_grad():
        for scale in (1 / 255, 1.0):
            x = torch.from_numpy(images.transpose(0, 3, 1, 2).astype(np.float32) * np.float32(scale))
            top = np.concatenate([run(h, x[i : i + 500]).argmax(1).numpy() for i in range(0, len(x), 500)])
            print(f"scale {scale}: {(top == truth).mean():.4f} of {len(x)}")
            if scale == 1 / 255:
                with open(out, "w") as f:
                    for i in range(0, len(top), 100):
                        f.write("".join(map(str, top[i : i + 100])) + "\n")


main()
