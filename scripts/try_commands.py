"""Tries the README's commands and natural mistakes in every situation that a command line meets.

    go build -o vggo ./cmd/vggo && sudo python3 scripts/try_commands.py ./vggo > table.md

Situations: terminals of 80 and 60 columns, a pipe, a terminal with NO_COLOR, a full disk, a read-only folder. The last two are small
file systems in memory, which root alone may mount. Commands that would take minutes are tried with a small network. The table goes to
standard output, faults to standard error; the exit status is 1 if there is one:

  - a command dies, hangs, or ends otherwise than expected of it;
  - an error without "vggo: ", or one in several lines beside a hint;
  - control characters in a pipe, colours with NO_COLOR, a table wider than its terminal;
  - a full disk or a read-only folder that is not told of, or a partial file that stays there.
"""

import fcntl
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unicodedata

TINY = "--weights tiny.safetensors"

# (command, exit status, whether it writes a file)
README = [
    ("--version", 0, False), ("arch vgg16", 0, False), ("arch vgg16 --formulas", 0, False),
    ("arch vgg16 --input 384x512x3 --head dense --batch 8", 0, False), ("arch 32x32x3:64,64,M,128,128,M/256,10", 0, False),
    ("arch --compare vgg16,vgg19,alexnet", 0, False), ("arch vgg16 -o vgg16.svg", 0, True), ("arch --list", 0, False),
    ("field 3 3 3", 0, False), ("field vgg16 --layer conv5_3", 0, False),
    ("bench --model tinyvgg --batch 1 --mode forward --steps 2", 0, False),
    ("bench --model tinyvgg --layers --steps 2 --batch 1 --mode forward", 0, False),
    ("bench --model tinyvgg --steps 2 --batch 1 -o roofline.svg", 0, True), ("bench --explain-plan", 0, False),
    ("bench --model tinyvgg --memory 100MB --mode forward --steps 2 --batch 1", 0, False),
    ("bench --mode train --recipe plain --model 16x16x3:4,M/10 --batch 8 --steps 2", 0, False),
    ("calibrate --set avx2 -o costs.json", 0, True), ("bench --costs prices.json --model tinyvgg --steps 1 --batch 1", 0, False),
    ("classify photo.jpg", 0, False), ("explain boot.png " + TINY + " -o heat.png", 0, True),
    ("features pictures --layer pool2 " + TINY + " -o maps.npy", 0, True), ("eval val/", 0, False),
    ("train val/ --model 16x16x3:4,M/2 --epochs 1 --batch 2 --set hold_out=2 -o run", 0, True),
    ("convert tiny.safetensors tinyvgg.onnx", 0, True), ("models", 0, False), ("models --json", 0, False), ("version", 0, False),
    ("classify boot.png " + TINY + " --labels fashion-mnist.txt", 0, False),
    ("pull vgg16", 1, False), ("classify photo.jpg --weights vgg16", 1, False),
    ("serve --addr 127.0.0.1:0", 0, False), ("serve " + TINY + " --labels fashion-mnist.txt --addr 127.0.0.1:0", 0, False),
]
MISTAKES = [
    ("clasify photo.jpg", 2, False), ("classify --weigths x photo.jpg", 2, False), ("arch -formulas vgg16", 2, False),
    ("classify", 2, False), ("classify nosuch.jpg", 1, False), ("classify empty.jpg", 1, False), ("classify cut.jpg", 1, False),
    ("classify nopictures", 1, False), ("classify notes.txt", 1, False), ("classify photo.jpg --weights val", 1, False),
    ("classify photo.jpg --weights photo.jpg", 1, False), ("classify photo.jpg --model vgg16", 2, False),
    ("classify photo.jpg --model tiny.safetensors", 2, False), ("classify boot.png " + TINY + " --labels nosuch.txt", 1, False),
    ("classify boot.png " + TINY + " --labels two.txt", 1, False), ("explain photo.jpg --layer conv5_3", 1, False),
    ("explain photo.jpg --class tabby", 1, False), ("explain photo.jpg -o heat.jpeg", 2, False), ("arch vgg61", 1, False),
    ("arch vgg16 -o vgg16.png", 2, False), ("arch vgg16 --input 224", 2, False), ("eval photo.jpg", 1, False),
    ("train val/ -o run2", 1, False), ("train val/ --recipe cifar", 1, False), ("pull vgg61", 1, False), ("serve --addr 18701", 2, False),
    ("serve --addr localhost:99999", 2, False), ("serve vgg16.pth", 2, False), ("bench --batch 0", 2, False),
    ("bench --memory lots", 2, False), ("convert tiny.safetensors tiny.gguf", 2, False), ("help clasify", 2, False),
]
SITUATIONS = ["80 columns", "60 columns", "pipe", "NO_COLOR", "full disk", "read-only"]


def inputs(folder, repository):
    """Lays out what the commands read."""
    take = lambda source, name: shutil.copy(os.path.join(repository, source), os.path.join(folder, name))
    take("docs/examples/boot.png", "boot.png")
    take("weights/testdata/tinyvgg-fashionmnist.safetensors", "tiny.safetensors")
    take("docs/examples/fashion-mnist.txt", "fashion-mnist.txt")
    take("nn/costs.json", "prices.json")
    photo = subprocess.run(["git", "ls-files", "page/static/*.jpg"], cwd=repository, capture_output=True, text=True).stdout.split()
    take(photo[0], "photo.jpg")
    with open(os.path.join(folder, "photo.jpg"), "rb") as f:
        jpeg = f.read()
    for name, data in {"empty.jpg": b"", "cut.jpg": jpeg[: len(jpeg) // 2], "notes.txt": b"nothing to see\n", "two.txt": b"a\nb\n"}.items():
        with open(os.path.join(folder, name), "wb") as f:
            f.write(data)
    for path in ["nopictures", "pictures", "val/cat", "val/dog"]:
        os.makedirs(os.path.join(folder, path))
    take("docs/examples/boot.png", "pictures/boot.png")
    shutil.copy(os.path.join(folder, "notes.txt"), os.path.join(folder, "nopictures/notes.txt"))
    for i in range(4):
        for place in "val/cat", "val/dog":
            shutil.copy(os.path.join(folder, "photo.jpg"), os.path.join(folder, place, f"{i}.jpg"))


def width(line):
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 0 if unicodedata.combining(c) else 1 for c in line)


class Hangs(Exception):
    pass


def watch(process, read, limit=240):
    """Reads all that a process writes; a server is asked to end once it is ready."""
    text, asked, end = b"", False, time.monotonic() + limit
    while time.monotonic() < end:
        if select.select([read], [], [], 1)[0]:
            try:
                part = os.read(read, 65536)
            except OSError:  # a terminal that nobody writes to any more
                part = b""
            if not part:
                return text.decode("utf-8", "replace"), process.wait()
            text += part
        if not asked and re.search(rb'msg"?[=:]"?ready\b', text):
            asked = True
            process.send_signal(signal.SIGINT)
    process.kill()
    raise Hangs


def run(vggo, command, folder, situation):
    environment = dict(os.environ, TERM="xterm", VGGO_CACHE=os.path.join(folder, "cache"), HTTPS_PROXY="http://127.0.0.1:9")
    environment.pop("NO_COLOR", None)
    arguments = [vggo] + command.split()
    common = dict(cwd=folder, env=environment, stdin=subprocess.DEVNULL)
    if situation in ("80 columns", "60 columns", "NO_COLOR"):
        if situation == "NO_COLOR":
            environment["NO_COLOR"] = "1"
        keeper, screen = pty.openpty()
        columns = 60 if situation == "60 columns" else 80
        fcntl.ioctl(screen, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        process = subprocess.Popen(arguments, stdout=screen, stderr=screen, **common)
        os.close(screen)
        text, status = watch(process, keeper)
        os.close(keeper)
        return text.replace("\r\n", "\n"), status
    read, write = os.pipe()
    out = write
    if situation == "full disk":  # what is printed goes onto it, too
        out = os.open(os.path.join(folder, "out.txt"), os.O_WRONLY | os.O_TRUNC)
    process = subprocess.Popen(arguments, stdout=out, stderr=write, **common)
    os.close(write)
    text, status = watch(process, read)
    os.close(read)
    if out != write:
        os.close(out)
    return text, status


def tables(text):
    """The lines of tables, which have a rule below their header."""
    lines = text.split("\n")
    for i, line in enumerate(lines):
        if line.startswith("─" * 20):
            j = i - 1
            while j < len(lines) and lines[j]:
                if not lines[j].endswith("."):  # a sentence below it
                    yield lines[j]
                j += 1


def judge(command, expected, writes, situation, text, status, folder):
    """The faults of one try."""
    log = command.startswith("serve")
    if situation == "full disk" and expected == 0 and not log:
        expected = 1
    if situation == "read-only" and writes:
        expected = 1
    if status != expected:
        yield f"exit {status}, not {expected}"
    if "panic" in text or "goroutine " in text:
        yield "a panic"
    if expected and situation not in ("80 columns", "60 columns", "NO_COLOR"):
        faults = [line for line in text.split("\n") if line.startswith("vggo: ")]
        if not faults:
            yield "no line with vggo: "
        if text.count("\nhint: ") + text.startswith("hint: ") > 1:
            yield "two hints"
    if situation in ("pipe", "full disk", "read-only") and re.search(r"[\x00-\x08\x0b-\x1f\x7f]", text):
        yield "control characters in a pipe"
    if situation == "NO_COLOR" and re.search(r"\x1b\[[0-9;]*m", text):
        yield "colours in spite of NO_COLOR"
    if situation in ("80 columns", "60 columns"):
        columns = int(situation[:2])
        wide = [line for line in tables(text) if width(re.sub(r"\x1b\[[0-9;]*[A-Za-z]|\r", "", line)) > columns]
        if wide:
            yield f"a table of {max(map(width, wide))} columns"
    if situation == "full disk" and expected == 1 and writes and "no space left" not in text:
        yield "the full disk is not told of"
    if situation == "read-only" and expected == 1 and writes and "read-only" not in text:
        yield "the read-only folder is not told of"
    if situation == "full disk":
        left = [name for name in os.listdir(folder) if "partial" in name or name.startswith(".")]
        if left:
            yield f"{left} is left there"


def short(text, status):
    """An outcome in a few words."""
    if status == 0:
        return "ok"
    clean = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text).replace("\r", "\n")
    lines = [line[6:] for line in clean.split("\n") if line.startswith("vggo: ")]
    line = lines[-1] if lines else clean.strip().split("\n")[-1]
    return f"{status}: " + re.sub(r"/\S*/", "", line).replace("|", "\\|")


def mount(folder, *options):
    subprocess.run(["mount", *options, folder], check=True)


def main():
    vggo, repository = os.path.abspath(sys.argv[1]), os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    only = sys.argv[2:]
    base = tempfile.mkdtemp()
    mounted, faults = [], 0
    try:
        plain = os.path.join(base, "plain")
        os.mkdir(plain)
        inputs(plain, repository)
        full, closed = os.path.join(base, "full"), os.path.join(base, "read-only")
        for folder, size in (full, "16m"), (closed, "16m"):
            os.mkdir(folder)
            mount(folder, "-t", "tmpfs", "-o", "size=" + size, "tmpfs")
            mounted.append(folder)
            inputs(folder, repository)
        open(os.path.join(full, "out.txt"), "w").close()
        with open(os.path.join(full, "rest"), "wb", buffering=0) as f:
            try:
                while True:
                    f.write(b"x" * 4096)
            except OSError:
                pass
        mount(closed, "-o", "remount,ro")
        where = {"full disk": full, "read-only": closed}
        print("| command | " + " | ".join(SITUATIONS) + " |\n|---|" + "---|" * len(SITUATIONS))
        for command, expected, writes in README + MISTAKES:
            if only and not any(command.startswith(o) for o in only):
                continue
            row, texts = [], []
            for situation in SITUATIONS:
                folder = where.get(situation, plain)
                for name in os.listdir(plain):
                    if name in ("run", "run2", "costs.json"):
                        shutil.rmtree(os.path.join(plain, name), ignore_errors=True)
                try:
                    text, status = run(vggo, command, folder, situation)
                    found = list(judge(command, expected, writes, situation, text, status, folder))
                    row.append(short(text, status))
                except Hangs:
                    found, text = ["it hangs"], ""
                    row.append("hangs")
                for fault in found:
                    faults += 1
                    print(f"vggo {command}, {situation}: {fault}\n{text}", file=sys.stderr)
                if found:
                    row[-1] = "**" + ", ".join(found) + "** " + row[-1]
            row = [cell if i == 0 or cell != row[0] else "same" for i, cell in enumerate(row)]
            print(f"| `vggo {command}` | " + " | ".join(row) + " |", flush=True)
    finally:
        for folder in mounted:
            subprocess.run(["umount", folder])
        shutil.rmtree(base)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
