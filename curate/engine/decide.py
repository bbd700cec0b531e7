"""Fates from stored columns: walks the rules in the recipe's order over one shard at a time.

Nothing here computes a signal or touches an image, so the same walk serves a run, its resume and what-if.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.columns import identity, to_numpy
from curate.contracts import DocumentFact, Filter, PoolFact, Signal, State
from curate.engine.answers import FAMILY, answer, packed
from curate.engine.regroup import ShardState, state_of
from curate.fingerprint import digest
from curate.planner import Node, Plan, Rule
from curate.pool import Facts, Pool, Shard, Stored, read_stored
from curate.schema import ABSENT, COMPUTED, DECODE, DROPPED, ERROR, FAILED, KEPT, LEDGER, NODE_COLUMNS, SKIPPED

ALIVE, OUT, BROKEN = 0, 1, 2
DENY = "deny"
INGEST = "ingest: "
WITH_DOCUMENT = "its document"
"""How the ledger says that a node went with its document."""
CACHE_BYTES = 64 << 20


@dataclass
class Walk:
    """One shard after some rules. `unknown`: label of a signal -> rows that reached a rule without it."""

    shard: Shard
    index: pa.Table
    fate: np.ndarray  # int8 (n,): ALIVE, OUT, BROKEN
    times: np.ndarray  # int32 (n,)
    rule: np.ndarray  # object (n,): label
    value: np.ndarray  # object (n,): what the rule saw
    error: np.ndarray  # object (n,)
    kind: np.ndarray | None = None  # object (n,): of documents, what each row is
    parent: np.ndarray | None = None  # int64 (n,): row of a node's document; of a document itself
    unknown: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def alive(self) -> np.ndarray:
        """Boolean (n,)."""
        return self.fate == ALIVE

    def about(self, kinds: Sequence[str]) -> np.ndarray:
        """Boolean (n,): rows of these kinds; of no kinds: all."""
        return np.isin(self.kind, kinds) if kinds and self.kind is not None else np.ones(len(self.fate), bool)

    def cascade(self) -> None:
        """Nodes go with their document: dropped by the rule that dropped it, or failed since it failed."""
        if self.parent is None:
            return
        lost = np.flatnonzero(self.alive & ~self.alive[self.parent])
        owner = self.parent[lost]
        self.fate[lost], self.rule[lost], self.times[lost] = self.fate[owner], self.rule[owner], 0
        self.value[lost] = [WITH_DOCUMENT if fate == OUT else None for fate in self.fate[lost]]
        self.error[lost] = [f"{WITH_DOCUMENT}: {error}" if error is not None else None for error in self.error[owner]]

    def drop(self, rows: np.ndarray, label: str, values: Sequence[str]) -> None:
        """These rows are out by this rule."""
        self.fate[rows], self.rule[rows], self.times[rows] = OUT, label, 0
        self.value[rows] = values

    def fail(self, row: int, error: str) -> None:
        """This row failed."""
        self.fate[row], self.error[row], self.times[row] = BROKEN, error, 0


class Decider:
    """Reads stored columns of a pool and applies a plan's rules to them.

    `limit`: rows per shard number that have entered (all when a shard is not named). `denied`: index rows -> what they
    match on the deny list, or None.
    """

    def __init__(
        self,
        plan: Plan,
        pool: Pool,
        shards: Sequence[Shard],
        limit: Mapping[int, int],
        denied: Callable[[pa.Table], list[str | None]],
    ) -> None:
        self.plan, self.pool, self.shards, self.limit, self.denied = plan, pool, shards, limit, denied
        self.states: dict[int, State | ShardState] = {}
        # Facts of the pool are fingerprinted by the pool's content, those of documents by the shard's, so at run time.
        self.fact_fingerprints: dict[str, str] = {}
        self.document_fingerprints: dict[tuple[str, int], str] = {}
        self.fills = False  # compute document facts that are not stored, and pool facts that are `fitted` (what-if)
        self.fitted: dict[str, State | ShardState] = {}
        self._cache: dict[tuple[int, str, str], Stored | pa.Table] = {}
        self._cached = 0

    # -- columns ----------------------------------------------------------------------------------------------------

    def rows(self, shard: Shard) -> int:
        """How many of the shard's rows entered."""
        return min(shard.rows, self.limit.get(shard.number, shard.rows))

    def index(self, shard: Shard) -> pa.Table:
        """Index columns that decisions read."""
        names = ["uid", "key", "text", "url", "ext", "sha256", "meta", "error", "size", "offset"]
        names += NODE_COLUMNS if self.plan.documents else ()
        found = self._keep(
            (shard.number, shard.content, "index"),
            lambda: self.pool.read_index(shard, names).slice(0, self.rows(shard)).combine_chunks(),
        )
        assert isinstance(found, pa.Table)
        return found

    def fingerprint(self, node: Node, shard: Shard) -> str:
        """Of a signal as planned; of what depends on more than the sample as run."""
        if isinstance(node.step, DocumentFact):
            key = node.label, shard.number
            if key not in self.document_fingerprints:
                self.document_fingerprints[key] = self._document_fingerprint(node, shard)
            return self.document_fingerprints[key]
        if isinstance(node.step, PoolFact):
            if self.fills and self.plan.late(node) and node.label not in self.fact_fingerprints:
                self.fact_fingerprints[node.label] = self.pool_fingerprint(node, self._bits(node))
            return self.fact_fingerprints.get(node.label, node.fingerprint)
        return digest([node.fingerprint, self.inputs(node, shard)]) if self.plan.late(node) else node.fingerprint

    def inputs(self, node: Node, shard: Shard) -> list[str]:
        """Fingerprints of what a node reads."""
        giver = self.plan.giver
        return [self.fingerprint(giver[column], shard) for column in node.inputs if column in giver]

    def pool_fingerprint(self, node: Node, bits: Callable[[Shard], bytes]) -> str:
        """Of a fact of the pool: by its own fingerprint, and which rows (`bits`) of which content it can see."""
        seen: list[object] = [node.fingerprint]
        seen += [[shard.number, shard.content, digest(bits(shard).hex())] for shard in self.shards]
        if self.plan.late(node):  # what it reads differs by shard
            return digest([*seen, *(self.inputs(node, shard) for shard in self.shards)])
        giver = self.plan.giver
        return digest([*seen, *(giver[column].fingerprint for column in node.inputs if column in giver)])

    def _bits(self, node: Node) -> Callable[[Shard], bytes]:
        after = self.plan.places[node.label]
        return lambda shard: packed(shard, self.visible(shard, after, node.inputs, node.kinds))

    def visible(self, shard: Shard, upto: int | None, inputs: Sequence[str], kinds: Sequence[str]) -> np.ndarray:
        """Row numbers, of these kinds, that a global step may see; `upto` None: whatever rules say."""
        names = [name for name in inputs if name != "uid"]
        if upto is not None:
            return self.ready(self.walk(shard, upto), names, kinds)
        index = self.index(shard)
        usable = index["error"].is_null().to_numpy()
        if kinds:
            usable &= np.isin(index["kind"].to_numpy(), kinds)
        known = [np.isin(self.column(shard, name)[1], (COMPUTED, ABSENT)) for name in names]
        return np.flatnonzero(np.logical_and.reduce([usable, *known]))

    def _document_fingerprint(self, node: Node, shard: Shard) -> str:
        seen = np.packbits(self.seen(node, shard)).tobytes().hex()
        return digest([node.fingerprint, seen, self.inputs(node, shard)])

    def seen(self, node: Node, shard: Shard) -> np.ndarray:
        """Boolean (n,): rows, of every kind, that a fact about documents sees of a shard: nodes with their document, and
        none of which it is known by then that a signal failed, since it will not be kept."""
        walk = self.walk(shard, self.plan.places[node.label] or 0)
        if isinstance(node.step, DocumentFact) and node.step.sees == "kept":
            self._broken(walk, [other for other in self.plan.nodes if other.label in self.plan.before[node.label]])
        mask = np.zeros(len(walk.fate), bool)
        mask[self.ready(walk, node.inputs)] = True
        return mask if walk.parent is None else mask & mask[walk.parent]

    def found(self, shard: Shard, node: Node) -> Facts | None:
        """Where a node's columns are for a shard, if they are stored."""
        return self.pool.found(self.fingerprint(node, shard), shard)

    def where(self, shard: Shard, names: Iterable[str]) -> dict[str, tuple[Facts, str]]:
        """Where those columns are that some step gives and that are stored: column -> facts, name as its step gives it."""
        nodes = {name: self.plan.giver[name] for name in names if name in self.plan.giver}
        places = {name: (self.found(shard, node), node.given(name)) for name, node in nodes.items()}
        return {name: (facts, given) for name, (facts, given) in places.items() if facts is not None}

    def stored(self, shard: Shard, node: Node, *names: str) -> Stored | None:
        """Stored columns (by the names that their step gives) with states, or None if nothing is stored."""
        facts = self.found(shard, node)
        if facts is None:
            fills = self.fills and isinstance(node.step, DocumentFact)
            return self._filled(shard, node) if fills or node.label in self.fitted else None
        found = self._keep(
            (shard.number, facts.sha256 + node.label, ",".join(names)),
            lambda: read_stored(self.pool.storage, facts, names, 0, self.rows(shard)),
        )
        assert isinstance(found, Stored)
        return found

    def _filled(self, shard: Shard, node: Node) -> Stored:
        """A fact over other rows than a run saw: computed here and now, from stored columns."""

        def compute() -> Stored:
            if isinstance(node.step, DocumentFact):
                rows, names, state = np.flatnonzero(self.seen(node, shard)), [*node.inputs, *FAMILY], State()
            else:
                after, state = self.plan.places[node.label], state_of(self.fitted[node.label], shard.number)
                rows, names = self.visible(shard, after, node.inputs, node.kinds), list(node.inputs)
            kind = self.index(shard)["kind"] if self.plan.documents else None
            values, states = answer(node, self.columns(shard, names, rows), rows, self.rows(shard), kind, state)
            return Stored(values, pa.array(states), pa.nulls(self.rows(shard), pa.string()))

        found = self._keep((shard.number, self.fingerprint(node, shard), "filled"), compute)
        assert isinstance(found, Stored)
        return found

    def _keep(self, key: tuple[int, str, str], read: Callable[[], Stored | pa.Table]) -> Stored | pa.Table:
        """A small pool stays in memory between scans; a large one is read again."""
        if key in self._cache:
            return self._cache[key]
        found = read()
        size = found.nbytes if isinstance(found, pa.Table) else sum(v.nbytes for v in found.values.values())
        if self._cached + size < CACHE_BYTES:
            self._cache[key] = found
            self._cached += size
        return found

    def column(self, shard: Shard, name: str) -> tuple[pa.Array, np.ndarray, Node | None]:
        """A column, the state of each row, and the node that gives it (None: the index)."""
        node = self.plan.giver.get(name)
        if node is None:
            array = self.index(shard)[name].combine_chunks()
            return array, np.full(len(array), COMPUTED, np.int8), None
        given = node.given(name)
        stored = self.stored(shard, node, given)
        if stored is None:
            values = pa.nulls(self.rows(shard), node.step.gives()[given])
            state = np.full(self.rows(shard), SKIPPED, np.int8)
        else:
            values, state = stored.values[given], stored.state.to_numpy(zero_copy_only=False)
        if node.kinds:  # a chunk that its pass had no need of says of no row of what kind it is
            state = np.where(np.isin(self.index(shard)["kind"].to_numpy(), node.kinds), state, np.int8(ABSENT))
        return values, state, node

    def columns(self, shard: Shard, names: Sequence[str], rows: np.ndarray) -> dict[str, np.ndarray]:
        """Columns as steps see them for some rows, with `uid` and `position`."""
        taken = pa.array(rows)
        found = {name: to_numpy(self.column(shard, name)[0].take(taken)) for name in names if name != "uid"}
        ids = identity(shard.number, self.index(shard)["uid"])
        return found | {name: values[rows] for name, values in ids.items()}

    # -- fates ------------------------------------------------------------------------------------------------------

    def walk(self, shard: Shard, upto: int) -> Walk:
        """The shard after ingest's failures, the deny list and the rules below `upto`."""
        index = self.index(shard)
        n = index.num_rows
        walk = Walk(
            shard,
            index,
            np.zeros(n, np.int8),
            np.ones(n, np.int32),
            np.full(n, None, object),
            np.full(n, None, object),
            np.full(n, None, object),
            *self._family(index),
        )
        for row, error in enumerate(index["error"].to_pylist()):
            if error is not None:
                walk.fail(row, f"{INGEST}{error}")
        for row, match in enumerate(self.denied(index)):
            if match is not None and walk.fate[row] == ALIVE:
                walk.drop(np.array([row]), DENY, [match])
        walk.cascade()
        for rule in self.plan.rules[:upto]:
            self._apply(walk, rule)
            walk.cascade()
        return walk

    def _family(self, index: pa.Table) -> tuple[np.ndarray, np.ndarray] | tuple[None, None]:
        """What each row is, and the row of its document."""
        if not self.plan.documents:
            return None, None
        rows = pa.array(np.arange(index.num_rows))
        return index["kind"].to_numpy(), pc.coalesce(index["parent"].combine_chunks(), rows).to_numpy()

    def _apply(self, walk: Walk, rule: Rule) -> None:
        rows = self.ready(walk, rule.step.inputs(), rule.kinds)
        columns = self.columns(walk.shard, rule.step.inputs(), rows)
        if isinstance(rule.step, Filter):
            times = np.asarray(rule.step.keep(columns), bool).astype(np.int32)
        else:
            state = state_of(self.states[rule.number], walk.shard.number)
            times = rule.step.apply(columns, state, self.plan.recipe.header.seed).astype(np.int32)
        if times.shape != rows.shape:
            raise ValueError(f"{rule.label} gave {times.shape} decisions for {rows.shape} samples")
        walk.times[rows] *= times
        out = rows[times == 0]
        walk.drop(out, rule.label, self._seen(walk.shard, rule, out))

    def ready(self, walk: Walk, names: Sequence[str], kinds: Sequence[str] = ()) -> np.ndarray:
        """Rows alive, of these kinds, that have the columns; a failed signal fails the row, a missing one is noted."""
        about = walk.about(kinds)
        for name in names:
            _, state, node = self.column(walk.shard, name)
            if node is None:
                continue
            self._fail(walk, node, walk.alive & about & (state == ERROR))
            self._blame(walk, node, walk.alive & about & (state == SKIPPED))
            missing = walk.alive & about & (state == SKIPPED)
            if missing.any():
                known = walk.unknown.get(node.label, np.zeros_like(missing))
                walk.unknown[node.label] = known | missing
        walk.cascade()
        hidden = np.logical_or.reduce([*walk.unknown.values(), np.zeros_like(walk.alive)])
        return np.flatnonzero(walk.alive & about & ~hidden)

    def _blame(self, walk: Walk, node: Node, rows: np.ndarray) -> None:
        """A fact is missing because a signal that it needs failed: the sample failed there."""
        for name in node.inputs:
            _, state, giver = self.column(walk.shard, name)
            if giver is not None and rows.any():
                self._fail(walk, giver, rows & walk.alive & (state == ERROR))
                self._blame(walk, giver, rows & walk.alive & (state == SKIPPED))

    def _fail(self, walk: Walk, node: Node, rows: np.ndarray) -> None:
        if not rows.any():
            return
        stored = self.stored(walk.shard, node)
        assert stored is not None
        for row in np.flatnonzero(rows).tolist():
            error = stored.errors[row].as_py()
            walk.fail(row, error if error.startswith(DECODE) else f"{node.label}: {error}")

    def _seen(self, shard: Shard, rule: Rule, rows: np.ndarray) -> list[str]:
        """The values that the rule saw, for the ledger."""
        names = [name for name in rule.step.inputs() if self._is_small(name)]
        columns = [self.column(shard, name)[0].take(pa.array(rows)).to_pylist() for name in names]
        return [
            ", ".join(f"{name}={_short(value)}" for name, value in zip(names, values, strict=True))
            for values in (zip(*columns, strict=True) if columns else [()] * len(rows))
        ]

    def _is_small(self, name: str) -> bool:
        node = self.plan.giver.get(name)
        kinds = {column: node.step.gives()[given] for given, column in node.columns.items()} if node else {}
        return not pa.types.is_nested(kinds.get(name, pa.string()))

    def _broken(self, walk: Walk, nodes: Iterable[Node]) -> None:
        """Rows for which one of these signals failed fail."""
        for node in nodes:
            stored = self.stored(walk.shard, node) if isinstance(node.step, Signal) else None
            if stored is not None:
                self._fail(walk, node, walk.alive & (stored.state.to_numpy(zero_copy_only=False) == ERROR))
        walk.cascade()

    def finish(self, shard: Shard) -> Walk:
        """All rules; then a kept sample with a failed signal is failed: it cannot be vouched for."""
        walk = self.walk(shard, len(self.plan.rules))
        self._broken(walk, self.plan.nodes)
        if walk.parent is not None:  # a node is exported with its document
            walk.times = np.where(walk.alive, walk.times[walk.parent], 0).astype(np.int32)
        return walk


def ledger_table(walk: Walk) -> pa.Table:
    """The shard's ledger rows (`curate.schema.LEDGER`)."""
    n = len(walk.fate)
    fates = np.array([KEPT, DROPPED, FAILED], object)[walk.fate]
    columns = [
        pa.array(np.arange(n)),
        walk.index["uid"].combine_chunks(),
        walk.index["key"].combine_chunks(),
        pa.array(fates, pa.string()),
        pa.array(walk.rule, pa.string()),
        pa.array(walk.value, pa.string()),
        pa.array(walk.error, pa.string()),
        pa.array(walk.times, pa.int32()),
    ]
    return pa.Table.from_arrays([_flat(c).cast(f.type) for c, f in zip(columns, LEDGER, strict=True)], schema=LEDGER)


def _flat(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks) if isinstance(column, pa.ChunkedArray) else column


def _short(value: object) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 80 else text[:79] + "…"
