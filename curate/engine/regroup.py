"""Out-of-core shuffles: rows that share a key meet in one partition, through files under the run's scratch folder.

Each shard's rows are written once, cut by partition (one Arrow batch each); each partition then reads its batch from
every file. Memory is one shard's rows, or one partition's. A pool that fits one partition never touches the disk.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar

import numpy as np
import pyarrow as pa

from curate.columns import to_numpy
from curate.contracts import Learned, Relation, Spread, State
from curate.executors import Stage
from curate.scan import partition, regrouped
from curate.schema import hash_words
from curate.storage import Storage

T = TypeVar("T")
PARTITION_ROWS: Final = 1 << 15
"""Pool rows per partition; a row of the pool may become a dozen of a step's."""
MOST_PARTITIONS: Final = 1024
WORKER_ROWS = 1_000_000
"""Smaller pools are scanned by the driver: starting workers would take longer."""
Workers = Callable[[list[Stage], Iterable[Any]], Iterator[Any]]
"""An executor's `map`: results in any order."""


@dataclass(frozen=True)
class ShardState:
    """A spread state at rest, from which a worker takes what belongs to its shard."""

    shared: State
    storage: Storage
    files: tuple[str, ...]
    table: pa.Table | None = None  # of a pool that fits one partition

    def of(self, shard: int) -> State:
        """The shared columns and the shard's rows, sorted by position."""
        at = int(partition(_shard_key(np.array([shard], np.uint64)), max(1, len(self.files)))[0])
        rows = read_file(self.storage, self.files[at]) if self.table is None else self.table
        low, high = np.uint64(shard) << np.uint64(32), np.uint64(shard + 1) << np.uint64(32)
        begin, end = np.searchsorted(rows["position"].to_numpy().astype(np.uint64), np.array([low, high]))
        return {**self.shared, **{name: to_numpy(rows[name].slice(begin, end - begin)) for name in rows.column_names}}


def state_of(learned: State | ShardState, shard: int) -> State:
    """What a step learned, as it is applied to a shard."""
    return learned.of(shard) if isinstance(learned, ShardState) else learned


def shared(learned: State | ShardState) -> State:
    """What a step learned about the pool as a whole."""
    return learned.shared if isinstance(learned, ShardState) else learned


@dataclass
class Exchange:
    """Where regrouped rows wait and who works on them. `workers` None: this process."""

    storage: Storage
    folder: str
    rows: int
    workers: Workers | None = None
    _stages: int = field(default=0, init=False)

    @property
    def partitions(self) -> int:
        """Depends on the pool's size alone."""
        return min(MOST_PARTITIONS, max(1, -(-self.rows // PARTITION_ROWS)))

    def run(self, function: Callable[[Any], T], items: Iterable[Any]) -> Iterator[T]:
        """Results in the order of the items."""
        if self.workers is None:
            yield from map(function, items)
            return
        early: dict[int, T] = {}
        upto = 0
        for number, result in self.workers([Stage(_Numbered(function), stateless=True)], enumerate(items)):
            early[number] = result
            while upto in early:
                yield early.pop(upto)
                upto += 1

    def regroup(
        self, read: Callable[[Any], pa.Table], items: Iterable[Any], join: Callable[[pa.Table], pa.Table]
    ) -> Relation:
        """`read` turns an item into rows with a key; rows of equal key reach `join` together."""
        if self.partitions == 1:
            return regrouped(list(self.run(read, items)), join, 1)
        stage = self._stage()
        split = partial(_split, self.storage, stage, read, self.partitions)
        files = list(self.run(split, enumerate(items)))
        parts = list(self.run(partial(_join, self.storage, stage, files, join), range(self.partitions)))
        self.storage.remove(files)
        return Stored(self, [file for file, _ in parts], sum(rows for _, rows in parts))

    def learn(self, learned: Learned) -> State | ShardState:
        """What `fit` returned, put at rest by shard; everything else of this exchange goes."""
        if not isinstance(learned, Spread):
            self.clear()
            return learned
        before = self._stages
        rows = learned.rows.regroup(_by_shard, _by_position)
        if isinstance(rows, Stored):
            self.storage.remove(f"{self.folder}/{stage}" for stage in range(before))
            return ShardState(learned.shared, self.storage, tuple(rows.files))
        return ShardState(learned.shared, self.storage, (), pa.concat_tables(rows.map(_same)).combine_chunks())

    def clear(self) -> None:
        """Remove what is left on disk."""
        if self._stages:
            self.storage.remove([self.folder])

    def _stage(self) -> str:
        self._stages += 1
        return f"{self.folder}/{self._stages - 1}"


def new_exchange(storage: Storage, run: str, rows: int, workers: Workers | None) -> Exchange:
    """A scratch folder of its own under the run's: a worker that outlived its driver writes elsewhere."""
    return Exchange(storage, f"{run}/scratch/{uuid.uuid4().hex}", rows, workers if rows > WORKER_ROWS else None)


@dataclass(frozen=True)
class Stored:
    """A `Relation` on disk, a file per partition."""

    exchange: Exchange
    files: Sequence[str]
    rows: int

    def map(self, function: Callable[[pa.Table], T]) -> Iterator[T]:
        """Results in the order of partitions."""
        return self.exchange.run(partial(_mapped, self.exchange.storage, function), self.files)

    def regroup(self, split: Callable[[pa.Table], pa.Table], join: Callable[[pa.Table], pa.Table]) -> Relation:
        """Rows of equal key together."""
        return self.exchange.regroup(partial(_mapped, self.exchange.storage, split), self.files, join)


@dataclass(frozen=True)
class _Numbered:
    """Makes a stage of a function, whose results come with their item's number."""

    function: Callable[[Any], Any]

    def __call__(self) -> Callable[[tuple[int, Any]], tuple[int, Any]]:
        return self._call

    def _call(self, item: tuple[int, Any]) -> tuple[int, Any]:
        return item[0], self.function(item[1])


def _mapped(storage: Storage, function: Callable[[pa.Table], T], file: str) -> T:
    return function(read_file(storage, file))


def _split(
    storage: Storage, stage: str, read: Callable[[Any], pa.Table], partitions: int, item: tuple[int, Any]
) -> str:
    """Write an item's rows, cut by partition; returns the file."""
    number, what = item
    rows = read(what)
    place = partition(rows["key"].to_numpy(), partitions)
    rows = rows.take(pa.array(np.argsort(place, kind="stable")))
    ends = np.cumsum(np.bincount(place, minlength=partitions))
    cuts = [rows.slice(begin, end - begin) for begin, end in zip([0, *ends[:-1]], ends, strict=True)]
    file = f"{stage}/split-{number:08d}.arrow"
    write_file(storage, file, rows.schema, cuts)
    return file


def _join(
    storage: Storage, stage: str, files: Sequence[str], join: Callable[[pa.Table], pa.Table], part: int
) -> tuple[str, int]:
    """Gather one partition, in the order of items, and write what becomes of it; returns the file and its rows."""
    rows = join(pa.concat_tables([read_file(storage, file, part) for file in files]))
    file = f"{stage}/part-{part:05d}.arrow"
    write_file(storage, file, rows.schema, [rows])
    return file, rows.num_rows


def write_file(storage: Storage, file: str, schema: pa.Schema, tables: Sequence[pa.Table]) -> None:
    """An Arrow file with one batch per table."""
    with storage.building(file) as path, pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for table in tables:
            arrays = [pa.concat_arrays(c.chunks) if c.num_chunks else pa.array([], c.type) for c in table.columns]
            writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))


def read_file(storage: Storage, file: str, batch: int = 0) -> pa.Table:
    """One batch of an Arrow file; nothing else of the file is read."""
    path = storage.path(file)
    with pa.OSFile(path, "rb") if storage.local else storage.fs.open(path, "rb") as source:
        return pa.Table.from_batches([pa.ipc.open_file(source).get_batch(batch)])


def _shard_key(shards: np.ndarray) -> np.ndarray:
    return hash_words(0, np.column_stack([np.zeros_like(shards), shards]), "shard")


def _by_shard(rows: pa.Table) -> pa.Table:
    position = rows["position"].to_numpy().astype(np.uint64)
    rows = rows.drop_columns(["key"]) if "key" in rows.column_names else rows
    return rows.append_column("key", pa.array(_shard_key(position >> np.uint64(32))))


def _by_position(rows: pa.Table) -> pa.Table:
    return rows.drop_columns(["key"]).sort_by("position")


def _same(table: pa.Table) -> pa.Table:
    return table
