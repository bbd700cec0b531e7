"""What else is counted over the pool: repeated captions, duplicates, mixes, failures, and which samples to show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from curate.columns import position
from curate.report.view import View
from curate.schema import hash_words

HELD = 100_000
"""Distinct captions or groups that are held at a time; beyond, those seen once are let go."""


class Example(NamedTuple):
    """A sample to show, and the values that the rule saw."""

    shard: int
    row: int
    value: str = ""


class Examples:
    """The `count` rows with the lowest hash of their uid among those that `pick` (boolean (n,)) takes."""

    def __init__(self, pick: Callable[[View], np.ndarray], count: int) -> None:
        self.pick, self.count = pick, count
        self._best: list[tuple[int, int, str]] = []

    def add(self, view: View) -> None:
        """Look at one shard."""
        rows = np.flatnonzero(self.pick(view))
        draws = hash_words(0, view.words[rows], "report")
        places = position(view.shard.number, rows)
        values = view.ledger["value"]
        for i in np.lexsort((places, draws))[: self.count]:
            self._best.append((int(draws[i]), int(places[i]), values[int(rows[i])].as_py() or ""))
        self._best = sorted(self._best)[: self.count]

    def found(self) -> list[Example]:
        """In the order of the hash."""
        return [Example(place >> 32, place & 0xFFFFFFFF, value) for _, place, value in self._best]


class Mix:
    """Values of a column before and after: the most frequent ones, with what is left of them."""

    def __init__(self, column: str) -> None:
        self.column = column
        self.before: Counter[Any] = Counter()
        self.after: Counter[Any] = Counter()

    def add(self, view: View) -> None:
        """Count one shard. Bounded: of more than `HELD` values those seen once are let go."""
        values = view.values(self.column)
        self.before.update(value for value in values if value not in (None, ""))
        taken = zip(values, view.kept.tolist(), strict=True)
        self.after.update(value for value, kept in taken if kept and value not in (None, ""))
        if len(self.before) > HELD:
            self.before = Counter({value: n for value, n in self.before.items() if n > 1})
            self.after = Counter({value: n for value, n in self.after.items() if value in self.before})

    def top(self, count: int, at_least: int = 1) -> list[dict[str, Any]]:
        """The most frequent values of the pool; ties by value."""
        ranked = sorted(self.before.items(), key=lambda item: (-item[1], str(item[0])))[:count]
        return [{"value": value, "before": n, "after": self.after[value]} for value, n in ranked if n >= at_least]


class Groups:
    """Groups of duplicates, by the column that holds the position of each group's first."""

    def __init__(self, group: str, size: str) -> None:
        self.group, self.size = group, size
        self.groups = self.members = self.kept = 0
        self._sizes: Counter[int] = Counter()
        self._left: Counter[int] = Counter()

    def add(self, view: View) -> None:
        """Count one shard."""
        sizes, group = np.nan_to_num(view.numbers(self.size)), np.array(view.values(self.group), object)
        rows = np.flatnonzero(sizes > 1)
        places = position(view.shard.number, rows)
        self.members += len(rows)
        self.kept += int(view.kept[rows].sum())
        self.groups += sum(int(place) == group[row] for place, row in zip(places, rows, strict=True))
        self._sizes.update({int(group[row]): int(sizes[row]) for row in rows if group[row] not in self._sizes})
        self._left.update(int(group[row]) for row in rows[view.kept[rows]])
        if len(self._sizes) > HELD:
            self._sizes = Counter(dict(self._sizes.most_common(HELD // 2)))

    def largest(self, count: int) -> list[tuple[Example, int, int]]:
        """(first sample, size, how many are kept) of the largest groups; ties by position."""
        ranked = sorted(self._sizes.items(), key=lambda item: (-item[1], item[0]))[:count]
        return [(Example(place >> 32, place & 0xFFFFFFFF), size, self._left[place]) for place, size in ranked]


class Failures:
    """The first few uids of some errors."""

    def __init__(self, errors: Iterable[str], count: int = 3) -> None:
        self.examples: dict[str, list[str]] = {error: [] for error in errors}
        self.count = count

    def add(self, view: View) -> None:
        """Look at one shard."""
        errors = view.objects("error")
        for row in np.flatnonzero(view.failed):
            known = self.examples.get(errors[row])
            if known is not None and len(known) < self.count:
                known.append(view.ledger["uid"][int(row)].as_py().hex())


def effective(sizes: Iterable[int]) -> float:
    """How many groups of equal size would be as diverse: exp of the entropy of the shares (Hill number of order 1)."""
    counts = np.array([size for size in sizes if size > 0], float)
    if not len(counts):
        return 0.0
    shares = counts / counts.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))
