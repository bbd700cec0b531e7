"""Global steps over columns in memory: for a notebook, where a pool is an array, and for tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np

from curate.contracts import Columns

T = TypeVar("T")


class MemoryScan:
    """A `Scan` over row-aligned columns; without `uid` and `position` rows are numbered.

    `scan = MemoryScan({"similarity": scores}); step.apply(scan.columns, step.fit(scan, seed=0), seed=0)`
    """

    def __init__(self, columns: Columns, shards: int = 1) -> None:
        rows = np.arange(len(next(iter(columns.values()))), dtype=np.uint64)
        self.columns: Columns = {
            "uid": np.column_stack([np.zeros_like(rows), rows]),
            "position": rows,
            **columns,
        }
        self._shards = np.array_split(np.arange(len(rows)), shards)

    def map(self, function: Callable[[Columns], T], *names: str) -> Iterator[T]:
        """Apply `function` to each shard's columns; results in shard order."""
        for rows in self._shards:
            yield function({name: self.columns[name][rows] for name in (*names, "uid", "position")})
