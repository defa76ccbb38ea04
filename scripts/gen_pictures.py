#!/usr/bin/python3
"""Writes vision/testdata/formats.json: small files of every format and what Pillow makes of them. With VGGO_TESTDATA also pngsuite.json
and photos.json: what it makes of real ones.

Run with Debian's python3, python3-pil, libjpeg-turbo-progs and libtiff-tools:

    VGGO_TESTDATA=... /usr/bin/python3 scripts/gen_pictures.py

Each case is a file and the SHA-256 of its pixels: ImageOps.exif_transpose, convert("RGB"). In cases named flat every block of a JPEG
has one colour, so that the chroma between the blocks alone is put to the test. pngsuite.json holds the SHA-256 of the pixels of
PngSuite's valid files (of 16-bit grey, which Pillow cuts off at 255, the upper bytes), photos.json some 2,000 evenly spread pixels of
each photograph, reports.json the SHA-256 of the pixels of the reports' files that decoders disagree about.
"""

import base64
import glob
import hashlib
import io
import json
import os
import struct
import subprocess
import tempfile
import zlib

import numpy as np
from PIL import Image, ImageOps


def text(array):
    return base64.b64encode(array.tobytes()).decode()


def picture(rng, w, h, channels):
    y, x, c = np.mgrid[0:h, 0:w, 0:channels]
    ramp = 255 * (x / max(w - 1, 1) * 0.5 + y / max(h - 1, 1) * 0.3 + c * 0.1)
    noise = rng.integers(-120, 120, (h, w, channels))
    return np.clip(ramp + noise, 0, 255).astype(np.uint8)


def image(pixels):
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def shown(file):
    """The pixels of a file."""
    made = Image.open(io.BytesIO(file))
    if made.format != "TIFF":  # which Pillow turns on its own while it loads, and would turn again
        made = ImageOps.exif_transpose(made)
    if made.mode.startswith("I"):
        made = Image.fromarray((np.asarray(made) >> 8).astype(np.uint8))
    return np.asarray(made.convert("RGB"))


def saved(im, kind, **options):
    file = io.BytesIO()
    im.save(file, kind, **options)
    return file.getvalue()


def run(command, *args, suffix):
    """What a program makes of the input, given as its last argument, as bytes."""
    with tempfile.TemporaryDirectory() as folder:
        source, made = os.path.join(folder, "in" + suffix), os.path.join(folder, "out")
        with open(source, "wb") as f:
            f.write(args[-1])
        subprocess.run([*command, *args[:-1]] + (["-outfile", made, source] if command[0] == "cjpeg" else [source, made]),
                       check=True)
        with open(made, "rb") as f:
            return f.read()


def cjpeg(im, *args):
    return run(["cjpeg", "-quality", "85"], *args, saved(im, "PPM"), suffix=".ppm")


def blocks(rng, w, h, bw, bh):
    """Noise whose every bw x bh block has one colour."""
    noise = rng.integers(0, 256, ((h + bh - 1) // bh, (w + bw - 1) // bw, 3), dtype=np.uint8)
    return Image.fromarray(noise.repeat(bh, axis=0).repeat(bw, axis=1)[:h, :w])


def png_with_exif(im, exif):
    file = saved(im, "PNG")
    content = b"eXIf" + exif.tobytes()[6:]  # without JPEG's header
    chunk = struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))
    return file[:-12] + chunk + file[-12:]  # before the end


def without_adobe(file):
    at = file.index(b"\xff\xee")
    return file[:at] + file[at + 2 + 14:]


def on_a_larger_screen(gif, w, h, left, top):
    """The frame of a GIF, moved on a screen of w by h."""
    frame = gif.index(b"\x2c" + b"\0\0\0\0" + gif[6:10])
    return gif[:6] + struct.pack("<HH", w, h) + gif[10:frame + 1] + struct.pack("<HH", left, top) + gif[frame + 5:]


def formats(rng):
    """Names and files."""
    rgb = image(picture(rng, 29, 21, 3))
    grey = image(picture(rng, 29, 21, 1))
    alpha = image(picture(rng, 29, 21, 1)).point(lambda v: 0 if v < 100 else v)
    clear = rgb.copy()
    clear.putalpha(alpha)
    ink = Image.fromarray(np.concatenate([np.asarray(rgb), np.asarray(alpha)[:, :, None]], axis=2), "CMYK")
    few = rgb.quantize(13)
    smooth = image(np.asarray(rgb)).resize((43, 29), Image.BICUBIC)
    exif = Image.Exif()
    exif[0x0112] = 6

    yield "png palette", saved(few, "PNG")
    yield "png palette transparent", saved(few, "PNG", transparency=bytes([255, 0, 128]))
    yield "png alpha", saved(clear, "PNG")
    yield "png exif", png_with_exif(rgb, exif)

    yield "gif", saved(few, "GIF")
    yield "gif grey", saved(grey, "GIF")
    yield "gif interlaced", saved(few, "GIF", interlace=1)
    yield "gif transparent", saved(few, "GIF", transparency=3)
    yield "gif animated", saved(few, "GIF", save_all=True, append_images=[few.rotate(180)])
    yield "gif on a screen", on_a_larger_screen(saved(few, "GIF", interlace=0), 40, 31, 5, 7)
    yield "gif transparent on a screen", on_a_larger_screen(saved(few, "GIF", transparency=3), 40, 31, 5, 7)

    for mode in ["1", "L", "P", "RGB", "RGBA"]:
        im = {"P": few, "RGBA": clear}.get(mode) or rgb.convert(mode)
        yield "bmp " + mode, saved(im, "BMP")

    for compression in [None, "tiff_lzw", "tiff_adobe_deflate", "packbits"]:
        for mode, im in [("L", grey), ("RGB", rgb), ("RGBA", clear), ("P", rgb.quantize(256))]:
            yield f"tiff {mode} {compression}", saved(im, "TIFF", compression=compression)
    yield "tiff predictor", saved(rgb, "TIFF", compression="tiff_lzw", tiffinfo={317: 2})
    yield "tiff 16 bits", saved(Image.fromarray(np.asarray(grey).astype(np.uint16) * 257), "TIFF")
    for compression in ["group3", "group4"]:
        yield "tiff " + compression, saved(rgb.convert("1"), "TIFF", compression=compression)
    yield "tiff tiled", run(["tiffcp", "-t", "-w", "16", "-l", "16", "-c", "lzw"], saved(rgb, "TIFF"), suffix=".tif")
    yield "tiff big-endian", run(["tiffcp", "-B", "-c", "zip"], saved(rgb, "TIFF"), suffix=".tif")
    for orientation in range(1, 9):
        yield f"tiff orientation {orientation}", saved(image(picture(rng, 5, 3, 3)), "TIFF", tiffinfo={0x0112: orientation})

    for w, h in [(1, 1), (2, 1), (1, 2), (3, 4), (4, 3), (17, 16), (16, 17)]:
        yield f"webp {w}x{h}", saved(rgb.resize((w, h)), "WEBP", quality=90)
    yield "webp", saved(smooth, "WEBP", quality=60)
    yield "webp exif", saved(rgb, "WEBP", exif=exif)
    yield "webp alpha", saved(clear, "WEBP", quality=80)
    yield "webp lossless", saved(rgb, "WEBP", lossless=True)
    yield "webp lossless alpha", saved(clear, "WEBP", lossless=True, exact=True)
    yield "webp lossless palette", saved(few.convert("RGB"), "WEBP", lossless=True)
    yield "webp animated", saved(smooth, "WEBP", save_all=True, append_images=[smooth.rotate(180)])
    part = Image.new("RGBA", (40, 31))
    part.paste(rgb, (6, 8))
    yield "webp animated on a canvas", saved(part, "WEBP", save_all=True, append_images=[clear.resize((40, 31))], lossless=True)

    samplings = {"4:4:4": "1x1", "4:2:2": "2x1", "4:2:0": "2x2", "4:4:0": "1x2", "4:1:1": "4x1", "4:1:0": "4x2"}
    for name, sampling in samplings.items():
        across, down = (8 * int(n) for n in sampling.split("x"))
        for w, h in [(61, 43), (50, 34), (34, 3), (5, 35), (4, 4), (1, 1)]:
            yield f"jpeg flat {name} {w}x{h}", cjpeg(blocks(rng, w, h, across, down), "-sample", sampling)
        yield f"jpeg {name}", cjpeg(smooth, "-sample", sampling)
    yield "jpeg progressive", cjpeg(smooth, "-progressive")
    yield "jpeg restarts", cjpeg(smooth, "-restart", "1")
    yield "jpeg rgb", cjpeg(smooth, "-rgb")
    yield "jpeg grey", saved(grey, "JPEG", quality=90)
    yield "jpeg cmyk", saved(ink, "JPEG", quality=90)
    yield "jpeg cmyk progressive", saved(ink, "JPEG", quality=90, progressive=True)
    yield "jpeg cmyk without Adobe", without_adobe(saved(ink, "JPEG", quality=90))
    yield "jpeg ycck", saved(ink, "JPEG", quality=90).replace(b"Adobe\0d\0\0\0\0\0", b"Adobe\0d\0\0\0\0\2")


def main():
    cases = []
    for name, file in formats(np.random.default_rng(20261126)):
        pixels = shown(file)
        case = {"name": name, "file": base64.b64encode(file).decode(), "w": pixels.shape[1], "h": pixels.shape[0]}
        case["sha256"] = hashlib.sha256(pixels.tobytes()).hexdigest()
        cases.append(case)
    write("formats.json", cases)

    root = os.environ.get("VGGO_TESTDATA")
    if not root:
        return
    sums = {}
    for path in sorted(glob.glob(os.path.join(root, "images-bad/pngsuite/png/*.png"))):
        name = os.path.basename(path)
        if not name.startswith("x"):  # broken on purpose
            with open(path, "rb") as f:
                sums[name] = hashlib.sha256(shown(f.read()).tobytes()).hexdigest()
    write("pngsuite.json", sums)
    photos = {}
    for path in sorted(glob.glob(os.path.join(root, "photos/*.[jb]*"))):
        with open(path, "rb") as f:
            pixels = shown(f.read())
        h, w, _ = pixels.shape
        step = w * h // 2000 | 1
        photos[os.path.basename(path)] = {"w": w, "h": h, "step": step, "pix": text(pixels.reshape(-1, 3)[::step])}
    write("photos.json", photos)


def write(name, golden):
    path = os.path.join(os.path.dirname(__file__), "..", "vision", "testdata", name)
    with open(path, "w") as f:
        json.dump(golden, f, indent=1)
        f.write("\n")


main()
