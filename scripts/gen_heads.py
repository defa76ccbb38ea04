#!/usr/bin/env python3
"""Writes perceptual/heads from the published weights of LPIPS and DISTS (perceptual/heads/README.md names both):

    scripts/gen_heads.py DIR

DIR holds vgg-v0.1.pth and alex-v0.1.pth (lpips/weights/v0.1/vgg.pth and alex.pth) and dists-weights.pt (weights.pt).
Values are kept as they are; only the container changes, to safetensors. Needs PyTorch.
"""
import json, pathlib, struct, sys

import torch

OUT = pathlib.Path(__file__).parent.parent / "perceptual" / "heads"


def write(name, tensors):
    head, data = {}, b""
    for key, t in tensors.items():
        raw = t.to(torch.float32).contiguous().numpy().astype("<f4").tobytes()
        head[key] = {"dtype": "F32", "shape": [t.numel()], "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(head, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    (OUT / name).write_bytes(struct.pack("<Q", len(text)) + text + data)


def main(folder):
    for name in "vgg", "alex":
        state = torch.load(folder / f"{name}-v0.1.pth", map_location="cpu")
        write(f"lpips-v0.1-{name}.safetensors",
              {f"lin{i}": state[f"lin{i}.model.1.weight"].flatten() for i in range(5)})
    state = torch.load(folder / "dists-weights.pt", map_location="cpu")
    write("dists.safetensors", {key: state[key].flatten() for key in ("alpha", "beta")})


main(pathlib.Path(sys.argv[1]))
