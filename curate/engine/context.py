"""What every phase of a run shares: recipe, pool, executor, limits, and the counts for the summary."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from curate.engine.decide import Decider
from curate.engine.regroup import Exchange, new_exchange
from curate.errors import Stopped
from curate.executors import Executor, Stage
from curate.lock import RunLock
from curate.planner import Plan
from curate.pool import Facts, Pool, Shard
from curate.progress import Reporter
from curate.recipe import Recipe
from curate.storage import Storage

T = TypeVar("T")
FLUSH_SECONDS = 2.0


@dataclass
class Context:
    """One run in progress."""

    recipe: Recipe
    plan: Plan
    storage: Storage
    pool: Pool
    executor: Executor
    reporter: Reporter
    lock: RunLock
    run: str
    deadline: float | None = None
    computed: dict[str, int] = field(default_factory=dict)
    reused: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    _entries: list[Shard | Facts] = field(default_factory=list)
    _flushed: float = field(default_factory=time.monotonic)
    _events: dict[int, list[dict[str, Any]]] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        """Path of the run under the root."""
        return f"runs/{self.run}"

    def map(self, stages: list[Stage], items: Iterable[Any]) -> Iterator[Any]:
        """Through the executor; commits what was reported even when it ends early, and heeds the time limit."""
        try:
            for result in self.executor.map(stages, items):
                yield result
                if self.lock.lost.is_set():
                    self.lock.check()
                if self.deadline is not None and time.monotonic() > self.deadline:
                    raise Stopped("the time limit is reached; what is committed stays, the same command goes on")
        finally:
            self.flush()

    def exchange(self, decider: Decider) -> Exchange:
        """For one global step: in this process, or on the workers when the pool is large."""
        rows = sum(decider.rows(shard) for shard in decider.shards)
        return new_exchange(self.storage, self.folder, rows, None if self.executor.name == "inline" else self.map)

    def commit(self, entry: Shard | Facts) -> None:
        """Log that a file counts; segments of the log are written every two seconds."""
        self._entries.append(entry)
        self.pool.apply({**entry.__dict__})
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what is to be logged."""
        if not self.lock.lost.is_set():
            self.pool.log(self._entries)
            self._entries = []
        self._flushed = time.monotonic()

    def event(self, shard: int, **what: Any) -> None:
        """A line for the shard's structured log."""
        self._events.setdefault(shard, []).append({"time": round(time.time(), 3), **what})

    def write_events(self) -> None:
        """`runs/<run>/log/<shard>.jsonl`: what happened to each shard in this and earlier sessions of the run."""
        for shard, events in self._events.items():
            path = f"{self.folder}/log/{shard:08d}.jsonl"
            before = self.storage.read(path) if self.storage.exists(path) else b""
            lines = "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in events)
            self.storage.write(path, before + lines.encode())
        self._events = {}

    def count(self, label: str, computed: int, reused: int, seconds: float = 0.0) -> None:
        """Add to the summary's counts of a signal."""
        self.computed[label] = self.computed.get(label, 0) + computed
        self.reused[label] = self.reused.get(label, 0) + reused
        self.seconds[label] = self.seconds.get(label, 0.0) + seconds


def chunks_of(rows: int, size: int) -> Sequence[tuple[int, int]]:
    """(start, count) of a shard's chunks."""
    return [(start, min(size, rows - start)) for start in range(0, rows, size)]
