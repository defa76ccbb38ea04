#!/usr/bin/python3
"""Writes weights/testdata/torch: the small network of gen_keras.py as PyTorch and NumPy save it, and what PyTorch makes of
Fashion-MNIST with a trained TinyVGG.

Needs Debian's python3-torch and python3-h5py (gen_keras.py imports it):

  VGGO_TESTDATA=... /usr/bin/python3 scripts/gen_torch.py

  /usr/bin/python3 scripts/gen_torch.py vgg16 FOLDER

writes full-size files with random values, under torchvision's names (zip and old format) and timm's (safetensors); the classes are
torchvision's own, from Debian's python3-torchvision.
"""
import gzip
import json
import os
import struct
import sys

import numpy as np
import torch
from torch import nn

import gen_keras
from convert_tinyvgg import TinyVGG, write_safetensors

OUT = os.path.join(os.path.dirname(__file__), "..", "weights", "testdata", "torch")


class Small(nn.Module):
    def __init__(self, p):
        super().__init__()
        self.conv1, self.bn = nn.Conv2d(3, 5, 3, padding=1), nn.BatchNorm2d(5, eps=1e-3)
        self.conv2 = nn.Conv2d(5, 6, 3)
        self.dense1, self.dense2 = nn.Linear(72, 7), nn.Linear(7, 4)
        t = torch.from_numpy
        # Keras flattens H,W,C, PyTorch C,H,W
        dense1 = p["dense1"][0].reshape(4, 3, 6, 7).transpose(2, 0, 1, 3).reshape(72, 7)
        self.load_state_dict({
            "conv1.weight": t(p["conv1"][0].transpose(3, 2, 0, 1)), "conv1.bias": t(p["conv1"][1]),
            "bn.weight": t(p["bn"][0]), "bn.bias": t(p["bn"][1]), "bn.running_mean": t(p["bn"][2]), "bn.running_var": t(p["bn"][3]),
            "bn.num_batches_tracked": torch.tensor(7),
            "conv2.weight": t(p["conv2"][0].transpose(3, 2, 0, 1)), "conv2.bias": t(p["conv2"][1]),
            "dense1.weight": t(dense1.T), "dense1.bias": t(p["dense1"][1]), "dense2.weight": t(p["dense2"][0].T), "dense2.bias": t(p["dense2"][1]),
        })

    def forward(self, x):
        x = self.bn(self.conv1(x).relu())
        x = self.conv2(nn.functional.pad(x, (0, 1, 1, 0))).relu()
        x = nn.functional.max_pool2d(x, 2).flatten(1)
        return self.dense2(self.dense1(x).relu())


def small():
    net = Small(gen_keras.parameters()).eval()
    state = net.state_dict()
    path = lambda name: os.path.join(OUT, name)
    torch.save(state, path("zip.pth"))
    torch.save(state, path("legacy.pth"), _use_new_zipfile_serialization=False)
    # a training script's checkpoint, of a network in DataParallel
    optimiser = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
    sum(p.sum() for p in net.parameters()).backward()
    optimiser.step()
    state = Small(gen_keras.parameters()).state_dict()
    torch.save({"epoch": 3, "best": np.float64(0.9), "model": {"module." + k: v for k, v in state.items()}, "optimizer": optimiser.state_dict()}, path("checkpoint.pth"))
    # views: transposed, a part of a larger storage, shared
    views = {k: v.t().contiguous().t() if v.ndim == 2 else v.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2) if v.ndim == 4 else v for k, v in state.items()}
    pool = torch.cat([torch.zeros(3), views["conv1.bias"], views["conv2.bias"]])
    views["conv1.bias"], views["conv2.bias"] = pool[3:8], pool[8:]
    torch.save(views, path("views.pth"))
    torch.save(views, path("views-legacy.pth"), _use_new_zipfile_serialization=False)
    arrays = {k: v.numpy() for k, v in state.items() if k != "bn.num_batches_tracked"}
    np.savez(path("plain.npz"), **arrays)
    np.savez_compressed(path("compressed.npz"), **{k: np.asfortranarray(v.astype(">f8" if "dense" in k else "<f4")) for k, v in arrays.items()})
    write_safetensors(path("plain.safetensors"), arrays, {})
    torch.onnx.export(Small(gen_keras.parameters()).eval(), torch.zeros(1, 3, gen_keras.H, gen_keras.W), path("small.onnx"), opset_version=13)
    fold_padding(path("small.onnx"))
    torch.save(Small(gen_keras.parameters()), path("module.pth"))  # a whole module, which is code


def fold_padding(path):
    """PyTorch 1.13 exports padding as a computation on a table of constants; this puts its result in its place."""
    import onnx

    model = onnx.load(path)
    nodes = model.graph.node
    pad = next(n for n in nodes if n.op_type == "Pad")
    model.graph.initializer.append(onnx.helper.make_tensor("pads", onnx.TensorProto.INT64, [8], [0, 0, 1, 0, 0, 0, 0, 1]))
    pad.input[1] = "pads"
    used = True
    while used:
        wanted = {i for n in nodes for i in n.input} | {o.name for o in model.graph.output}
        used = [n for n in nodes if not any(o in wanted for o in n.output)]
        for n in used:
            nodes.remove(n)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def fashion():
    root = os.environ["VGGO_TESTDATA"]
    with gzip.open(os.path.join(root, "fashion-mnist", "t10k-images-idx3-ubyte.gz")) if os.path.exists(os.path.join(root, "fashion-mnist", "t10k-images-idx3-ubyte.gz")) else open(os.path.join(root, "fashion-mnist", "t10k-images-idx3-ubyte"), "rb") as f:
        _, n, h, w = struct.unpack(">4i", f.read(16))
        images = torch.from_numpy(np.frombuffer(f.read(), np.uint8).reshape(n, 1, h, w).astype(np.float32) / 255)
    net = TinyVGG().eval()
    net.load_state_dict(torch.load(os.path.join(root, "weights", "pytorch", "tinyvgg-fashionmnist.pth")))
    with torch.no_grad(), open(os.path.join(OUT, "tinyvgg-fashionmnist.txt"), "w") as f:
        for i in range(0, n, 100):
            f.write("".join(str(int(c)) for c in net(images[i : i + 100]).argmax(1)) + "\n")


def tensors():
    """The values of the small files of tensors there, as torch.load reads them."""
    folder, golden = os.path.join(os.environ["VGGO_TESTDATA"], "weights", "pytorch", "tensors"), {}
    for name in sorted(os.listdir(folder)):
        if not name.endswith((".pt", ".pth")):
            continue
        found = golden[name] = {}

        def walk(v, path):
            if isinstance(v, torch.Tensor):
                found[path or "tensor"] = {"shape": list(v.shape), "values": v.reshape(-1).float().tolist()}
            elif isinstance(v, dict):
                v = v.get("model_state_dict", v)
                for k, w in v.items():
                    walk(w, f"{path}.{k}".lstrip("."))
            elif isinstance(v, (list, tuple)):
                for i, w in enumerate(v):
                    walk(w, f"{path}.{i}".lstrip("."))

        walk(torch.load(os.path.join(folder, name)), "")
    with open(os.path.join(OUT, "tensors.json"), "w") as f:
        json.dump(golden, f)


def vgg16(folder):
    import torchvision

    net = torchvision.models.vgg16()
    state = net.state_dict()
    torch.save(state, os.path.join(folder, "vgg16.pth"))
    torch.save(state, os.path.join(folder, "vgg16-legacy.pth"), _use_new_zipfile_serialization=False)
    # timm/models/vgg.py: ConvMlp pre_logits of a 7x7 and a 1x1 convolution, then head.fc
    timm = {"classifier.0": ("pre_logits.fc1", (4096, 512, 7, 7)), "classifier.3": ("pre_logits.fc2", (4096, 4096, 1, 1)), "classifier.6": ("head.fc", (1000, 4096))}
    arrays = {}
    for name, v in state.items():
        module, kind = name.rsplit(".", 1)
        if module in timm:
            module, shape = timm[module]
            v = v.reshape(shape) if kind == "weight" else v
        arrays[module + "." + kind] = v.numpy()
    write_safetensors(os.path.join(folder, "vgg16.tv_in1k.safetensors"), arrays, {"format": "pt"})


if __name__ == "__main__":
    if sys.argv[1:2] == ["vgg16"]:
        vgg16(sys.argv[2])
        sys.exit()
    os.makedirs(OUT, exist_ok=True)
    torch.manual_seed(1)
    small()
    fashion()
    tensors()
