"""Two runs side by side: what both keep, what only one keeps, and which rule of the other dropped it.

    found = curate.compare("workspace/runs/datacomp-basic", "workspace/runs/datacomp-clip-score")
    found.both, found.only_a, found.only_b, found.jaccard
    found.dropped_by("b")                  # of what a keeps, by which rule of b it falls
    found.kinds["image"].only_a            # of documents the same for texts and images; what stands above is of documents
    found.grid("only_a")                   # a picture of some, for a notebook

Reads ledgers and stored columns, shard by shard. Runs over the same pool meet row by row, others by uid (`curate.pairing`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import pyarrow as pa

from curate.errors import RunError
from curate.inspect import Run, open_run
from curate.pairing import (
    ABSENT_CODE,
    KEPT_CODE,
    RULES,
    ByRow,
    ByUid,
    Pairing,
    outcomes,
    rule_labels,
    same_pool,
)
from curate.report.charts import Axis, bin_counts, look
from curate.report.part import KINDS, PAIRS, Part, Place, parts
from curate.schema import IMAGE

if TYPE_CHECKING:
    from PIL.Image import Image

    from curate.engine.decide import Decider
    from curate.funnel import Funnel

Set = Literal["both", "only_a", "only_b"]
SETS: Final[tuple[Set, ...]] = ("both", "only_a", "only_b")
ABSENT, FAILED, KEPT = "not in its pool", "failed", "kept"
EXAMPLES: Final = 12
"""Of each set: those with the lowest hashes of their uids."""


@dataclass(frozen=True)
class Example:
    """A sample of one of the sets, where it lies in the run that keeps it, and what the other run did with it."""

    shard: int
    row: int
    uid: str
    other: str


@dataclass(frozen=True)
class Score:
    """A numeric column over the three sets: how many have it, their mean, and counts in the bins of one axis.

    `edges` has one value more than there are bins; what lies beyond them is in the end bins.
    """

    column: str
    edges: list[float]
    log: bool
    whole: bool
    count: dict[Set, int]
    mean: dict[Set, float | None]
    bins: dict[Set, list[int]]

    @property
    def axis(self) -> Axis:
        """The axis of its chart."""
        return Axis(np.array(self.edges), self.log, self.whole)


@dataclass(frozen=True)
class Overlap:
    """Rows of one kind by what the two runs, `a` and `b`, did with them. `crosstab` is outcome in a -> outcome in b -> rows.

    An outcome is `kept`, `failed`, the label of the rule that dropped it, or `not in its pool`.
    """

    entered: tuple[int, int]
    crosstab: dict[str, dict[str, int]]
    examples: dict[Set, list[Example]]

    @property
    def both(self) -> int:
        """Rows that both keep."""
        return self.crosstab.get(KEPT, {}).get(KEPT, 0)

    @property
    def only_a(self) -> int:
        """Rows that a keeps and b does not."""
        return sum(self.dropped_by("b").values())

    @property
    def only_b(self) -> int:
        """Rows that b keeps and a does not."""
        return sum(self.dropped_by("a").values())

    @property
    def jaccard(self) -> float:
        """Kept by both as a share of kept by either, 0 to 1; 1 where neither keeps anything."""
        either = self.both + self.only_a + self.only_b
        return self.both / either if either else 1.0

    def dropped_by(self, side: Literal["a", "b"]) -> dict[str, int]:
        """Of what the other run keeps and this one does not: this one's outcomes, most frequent first."""
        found = (
            {other: n for other, n in self.crosstab.get(KEPT, {}).items() if other != KEPT}
            if side == "b"
            else {mine: row[KEPT] for mine, row in self.crosstab.items() if KEPT in row and mine != KEPT}
        )
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "entered": list(self.entered),
            "both": self.both,
            "only_a": self.only_a,
            "only_b": self.only_b,
            "jaccard": round(self.jaccard, 6),
            "a_keeps_b_drops": self.dropped_by("b"),
            "b_keeps_a_drops": self.dropped_by("a"),
            "crosstab": self.crosstab,
            "examples": {which: [asdict(example) for example in found] for which, found in self.examples.items()},
        }


@dataclass(frozen=True)
class Comparison:
    """Two runs, `a` and `b`. Counts are of pairs; of documents they are of documents alone, and `kinds` has them for
    documents, texts and images. Kinds are never added up."""

    runs: tuple[Run, Run] = field(repr=False)
    joined: Literal["rows", "uid"]
    kinds: dict[str, Overlap]
    """Kind of row -> what became of those: document, text, image; of pairs the one kind that has no name."""
    scores: list[Score]

    @property
    def main(self) -> Overlap:
        """Pairs, or documents."""
        return next(iter(self.kinds.values()))

    @property
    def both(self) -> int:
        """Pairs, or documents, that both keep."""
        return self.main.both

    @property
    def only_a(self) -> int:
        """Those that a keeps and b does not."""
        return self.main.only_a

    @property
    def only_b(self) -> int:
        """Those that b keeps and a does not."""
        return self.main.only_b

    @property
    def jaccard(self) -> float:
        """`Overlap.jaccard` of pairs, or of documents."""
        return self.main.jaccard

    @property
    def crosstab(self) -> dict[str, dict[str, int]]:
        """`Overlap.crosstab` of pairs, or of documents."""
        return self.main.crosstab

    def dropped_by(self, side: Literal["a", "b"]) -> dict[str, int]:
        """`Overlap.dropped_by` of pairs, or of documents."""
        return self.main.dropped_by(side)

    def pictured(self) -> Overlap:
        """Pairs, or the images of documents: those that have something to look at."""
        return self.kinds.get(IMAGE, self.main)

    def table(self, which: Set) -> pa.Table:
        """Examples of a set of pairs or images, as `curate.gallery.grid` wants them: shard, row, uid, other, text."""
        run = self.run_of(which)
        shards = {shard.number: shard for shard in run.shards}
        rows = [asdict(example) for example in self.pictured().examples[which]]
        for row in rows:
            row["text"] = run.pool.read_index(shards[row["shard"]], ["text"])["text"][row["row"]].as_py()
        names = {"shard": pa.int32(), "row": pa.int64(), "uid": pa.string(), "other": pa.string(), "text": pa.string()}
        return pa.Table.from_pylist(rows, pa.schema(list(names.items())))

    def grid(self, which: Set, columns: int = 6) -> Image:
        """A picture of the examples of a set. Raises RunError where it is empty."""
        from curate.gallery import grid

        return grid(self.run_of(which), self.table(which), columns)

    def run_of(self, which: Set) -> Run:
        """The run in which the set's examples lie."""
        return self.runs[which == "only_b"]

    def to_json(self) -> dict[str, Any]:
        """All of it as plain data."""
        kinds = {kind: overlap.to_json() for kind, overlap in self.kinds.items()}
        return {
            "runs": [run.storage.url(run.folder) for run in self.runs],
            "joined": self.joined,
            **self.main.to_json(),
            **({} if PAIRS in kinds else {"kinds": kinds}),
            "scores": [asdict(score) for score in self.scores],
        }


def compare(a: str | Path | Run, b: str | Path | Run, root: str | None = None) -> Comparison:
    """Compare two finished runs, given as `curate.open_run` takes them.

    Raises RunError for a run that does not exist, has no ledger, or whose pool has changed since, and for a run of pairs
    beside one of documents.
    """
    runs = tuple(run if isinstance(run, Run) else open_run(run, root) for run in (a, b))
    kinds = _kinds([run.funnel() for run in runs])
    labels = [rule_labels(run) for run in runs]
    with tempfile.TemporaryDirectory(prefix="curate-compare-") as folder:
        pairing: Pairing = ByRow(runs, labels) if same_pool(runs) else ByUid(runs, labels, Path(folder))
        tally = _Tally([run.decider(run.plan) for run in runs], labels, list(kinds), shared=pairing.kind == "rows")
        for side, run in enumerate(runs):
            for part in parts(run, tally.deciders[side]):
                tally.add(side, part, pairing.other(side, part.shard, part.ledger.num_rows))
    joined: Literal["rows", "uid"] = "rows" if pairing.kind == "rows" else "uid"
    found = {kind: Overlap(entered, tally.named(kind), tally.chosen(kind)) for kind, entered in kinds.items()}
    return Comparison((runs[0], runs[1]), joined, found, tally.scored())


def _kinds(funnels: Sequence[Funnel]) -> dict[str, tuple[int, int]]:
    """How many rows of each kind entered either run."""
    one, two = funnels
    if bool(one.kinds) != bool(two.kinds):
        raise RunError("one of the runs is about pairs and one about documents: they have no record in common")
    if not one.kinds:
        return {PAIRS: (one.entered, two.entered)}
    sides = [{kind: funnel.entered for kind, funnel in side.kinds.items()} for side in funnels]
    return {kind: (sides[0].get(kind, 0), sides[1].get(kind, 0)) for kind in KINDS}


class _Tally:
    """What is counted over both runs: each record once, in memory that does not grow with the pools."""

    def __init__(
        self, deciders: Sequence[Decider], labels: Sequence[Sequence[str]], kinds: Sequence[str], shared: bool
    ) -> None:
        self.deciders, self.shared, self.kinds = deciders, shared, kinds
        self.names = [[ABSENT, FAILED, KEPT, *found] for found in labels]
        shape = [len(names) for names in self.names]
        self.counts = {kind: np.zeros(shape, np.int64) for kind in kinds}
        self.scores = [_Histogram(column, self._givers(column)) for column in score_columns(deciders, shared)]
        self.found: dict[tuple[str, Set], list[tuple[int, int, int, Example]]] = {}

    def add(self, side: int, part: Part, theirs: np.ndarray) -> None:
        """A shard of a run with the other run's outcomes. What both entered is counted from the side of a."""
        mine = outcomes(part.ledger, self.names[side][RULES:])
        new = np.ones(len(mine), bool) if side == 0 else theirs == ABSENT_CODE
        pair = (mine, theirs) if side == 0 else (theirs, mine)
        kept = mine == KEPT_CODE
        sets: dict[Set, np.ndarray] = {"only_b": kept & (theirs != KEPT_CODE)}
        if side == 0:
            sets = {"both": kept & (theirs == KEPT_CODE), "only_a": kept & (theirs != KEPT_CODE)}
        for kind in self.kinds:
            of_kind = part.kind == kind
            np.add.at(self.counts[kind], (pair[0][new & of_kind], pair[1][new & of_kind]), 1)
            for which, rows in sets.items():
                self._exemplify((kind, which), side, part, np.flatnonzero(rows & of_kind), theirs)
        for which, rows in sets.items():
            for score in self.scores:
                score.add(which, side, part, rows)

    def _exemplify(self, key: tuple[str, Set], side: int, part: Part, rows: np.ndarray, theirs: np.ndarray) -> None:
        found = self.found.setdefault(key, [])
        for row in part.lowest(rows, EXAMPLES).tolist():
            other = self.names[1 - side][theirs[row]]
            example = Example(part.shard.number, row, part.ledger["uid"][row].as_py().hex(), other)
            found.append((int(part.draws[row]), part.shard.number, row, example))
        self.found[key] = sorted(found, key=lambda entry: entry[:3])[:EXAMPLES]

    def _givers(self, column: str) -> tuple[Decider, Decider]:
        """Whose plan gives the column to the records of each run: its own, or on a shared pool the other's."""
        owners = [decider if column in decider.plan.giver else None for decider in self.deciders]
        return owners[0] or self.deciders[1], owners[1] or self.deciders[0]

    def named(self, kind: str) -> dict[str, dict[str, int]]:
        """The counts of a kind by name, without empty rows and cells."""
        table: dict[str, dict[str, int]] = {}
        for i, j in np.argwhere(self.counts[kind]).tolist():
            table.setdefault(self.names[0][i], {})[self.names[1][j]] = int(self.counts[kind][i, j])
        return table

    def scored(self) -> list[Score]:
        """Columns of which some sample of the sets has a value."""
        return [score.result() for score in self.scores if any(score.count.values())]

    def chosen(self, kind: str) -> dict[Set, list[Example]]:
        """Examples of a kind per set."""
        return {which: [entry[3] for entry in self.found.get((kind, which), [])] for which in SETS}


class _Histogram:
    """One column over the three sets."""

    def __init__(self, column: str, deciders: tuple[Decider, Decider]) -> None:
        self.column, self.deciders = column, deciders
        self.axis = look(deciders[0], column, None, None)
        self.count: dict[Set, int] = dict.fromkeys(SETS, 0)
        self.total: dict[Set, float] = dict.fromkeys(SETS, 0.0)
        self.bins: dict[Set, np.ndarray] = {which: np.zeros(len(self.axis.edges) - 1, np.int64) for which in SETS}

    def add(self, which: Set, side: int, part: Part, rows: np.ndarray) -> None:
        """Count the rows (boolean) of a shard."""
        values = Part(part.shard, self.deciders[side], part.ledger).numbers(self.column)[: len(rows)]
        values = values[rows[: len(values)]]
        values = values[np.isfinite(values)]
        self.count[which] += len(values)
        self.total[which] += float(values.sum())
        self.bins[which] += bin_counts(self.axis, values)

    def result(self) -> Score:
        """As plain data."""
        mean = {which: self.total[which] / n if n else None for which, n in self.count.items()}
        bins = {which: counts.tolist() for which, counts in self.bins.items()}
        axis = self.axis
        return Score(self.column, axis.edges.tolist(), axis.log, axis.whole, self.count, mean, bins)


def score_columns(deciders: Sequence[Decider], shared: bool) -> list[str]:
    """Numeric columns to compare, those that a rule of either run reads first.

    On a shared pool a column of either run speaks for all records; otherwise both must have computed the same fact.
    """
    found: dict[str, None] = {}
    for decider in deciders:
        for rule in decider.plan.rules:
            found |= dict.fromkeys(rule.step.inputs())
    for decider in deciders:
        found |= dict.fromkeys(decider.plan.giver)
    return [column for column in found if _is_score(column, deciders, shared)]


def _is_score(column: str, deciders: Sequence[Decider], shared: bool) -> bool:
    nodes = [decider.plan.giver.get(column) for decider in deciders]
    kinds = [node.step.gives()[node.given(column)] for node in nodes if node is not None]
    if not kinds or not all(pa.types.is_floating(kind) or pa.types.is_integer(kind) for kind in kinds):
        return False
    if pa.types.is_integer(kinds[0]) and any(node is not None and _is_name(node.step) for node in nodes):
        return False
    if None in nodes:
        return shared
    pairs = zip(deciders, nodes, strict=True)
    return len({decider.fact_fingerprints.get(node.label, node.fingerprint) for decider, node in pairs if node}) == 1


def _is_name(step: object) -> bool:
    """Whole numbers of a pool fact name groups and clusters: their size says nothing."""
    from curate.contracts import PoolFact

    return isinstance(step, PoolFact)


def places(comparison: Comparison, kind: str, which: Set) -> Iterator[tuple[Place, str]]:
    """Where the examples of a set of rows of a kind lie, and what the other run did with them."""
    shards = {shard.number: shard for shard in comparison.run_of(which).shards}
    for example in comparison.kinds[kind].examples[which]:
        yield Place(shards[example.shard], example.row), example.other
