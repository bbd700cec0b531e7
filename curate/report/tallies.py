"""What the report counts. Each tally sees every shard once, in `add`, and its memory is bounded whatever the pool's size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any, Final

import numpy as np

from curate.contracts import Filter
from curate.engine.decide import DENY
from curate.planner import Rule
from curate.report.part import Part, Place
from curate.schema import COMPUTED

MOST_TEXTS: Final = 100_000


class Alone:
    """Per filter the samples that it alone drops: every other filter would keep them.

    Counted among samples for which the facts of all filters are computed (`known`), and which neither failed nor stand
    on the deny list. A selection depends on what came before it and has no such figure.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.filters = [(rule.label, rule.step) for rule in rules if isinstance(rule.step, Filter)]
        self.columns = sorted({column for _, step in self.filters for column in step.inputs()})
        self.drops = {label: 0 for label, _ in self.filters}
        self.known = 0

    def add(self, part: Part) -> None:
        """Ask every filter about every sample whose facts are known."""
        states = [part.decider.column(part.shard, column)[1] == COMPUTED for column in self.columns]
        rows = np.flatnonzero(np.logical_and.reduce([~part.failed, part.rule != DENY, *states]))
        self.known += len(rows)
        if not self.filters or not len(rows):
            return
        columns = part.decider.columns(part.shard, self.columns, rows)
        votes = [~np.asarray(step.keep(columns), bool) for _, step in self.filters]
        single = np.sum(votes, axis=0) == 1
        for (label, _), vote in zip(self.filters, votes, strict=True):
            self.drops[label] += int((vote & single).sum())


class Examples:
    """The samples with the lowest hashes of their uids: of the kept, of each rule's drops, of the failures by `errors`."""

    def __init__(self, kept: int, dropped: int, failed: int, errors: Collection[str]) -> None:
        self.count = {"kept": kept, "rule": dropped, "error": failed}
        self.errors = frozenset(errors)
        self.found: dict[tuple[str, str], list[tuple[int, int, int, Place, str]]] = {}

    def add(self, part: Part) -> None:
        """Keep the lowest draws per group."""
        self._take(part, "kept", "", np.flatnonzero(part.kept))
        for label in sorted({label for label in part.rule.tolist() if label}):
            self._take(part, "rule", label, np.flatnonzero(part.rule == label))
        errors = part.ledger["error"].to_pylist()
        rows: dict[str, list[int]] = {}
        for row in np.flatnonzero(part.failed).tolist():
            if errors[row] in self.errors:
                rows.setdefault(errors[row], []).append(row)
        for error, failed in rows.items():
            self._take(part, "error", error, np.array(failed))

    def _take(self, part: Part, kind: str, name: str, rows: np.ndarray) -> None:
        entries = [
            (int(part.draws[row]), part.shard.number, row, Place(part.shard, row), part.ledger["value"][row].as_py())
            for row in part.lowest(rows, self.count[kind]).tolist()
        ]
        known = self.found.get((kind, name), [])
        self.found[kind, name] = sorted([*known, *entries], key=lambda e: e[:3])[: self.count[kind]]

    def of(self, kind: str, name: str = "") -> list[tuple[Place, str]]:
        """Place and the value that the rule saw."""
        return [(place, value or "") for *_, place, value in self.found.get((kind, name), [])]


class Filled:
    """Kept samples for which a synthetic column says something: how many, and those with the lowest hashes."""

    def __init__(self, column: str, examples: int) -> None:
        self.column, self.examples, self.count = column, examples, 0
        self.found: list[tuple[int, int, int, Place]] = []

    def add(self, part: Part) -> None:
        """Count a shard. An empty text and an empty list say nothing."""
        rows = np.flatnonzero(
            [bool(kept and cell) for kept, cell in zip(part.kept, part.cells(self.column), strict=True)]
        )
        self.count += len(rows)
        for row in part.lowest(rows, self.examples).tolist():
            self.found.append((int(part.draws[row]), part.shard.number, row, Place(part.shard, row)))
        self.found = sorted(self.found, key=lambda e: e[:3])[: self.examples]


class Texts:
    """How often each value of a text column stands in the pool and among the kept: [before, after].

    Lossy counting (Manku and Motwani 2002, in spirit): when more than `most` values are held, the rarer half is let go,
    and `missed` grows by the highest count among them. A count is low by at most `missed`, exact while that is 0.
    """

    def __init__(self, column: str, most: int = MOST_TEXTS) -> None:
        self.column, self.most, self.missed = column, most, 0
        self.counts: dict[str, list[int]] = {}

    def add(self, part: Part) -> None:
        """Count a shard."""
        for text, kept in zip(part.cells(self.column), part.kept.tolist(), strict=True):
            if text:
                pair = self.counts.setdefault(text, [0, 0])
                pair[0] += 1
                pair[1] += kept
        if len(self.counts) > self.most:
            ordered = self.ranked()
            self.missed += ordered[self.most // 2][1][0]
            self.counts = dict(ordered[: self.most // 2])

    def ranked(self) -> list[tuple[str, list[int]]]:
        """Most frequent first; ties by the text."""
        return sorted(self.counts.items(), key=lambda item: (-item[1][0], item[0]))

    def top(self, count: int, least: int = 1) -> list[dict[str, Any]]:
        """The most frequent that stand at least so often."""
        return [
            {"text": text, "before": before, "after": after}
            for text, (before, after) in self.ranked()[:count]
            if before >= least
        ]


class Clusters:
    """Sizes of clusters in the pool and among the kept; as many counts as there are clusters."""

    def __init__(self, column: str) -> None:
        self.column = column
        self.before: Counter[int] = Counter()
        self.after: Counter[int] = Counter()

    def add(self, part: Part) -> None:
        """Count a shard."""
        values = part.numbers(self.column)
        known = np.isfinite(values)
        self.before.update(values[known].astype(np.int64).tolist())
        self.after.update(values[known & part.kept].astype(np.int64).tolist())

    def sizes(self) -> tuple[list[int], list[int]]:
        """Before and after, both in the order of size before."""
        order = sorted(self.before, key=lambda cluster: (-self.before[cluster], cluster))
        return [self.before[cluster] for cluster in order], [self.after[cluster] for cluster in order]


def effective(sizes: Sequence[int]) -> float:
    """How many clusters of equal size would be as even: exp of the entropy of the shares (Hill number of order 1)."""
    shares = np.array([size for size in sizes if size], np.float64)
    if not len(shares):
        return 0.0
    shares /= shares.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


class Groups:
    """The largest groups of duplicates with their first members, and how many groups and members there are."""

    def __init__(self, group: str, size: str, most: int, members: int) -> None:
        self.columns, self.most, self.members = (group, size), most, members
        self.largest: dict[tuple[int, int], list[tuple[Place, bool]]] = {}  # (-size, group) -> members
        self.kept: Counter[tuple[int, int]] = Counter()
        self.groups = self.rows = 0

    def add(self, part: Part) -> None:
        """Count a shard. A group that is not among the largest so far never will be: each row knows its group's size."""
        group, size = part.cells(self.columns[0]), part.numbers(self.columns[1])
        for row in np.flatnonzero(size > 1).tolist():
            self.rows += 1
            self.groups += int(group[row] == part.shard.number << 32 | row)  # named by the position of its first
            key = (-int(size[row]), group[row])
            if key not in self.largest and len(self.largest) >= self.most:
                last = max(self.largest)
                if key > last:
                    continue
                del self.largest[last], self.kept[last]
            held = self.largest.setdefault(key, [])
            self.kept[key] += int(part.kept[row])
            if len(held) < self.members:
                held.append((Place(part.shard, row), bool(part.kept[row])))

    def top(self) -> list[dict[str, Any]]:
        """Largest first: size, how many are kept, and the first members as (place, kept)."""
        return [{"size": -key[0], "kept": self.kept[key], "members": self.largest[key]} for key in sorted(self.largest)]
