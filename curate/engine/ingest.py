"""Brings a recipe's source into its pool: new units become new shards, changed ones are read again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from fsspec.core import url_to_fs

from curate.contracts import Source, Unit
from curate.engine.context import Context
from curate.errors import PoolError
from curate.executors import Stage
from curate.pool import Pool, Shard, write_index
from curate.storage import Storage


@dataclass(frozen=True)
class IngestTask:
    """Reads units in workers."""

    storage: Storage
    pool: str
    source: Source

    def __call__(self) -> Callable[[tuple[int, Unit]], tuple[Shard, float, dict[str, int]]]:
        """The function that a worker runs."""
        return self._ingest

    def _ingest(self, item: tuple[int, Unit]) -> tuple[Shard, float, dict[str, int]]:
        number, unit = item
        started = time.perf_counter()
        own = f"pool/{self.pool}/shards/{number:08d}.tar"
        with self.storage.temporary(own) as target:
            ingested = self.source.ingest(unit, target)
            if ingested.tar is None:
                self.storage.commit(target, own)
        tar = ingested.tar or own
        shard = write_index(self.storage, self.pool, number, unit.name, unit.stamp, tar, ingested.rows)
        return shard, time.perf_counter() - started, dict(ingested.passed)


def ingest(context: Context, units: list[Unit], limit: int | None = None) -> list[Shard]:
    """The shards of the source's units, in order; those that the pool lacks are read now. `limit`: no more units than
    hold so many records, a worker's worth at a time."""
    if limit is None:
        _read(context, units)
        return known_shards(context.pool.shards, units)
    entered = upto = 0
    while upto < len(units) and entered < limit:
        window = units[upto : upto + context.executor.workers]
        _read(context, window)
        entered += sum(context.pool.shards[unit.name].rows for unit in window)
        upto += len(window)
    return known_shards(context.pool.shards, units[:upto])


def _read(context: Context, units: list[Unit]) -> None:
    """Commit the units that are new or have changed."""
    number = context.pool.next_number()
    todo: list[tuple[int, Unit]] = []
    for unit in units:
        known = context.pool.shards.get(unit.name)
        if known is None:
            todo.append((number, unit))
            number += 1
        elif known.stamp != unit.stamp:
            _same_place(context.pool, known, unit)
            todo.append((known.number, unit))
    if todo:
        task = IngestTask(context.storage, context.pool.name, context.recipe.source)
        with context.reporter.phase("ingest", len(todo), "shards") as tick:
            for shard, seconds, passed in context.map([Stage(task, stateless=True)], todo):
                context.commit(shard)
                said = {"passed": passed} if passed else {}
                context.event(shard.number, step="ingest", unit=shard.unit, rows=shard.rows, seconds=seconds, **said)
                tick(1)
    context.flush()


def _same_place(pool: Pool, known: Shard, unit: Unit) -> None:
    """Raise if a tar of that name in another place, and still there, would be pushed out of the pool."""
    tar = unit.args.get("tar", known.tar)
    if tar == known.tar:
        return
    fs, path = url_to_fs(pool.tar_url(known))
    if fs.exists(path):
        raise PoolError(
            f"pool {pool.name!r} already has a shard {unit.name}, of {known.tar}; this source's is {tar}. Give these data "
            f"a pool of their own: --set pool.name=NAME"
        )


def known_shards(shards: dict[str, Shard], units: list[Unit]) -> list[Shard]:
    """The pool's shards of these units, in shard order."""
    found = [shards[unit.name] for unit in units if unit.name in shards]
    if found and not any(shard.rows for shard in found):
        raise PoolError("the source has no records: nothing would enter")
    return sorted(found, key=lambda shard: shard.number)
