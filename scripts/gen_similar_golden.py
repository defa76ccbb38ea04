#!/usr/bin/env python3
"""Writes similar/testdata/nearest.json: what NumPy finds nearest to vectors by products in float64.

    scripts/gen_similar_golden.py

All numbers are 1/8 or -1/8, so that a vector of 64 has length 1, every product is exact in any order, and many are
equal: argsort's stable order says which comes first.
"""
import json, pathlib

import numpy as np

OUT = pathlib.Path(__file__).parent.parent / "similar" / "testdata" / "nearest.json"

random = np.random.RandomState(20261130)
signs = random.randint(0, 2, (300, 64))
signs[random.randint(0, 300, 40)] = signs[random.randint(0, 300, 40)]  # the same pictures several times
vectors = np.where(signs == 1, 1 / 8, -1 / 8)
queries = [0, 17, 171, 299]
found = []
for q in queries:
    scores = vectors @ vectors[q]
    order = np.argsort(-scores, kind="stable")
    found.append({"query": q, "index": order.tolist(), "cosine": scores[order].tolist()})
OUT.write_text(json.dumps({"signs": ["".join(map(str, row)) for row in signs], "found": found}) + "\n")
