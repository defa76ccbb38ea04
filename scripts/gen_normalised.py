#!/usr/bin/python3
"""Writes weights/testdata/normalised: AdaIN's and WCT's encoder (naoto0804/pytorch-AdaIN, net.py) with few channels, as its
state_dict, a whole module, a TorchScript archive and ONNX, a picture of odd sides, and what PyTorch makes of it.

Needs Debian's python3-torch and python3-pil:

  /usr/bin/python3 scripts/gen_normalised.py
"""
import os

import numpy as np
import torch
from PIL import Image
from torch import nn

OUT = os.path.join(os.path.dirname(__file__), "..", "weights", "testdata", "normalised")
WIDTHS = [4, 4, "M", 6, 6, "M", 8, 8, 8, 8, "M", 10, 10, 10, 10, "M", 10, 10, 10, 10]
H, W = 29, 21
KEPT = {"relu1_1": 3, "relu2_1": 10, "relu3_1": 17, "relu4_1": 30, "relu5_4": 52}


def network():
    layers, channels = [nn.Conv2d(3, 3, 1)], 3
    # as the published file has it: 255 times, blue first, less the mean
    layers[0].weight.data = torch.tensor([[0.0, 0, 255], [0, 255, 0], [255, 0, 0]])[:, :, None, None]
    layers[0].bias.data = torch.tensor([-103.939, -116.779, -123.68])
    for width in WIDTHS:
        if width == "M":
            layers.append(nn.MaxPool2d((2, 2), (2, 2), (0, 0), ceil_mode=True))
            continue
        conv = nn.Conv2d(channels, width, (3, 3))
        nn.init.kaiming_normal_(conv.weight)
        layers += [nn.ReflectionPad2d((1, 1, 1, 1)), conv, nn.ReLU()]
        channels = width
    return nn.Sequential(*layers).eval()


def main():
    os.makedirs(OUT, exist_ok=True)
    torch.manual_seed(3)
    path = lambda name: os.path.join(OUT, name)
    net = network()
    torch.save(net.state_dict(), path("vgg_normalised.pth"))
    torch.save(net, path("module.pth"))
    torch.jit.save(torch.jit.script(net), path("script.pt"))
    pixels = np.random.default_rng(3).integers(0, 256, (H, W, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path("picture.png"))
    x = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    torch.onnx.export(net, x, path("normalised.onnx"), opset_version=13)
    made = {}
    y = x.double()
    with torch.no_grad():
        for i, layer in enumerate(net.double()):
            y = layer(y)
            for name, at in KEPT.items():
                if i == at:
                    made[name] = y.float().numpy()
    np.savez(path("expected.npz"), **made)


if __name__ == "__main__":
    main()
