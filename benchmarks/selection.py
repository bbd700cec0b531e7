"""Global steps over pools of growing size: rows per second and memory, beside sorting everything in memory.

    python -m benchmarks selection

Shards of 10,000 rows are made anew whenever they are read, as a pool on disk would be, so that what the step itself holds
shows: its peak is traced by tracemalloc in a second run, which is slower and not timed. One core.
"""

from __future__ import annotations

import json as jsonlib
import time
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from curate.contracts import Columns, PoolFact, Relation, Selection
from curate.engine.regroup import new_exchange, state_of
from curate.storage import Storage
from stages.select.balance import ClusterCap
from stages.select.dedup import Duplicates
from stages.select.top import TopFraction
from stages.signals.hashes import to_hex

T = TypeVar("T")
SHARD = 10_000
ROWS = (100_000, 1_000_000)
CLUSTERS = 1000


class MadeShards:
    """A `Scan` whose shards are drawn from (shard number) on each reading; one image in ten is a copy with two bits flipped."""

    def __init__(self, rows: int, folder: str) -> None:
        self.shards = rows // SHARD
        self.exchange = new_exchange(Storage(folder), "run", rows, None)

    def shard(self, number: int, names: tuple[str, ...]) -> Columns:
        """The columns of one shard."""
        draw = np.random.default_rng(number)
        columns: dict[str, np.ndarray] = {
            "uid": draw.integers(0, 2**63, (SHARD, 2)).astype(np.uint64),
            "position": (np.uint64(number) << np.uint64(32)) | np.arange(SHARD, dtype=np.uint64),
            "similarity": draw.normal(0.25, 0.05, SHARD).astype(np.float32),
            "cluster": np.minimum(draw.zipf(1.3, SHARD), CLUSTERS).astype(np.int32) - 1,
        }
        if "phash" in names:
            hashes = draw.integers(0, 2**64, SHARD, dtype=np.uint64)
            copies = np.arange(0, SHARD, 10)
            hashes[copies] = hashes[copies + 1] ^ np.uint64(0b11 << (number % 60))
            columns["phash"] = np.array(to_hex(hashes), object)
            columns["mean_rgb"] = np.full(SHARD, "808080", object)
        return columns

    def map(self, function: Callable[[Columns], T], *names: str) -> Iterator[T]:
        """Results in shard order."""
        for number in range(self.shards):
            yield function(self.shard(number, names))

    def regroup(
        self, split: Callable[[Columns], pa.Table], join: Callable[[pa.Table], pa.Table], *names: str
    ) -> Relation:
        """As a run does it: in partitions on disk."""
        return self.exchange.regroup(lambda number: split(self.shard(number, names)), range(self.shards), join)


def fit_and_apply(step: Selection | PoolFact, scan: MadeShards) -> None:
    """The whole of a global step's work."""
    learned = scan.exchange.learn(step.fit(scan, 0))
    for number in range(scan.shards):
        columns, state = scan.shard(number, step.inputs()), state_of(learned, number)
        step.apply(columns, state, 0) if isinstance(step, Selection) else step.compute(columns, state)


def in_memory(scan: MadeShards) -> None:
    """What a script does for a top fraction: load, sort, cut."""
    parts = list(scan.map(lambda columns: (columns["similarity"], columns["uid"]), "similarity"))
    scores, uids = np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])
    np.lexsort((uids[:, 1], uids[:, 0], -scores))[: len(scores) * 3 // 10]


def reading(scan: MadeShards) -> None:
    """Making the shards once and doing nothing with them."""
    for _ in scan.map(lambda columns: None, "similarity"):
        pass


def peak(work: Callable[[], Any]) -> float:
    """Most MB that the work held at once."""
    tracemalloc.start()
    work()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most / 1e6


def measure() -> list[dict[str, float | str]]:
    """Per step and size: rows/s and peak MB."""
    works: dict[str, Callable[[MadeShards], None]] = {
        "reading": reading,
        "sort in memory": in_memory,
        "TopFraction": lambda scan: fit_and_apply(TopFraction(fraction=0.3), scan),
        "ClusterCap": lambda scan: fit_and_apply(ClusterCap(alpha=0.5, fraction=0.3), scan),
        "Duplicates d=4": lambda scan: fit_and_apply(Duplicates(by="phash", distance=4), scan),
    }
    rows: list[dict[str, float | str]] = []
    for name, work in works.items():
        for size in ROWS:
            with TemporaryDirectory() as folder:
                scan = MadeShards(size, folder)
                begin = time.perf_counter()
                work(scan)
                seconds = time.perf_counter() - begin
                most = peak(partial(work, scan))
            rows.append({"step": name, "rows": size, "rows/s": size / seconds, "peak MB": most})
    return rows


def main(json: bool = False) -> None:
    """Print rows/s and peak memory per step and pool size."""
    rows = measure()
    if json:
        print(jsonlib.dumps({"benchmark": "selection", "unit": "rows/s", "rows": rows}))
        return
    print(f"rows/s on one core, each reading of the pool included\n{'':20}{'rows':>12}{'rows/s':>12}{'peak MB':>10}")
    for row in rows:
        print(f"{row['step']:20}{row['rows']:12,}{row['rows/s']:12,.0f}{row['peak MB']:10,.0f}")
