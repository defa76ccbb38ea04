#!/usr/bin/python3
"""Writes weights/testdata/torchvision.json: the names and shapes in torchvision's state_dicts.

Run with Debian's python3 and python3-torchvision (the version used is recorded in the file):

    /usr/bin/python3 scripts/gen_torchvision_names.py
"""

import json
import os

import torchvision
from torchvision import models

# vggo's name → torchvision's
MODELS = {
    "vgg11": "vgg11", "vgg13": "vgg13", "vgg16": "vgg16", "vgg19": "vgg19",
    "vgg11-bn": "vgg11_bn", "vgg13-bn": "vgg13_bn", "vgg16-bn": "vgg16_bn", "vgg19-bn": "vgg19_bn",
    "alexnet-torchvision": "alexnet",
}


def main():
    lines = []
    for name, theirs in MODELS.items():
        state = getattr(models, theirs)().state_dict()
        lines.append(f"  {json.dumps(name)}: " + json.dumps({k: list(v.shape) for k, v in state.items()}))
    path = os.path.join(os.path.dirname(__file__), "..", "weights", "testdata", "torchvision.json")
    with open(path, "w") as f:
        f.write('{"generator": "scripts/gen_torchvision_names.py", "torchvision": %s, "models": {\n' %
                json.dumps(torchvision.__version__))
        f.write(",\n".join(lines) + "\n}}\n")


main()
