#!/usr/bin/env python3
"""Built-in networks take 30 steps of the shipped recipes on real pictures, beside PyTorch.

    VGGO_TESTDATA=... /usr/bin/python3 scripts/steps_table.py VGGO FOLDER [NETWORK...] > steps-table.md

VGGO is the program, FOLDER takes the pictures, what the runs leave, and each finished row, so that a table can be gone on with.
Both have a batch of the same 12 pictures of CIFAR-10's test set in each step, no augmentation and no dropout; PyTorch (1.13 of
Debian 12) begins with the weights of vggo's first checkpoint, takes the rates of its metrics, which Polyak's bound has lowered,
as the share of each step's gradients that counts, and otherwise is torch.optim.SGD.
The table of all networks by themselves: go test ./train -run WholeSteps -steps.whole all
"""
import json, os, shutil, struct, subprocess, sys, tarfile

import numpy as np
import torch
from PIL import Image

CLASSES = ("airplane", "cat", "ship")
BESIDE = ["vgg11", "vgg11-bn", "vgg16-bn", "vgg11-cifar", "vgg16-cifar-bn", "tinyvgg-food", "alexnet-torchvision"]


def pictures(folder):
    """Lays out 4 pictures of each class."""
    if os.path.isdir(folder):
        return
    with tarfile.open(os.path.join(os.environ["VGGO_TESTDATA"], "cifar10-png.tar.gz")) as tar:
        seen = {}
        for m in tar:
            part = m.name.split("/")
            if m.isfile() and part[0] == "test" and part[1] in CLASSES and seen.get(part[1], 0) < 4:
                seen[part[1]] = seen.get(part[1], 0) + 1
                os.makedirs(os.path.join(folder, part[1]), exist_ok=True)
                with open(os.path.join(folder, part[1], part[2]), "wb") as f:
                    f.write(tar.extractfile(m).read())


def losses(run):
    """The losses in a run's metrics, a line for each step, and the rates."""
    try:
        lines = [json.loads(line) for line in open(os.path.join(run, "metrics.jsonl")) if line.endswith("\n")]
    except FileNotFoundError:
        return [], []
    lines = [m for m in lines if "training" in m]
    return [m["training"]["loss"] for m in lines], [m["rate"] for m in lines]


def train(vggo, folder, args, steps=30):
    """Trains for so many steps."""
    run = os.path.join(folder, "run")
    shutil.rmtree(run, ignore_errors=True)
    done = subprocess.run([vggo, "train", *args, "-o", run, "--set", "checkpoint.every=1000"], stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True)
    values, rates = losses(run)
    return values[:steps], rates[:steps], "" if len(values) >= steps else (done.stderr.strip().splitlines() or ["?"])[0]


def read(path):
    """A safetensors file: its tensors and its notes."""
    with open(path, "rb") as f:
        n, = struct.unpack("<Q", f.read(8))
        head = json.loads(f.read(n))
        data = f.read()
    notes = head.pop("__metadata__")
    return {k: np.frombuffer(data[v["data_offsets"][0]:v["data_offsets"][1]], "<f4").reshape(v["shape"]) for k, v in head.items()}, notes


def pair(v, default):
    if v is None:
        v = default
    return tuple(int(x) for x in v.split("x")) if isinstance(v, str) else (v, v)


def forward(layers, p, state, x):
    import torch.nn.functional as F
    for l in layers:
        op, name = l["op"], l["name"]
        if op == "conv":
            x = F.conv2d(x, p[name + "/w"], p.get(name + "/b"), pair(l.get("stride"), 1), pair(l.get("pad"), 0),
                         pair(l.get("dilation"), 1), l.get("groups", 1))
        elif op == "relu":
            x = F.relu(x)
        elif op == "maxpool":
            x = F.max_pool2d(x, pair(l["kernel"], 2), pair(l.get("stride"), 1), pair(l.get("pad"), 0), ceil_mode=l.get("ceil", False))
        elif op == "batchnorm":
            x = F.batch_norm(x, None, None, p[name + "/gamma"], p[name + "/beta"], True, 0, l.get("eps", 1e-5))
        elif op == "adaptiveavgpool":
            x = F.adaptive_avg_pool2d(x, pair(l["to"], 7))
        elif op == "flatten":
            x = x.flatten(1)
        elif op == "linear":
            x = F.linear(x, p[name + "/w"], p.get(name + "/b"))
        elif op not in ("dropout", "softmax"):
            raise ValueError("no " + op)
    return x


def prepared(path, of, h, w):
    """A picture as vggo.preprocess says, for what scales both sides alike: CIFAR's pictures are square."""
    im = Image.open(path).convert("RGB")
    side = int(of["resize"].split()[-1].split("x")[0])
    im = im.resize((side, side), Image.BILINEAR)
    left, top = (side - w) // 2, (side - h) // 2
    return (np.asarray(im.crop((left, top, left + w, top + h)), np.float32) / np.float32(of["scale"])
            - np.array(of["mean"], np.float32)) / np.array(of["std"], np.float32)


def beside(vggo, folder, net, recipe):
    data = os.path.join(folder, "twelve")
    args = [data, "--recipe", recipe, "--model", net, "--batch", "12", "--epochs", "30", "--set", "keep=1", "--set", "accumulate=1",
            "--set", "augment={crop: '', flip: '', colour: 0}", "--set", "schedule.kind=constant", "--set", "schedule.patience=0"]
    ours, rates, fault = train(vggo, folder, args)
    if fault:
        return ours, [], fault
    tensors, notes = read(os.path.join(folder, "run", "step-000000000.safetensors"))
    described = json.loads(notes["vggo.network"])
    text, of = notes["vggo.train.recipe"], json.loads(notes["vggo.preprocess"])
    import yaml
    r = yaml.safe_load(text)
    h, w = (int(x) for x in described["input"].split("x")[:2])
    names = sorted(os.listdir(data))
    files = [(c, os.path.join(data, n, f)) for c, n in enumerate(names) for f in sorted(os.listdir(os.path.join(data, n)))]
    x = torch.tensor(np.stack([prepared(f, of, h, w) for _, f in files])).permute(0, 3, 1, 2).contiguous()
    y = torch.tensor([c for c, _ in files])
    kept = {k: torch.tensor(v) for k, v in tensors.items() if not k.startswith(("optimiser/", "mean/"))}
    p = {k: v.requires_grad_() for k, v in kept.items() if k.split("/")[1] in ("w", "b", "gamma", "beta")}
    o = r["optimiser"]
    first = [l["name"] for l in described["layers"] if l["op"] in ("conv", "linear")][0] + "/w"
    spread = 0.25 * 255 / of["scale"] / min(of["std"])  # the first layer's rate, where init.level is on
    shares = {k: min(1, 1 / spread ** 2) if k == first and r["init"].get("level") else 1 for k in p}
    sgd = torch.optim.SGD([{"params": [v], "share": shares[k]} for k, v in p.items()], lr=1, momentum=o["momentum"],
                          weight_decay=o["decay"], nesterov=o.get("nesterov", False))
    theirs = []
    for rate in rates:
        sgd.zero_grad()
        loss = torch.nn.functional.cross_entropy(forward(described["layers"], p, kept, x), y)
        theirs.append(loss.item())
        loss.backward()
        if r.get("clip"):
            torch.nn.utils.clip_grad_norm_(list(p.values()), r["clip"])
        share = rate / o["rate"]  # of this step's gradients, and of decay
        for g in sgd.param_groups:
            g["lr"], g["weight_decay"] = o["rate"] * g["share"], o["decay"] * share
            for v in g["params"]:
                v.grad *= share
        sgd.step()
    return ours, theirs, ""


def ends(values):
    return np.mean(values[:5]), np.mean(values[-5:])


def main():
    vggo, folder = sys.argv[1:3]
    os.makedirs(folder, exist_ok=True)
    pictures(os.path.join(folder, "twelve"))
    kept = os.path.join(folder, "rows.json")
    rows = json.load(open(kept)) if os.path.exists(kept) else {}

    def row(key, make):
        if key not in rows:
            rows[key] = make()
            json.dump(rows, open(kept, "w"))
            print(key, rows[key], file=sys.stderr, flush=True)
        print(rows[key], flush=True)

    only = sys.argv[3:]
    beside_them = [n for n in BESIDE if not only or n in only]
    print("| network | recipe | batch | step 1 | PyTorch | mean of 1 to 5 | PyTorch | mean of 26 to 30 | PyTorch | falls |\n|---|---|---:|---:|---:|---:|---:|---:|---:|---|")
    for recipe in ("plain", "paper"):
        for net in beside_them:
            def make():
                ours, theirs, fault = beside(vggo, folder, net, recipe)
                if fault:
                    return "| %s | %s | 12 | %s |" % (net, recipe, fault)
                pairs = zip((ours[0], *ends(ours)), (theirs[0], *ends(theirs)))
                falls = "yes" if ends(ours)[1] < ends(ours)[0] else "no"
                return "| %s | %s | 12 | %s | %s |" % (net, recipe, " | ".join("%.5f | %.5f" % p for p in pairs), falls)
            row("beside " + net + " " + recipe, make)


if __name__ == "__main__":
    main()
