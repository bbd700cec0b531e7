"""What travels between the driver and workers: a pass, its chunks, work in progress, results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from curate.columns import identity, scatter, to_numpy
from curate.planner import Node, Rule
from curate.pool import Facts, Shard
from curate.schema import COMPUTED, ERROR, SKIPPED
from curate.storage import Storage


@dataclass(frozen=True)
class PassTask:
    """What all chunks of a pass share."""

    storage: Storage
    pool: str
    nodes: tuple[Node, ...]
    rules: tuple[Rule, ...]
    seed: int
    max_megapixels: float
    timeout: float


@dataclass(frozen=True)
class Chunk:
    """The unit of work, fixed by the plan: rows of one shard.

    `todo`: labels of the signals to compute here. `stored`: what earlier passes have, also of the signals to compute.
    `alive`: rows that this pass is about, as packed bits.
    """

    shard: Shard
    tar: str
    start: int
    count: int
    todo: tuple[str, ...]
    stored: Mapping[str, Facts]
    alive: bytes
    target: str  # where the chunk's table goes
    wanted: int  # rows alive that the signals to compute are about
    part: bool  # the shard has other chunks: the driver joins their tables
    attempts: str  # marker that is there while the chunk is being worked on

    def alive_rows(self) -> np.ndarray:
        """Boolean (count,)."""
        return np.unpackbits(np.frombuffer(self.alive, np.uint8), count=self.count).astype(bool)


@dataclass
class Result:
    """What a worker tells the driver of one chunk. `file` is empty when there was nothing to compute."""

    shard: int
    start: int
    count: int
    file: str = ""
    sha256: str = ""
    computed: dict[str, int] = field(default_factory=dict)
    reused: dict[str, int] = field(default_factory=dict)
    totals: dict[str, tuple[int, int]] = field(default_factory=dict)  # label -> rows computed, rows in error, in file
    failures: dict[str, int] = field(default_factory=dict)
    failed: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    wanted: int = 0  # rows that the pass was about


@dataclass
class Work:
    """A chunk in progress: columns as (rows, values) parts, and per signal the state and error of each row."""

    chunk: Chunk
    index: pa.Table
    alive: np.ndarray
    kinds: dict[str, pa.DataType] = field(default_factory=dict)
    parts: dict[str, list[tuple[np.ndarray, pa.Array]]] = field(default_factory=dict)
    states: dict[str, np.ndarray] = field(default_factory=dict)
    errors: dict[str, list[str | None]] = field(default_factory=dict)
    before: dict[str, int] = field(default_factory=dict)  # rows per signal that earlier passes had computed
    prepared: dict[str, dict[int, np.ndarray]] = field(default_factory=dict)
    images: dict[int, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def about(self, kinds: Sequence[str]) -> np.ndarray:
        """Boolean (count,): rows of these kinds; of no kinds: all."""
        return np.isin(self.index["kind"].to_numpy(), kinds) if kinds else np.ones(self.chunk.count, bool)

    def drop(self, rows: np.ndarray) -> None:
        """These rows are out, and the nodes of documents among them as far as they stand in this chunk."""
        self.alive[rows] = False
        if self.chunk.shard.kinds and len(rows):
            parent = self.index["parent"].fill_null(-1).to_numpy() - self.chunk.start
            self.alive[np.isin(parent, rows)] = False

    def known(self, label: str) -> int:
        """Rows for which a signal is computed, or failed."""
        return int(np.isin(self.states[label], (COMPUTED, ERROR)).sum())

    def add(self, node: Node, rows: np.ndarray, values: Mapping[str, pa.Array]) -> None:
        """Columns (by the names that the step gives) for some rows."""
        for name, column in node.columns.items():
            self.parts[column].append((rows, values[name]))
        self.states[node.label][rows] = COMPUTED

    def fail(self, label: str, row: int, error: str) -> None:
        """The signal failed for one row."""
        self.states[label][row] = ERROR
        self.errors[label][row] = error

    def waiting(self, label: str) -> np.ndarray:
        """Row numbers alive and not yet computed for a signal."""
        return np.flatnonzero(self.alive & (self.states[label] == SKIPPED))

    def column(self, name: str) -> pa.Array:
        """A whole column of the chunk; null where it is not known."""
        if name in self.parts:
            return scatter(self.parts[name], self.chunk.count, self.kinds[name])
        column = self.index[name].combine_chunks()
        return column.chunk(0) if isinstance(column, pa.ChunkedArray) else column

    def columns(self, names: Sequence[str], rows: np.ndarray) -> dict[str, np.ndarray]:
        """Columns as steps see them, for some rows, with `uid` and `position`."""
        taken = pa.array(rows)
        found = {name: to_numpy(self.column(name).take(taken)) for name in names if name != "uid"}
        ids = identity(self.chunk.shard.number, self.index["uid"], self.chunk.start)
        return found | {name: values[rows] for name, values in ids.items()}

    def clock(self, label: str, seconds: float) -> None:
        """Add to the time that a signal took."""
        self.seconds[label] = self.seconds.get(label, 0.0) + seconds
