"""Times VGG-16 forward, or forward-backward of sum(logits²)/2 with dropout on, in PyTorch.
usage: torch_bench.py forward|forward-backward BATCH STEPS BURN_IN THREADS"""
import json
import re
import sys
import time

import torch
import torchvision

mode = sys.argv[1]
batch, steps, burn_in, threads = map(int, sys.argv[2:6])
torch.set_num_threads(threads)
torch.manual_seed(0)
model = torchvision.models.vgg16(weights=None).train(mode != "forward")
images = torch.randn(batch, 3, 224, 224) * 0.1


def step():
    if mode == "forward":
        with torch.inference_mode():
            model(images)
    else:
        model.zero_grad(set_to_none=True)
        (model(images).square().sum() / 2).backward()


def peak_bytes():
    """The most resident memory the process had (proc(5)); 0 where the system does not tell."""
    try:
        with open("/proc/self/status") as status:
            return int(re.search(r"VmHWM:\s*(\d+) kB", status.read())[1]) * 1024
    except (OSError, TypeError):
        return 0


seconds = []
for i in range(burn_in + steps):
    start = time.perf_counter()
    step()
    if i >= burn_in:
        seconds.append(time.perf_counter() - start)
versions = {"pytorch": torch.__version__, "torchvision": torchvision.__version__}
print(json.dumps({"versions": versions, "seconds": seconds, "peak_bytes": peak_bytes()}))
