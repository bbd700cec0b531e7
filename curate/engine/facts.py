"""Facts of the pool, fit once on every row that has the columns, and facts of documents: one column file per shard."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from curate.columns import identity, to_numpy
from curate.contracts import DocumentFact, PoolFact, State
from curate.engine.answers import FAMILY, answer, packed
from curate.engine.context import Context
from curate.engine.decide import Decider
from curate.engine.regroup import ShardState, state_of
from curate.engine.scan import AliveScan, learn
from curate.executors import Stage
from curate.planner import Global, Node
from curate.pool import Facts, Pool, Shard, read_stored
from curate.schema import COMPUTED, error_column, state_column
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
    types: dict[str, pa.DataType]  # of the columns that it reads from other steps
    folder: str

    def __call__(self) -> Callable[[tuple[Shard, str, bytes, Inputs]], tuple[Shard, Facts]]:
        """The function that a worker runs."""
        return self._compute

    def _compute(self, item: tuple[Shard, str, bytes, Inputs]) -> tuple[Shard, Facts]:
        shard, fingerprint, seen, inputs = item
        started = time.perf_counter()
        index = Pool(self.storage, self.pool).read_index(shard)
        rows = np.flatnonzero(np.unpackbits(np.frombuffer(seen, np.uint8), count=shard.rows))
        columns = {name: to_numpy(array.take(pa.array(rows))) for name, array in self._columns(shard, index, inputs)}
        ids = {name: values[rows] for name, values in identity(shard.number, index["uid"]).items()}
        kind = index["kind"] if self.node.kinds else None
        values, states = answer(self.node, columns | ids, rows, shard.rows, kind, state_of(self.state, shard.number))
        table: dict[str, Any] = {
            "shard": pa.array(np.full(shard.rows, shard.number, np.int32)),
            "row": pa.array(np.arange(shard.rows, dtype=np.int64)),
        }
        table |= {self.node.columns[name]: column for name, column in values.items()}
        table[state_column(self.node.label)] = pa.array(states)
        table[error_column(self.node.label)] = pa.nulls(shard.rows, pa.string())
        file = f"{self.folder}/{self.node.fingerprint[:16]}/{shard.number:08d}-{fingerprint[:12]}.parquet"
        sha256 = self.storage.write_table(file, pa.table(table))
        computed = int((states == COMPUTED).sum())
        return shard, Facts(
            fingerprint=fingerprint,
            shard=shard.number,
            content=shard.content,
            file=file,
            label=self.node.label,
            columns=self.node.columns,
            computed=computed,
            errors=0,
            sha256=sha256,
            seconds=round(time.perf_counter() - started, 4),
            rows=computed,
        )

    def _columns(self, shard: Shard, index: pa.Table, inputs: Inputs) -> Iterator[tuple[str, pa.Array]]:
        """What the step reads, of every row."""
        step = self.node.step
        for name in (*step.inputs(), *(FAMILY if isinstance(step, DocumentFact) else ())):
            if name in inputs:
                facts, given = inputs[name]
                yield name, read_stored(self.storage, facts, [given], 0, shard.rows).values[given]
            elif name in self.types:  # computed for no row of this shard
                yield name, pa.nulls(shard.rows, self.types[name])
            elif name != "uid":
                yield name, index[name].combine_chunks()


def run_fact(context: Context, decider: Decider, phase: Global) -> None:
    """Write a fact of the pool, or of documents, for each shard that lacks it."""
    node, step = phase.node, phase.node.step
    assert isinstance(step, PoolFact)
    exchange = context.exchange(decider)
    scan = AliveScan(decider, phase.after, node.inputs, node.kinds, exchange)
    if not isinstance(step, DocumentFact):
        decider.fact_fingerprints[node.label] = decider.pool_fingerprint(node, scan.bits)
    waiting = []
    for shard in decider.shards:
        found = decider.found(shard, node)
        context.count(node.label, 0, found.computed if found else 0)
        if found is None:
            waiting.append(shard)
    if not waiting:
        return
    started = time.perf_counter()
    state = learn(scan, step) if not isinstance(step, DocumentFact) else {}
    context.count(node.label, 0, 0, time.perf_counter() - started)
    givers = {column: decider.plan.giver[column] for column in node.inputs if column in decider.plan.giver}
    types = {column: giver.step.gives()[giver.given(column)] for column, giver in givers.items()}
    task = FactTask(context.storage, context.pool.name, node, state, types, f"{context.pool.folder}/facts")
    items = (_item(decider, node, scan, shard) for shard in waiting)
    with context.reporter.phase(f"fact {node.label}", sum(shard.rows for shard in waiting)) as tick:
        for shard, facts in context.map([Stage(task, stateless=True)], items):
            context.commit(facts)
            context.count(node.label, facts.computed, 0, facts.seconds)
            context.event(shard.number, step="fact", fact=node.label, computed=facts.computed, seconds=facts.seconds)
            tick(shard.rows)
    exchange.clear()


def _item(decider: Decider, node: Node, scan: AliveScan, shard: Shard) -> tuple[Shard, str, bytes, Inputs]:
    """What a worker needs for a shard."""
    about_documents = isinstance(node.step, DocumentFact)
    seen = packed(shard, np.flatnonzero(decider.seen(node, shard))) if about_documents else scan.bits(shard)
    return shard, decider.fingerprint(node, shard), seen, decider.where(shard, node.inputs)
