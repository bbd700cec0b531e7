"""The chain in Polars: four rules as expressions, and the two on n-grams as Python functions of what these leave."""

import json
import sys
import time

import polars as pl

from benchmarks.peers import six_rules as spec

begin = time.perf_counter()
text = pl.col("text")
size = text.str.len_chars()
native = (
    text.str.count_matches(r"\S+").is_between(spec.MIN_WORDS, spec.MAX_WORDS)
    & size.is_between(spec.MIN_CHARS, spec.MAX_CHARS)
    & (text.str.count_matches(r"[\p{L}\p{N}]") / size >= spec.MIN_ALNUM)
    & (text.str.count_matches(r"[^\p{L}\p{N}\s]") / size <= spec.MAX_SPECIAL)
)
pool = pl.scan_parquet(f"{sys.argv[1]}/*.parquet").filter(native)
for rule in (spec.character_repetition, spec.word_repetition):
    pool = pool.filter(text.map_elements(rule, return_dtype=pl.Boolean))
pool.sink_parquet(f"{sys.argv[2]}.parquet")
print(json.dumps({"seconds": time.perf_counter() - begin}))
