"""The chain as a plain loop: read, ask rule by rule, stop at the first that says no, write."""

import json
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.peers.six_rules import RULES

begin = time.perf_counter()
source, target = map(Path, sys.argv[1:3])
target.mkdir(parents=True)
for path in sorted(source.glob("*.parquet")):
    table = pq.read_table(path)
    keep = [all(rule(text) for rule in RULES.values()) for text in table["text"].to_pylist()]
    pq.write_table(table.filter(pa.array(keep)), target / path.name)
print(json.dumps({"seconds": time.perf_counter() - begin}))
