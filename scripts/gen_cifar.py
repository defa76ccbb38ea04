#!/usr/bin/python3
"""Writes vision/testdata/cifar: two pictures of each part in the layout of CIFAR's Python version.

    /usr/bin/python3 scripts/gen_cifar.py

cifar10 and cifar100 are pickled as Python 2 did it (https://www.cs.toronto.edu/~kriz/cifar.html): protocol 2, str as bytes. The
files again-N are test_batch of cifar10 as Python 3 writes it by protocol N. Sample c of pixel (x,y) of picture n is
(50n + 3x + 5y + 70c) mod 256.
"""

import io
import os
import pickle

import numpy

OUT = os.path.join(os.path.dirname(__file__), "..", "vision", "testdata", "cifar")
TEN = "airplane automobile bird cat deer dog frog horse ship truck".split()


class Python2(pickle._Pickler):
    """Text and bytes are one type of Python 2's, for which protocol 2 has BINSTRING and SHORT_BINSTRING."""

    dispatch = dict(pickle._Pickler.dispatch)

    def save_bytes(self, b):
        if len(b) < 256:
            self.write(pickle.SHORT_BINSTRING + bytes([len(b)]) + b)
        else:
            self.write(pickle.BINSTRING + len(b).to_bytes(4, "little") + b)
        self.memoize(b)

    dispatch[bytes] = save_bytes
    dispatch[str] = lambda self, s: self.save_bytes(s.encode("ascii"))


def python2(value):
    out = io.BytesIO()
    Python2(out, 2).dump(value)
    return out.getvalue()


def pictures(first):
    n, c, y, x = numpy.ogrid[first : first + 2, :3, :32, :32]
    return ((50 * n + 3 * x + 5 * y + 70 * c) % 256).astype(numpy.uint8).reshape(2, 3072)


def ten(first, name):
    return {"batch_label": name, "labels": [7 - first, 9], "data": pictures(first), "filenames": ["a_s_000001.png", "b_s_000002.png"]}


def hundred(first, name):
    return {"filenames": ["a_s_000001.png", "b_s_000002.png"], "batch_label": name, "fine_labels": [99, first], "coarse_labels": [19, 0],
            "data": pictures(first)}


def write(path, content):
    path = os.path.join(OUT, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(content)


write("cifar10/test_batch", python2(ten(0, "testing batch 1 of 1")))
write("cifar10/data_batch_1", python2(ten(2, "training batch 1 of 5")))
write("cifar10/data_batch_2", python2(ten(4, "training batch 2 of 5")))
write("cifar10/batches.meta", python2({"num_cases_per_batch": 10000, "label_names": TEN, "num_vis": 3072}))
write("cifar100/test", python2(hundred(0, "testing batch 1 of 1")))
write("cifar100/train", python2(hundred(2, "training batch 1 of 1")))
write("cifar100/meta", python2({"fine_label_names": [f"fine {i}" for i in range(100)], "coarse_label_names": [f"coarse {i}" for i in range(20)]}))
for protocol in 3, 4, 5:
    write(f"again-{protocol}", pickle.dumps(ten(0, "testing batch 1 of 1"), protocol))
