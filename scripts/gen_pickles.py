#!/usr/bin/python3
"""Writes internal/pickle/testdata/protocolN.pkl: one value as Python pickles it by each protocol.

    /usr/bin/python3 scripts/gen_pickles.py

TestProtocols knows the value. Bytes and sets are left out where a protocol has no instruction for them.
"""

import collections
import os
import pickle

OUT = os.path.join(os.path.dirname(__file__), "..", "internal", "pickle", "testdata")


def value(protocol):
    shared = ["shared"]
    itself = []
    itself.append(itself)
    v = {
        "none": None, "bools": [True, False],
        "ints": [0, 1, -1, 255, 256, 65535, 65536, -70000, 2**31, 2**40, -(2**63), 2**63, 2**80, -(2**80)],
        "floats": [0.5, -1e300, float("inf")],
        "text": ["", "conv1/w", "Zürich 东京 🎓", "a\nb\\u0041'", "x" * 300],
        "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)],
        "shared": [shared, shared], "itself": itself,
        "ordered": collections.OrderedDict([("b", 1), ("a", 2)]),
        7: "seven", "many": {str(i): i * i for i in range(300)},  # more than BINPUT can number
    }
    if protocol >= 3:
        v["bytes"] = [b"", b"\x00\xff", b"y" * 300]
    if protocol >= 4:
        v["sets"] = [{5}, frozenset([6])]
    if protocol >= 5:
        v["bytearray"] = bytearray(b"abc")
    return v


os.makedirs(OUT, exist_ok=True)
for protocol in range(6):
    with open(os.path.join(OUT, f"protocol{protocol}.pkl"), "wb") as f:
        pickle.dump(value(protocol), f, protocol)
