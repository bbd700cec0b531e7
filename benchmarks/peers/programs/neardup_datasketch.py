"""Near-duplicate captions by datasketch: MinHash in bulk and MinHashLSH; candidates are taken as they come."""

import json
import sys
import time

import pyarrow.parquet as pq
from datasketch import MinHash, MinHashLSH

begin = time.perf_counter()
texts = pq.ParquetFile(sys.argv[1]).read(["text"])["text"].to_pylist()
shingles = []
for text in texts:
    words = text.lower().split()
    shingles.append([" ".join(words[i : i + 2]).encode() for i in range(max(1, len(words) - 1))])
signatures = MinHash.bulk(shingles, num_perm=128, seed=42)
index = MinHashLSH(num_perm=128, params=(16, 8))
with index.insertion_session() as session:
    for number, signature in enumerate(signatures):
        session.insert(number, signature)
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
