"""Near-duplicate captions by Daft: its minhash expression, and its bands joined here; candidates are taken as they come.

Daft has no step that finds duplicates from signatures: the loop over bands is the one of its own tutorial, in numpy.
"""

import json
import sys
import time

import daft
import numpy as np

begin = time.perf_counter()
hashed = daft.functions.minhash(daft.col("text"), num_hashes=128, ngram_size=2, seed=42)
column = daft.read_parquet(sys.argv[1]).select(hashed.alias("hashes")).to_arrow()["hashes"].combine_chunks()
signatures = column.flatten().to_numpy().reshape(-1, 128)
root = list(range(len(signatures)))


def find(i: int) -> int:
    """The root of a tree, whose branches are halved on the way."""
    while root[i] != i:
        root[i] = root[root[i]]
        i = root[i]
    return i


for band in np.split(signatures, 16, axis=1):
    first: dict[bytes, int] = {}
    for number, key in enumerate(map(bytes, np.ascontiguousarray(band))):
        root[find(number)] = find(first.setdefault(key, number))
kept = len({find(i) for i in range(len(signatures))})
print(json.dumps({"seconds": time.perf_counter() - begin, "kept": kept}))
