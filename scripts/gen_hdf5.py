#!/usr/bin/python3
"""Writes weights/internal/hdf5/testdata: files of every structure that package hdf5 reads or refuses, and golden.json, what h5py reads there.

Needs Debian's python3-h5py and python3-numpy.

  /usr/bin/python3 scripts/gen_hdf5.py
"""
import json
import os

import h5py
import numpy as np

OUT = os.path.join(os.path.dirname(__file__), "..", "weights", "internal", "hdf5", "testdata")


def ramp(*shape):
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape) / 4 - 3


def types(h):
    for code in ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"]:
        for order in "<>":
            h[f"types/{order}{code}".replace("<", "le_").replace(">", "be_")] = np.array([[0, 1, 2], [100, 7, 3]], order + code)
    h["types/scalar"] = np.float32(1.5)
    h["types/empty"] = np.zeros((0, 3), np.float32)
    h["types/fixed"] = np.array([b"one", b"three", b""])
    h["types/variable"] = np.array(["one", "", "dreißig"], h5py.string_dtype())


def attributes(h, many, large):
    g = h.create_group("attributes")
    g.attrs["variable"] = "text of a variable length"
    g.attrs["fixed"] = np.bytes_("text of a fixed length")
    g.attrs["names"] = np.array([f"block{i}_conv1".encode() for i in range(30)])
    g.attrs["none"] = []
    g.attrs["numbers"] = np.array([1, 2, 3], np.int64)
    for i in range(many):
        g.attrs[f"attribute{i}"] = f"value {i}"
    if large:
        g.attrs["large"] = np.array([f"layer_{i:05}".encode() for i in range(9000)])  # 99 kB: a huge object


def layouts(h):
    g = h.create_group("layouts")
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_layout(h5py.h5d.COMPACT)
    d = h5py.h5d.create(g.id, b"compact", h5py.h5t.NATIVE_FLOAT, h5py.h5s.create_simple((3, 4)), plist)
    d.write(h5py.h5s.ALL, h5py.h5s.ALL, ramp(3, 4))
    g["contiguous"] = ramp(3, 4)
    make = lambda name, data, **how: g.create_dataset(name, data=data, **how)
    make("chunks", ramp(5, 7), chunks=(2, 3))
    make("gzip", ramp(5, 7), chunks=(2, 3), compression="gzip")
    make("shuffle", ramp(5, 7), chunks=(2, 3), shuffle=True)
    make("fletcher", ramp(5, 7), chunks=(2, 3), fletcher32=True)
    make("all", ramp(3, 4, 5), chunks=(2, 2, 2), compression="gzip", shuffle=True, fletcher32=True)
    make("odd", np.arange(15, dtype=np.int8).reshape(5, 3), chunks=(3, 3), fletcher32=True)  # an odd number of bytes under a checksum
    make("single", ramp(3, 4), chunks=(3, 4))
    make("single_gzip", ramp(3, 4), chunks=(3, 4), compression="gzip")
    make("many", np.arange(1100, dtype=np.float32), chunks=(1,))  # more than one node of a tree, more than one page of an index
    make("many_gzip", np.arange(1100, dtype=np.float32), chunks=(1,), compression="gzip")
    make("may_grow", ramp(3, 4), chunks=(2, 2), maxshape=(7, 9))
    make("grows_both", ramp(5, 7), chunks=(2, 3), maxshape=(None, None))
    make("grows_both_gzip", ramp(5, 7), chunks=(2, 3), maxshape=(None, None), compression="gzip")
    make("grows_down", ramp(5, 7), chunks=(2, 3), maxshape=(None, 9))
    make("grows_right_gzip", ramp(3, 5, 7), chunks=(2, 3, 2), maxshape=(5, 5, None), compression="gzip")
    make("grows_many", np.arange(2000, dtype=np.uint16), chunks=(2,), maxshape=(None,))  # into blocks of several levels
    make("grows_both_many", ramp(40, 30), chunks=(1, 2), maxshape=(None, None))
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk((2, 3))
    plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    d = h5py.h5d.create(g.id, b"early", h5py.h5t.NATIVE_FLOAT, h5py.h5s.create_simple((5, 7)), plist)
    d.write(h5py.h5s.ALL, h5py.h5s.ALL, ramp(5, 7))


def groups(h, count, **how):
    g = h.create_group("members", **how)
    for i in range(count):
        g.create_dataset(f"a_member_of_a_group_with_many_{i}", data=np.uint8(i % 256))
    links = h.create_group("links")
    links["inside"] = h5py.SoftLink("/members")
    links["outside"] = h5py.ExternalLink("other.h5", "/members")
    links["hard"] = h["types"]
    o = h.create_group("ordered", track_order=True)
    for i in range(20):
        o.create_dataset(f"member{19 - i}", data=np.uint8(i))


def refused(h):
    h.create_dataset("lzf", data=ramp(4, 4), chunks=(2, 2), compression="lzf")
    h["compound"] = np.zeros(2, [("a", "f4"), ("b", "i4")])
    h["bool"] = np.array([True, False])
    h["long"] = np.zeros(2, np.longdouble)
    h["opaque"] = np.zeros(2, np.dtype("V3"))
    h.create_dataset("unwritten", (4,), "f4")
    h.create_dataset("unwritten_chunks", (4,), "f4", chunks=(2,))[:2] = 1


def golden(path):
    out = {}

    def visit(name, o):
        entry = out[name] = {}
        if isinstance(o, h5py.Dataset):
            v = o[()] if o.shape != () else np.array(o[()])
            entry["shape"] = list(o.shape)
            if v.dtype.kind in "OS":
                entry["texts"] = [t.decode() for t in v.reshape(-1)]
            else:
                entry["values"] = v.astype(np.float64).reshape(-1).tolist()
        attrs = {}
        for key, v in o.attrs.items():
            if isinstance(v, (str, bytes)):
                v = [v]
            if len(v) == 0 or isinstance(v[0], (str, bytes)):
                texts = [t.decode() if isinstance(t, bytes) else t for t in v]
                attrs[key] = texts if len(texts) < 100 else [texts[0], str(len(texts)), texts[-1]]
        if attrs:
            entry["attributes"] = attrs

    with h5py.File(path, "r") as h:
        h.visititems(visit)
    return out


os.makedirs(OUT, exist_ok=True)
files = {"earliest.h5": {}, "latest.h5": {"libver": "latest"}}
for name, how in files.items():
    latest = bool(how)
    with h5py.File(os.path.join(OUT, name), "w", **how) as h:
        types(h)
        attributes(h, 30 if latest else 3, latest)
        layouts(h)
        groups(h, 300 if latest else 100)
with h5py.File(os.path.join(OUT, "refused.h5"), "w") as h:
    refused(h)
with h5py.File(os.path.join(OUT, "small.h5"), "w", libver="latest") as h:  # the latest format's structures, for fuzzing
    for i in range(10):
        h[f"m{i}"] = np.uint8(i)
        h.attrs[f"a{i}"] = "text"
    h.attrs["names"] = np.array([b"%04d" % i for i in range(1100)])
    h.create_dataset("fixed", data=ramp(4, 4), chunks=(2, 2), compression="gzip", shuffle=True)
    h.create_dataset("grows", data=ramp(4, 4), chunks=(2, 2), maxshape=(None, None))
    h.create_dataset("down", data=ramp(50, 2), chunks=(1, 2), maxshape=(None, 2))
    h.create_dataset("single", data=ramp(4, 4), chunks=(4, 4), compression="gzip")
with open(os.path.join(OUT, "golden.json"), "w") as f:
    json.dump({name: golden(os.path.join(OUT, name)) for name in files}, f, separators=(",", ":"))
