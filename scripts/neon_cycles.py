#!/usr/bin/env python3
"""Counts the cycles of the NEON kernels' loops with llvm-mca, for docs/kernels.md. No such processor is needed, and none is measured.

    scripts/neon_cycles.py [--llvm 22]

It builds the kernels' test binary for arm64, cuts each loop out of its disassembly and repeats it 100 times. llvm-mca knows what each
instruction takes of a processor's pipes and how long results take; it knows nothing of caches, so all loads hit the first. It tells which
scheduling model it uses by the names of the model's units: a processor without a model of its own has another's.
"""
import argparse
import math
import os
import re
import subprocess
import tempfile

PROCESSORS = ["neoverse-n1", "neoverse-n2", "neoverse-v1", "neoverse-v2", "cortex-a55"]
NAMED_ONLY = ["cortex-a76", "apple-m1", "apple-m4"]  # LLVM has another processor's model for these: no cycles of theirs are told

# Function, number of its loop, name, fused multiply-adds in it, times that it runs for a tile of 16 channels.
LOOPS = [
    ("peakNEON", 0, "peak", 24, 1),
    ("gemm6x16NEON", 0, "gemm6x16, depth side by side", 96, 1),
    ("gemm6x16NEON", 1, "gemm6x16, rows side by side", 96, 1),
    ("gemm6x16NEON", 2, "gemm6x16, neither", 24, 1),
    ("gemm3x16NEON", 0, "gemm3x16, depth side by side", 48, 1),
    ("gemm1x16NEON", 0, "gemm1x16, depth side by side", 16, 1),
    ("dot3x4NEON", 0, "dot3x4", 12, 1),
] + [("winograd%s%dNEON" % (way, tile), 0, "F(%dx%d) %s" % (tile, tile, way.lower()), 0, 4)  # a block has four vectors
     for tile in (2, 4, 6) for way in ("Input", "Output", "Grad")]


def run(*command, **options):
    return subprocess.run(command, check=True, text=True, capture_output=True, **options).stdout


def symbol(function):
    return "github.com/vggo/vggo/internal/kernel.%s.abi0" % function


def loop(objdump, binary, function, which):
    """The instructions of loop number `which`, counted by the backward branches that end them."""
    text = run(objdump, "-d", "--no-show-raw-insn", "--disassemble-symbols=" + symbol(function), binary)
    lines = []  # address, instruction
    for line in text.splitlines():
        m = re.match(r"\s*([0-9a-f]+):\s+(.*)", line)
        if m:
            lines.append((int(m[1], 16), m[2].replace("\t", " ").strip()))
            if m[2].strip() == "ret":
                break
    at = {address: i for i, (address, _) in enumerate(lines)}
    loops = []
    for i, (_, instruction) in enumerate(lines):
        m = re.match(r"(?:b\.\w+|cbnz?|cbz|tbn?z|b) .*?0x([0-9a-f]+)", instruction)
        if m and at.get(int(m[1], 16), i + 1) <= i:
            loops.append((at[int(m[1], 16)], i))
    begin, end = loops[which]
    body = [re.sub(r"0x[0-9a-f]+ <.*", "again", instruction) for _, instruction in lines[begin:end + 1]]
    return ["again:"] + body


def analyse(mca, processor, instructions):
    """Cycles of one repetition, how many of them the busiest unit works, that unit, and what the model's units are called."""
    repeats = 100
    out = run(mca, "-mtriple=aarch64", "-mcpu=" + processor, "-iterations=%d" % repeats, "-instruction-info=false",
              "-bottleneck-analysis=false", input="\n".join(instructions) + "\n")
    cycles = int(re.search(r"Total Cycles:\s+(\d+)", out)[1]) / repeats
    width = int(re.search(r"Dispatch Width:\s+(\d+)", out)[1])
    uops = int(re.search(r"Total uOps:\s+(\d+)", out)[1]) / repeats
    units = re.findall(r"^\[([\d.]+)\]\s+- (\S+)", out, re.M)
    header, values = out[out.index("Resource pressure per iteration:"):].splitlines()[1:3]
    busy = dict(zip(header.split(), (0 if v == "-" else float(v) for v in values.split())))
    pressure = {}
    for index, unit in units:
        pressure.setdefault(unit, []).append(busy["[%s]" % index])
    load, unit = max((max(p), u) for u, p in pressure.items())
    if uops / width > load:
        load, unit = uops / width, "dispatch of %d" % width
    return cycles, load, unit, os.path.commonprefix([u for _, u in units])


def vgg16(per):
    """Cycles of VGG-16's convolutions, each by its quickest algorithm, and of its fully connected layers in a large batch."""
    layers = [(224, 64, 64), (112, 64, 128), (112, 128, 128), (56, 128, 256), (56, 256, 256), (56, 256, 256), (28, 256, 512),
              (28, 512, 512), (28, 512, 512), (14, 512, 512), (14, 512, 512), (14, 512, 512)]
    mac = per["gemm6x16, depth side by side"] / (96 * 4)
    total = 224 * 224 * 27 * 64 * mac
    for size, inputs, outputs in layers:
        total += min(math.ceil(size / tile) ** 2 * (
            (tile + 2) ** 2 * inputs * outputs * mac
            + inputs / 16 * per["F(%dx%d) input" % (tile, tile)] + outputs / 16 * per["F(%dx%d) output" % (tile, tile)])
            for tile in (2, 4, 6))
    return total, 123.6e6 * mac


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--llvm", default="22", help="the version of Debian's llvm package")
    options = parser.parse_args()
    mca, objdump = "llvm-mca-" + options.llvm, "llvm-objdump-" + options.llvm
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
    print(re.search(r".*version.*", run(mca, "--version"))[0].strip())
    with tempfile.TemporaryDirectory() as folder:
        binary = os.path.join(folder, "kernel.test")
        run("go", "test", "-c", "-o", binary, "./internal/kernel", cwd=root,
            env=dict(os.environ, GOARCH="arm64", GOOS="linux", CGO_ENABLED="0"))
        bodies = {name: (loop(objdump, binary, function, which), fmas, times) for function, which, name, fmas, times in LOOPS}
    cells, models, totals = {}, {}, {}
    for processor in PROCESSORS:
        per = {}
        for name, (body, fmas, times) in bodies.items():
            cycles, load, unit, model = analyse(mca, processor, body)
            models[processor] = model
            per[name] = cycles * times
            unit = re.sub(r"^V\d?$", "vectors", unit.removeprefix(model))
            limit = unit if load > 0.93 * cycles else "latency (%s %.0f %%)" % (unit, 100 * load / cycles)
            if fmas:
                share = 100 * (per["peak"] / 24) / (cycles / fmas)
                cells[name, processor] = "%d %%, %s" % (share + 1e-6, limit)  # never rounded up
            else:
                cells[name, processor] = "%.0f, %s" % (per[name], limit)
        totals[processor] = vgg16(per)
    for processor in NAMED_ONLY:
        print("%s: the model of another, %s" % (processor, analyse(mca, processor, bodies["peak"][0])[3]))
    print("| |", " | ".join(PROCESSORS), "|")
    print("|---|" + "---|" * len(PROCESSORS))
    print("| model |", " | ".join(models[p] for p in PROCESSORS), "|")
    for name in bodies:
        print("|", name, "|", " | ".join(cells[name, p] for p in PROCESSORS), "|")
    print("| VGG-16, convolutions, Mcycles |", " | ".join("%.0f" % (totals[p][0] / 1e6) for p in PROCESSORS), "|")
    print("| VGG-16, fully connected, Mcycles |", " | ".join("%.0f" % (totals[p][1] / 1e6) for p in PROCESSORS), "|")


if __name__ == "__main__":
    main()
