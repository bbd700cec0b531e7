"""What the report counts. Each tally sees every shard once, in `add`, and its memory is bounded whatever the pool's size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any, Final

import numpy as np

from curate.contracts import Columns, Filter
from curate.engine.decide import DENY
from curate.planner import Rule
from curate.report.part import PAIRS, Part, Place
from curate.schema import COMPUTED, IMAGE

MOST_TEXTS: Final = 100_000


class Alone:
    """Per filter the rows that it alone drops: every other filter would keep them.

    Counted among rows for which the facts of all filters about rows of their kind are computed (`known`), and which neither
    failed nor stand on the deny list; a node counts whatever became of its document. A selection depends on what came
    before it and has no such figure.
    """

    def __init__(self, rules: Sequence[Rule], kinds: Sequence[str]) -> None:
        self.filters = {
            kind: [(rule.label, rule.step) for rule in rules if isinstance(rule.step, Filter) and _about(rule, kind)]
            for kind in kinds
        }
        self.drops = {label: 0 for filters in self.filters.values() for label, _ in filters}
        self.known = 0

    def add(self, part: Part) -> None:
        """Ask every filter about every row of its kinds whose facts are known."""
        sound = ~part.failed & (part.rule != DENY)
        for kind, filters in self.filters.items():
            columns = sorted({column for _, step in filters for column in step.inputs()})
            states = [part.decider.column(part.shard, column)[1] == COMPUTED for column in columns]
            rows = np.flatnonzero(np.logical_and.reduce([sound, part.kind == kind, *states]))
            self.known += len(rows) if filters or kind == PAIRS else 0
            if filters and len(rows):
                self._ask(filters, part.decider.columns(part.shard, columns, rows))

    def _ask(self, filters: Sequence[tuple[str, Filter]], columns: Columns) -> None:
        votes = [~np.asarray(step.keep(columns), bool) for _, step in filters]
        single = np.sum(votes, axis=0) == 1
        for (label, _), vote in zip(filters, votes, strict=True):
            self.drops[label] += int((vote & single).sum())


def _about(rule: Rule, kind: str) -> bool:
    return not rule.kinds or kind in rule.kinds


class Examples:
    """The rows with the lowest hashes of their uids: of the kept, of each rule's drops, of the failures by `errors`;
    of documents and each kind of node apart. Of images of documents, of which a site shows some on every page, each file
    once."""

    def __init__(self, kept: int, dropped: int, failed: int, errors: Collection[str]) -> None:
        self.count = {"kept": kept, "rule": dropped, "error": failed}
        self.errors = frozenset(errors)
        self.found: dict[tuple[str, str, str], list[tuple[int, int, int, Place, str, bytes | None]]] = {}

    def add(self, part: Part) -> None:
        """Keep the lowest draws per group."""
        for group, mask in part.groups().items():
            self._take(part, ("kept", "", group), np.flatnonzero(part.kept & mask))
            for label in sorted({label for label in part.rule[mask].tolist() if label}):
                self._take(part, ("rule", label, group), np.flatnonzero((part.rule == label) & mask))
        errors = part.ledger["error"].to_pylist()
        rows: dict[str, list[int]] = {}
        for row in np.flatnonzero(part.failed).tolist():
            if errors[row] in self.errors:
                rows.setdefault(errors[row], []).append(row)
        for error, failed in rows.items():
            self._take(part, ("error", error, PAIRS), np.array(failed))

    def _take(self, part: Part, key: tuple[str, str, str], rows: np.ndarray) -> None:
        count, image = self.count[key[0]], key[2] == IMAGE
        entries = [*self.found.get(key, [])]
        for row in (part.files if image else part.lowest)(rows, count).tolist():
            place, value = Place(part.shard, row), part.ledger["value"][row].as_py()
            digest = part.digest(row) if image else None
            entries.append((int(part.draws[row]), part.shard.number, row, place, value, digest))
        once = {entry[5] or entry[1:3]: entry for entry in sorted(entries, key=lambda e: e[:3], reverse=True)}
        self.found[key] = sorted(once.values(), key=lambda e: e[:3])[:count]

    def of(self, what: str, name: str = "", group: str = PAIRS) -> list[tuple[Place, str]]:
        """Place and the value that the rule saw. `what`: kept, rule (of that name) or error."""
        return [(place, value or "") for *_, place, value, _ in self.found.get((what, name, group), [])]


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


class Frequent:
    """How often names stand in the pool, with further counts beside: name -> [before, ...].

    Lossy counting (Manku and Motwani 2002, in spirit): when more than `most` names are held, the rarer half is let go,
    and `missed` grows by the highest count among them. A count is low by at most `missed`, exact while that is 0.
    """

    def __init__(self, most: int = MOST_TEXTS) -> None:
        self.most, self.missed = most, 0
        self.counts: dict[str, list[int]] = {}

    def count(self, name: str, numbers: Sequence[int]) -> None:
        """Add to a name's counts."""
        known = self.counts.get(name)
        self.counts[name] = list(numbers) if known is None else [a + b for a, b in zip(known, numbers, strict=True)]

    def trim(self) -> None:
        """Let the rarer half go if there are too many."""
        if len(self.counts) > self.most:
            ordered = self.ranked()
            self.missed += ordered[self.most // 2][1][0]
            self.counts = dict(ordered[: self.most // 2])

    def ranked(self) -> list[tuple[str, list[int]]]:
        """Most frequent first; ties by the name."""
        return sorted(self.counts.items(), key=lambda item: (-item[1][0], item[0]))


class Texts(Frequent):
    """How often each value of a text column stands in the pool and among the kept: [before, after]. Of rows of one kind,
    if it is named, and only texts of at most `longest` characters, if that is given."""

    def __init__(
        self, column: str, most: int = MOST_TEXTS, kind: str | None = None, longest: int | None = None
    ) -> None:
        super().__init__(most)
        self.column, self.kind, self.longest = column, kind, longest

    def add(self, part: Part) -> None:
        """Count a shard."""
        about = np.ones_like(part.kept) if self.kind is None else part.kind == self.kind
        cells = part.cells(self.column)
        for row in np.flatnonzero(about).tolist():
            text = cells[row]
            if text and (self.longest is None or len(text) <= self.longest):
                self.count(text, (1, int(part.kept[row])))
        self.trim()

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
