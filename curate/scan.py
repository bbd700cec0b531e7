"""Global steps over columns in memory: for a notebook, where a pool is an array, and for tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np
import pyarrow as pa

from curate.columns import to_numpy
from curate.contracts import Columns, Learned, PoolFact, Relation, Selection, Spread, State

T = TypeVar("T")


class MemoryScan:
    """A `Scan` over row-aligned columns; without `uid` and `position` rows are numbered.

    `scan = MemoryScan({"similarity": scores}); step.apply(scan.columns, scan.fit(step), seed=0)`
    """

    def __init__(self, columns: Columns, shards: int = 1, partitions: int = 1) -> None:
        rows = np.arange(len(next(iter(columns.values()))), dtype=np.uint64)
        self.columns: Columns = {
            "uid": np.column_stack([np.zeros_like(rows), rows]),
            "position": rows,
            **columns,
        }
        self._shards = np.array_split(np.arange(len(rows)), shards)
        self._partitions = partitions

    def map(self, function: Callable[[Columns], T], *names: str) -> Iterator[T]:
        """Apply `function` to each shard's columns; results in shard order."""
        for rows in self._shards:
            yield function({name: self.columns[name][rows] for name in (*names, "uid", "position")})

    def regroup(
        self, split: Callable[[Columns], pa.Table], join: Callable[[pa.Table], pa.Table], *names: str
    ) -> Relation:
        """Rows of equal key together, in `partitions` calls of `join`."""
        return regrouped(list(self.map(split, *names)), join, self._partitions)

    def fit(self, step: PoolFact | Selection, seed: int = 0) -> State:
        """What the step learns, as its `compute` or `apply` wants it."""
        return whole(step.fit(self, seed))


def whole(learned: Learned) -> State:
    """A state in one piece, whether it was spread or not; its rows sorted by position."""
    if not isinstance(learned, Spread):
        return learned
    return {**learned.shared, **state_rows(pa.concat_tables(learned.rows.map(_same)))}


def state_rows(rows: pa.Table) -> State:
    """The rows of a spread state as columns, sorted by `position`."""
    rows = rows.sort_by("position")
    return {name: to_numpy(rows[name]) for name in rows.column_names}


class MemoryRelation:
    """A `Relation` in memory."""

    def __init__(self, parts: Sequence[pa.Table]) -> None:
        self._parts = parts

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return sum(part.num_rows for part in self._parts)

    def map(self, function: Callable[[pa.Table], T]) -> Iterator[T]:
        """Results in the order of partitions."""
        return map(function, self._parts)

    def regroup(self, split: Callable[[pa.Table], pa.Table], join: Callable[[pa.Table], pa.Table]) -> Relation:
        """Rows of equal key together, in as many partitions as these."""
        return regrouped([split(part) for part in self._parts], join, len(self._parts))


def _same(table: pa.Table) -> pa.Table:
    return table


def partition(keys: np.ndarray, partitions: int) -> np.ndarray:
    """int64 (n,): the partition of each key (uint64)."""
    return ((keys >> np.uint64(32)) % np.uint64(partitions)).astype(np.int64)


def regrouped(parts: Sequence[pa.Table], join: Callable[[pa.Table], pa.Table], partitions: int) -> MemoryRelation:
    """Rows of equal key together, in so many calls of `join`."""
    rows = pa.concat_tables(parts)
    place = partition(rows["key"].to_numpy(), partitions)
    return MemoryRelation([join(rows.filter(pa.array(place == i))) for i in range(partitions)])
