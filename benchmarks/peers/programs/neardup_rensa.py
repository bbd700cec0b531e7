"""Near-duplicate captions by rensa: RMinHash signatures and its LSH index; candidates are taken as they come."""

import json
import sys
import time

import pyarrow.parquet as pq
import rensa

begin = time.perf_counter()
texts = pq.ParquetFile(sys.argv[1]).read(["text"])["text"].to_pylist()
index = rensa.RMinHashLSH(threshold=0.7, num_perm=128, num_bands=16)
signatures = []
for number, text in enumerate(texts):
    words = text.lower().split()
    signature = rensa.RMinHash(num_perm=128, seed=42)
    signature.update([" ".join(words[i : i + 2]) for i in range(max(1, len(words) - 1))])
    signatures.append(signature)
    index.insert(number, signature)
root = list(range(len(texts)))


def find(i: int) -> int:
    """The root of a tree, whose branches are halved on the way."""
    while root[i] != i:
        root[i] = root[root[i]]
        i = root[i]
    return i


for number, signature in enumerate(signatures):
    for other in index.query(signature):
        root[find(number)] = find(other)
kept = len({find(i) for i in range(len(texts))})
print(json.dumps({"seconds": time.perf_counter() - begin, "kept": kept}))
