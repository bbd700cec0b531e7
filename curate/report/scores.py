"""Histograms of the columns that rules compare, counted shard by shard on an axis fixed by a first look."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from curate.engine.decide import Decider
from curate.report.view import View
from curate.schema import COMPUTED

BINS = 40
LOOK_SHARDS, LOOK_ROWS = 50, 2000
SKEW = 8.0
"""A column whose 99.5th percentile is so many times its median is drawn on a logarithmic axis."""


@dataclass(frozen=True)
class Axis:
    """Bin edges (n + 1, rising), and whether they rise by a factor."""

    edges: np.ndarray
    log: bool = False

    def bins(self, values: np.ndarray) -> np.ndarray:
        """The bin of each value; what lies outside is in the end bins."""
        return np.clip(np.searchsorted(self.edges, values, side="right") - 1, 0, len(self.edges) - 2)

    def place(self, value: float) -> float:
        """Where a value lies along the axis, in [0, 1]."""
        low, high = float(self.edges[0]), float(self.edges[-1])
        if self.log:
            low, high, value = np.log(low), np.log(high), np.log(max(value, low))
        return float(min(max((value - low) / (high - low), 0.0), 1.0))


def make_axis(values: np.ndarray, limits: Sequence[float]) -> Axis:
    """From the 0.5th to the 99.5th percentile; thresholds are always inside. Few whole numbers get a bin each."""
    values = values[np.isfinite(values)]
    if not len(values):
        values = np.array([0.0, 1.0])
    low, middle, high = (float(q) for q in np.quantile(values, [0.005, 0.5, 0.995]))
    log = middle > 0 and high > SKEW * middle and all(limit > 0 for limit in limits)
    if log:
        low = max(low, high / 1e4)
    start, end = min(low, *limits, high), max(high, *limits, low)
    if np.all(values == np.round(values)) and end - start <= 1.5 * BINS and not log:
        return Axis(np.arange(np.floor(start) - 0.5, np.ceil(end) + 1.0))
    if end <= start:
        start, end = start - 0.5, start + 0.5
    return Axis(np.geomspace(start, end, BINS + 1) if log else np.linspace(start, end, BINS + 1), log)


@dataclass
class Histogram:
    """Tally of one column: rows kept, dropped by a rule that bounds the column, and not kept for another reason."""

    column: str
    axis: Axis
    rules: Mapping[str, tuple[float | None, float | None]]
    counts: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.counts = np.zeros((3, len(self.axis.edges) - 1), np.int64)

    def add(self, view: View) -> None:
        """Count one shard."""
        values = view.numbers(self.column)
        known = np.isfinite(values)
        here = np.isin(view.rule.astype(str), list(self.rules)) & ~view.kept
        bins = self.axis.bins(values)
        for i, group in enumerate((view.kept, here, ~view.kept & ~here)):
            self.counts[i] += np.bincount(bins[known & group], minlength=self.counts.shape[1])


def histograms(manifest: Mapping[str, Any], decider: Decider, also: Iterable[str] = ()) -> list[Histogram]:
    """One per numeric column that a rule bounds, in the recipe's order, then those of `also` that a signal gives."""
    rules: dict[str, dict[str, tuple[float | None, float | None]]] = {}
    for rule in manifest["rules"]:
        for column, (low, high) in rule["bounds"].items():
            rules.setdefault(column, {})[rule["label"]] = (low, high)
    for column in also:
        rules.setdefault(column, {})
    found = []
    for column in (name for name in rules if name in decider.plan.giver):
        limits = [limit for pair in rules[column].values() for limit in pair if limit is not None]
        found.append(Histogram(column, make_axis(_look(decider, column), limits), rules[column]))
    return found


def _look(decider: Decider, column: str) -> np.ndarray:
    """A first look: some values of the first shards."""
    parts = [np.zeros(0)]
    for shard in decider.shards[:LOOK_SHARDS]:
        array, state, _ = decider.column(shard, column)
        values = array.slice(0, LOOK_ROWS).cast("float64").to_numpy(zero_copy_only=False)
        parts.append(values[state[:LOOK_ROWS] == COMPUTED])
    return np.concatenate(parts)
