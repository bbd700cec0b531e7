"""The chain in Daft: a column per rule by its row function, then one filter, Parquet to Parquet."""

import json
import sys
import time
from functools import reduce
from operator import and_

import daft

from benchmarks.peers.six_rules import RULES

begin = time.perf_counter()
pool = daft.read_parquet(f"{sys.argv[1]}/*.parquet")
# As columns first: of predicates joined with &, version 0.7.26 applies only some when three or more are functions.
for name, rule in RULES.items():
    pool = pool.with_column(name, daft.func(rule, return_dtype=daft.DataType.bool())(daft.col("text")))
pool = pool.where(reduce(and_, [daft.col(name) for name in RULES]))
pool.write_parquet(sys.argv[2])
print(json.dumps({"seconds": time.perf_counter() - begin}))
