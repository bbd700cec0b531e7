"""What a global step sees of a pool: rows alive at its place, read here or where the workers are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from curate.contracts import Columns, DocumentFact, PoolFact, Relation, Selection, State
from curate.engine.answers import packed
from curate.engine.decide import Decider
from curate.engine.regroup import Exchange, ShardState
from curate.planner import Node, Plan, Rule
from curate.pool import Facts, Pool, Shard
from curate.storage import Storage

T = TypeVar("T")
Item = tuple[Shard, int, tuple[Facts, ...]]
"""A shard, how many of its rows entered, and where its columns are."""


@dataclass(frozen=True)
class View:
    """What a worker needs to see a shard as the driver does."""

    plan: Plan
    storage: Storage
    pool: str
    denied: Callable[[pa.Table], list[str | None]]
    states: Mapping[int, State | ShardState]
    fact_fingerprints: Mapping[str, str]
    document_fingerprints: Mapping[tuple[str, int], str]

    def open(self, item: Item) -> tuple[Decider, Shard]:
        """A decider of one shard."""
        shard, rows, facts = item
        known = {(entry.fingerprint, entry.shard): entry for entry in facts}
        pool = Pool(self.storage, self.pool, {shard.unit: shard}, known)
        decider = Decider(self.plan, pool, [shard], {shard.number: rows}, self.denied)
        decider.states, decider.fact_fingerprints = dict(self.states), dict(self.fact_fingerprints)
        decider.document_fingerprints = dict(self.document_fingerprints)
        return decider, shard


def over_shards(
    decider: Decider, exchange: Exchange, function: Callable[[Decider, Shard], T]
) -> tuple[Callable[[Any], T], Iterable[Any]]:
    """A function and its items for an exchange: each shard with this decider, or on a worker with one of its own."""
    if exchange.workers is None:
        return partial(function, decider), decider.shards
    pool = decider.pool
    view = View(
        decider.plan,
        pool.storage,
        pool.name,
        decider.denied,
        decider.states,
        decider.fact_fingerprints,
        decider.document_fingerprints,
    )
    return partial(_opened, view, function), _items(decider)


def _items(decider: Decider) -> Iterator[Item]:
    """The decider's shards, each with all that is stored of it. What a document fact, or what reads it, sees is known once
    its phase has been; before that nothing asks for it."""
    nodes = [node for node in decider.plan.nodes if settled(decider, node)]
    for shard in decider.shards:
        found = [decider.found(shard, node) for node in nodes]
        yield shard, decider.rows(shard), tuple(facts for facts in found if facts is not None)


def settled(decider: Decider, node: Node) -> bool:
    """Whether it is known what a node's fingerprint depends on: of a fact of documents only once its phase has begun."""
    known = {label for label, _ in decider.document_fingerprints}
    if isinstance(node.step, DocumentFact) and node.label not in known:
        return False
    giver = decider.plan.giver
    return all(settled(decider, giver[column]) for column in node.inputs if column in giver)


def _opened(view: View, function: Callable[[Decider, Shard], T], item: Item) -> T:
    return function(*view.open(item))


@dataclass
class AliveScan:
    """Rows of these `kinds` (none: all) alive after the rules below `upto` that have all of the step's `inputs`; `upto`
    None: whatever rules say."""

    decider: Decider
    upto: int | None
    inputs: Sequence[str]
    kinds: Sequence[str]
    exchange: Exchange
    _seen: dict[int, bytes] = field(default_factory=dict)

    def map(self, function: Callable[[Columns], T], *names: str) -> Iterator[T]:
        """Results in shard order."""
        return self.exchange.run(*self._reading(function, names))

    def regroup(
        self, split: Callable[[Columns], pa.Table], join: Callable[[pa.Table], pa.Table], *names: str
    ) -> Relation:
        """Rows of equal key together, in partitions on disk once they are many."""
        return self.exchange.regroup(*self._reading(split, names), join)

    def _reading(
        self, function: Callable[[Columns], T], names: Sequence[str]
    ) -> tuple[Callable[[Any], T], Iterable[Any]]:
        if self.exchange.workers is None:
            return lambda shard: function(self.decider.columns(shard, names, self.rows(shard))), self.decider.shards
        return over_shards(
            self.decider, self.exchange, partial(_see, self.upto, self.inputs, self.kinds, names, function)
        )

    def rows(self, shard: Shard) -> np.ndarray:
        """Row numbers that are seen."""
        return np.flatnonzero(np.unpackbits(np.frombuffer(self.bits(shard), np.uint8)))

    def bits(self, shard: Shard) -> bytes:
        """The same, one bit per row of the shard: all that is kept, since every pass of a step sees the same rows."""
        if shard.number not in self._seen:
            rows = self.decider.visible(shard, self.upto, self.inputs, self.kinds)
            self._seen[shard.number] = packed(shard, rows)
        return self._seen[shard.number]


def _see(
    upto: int | None,
    inputs: Sequence[str],
    kinds: Sequence[str],
    names: Sequence[str],
    function: Callable[[Columns], T],
    decider: Decider,
    shard: Shard,
) -> T:
    return function(decider.columns(shard, names, decider.visible(shard, upto, inputs, kinds)))


def learn(scan: AliveScan, step: PoolFact | Selection) -> State | ShardState:
    """Fit a global step on the rows that it may see."""
    return scan.exchange.learn(step.fit(scan, scan.decider.plan.recipe.header.seed))


def fit(decider: Decider, rule: Rule, exchange: Exchange) -> None:
    """A selection learns its threshold from the rows that the rules before it leave."""
    assert isinstance(rule.step, Selection)
    scan = AliveScan(decider, rule.number, rule.step.inputs(), rule.kinds, exchange)
    decider.states[rule.number] = learn(scan, rule.step)
