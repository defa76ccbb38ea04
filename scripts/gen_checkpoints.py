#!/usr/bin/python3
"""Writes weights/testdata/checkpoints: the parameters of 8x8x3:2,M,2,M/3,2 as training scripts, wrappers and other programs save them.
Every parameter counts on from the one before it, so that a test knows all values; a second network's are zeros.

Needs Debian's python3-torch:

  /usr/bin/python3 scripts/gen_checkpoints.py
"""
import argparse
import collections
import datetime
import enum
import functools
import json
import os
import pathlib
import pickle
import struct
import types
import typing

import numpy as np
import torch
from torch import nn

OUT = os.path.join(os.path.dirname(__file__), "..", "weights", "testdata", "checkpoints")

shapes = {
    "features.0.weight": (2, 3, 3, 3), "features.0.bias": (2,), "features.3.weight": (2, 2, 3, 3), "features.3.bias": (2,),
    "classifier.0.weight": (3, 8), "classifier.0.bias": (3,), "classifier.3.weight": (2, 3), "classifier.3.bias": (2,),
}
plain, zeros, at = collections.OrderedDict(), collections.OrderedDict(), 0
for name, shape in shapes.items():
    n = int(np.prod(shape))
    plain[name] = torch.arange(at, at + n, dtype=torch.float32).reshape(shape)
    zeros[name] = torch.zeros(shape)
    at += n
features = collections.OrderedDict((k[9:], v) for k, v in plain.items() if k.startswith("features."))
classifier = collections.OrderedDict((k[11:], v) for k, v in plain.items() if k.startswith("classifier."))


class Config:
    def __init__(self):
        self.rate, self.path, self.hook = .1, pathlib.Path("x"), Mode.FIT


class Mode(enum.Enum):
    FIT = "fit"


class AttributeDict(dict):
    pass


class Module(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)


def save(name, value, **options):
    torch.save(value, os.path.join(OUT, name + ".pth"), **options)


def prefixed(prefix, state=plain):
    return collections.OrderedDict((prefix + k, v) for k, v in state.items())


def trained(optimiser):
    parameters = [nn.Parameter(v.clone()) for v in plain.values()]
    o = optimiser(parameters, lr=.1)
    for p in parameters:
        p.grad = torch.ones_like(p)
    o.step()
    return o


def pytorch():
    adam = trained(torch.optim.Adam)
    schedule = torch.optim.lr_scheduler.MultiStepLR(adam, [3, 6])
    save("scalars", {"net": plain, "acc": np.float64(3.5), "epoch": 1})
    save("adam", {"state_dict": plain, "best_prec1": torch.tensor(3.), "optimizer": adam.state_dict(), "scheduler": schedule.state_dict(),
                  "scaler": {"scale": 65536.}, "rng": torch.get_rng_state(), "numpy": np.random.get_state()})
    save("namespace", {"model": plain, "args": argparse.Namespace(device=torch.device("cpu"), dtype=torch.float32, path=pathlib.Path("x"), mode=Mode.FIT),
                       "config": Config(), "more": types.SimpleNamespace(size=torch.Size([1, 2]))})
    save("parameters", {"weights": collections.OrderedDict((k, nn.Parameter(v)) for k, v in plain.items())})
    save("containers", {"state_dict": plain, "set": {1, 2}, "frozen": frozenset([1]), "complex": 1j, "slice": slice(1, 2), "date": datetime.datetime(2020, 1, 1),
                        "span": datetime.timedelta(1), "default": collections.defaultdict(list, {"a": [1]}), "queue": collections.deque([1], maxlen=3),
                        "array": bytearray(b"abc"), "bytes": b"xyz", "range": range(3), "float32": np.float32(1), "ints": np.arange(3), "bool": np.bool_(True),
                        "text": np.array(["a", "bc"]), "big": 10**30, "class": Config, "counter": collections.Counter("aab")})
    for i, prefix in enumerate(["module.model.", "model._orig_mod.", "net.module.", "0.", "1.module.", "vgg.", "base_model.net.", "backbone.", "encoder.", "network."]):
        save(f"prefix{i}", prefixed(prefix))
    save("features-module", {"module." + k.replace("features.", "features.module."): v for k, v in plain.items()})
    save("backbone", {("backbone." if k.startswith("features.") else "") + k: v for k, v in plain.items()})
    save("fsdp", {"model": prefixed("_fsdp_wrapped_module."), "optimizer": {"state": {k: {"exp_avg": v, "step": torch.tensor(1.)} for k, v in zeros.items()}, "param_groups": []}})
    save("optimiser", {"model": plain, "optim_state": {k: {"m": v} for k, v in zeros.items()}})
    save("nested", {"features": features, "classifier": classifier, "epoch": 3, "optimizer": adam.state_dict()})
    save("deep", {"checkpoint": {"run": {"model": prefixed("module."), "step": 3}}})
    save("lightning", {"state_dict": {**prefixed("model."), "criterion.weight": torch.ones(4), "train_acc.correct": torch.tensor(1)},
                       "callbacks": {"x": {"best_model_score": torch.tensor(1.)}}, "hyper_parameters": AttributeDict(rate=.1)})
    save("dict-class", {"state_dict": AttributeDict(plain)})
    save("half", {"state_dict": {k: v.half() for k, v in plain.items()}})
    save("numpy", {"state_dict": {k: v.numpy() for k, v in plain.items()}, "best": np.float32(1)})
    save("legacy", {"state_dict": prefixed("module."), "optimizer": adam.state_dict(), "best": torch.tensor(1.)}, _use_new_zipfile_serialization=False)
    # several networks
    save("average", {"model": plain, "model_ema": {**prefixed("module.", zeros), "n_averaged": torch.tensor(5)}, "epoch": 3})
    save("average-alone", {"model_ema": {**prefixed("module."), "n_averaged": torch.tensor(5)}, "epoch": 3})
    save("average-first", {"state_dict_ema": zeros, "state_dict": plain})
    save("momentum", {"momentum_encoder": zeros, "encoder": plain})
    save("average-flat", {**prefixed("ema.module.", zeros), "ema.n_averaged": torch.tensor(4), **prefixed("model.")})
    save("average-beside", {**plain, **prefixed("ema.", zeros)})
    save("average-undotted", {"state_dict": {**prefixed("model."), **{"model_ema." + k.replace(".", ""): v for k, v in zeros.items()}}})
    save("profiled", {**plain, "total_ops": torch.zeros(1, dtype=torch.float64), "features.0.total_params": torch.zeros(1, dtype=torch.float64)})
    optimiser = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=.1, momentum=.9)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=.1, total_steps=9)
    save("cycle", {"model_state_dict": plain, "scheduler_state_dict": cycle.state_dict()})
    save("partial", {"state_dict": prefixed("net."), "hyper_parameters": {
        "optimizer": functools.partial(torch.optim.Adam, lr=.1), "type": typing.Any, "act": torch.relu, "net": Module()}})
    nested = {"features.0.weight": "features.0.0.weight", "features.0.bias": "features.0.0.bias",
              "features.3.weight": "features.1.0.weight", "features.3.bias": "features.1.0.bias"}
    save("nested-blocks", {nested.get(k, k): v for k, v in plain.items()})
    save("shadow", {"model": plain, "ema": {"decay": .9, "num_updates": 3, "shadow_params": list(zeros.values()), "collected_params": []}})
    save("callback", {"state_dict": prefixed("net."), "callbacks": {"EMA": {"ema_state_dict": prefixed("net.", zeros), "steps": 3}}})
    save("best", {"best_state_dict": zeros, "state_dict": plain})
    save("teacher", {"teacher": zeros, "student": plain})
    save("ensemble", {"models": [plain, zeros]})
    save("figure", {"state_dict": plain, "confusion": torch.ones(4, 4)})
    save("loss", {"state_dict": plain, "criterion": nn.Linear(3, 3), "weighted": nn.CrossEntropyLoss()})
    save("perceptual", {**prefixed("model."), "loss.vgg.features.0.weight": torch.zeros(3, 3, 3, 3)})
    save("adversary", {"netG": {"main.0.weight": torch.zeros(9, 8, 4, 4), "main.1.weight": torch.zeros(8)}, "netD": plain})
    # names of their own
    names = iter(["stem", "body", "hidden", "out"])
    words = {k: next(names) for k in ["features.0", "features.3", "classifier.0", "classifier.3"]}
    save("words", collections.OrderedDict((words[k[:k.rindex(".")]] + k[k.rindex("."):], v) for k, v in plain.items()))
    save("heads", {k.replace("classifier.0", "fc.6").replace("classifier.3", "fc.7"): v for k, v in plain.items()})
    save("dropout-first", {k.replace("classifier.0", "classifier.1").replace("classifier.3", "classifier.4"): v for k, v in plain.items()})
    save("sequential", {k.replace("features.", "").replace("classifier.0", "7").replace("classifier.3", "10"): v for k, v in plain.items()})
    # refused
    save("other-pool", {k.replace("features.3", "features.2"): v for k, v in plain.items()})
    save("normalised", {**plain, "mean": torch.zeros(3)})
    save("classes", {k: torch.zeros(5, 3) if k == "classifier.3.weight" else torch.zeros(5) if k == "classifier.3.bias" else v for k, v in plain.items()})
    save("module", {"model": Module(), "epoch": 3})
    chain = lambda activation, pool: nn.Sequential(nn.Conv2d(3, 2, 3, padding=1), activation, pool, nn.Conv2d(2, 2, 3, padding=1),
                                                   nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 2))
    torch.manual_seed(1)
    save("../torch/modules", {"model": chain(nn.ELU(), nn.MaxPool2d(2)), "mean": chain(nn.ReLU(), nn.AvgPool2d(2)), "net": chain(nn.ReLU(), nn.MaxPool2d(2))})
    save("../torch/parallel", nn.DataParallel(chain(nn.ReLU(), nn.AvgPool2d(2))))
    save("quantised", {"state_dict": {**plain, "q": torch.quantize_per_tensor(torch.zeros(3, 3), .1, 0, torch.qint8)}})
    save("sparse", {"state_dict": {**plain, "q": torch.eye(3).to_sparse()}})


def safetensors(name, state):
    header, at, values = {}, 0, b""
    for k, v in state.items():
        raw = v.numpy().tobytes()
        header[k] = {"dtype": "F32", "shape": list(v.shape), "data_offsets": [at, at + len(raw)]}
        at, values = at + len(raw), values + raw
    text = json.dumps(header).encode()
    with open(os.path.join(OUT, name), "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + values)


def others():
    safetensors("prefix.safetensors", prefixed("_orig_mod.module."))
    safetensors("average.safetensors", {**prefixed("model_ema.", zeros), **prefixed("model.")})
    safetensors("fc.safetensors", {k.replace("classifier.0", "fc1").replace("classifier.3", "fc2"): v for k, v in plain.items()})
    safetensors("swapped-words.safetensors", {  # two weights of one shape whose order only words tell
        "b.weight": torch.zeros(2, 2, 3, 3), "a.weight": torch.zeros(2, 2, 3, 3), "b.bias": torch.zeros(2), "a.bias": torch.zeros(2)})
    path = lambda name: os.path.join(OUT, name)
    np.savez(path("prefix.npz"), **{k: v.numpy() for k, v in prefixed("module.").items()})
    np.savez_compressed(path("prefix-compressed.npz"), **{k: v.numpy() for k, v in prefixed("net.module.").items()})
    np.savez(path("underlines.npz"), **{k.replace(".", "_"): v.numpy() for k, v in plain.items()})
    w = [v.numpy() for v in plain.values()]
    hwio = lambda v: v.transpose(2, 3, 1, 0)
    fc6 = w[4].reshape(3, 2, 2, 2).transpose(2, 3, 1, 0).reshape(8, 3)  # reads its map in rows, columns, channels
    layers = [("conv1_1", hwio(w[0]), w[1]), ("conv2_1", hwio(w[2]), w[3]), ("fc6", fc6, w[5]), ("fc7", w[6].T.copy(), w[7])]
    np.savez(path("frossard.npz"), **{n + "_W": W for n, W, b in layers}, **{n + "_b": b for n, W, b in layers})
    np.savez(path("variables.npz"), **{n + "/weights": W for n, W, b in layers}, **{n + "/biases": b for n, W, b in layers})
    np.savez(path("keras-names.npz"), **{n.replace("conv", "block").replace("_1", "_conv1") + "/kernel": W for n, W, b in layers},
             **{n.replace("conv", "block").replace("_1", "_conv1") + "/bias": b for n, W, b in layers})
    np.savez(path("numbers.npz"), *[x for _, W, b in layers for x in (W, b)])
    np.savez(path("object.npz"), params={n: [W, b] for n, W, b in layers})
    np.save(path("lists.npy"), {n: [W, b] for n, W, b in layers})
    np.save(path("tuples.npy"), {n: (W, b) for n, W, b in layers})
    np.save(path("dicts.npy"), {n: {"weights": W, "biases": b} for n, W, b in layers})
    np.save(path("letters.npy"), {n: {"W": W, "b": b} for n, W, b in layers})
    np.save(path("indices.npy"), {n: {0: W, 1: b} for n, W, b in layers})
    np.save(path("list.npy"), np.array([x for _, W, b in layers for x in (W, b)], dtype=object))
    for protocol in 2, 5:
        with open(path(f"protocol{protocol}.pkl"), "wb") as f:
            pickle.dump({n: [np.asfortranarray(W), b.astype(">f4")] for n, W, b in layers}, f, protocol=protocol)
    with open(path("paddle.pdparams"), "wb") as f:
        pickle.dump({k: v.numpy() if v.dim() != 2 else v.numpy().T.copy() for k, v in plain.items()}, f, protocol=4)


os.makedirs(OUT, exist_ok=True)
torch.manual_seed(1)
np.random.seed(1)
pytorch()
others()
