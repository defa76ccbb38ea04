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
import itertools
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


def segment(file, kind):
    """Where a JPEG's first segment of a kind begins and ends."""
    at = 2
    while file[at + 1] != kind:
        at += 2 + struct.unpack(">H", file[at + 2:at + 4])[0]
    return at, at + 2 + struct.unpack(">H", file[at + 2:at + 4])[0]


def without(file, kind):
    begin, end = segment(file, kind)
    return file[:begin] + file[end:]


def with_ids(file, ids):
    """A JPEG of one scan whose components are called otherwise."""
    file = bytearray(file)
    frame, scan = segment(file, 0xC0)[0], segment(file, 0xDA)[0]
    for i, called in enumerate(ids):
        file[frame + 10 + 3 * i] = called
        file[scan + 5 + 2 * i] = called
    return bytes(file)


JFIF = b"\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"
JFXX = b"\xff\xe0\0\x08JFXX\0\x10"


def jpegs(rng):
    """JPEGs of every colour model and sampling."""
    im = image(picture(rng, 19, 13, 3)).resize((27, 19), Image.BICUBIC)
    samplings = ["2x1", "2x2", "1x2", "4x1", "4x2", "1x4", "2x4", "3x1", "1x3", "3x2", "1x1,2x2,2x2", "1x1,2x1,1x1", "1x1,1x1,2x2",
                 "2x1,1x2,1x1", "2x2,2x1,1x2", "4x1,2x1,1x1", "2x1,2x1,2x1"]
    for model in ["rgb", "ycc"]:
        for sampling in samplings:
            for name, how in [("", []), (" progressive", ["-progressive"])]:
                if not name or sampling in ["2x2", "3x2", "1x1,2x2,2x2"]:
                    colours = ["-rgb"] if model == "rgb" else []
                    yield f"jpeg {model} {sampling}{name}", cjpeg(im, "-optimize", "-sample", sampling, *colours, *how)
    rgb = cjpeg(im, "-optimize", "-rgb", "-sample", "2x2")
    ycc = cjpeg(im, "-optimize", "-sample", "2x2")
    bare = without(ycc, 0xE0)
    named = without_adobe(rgb)
    yield "jpeg called R, G, B", named
    yield "jpeg called R, G, B, Adobe's Y'CbCr", rgb.replace(b"Adobe\0d\0\0\0\0\0", b"Adobe\0d\0\0\0\0\1")
    yield "jpeg called R, G, B, with JFIF", named[:2] + JFIF + named[2:]
    yield "jpeg called R, G, B, with JFIF and its extension", named[:2] + JFIF + JFXX + named[2:]
    yield "jpeg called R, G, B, with JFIF's extension alone", named[:2] + JFXX + named[2:]
    yield "jpeg called 1, 2, 3, Adobe's RGB", with_ids(rgb, [1, 2, 3])
    yield "jpeg called 1, 2, 3, Adobe's RGB with JFIF", rgb[:2] + JFIF + with_ids(rgb, [1, 2, 3])[2:]
    for ids in [[1, 2, 3], [0, 1, 2], [1, 34, 35], list(b"rgb"), list(b"YCC")[:2] + [7]]:
        yield f"jpeg called {ids}", with_ids(bare, ids)
    for sampling in ["2x2", "2x1", "4x3"]:
        for progressive in [[], ["-progressive"]]:
            yield f"jpeg grey {sampling} {progressive}", cjpeg(im, "-optimize", "-grayscale", "-sample", sampling, *progressive)
    ink = Image.fromarray(np.concatenate([np.asarray(im), np.asarray(im)[::-1, :, :1]], axis=2), "CMYK")
    for subsampling in ["4:4:4", "4:2:2", "4:2:0"]:
        for progressive in [False, True]:
            file = saved(ink, "JPEG", quality=85, subsampling=subsampling, progressive=progressive, optimize=True)
            yield f"jpeg cmyk {subsampling} {progressive}", file
            yield f"jpeg ycck {subsampling} {progressive}", file.replace(b"Adobe\0d\0\0\0\0\0", b"Adobe\0d\0\0\0\0\2")
            yield f"jpeg cmyk without Adobe {subsampling} {progressive}", without_adobe(file)
    yield "jpeg of coarse steps", cjpeg(im, "-quality", "1")
    yield "jpeg of extended frame", ycc.replace(b"\xff\xc0", b"\xff\xc1")
    yield "jpeg progressive with restarts", cjpeg(im, "-optimize", "-progressive", "-restart", "1B", "-sample", "2x2")
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as scans:
        scans.write("0;\n1;\n2;\n")
        scans.flush()
        yield "jpeg of a scan for each plane", cjpeg(im, "-optimize", "-scans", scans.name, "-sample", "2x2")


def tiff(pixels, photometric, bits=8, extra=(), order="<", planes=1, predictor=1, compression=1, tile=None, palette=None, rows=None,
         fill=1):
    """A TIFF as its tags have it. Pixels are as wide as they are stored, those of fewer than 8 bits in the lower ones."""
    h, w, n = pixels.shape

    def packed(part):
        if bits == 16:
            part = part.astype(np.uint16)
        if predictor == 2:
            part = np.concatenate([part[:, :1], part[:, 1:] - part[:, :-1]], axis=1)
        if bits == 16:
            data = part.astype(order + "u2").tobytes()
        elif bits == 8:
            data = part.astype(np.uint8).tobytes()
        else:
            ones = (part.reshape(part.shape[0], -1)[:, :, None] >> np.arange(bits - 1, -1, -1)) & 1
            data = np.packbits(ones.reshape(part.shape[0], -1).astype(np.uint8), axis=1).tobytes()
        if compression == 8:
            data = zlib.compress(data)
        if fill == 2:
            data = bytes(int(f"{b:08b}"[::-1], 2) for b in data)
        return data

    across, down = tile or (w, rows or h)
    chunks = []
    for plane in range(n if planes == 2 else 1):
        part = pixels[:, :, plane:plane + 1] if planes == 2 else pixels
        for y in range(0, h, down):
            for x in range(0, w, across):
                chunk = part[y:y + down, x:x + across]
                if tile:
                    chunk = np.pad(chunk, [(0, down - chunk.shape[0]), (0, across - chunk.shape[1]), (0, 0)])
                chunks.append(packed(chunk))
    body, places = b"", []
    for chunk in chunks:
        places.append(8 + len(body))
        body += chunk + b"\0" * (len(chunk) % 2)
    tags = {256: ("H", [w]), 257: ("H", [h]), 258: ("H", [bits] * n), 259: ("H", [compression]), 262: ("H", [photometric]),
            266: ("H", [fill]), 277: ("H", [n]), 284: ("H", [planes]), 317: ("H", [predictor])}
    if tile:
        tags.update({322: ("H", [across]), 323: ("H", [down]), 324: ("I", places), 325: ("I", [len(c) for c in chunks])})
    else:
        tags.update({273: ("I", places), 278: ("H", [down]), 279: ("I", [len(c) for c in chunks])})
    if extra:
        tags[338] = ("H", list(extra))
    if palette is not None:
        tags[320] = ("H", list(palette))
    directory, values = b"", b""
    behind = 8 + len(body) + 2 + 12 * len(tags) + 4
    for tag, (kind, numbers) in sorted(tags.items()):
        data = struct.pack(f"{order}{len(numbers)}{kind}", *numbers)
        if len(data) > 4:
            data, values = struct.pack(order + "I", behind + len(values)), values + data + b"\0" * (len(data) % 2)
        directory += struct.pack(order + "HHI", tag, 3 if kind == "H" else 4, len(numbers)) + data.ljust(4, b"\0")
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8 + len(body))
    return head + body + struct.pack(order + "H", len(tags)) + directory + b"\0" * 4 + values


def tiffs(rng):
    """TIFFs of every colour model, transparency and arrangement that Pillow reads."""
    w, h = 9, 7
    for bits in [8, 16]:
        noise = rng.integers(0, 1 << bits, (h, w, 6))
        noise[:, :, 3] = np.where(noise[:, :, 3] % 3 == 0, 0, noise[:, :, 3])  # some quite clear
        noise[:2, :, 3] = (1 << bits) - 1
        noise[2:4, :, :3] //= 8  # as what was multiplied is
        for order in "<>":
            for compression in [1, 8]:
                arrangement = {"bits": bits, "order": order, "compression": compression}
                how = f"{bits} bits {'little' if order == '<' else 'big'} {'plain' if compression == 1 else 'deflate'}"
                for extra in [(), (0,), (1,), (2,)]:
                    yield f"tiff rgb {extra} {how}", tiff(noise[:, :, :3 + len(extra)], 2, extra=extra, **arrangement)
                if bits == 8:
                    yield f"tiff rgb of 5 samples {how}", tiff(noise[:, :, :5], 2, extra=(1, 0), **arrangement)
                    yield f"tiff rgb of 6 samples {how}", tiff(noise, 2, extra=(2, 0, 0), **arrangement)
                    yield f"tiff grey with alpha {how}", tiff(noise[:, :, 2:4], 1, extra=(2,), **arrangement)
                    yield f"tiff white is zero {how}", tiff(noise[:, :, :1], 0, **arrangement)
                    yield f"tiff ink of 5 samples {how}", tiff(noise[:, :, :5], 5, extra=(0,), **arrangement)
                if bits == 8 and how.endswith("little plain"):
                    colours = rng.integers(0, 1 << 16, 3 * 256)
                    yield "tiff palette with alpha", tiff(noise[:, :, 2:4], 3, extra=(2,), palette=colours, **arrangement)
                if bits == 8 or order == "<":
                    yield f"tiff ink {how}", tiff(noise[:, :, :4], 5, **arrangement)
        for extra in [(), (1,), (2,)]:
            arrangement = {"bits": bits, "compression": 8, "extra": extra}
            rgb = noise[:, :, :3 + len(extra)]
            yield f"tiff rgb {extra} {bits} bits predicted", tiff(rgb, 2, predictor=2, **arrangement)
            yield f"tiff rgb {extra} {bits} bits predicted big", tiff(rgb, 2, predictor=2, order=">", **arrangement)
            yield f"tiff rgb {extra} {bits} bits tiled", tiff(rgb, 2, tile=(16, 8), **arrangement)
            yield f"tiff rgb {extra} {bits} bits in strips", tiff(rgb, 2, rows=3, **arrangement)
            if bits == 8:
                yield f"tiff rgb {extra} in planes", tiff(rgb, 2, planes=2, rows=2, **arrangement)
                yield f"tiff rgb {extra} in planes tiled", tiff(rgb, 2, planes=2, tile=(16, 8), **arrangement)
    for bits in [1, 2, 4, 8]:
        few = rng.integers(0, 1 << bits, (h, w, 1))
        for compression in [1, 8]:
            for fill in [1, 2]:
                arrangement = {"bits": bits, "compression": compression, "fill": fill}
                if fill == 1 or compression == 8:  # Pillow has no way for others
                    for photometric in [0, 1]:
                        yield f"tiff grey {photometric} {arrangement}", tiff(few, photometric, **arrangement)
                    colours = rng.integers(0, 1 << 16, 3 << bits)
                    yield f"tiff palette {arrangement}", tiff(few, 3, palette=colours, **arrangement)


def bmp(header, bits, data, w, h, palette=b"", storage=0, masks=b"", gap=b"", colours=0):
    """A BMP with a header of so many bytes. Data are its rows, or runs."""
    if header == 12:
        head = struct.pack("<IHHHH", header, w, h, 1, bits)
    else:
        head = struct.pack("<IiiHHIIiiII", header, w, h, 1, bits, storage, len(data), 2835, 2835, colours, 0)
        head += masks if header > 40 else b""
        head = head[:header].ljust(header, b"\0") + (masks if header == 40 else b"")
    at = 14 + len(head) + len(palette) + len(gap)
    return struct.pack("<2sIHHI", b"BM", at + len(data), 0, 0, at) + head + palette + gap + data


def rows_of(numbers, bits):
    """Rows of numbers of so many bits, from the lowest row, each padded to 4 bytes."""
    out = b""
    for row in numbers[::-1]:
        if bits >= 8:
            line = b"".join(int(v).to_bytes(bits // 8, "little") for v in row)
        else:
            ones = (row[:, None] >> np.arange(bits - 1, -1, -1)) & 1
            line = np.packbits(ones.reshape(-1).astype(np.uint8)).tobytes()
        out += line.ljust((len(line) + 3) // 4 * 4, b"\0")
    return out


def runs(numbers, nibbles):
    """Rows as runs, and some of them as they are."""
    out = b""
    for row in numbers[::-1]:
        x = 0
        while x < len(row):
            n = 1
            while x + n < len(row) and row[x + n] == row[x] and n < 255:
                n += 1
            if n == 1 and x + 4 <= len(row):
                four = [int(v) for v in row[x:x + 4]]
                out += bytes([0, 4]) + (bytes([four[0] << 4 | four[1], four[2] << 4 | four[3]]) if nibbles else bytes(four))
                x += 4
                continue
            out += bytes([n, int(row[x]) * (17 if nibbles else 1)])
            x += n
        out += b"\0\0"
    return out + b"\0\1"


def bmps(rng):
    """BMPs of Windows and OS/2."""
    w, h = 9, 5
    for bits in [1, 4, 8]:
        numbers = rng.integers(0, 1 << bits, (h, w))
        three = rng.integers(0, 256, 3 << bits, dtype=np.uint8).tobytes()
        four = b"".join(three[i:i + 3] + b"\0" for i in range(0, len(three), 3))
        rows = rows_of(numbers, bits)
        for header in [12, 40, 64, 108, 124] if bits == 4 else [12, 64]:
            yield f"bmp {bits} bits header {header}", bmp(header, bits, rows, w, h, three if header == 12 else four)
        if bits < 8:
            yield f"bmp {bits} bits top-down", bmp(40, bits, rows, w, -h, four)
            yield f"bmp {bits} bits gap", bmp(40, bits, rows, w, h, four, gap=b"gap!")
    for bits, storage in [(8, 1), (4, 2)]:
        numbers = rng.integers(0, 3, (h, w)).repeat(2, axis=1)
        four = rng.integers(0, 256, 4 << bits, dtype=np.uint8).tobytes()
        yield f"bmp runs of {bits} bits", bmp(40, bits, runs(numbers, bits == 4), 2 * w, h, four, storage=storage)
    numbers = rng.integers(0, 6, (h, w))
    yield "bmp of six colours", bmp(40, 8, rows_of(numbers, 8), w, h, rng.integers(0, 256, 24, dtype=np.uint8).tobytes(), colours=6)
    for bits in [16, 24, 32]:
        numbers = rng.integers(0, 1 << bits, (h, w), dtype=np.int64)
        rows = rows_of(numbers, bits)
        for header in [40, 64, 108, 124] + [12] * (bits == 24):
            yield f"bmp {bits} bits header {header}", bmp(header, bits, rows, w, h)
        yield f"bmp {bits} bits top-down", bmp(40, bits, rows, w, -h)
        masks = {16: [(0xF800, 0x7E0, 0x1F), (0x7C00, 0x3E0, 0x1F)], 24: [],
                 32: [(0xFF0000, 0xFF00, 0xFF), (0xFF000000, 0xFF0000, 0xFF00)]}[bits]
        for mask in masks:
            for header in [40, 108, 124]:
                told = struct.pack("<4I", *mask, 0) if header > 40 else struct.pack("<3I", *mask)
                yield f"bmp {bits} bits masks {mask} header {header}", bmp(header, bits, rows, w, h, storage=3, masks=told)
    alpha = struct.pack("<4I", 0xFF, 0xFF00, 0xFF0000, 0xFF000000)
    numbers = rng.integers(0, 1 << 32, (h, w), dtype=np.int64)
    yield "bmp masks with transparency", bmp(124, 32, rows_of(numbers, 32), w, h, storage=3, masks=alpha)


def gifs(rng):
    """GIFs whose first frame lies anywhere, beyond its screen too."""
    few = image(picture(rng, 13, 9, 3)).quantize(7)
    for name, options in [("", {}), (" transparent", {"transparency": 3}), (" interlaced", {"interlace": 1})]:
        file = saved(few, "GIF", **{"interlace": 0, **options})
        for w, h, left, top in [(13, 9, 5, 7), (6, 4, 0, 0), (20, 4, 3, 2), (6, 30, 0, 1), (1, 1, 300, 0), (40, 31, 27, 22)]:
            yield f"gif{name} {w}x{h} at {left},{top}", on_a_larger_screen(file, w, h, left, top)


def pngs(rng):
    """PNGs of 16 bits and with transparency."""
    noise = image(picture(rng, 17, 11, 3))
    for mode in ["LA", "RGBA", "1", "L"]:
        yield f"png {mode}", saved(noise.convert(mode), "PNG")
    yield "png 16 bits", saved(Image.fromarray(rng.integers(0, 1 << 16, (11, 17), dtype=np.uint16)), "PNG")
    yield "png of a transparent colour", saved(noise, "PNG", transparency=noise.getpixel((3, 4)))
    yield "png of a transparent grey", saved(noise.convert("L"), "PNG", transparency=100)


def main():
    cases = []
    made = formats(np.random.default_rng(20261126))
    kinds = [kind(np.random.default_rng(20261129)) for kind in [jpegs, tiffs, bmps, gifs, pngs]]
    for name, file in itertools.chain(made, *kinds):
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
    reports = {}
    for name in ["jpeg_corpus_video-001.rgb.jpeg", "associated-alpha.tiff", "tests_images_bmp_images_Core_8_Bit.bmp",
                 "tests_images_gif_anim_oob.gif"]:
        with open(os.path.join(root, "reports/hostile", name), "rb") as f:
            reports[name] = hashlib.sha256(shown(f.read()).tobytes()).hexdigest()
    write("reports.json", reports)


def write(name, golden):
    path = os.path.join(os.path.dirname(__file__), "..", "vision", "testdata", name)
    with open(path, "w") as f:
        json.dump(golden, f, indent=1)
        f.write("\n")


main()
