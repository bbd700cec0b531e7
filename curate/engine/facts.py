"""Pool facts: fit once on every row that has the columns, then one column file per shard."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from curate.columns import identity, scatter, to_arrow, to_numpy
from curate.contracts import PoolFact, State
from curate.engine.context import Context
from curate.engine.decide import Decider
from curate.engine.regroup import ShardState, state_of
from curate.engine.scan import AliveScan, learn
from curate.executors import Stage
from curate.fingerprint import digest
from curate.planner import Global, Node
from curate.pool import Facts, Pool, Shard, read_stored
from curate.schema import COMPUTED, SKIPPED, error_column, state_column
from curate.storage import Storage

Inputs = dict[str, tuple[Facts, str]]
"""Column -> where it is, and its name as its step gives it."""


@dataclass(frozen=True)
class FactTask:
    """Computes a fitted pool fact for one shard in a worker."""

    storage: Storage
    pool: str
    node: Node
    state: State | ShardState
    folder: str

    def __call__(self) -> Callable[[tuple[Shard, bytes, Inputs]], tuple[Shard, Facts]]:
        """The function that a worker runs."""
        return self._compute

    def _compute(self, item: tuple[Shard, bytes, Inputs]) -> tuple[Shard, Facts]:
        shard, seen_rows, inputs = item
        started = time.perf_counter()
        step = self.node.step
        assert isinstance(step, PoolFact)
        pool = Pool(self.storage, self.pool)
        index = pool.read_index(shard)
        known = np.unpackbits(np.frombuffer(seen_rows, np.uint8), count=shard.rows).astype(bool)
        columns: dict[str, pa.Array] = {}
        for name in step.inputs():
            if name not in inputs:
                columns[name] = index[name].combine_chunks()
                continue
            facts, given = inputs[name]
            stored = read_stored(self.storage, facts, [given], 0, shard.rows)
            columns[name] = stored.values[given]
            known &= stored.state.to_numpy(zero_copy_only=False) == COMPUTED
        rows = np.flatnonzero(known)
        seen = {name: to_numpy(array.take(pa.array(rows))) for name, array in columns.items() if name != "uid"}
        ids = {name: values[rows] for name, values in identity(shard.number, index["uid"]).items()}
        given_columns = step.compute(seen | ids, state_of(self.state, shard.number))
        table: dict[str, Any] = {
            "shard": pa.array(np.full(shard.rows, shard.number, np.int32)),
            "row": pa.array(np.arange(shard.rows, dtype=np.int64)),
        }
        for name, kind in step.gives().items():
            values = to_arrow(given_columns[name], kind, len(rows), name)
            table[self.node.columns[name]] = scatter([(rows, values)], shard.rows, kind)
        table[state_column(self.node.label)] = pa.array(np.where(known, COMPUTED, SKIPPED).astype(np.int8))
        table[error_column(self.node.label)] = pa.nulls(shard.rows, pa.string())
        file = f"{self.folder}/{shard.number:08d}.parquet"
        sha256 = self.storage.write_table(file, pa.table(table))
        seconds = round(time.perf_counter() - started, 4)
        return shard, Facts(
            fingerprint=self.node.fingerprint,
            shard=shard.number,
            content=shard.content,
            file=file,
            label=self.node.label,
            columns=self.node.columns,
            computed=len(rows),
            errors=0,
            sha256=sha256,
            seconds=seconds,
            rows=len(rows),
        )


def run_pool_fact(context: Context, decider: Decider, phase: Global) -> None:
    """Fit a pool fact on the rows that have its columns, then write it for each shard. Reused when the pool is the same."""
    node, step = phase.node, phase.node.step
    assert isinstance(step, PoolFact)
    exchange = context.exchange(decider)
    scan = AliveScan(decider, phase.after, node.inputs, exchange)
    name_inputs(context, decider, node, scan)
    node = replace(node, fingerprint=decider.fingerprint(node))
    waiting = [shard for shard in decider.shards if context.pool.found(node.fingerprint, shard) is None]
    for shard in decider.shards:
        found = context.pool.found(node.fingerprint, shard)
        context.count(node.label, 0, found.computed if found else 0)
    if not waiting:
        return
    started = time.perf_counter()
    state = learn(scan, step)
    folder = f"{context.pool.folder}/facts/{node.fingerprint[:16]}"
    task = FactTask(context.storage, context.pool.name, node, state, folder)
    giver = context.plan.giver
    items = []
    for shard in waiting:
        inputs = {c: context.pool.found(decider.fingerprint(giver[c]), shard) for c in node.inputs if c in giver}
        named = {c: (facts, giver[c].given(c)) for c, facts in inputs.items() if facts is not None}
        items.append((shard, scan.bits(shard), named))
    context.count(node.label, 0, 0, time.perf_counter() - started)
    with context.reporter.phase(f"fact {node.label}", sum(shard.rows for shard in waiting)) as tick:
        for shard, facts in context.map([Stage(task, stateless=True)], items):
            context.commit(facts)
            context.count(node.label, facts.computed, 0, facts.seconds)
            context.event(shard.number, step="fact", fact=node.label, computed=facts.computed, seconds=facts.seconds)
            tick(shard.rows)
    exchange.clear()


def name_inputs(context: Context, decider: Decider, node: Node, scan: AliveScan) -> None:
    """Give a pool fact its fingerprint: by its own, and by which rows of which content it can see."""
    seen: list[Any] = [node.fingerprint]
    for shard in decider.shards:
        seen.append([shard.number, shard.content, digest(scan.bits(shard).hex())])
    seen += [decider.fingerprint(context.plan.giver[c]) for c in node.inputs if c in context.plan.giver]
    decider.fact_fingerprints[node.label] = digest(seen)
