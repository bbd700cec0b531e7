"""Histograms over a pool in two looks: one at a few values, for the axis, and one at all of them, shard by shard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa

from curate.columns import to_numpy
from curate.engine.decide import Decider
from curate.report.part import Part
from curate.schema import COMPUTED

BINS: Final = 40
LOOK_SHARDS, LOOK_ROWS = 50, 2000
TINY: Final = 1e-280
"""What lies nearer to zero is drawn there: between the least of all floats there is no room for bins."""
SKEW: Final = 12.0
"""The axis is logarithmic where the 99.5th percentile of the positive values is more than so many times their median."""

Limits = tuple[float | None, float | None]


@dataclass(frozen=True)
class Axis:
    """Edges (n + 1,) of n bins [low, high). `whole`: values are integers, so that a limit can lie on an edge."""

    edges: np.ndarray
    log: bool = False
    whole: bool = False

    def place(self, value: float) -> float:
        """Where a value lies on the axis: 0 at its left end, 1 at its right end."""
        start, end = self.edges[0], self.edges[-1]
        if self.log:
            start, end, value = np.log(start), np.log(end), np.log(max(value, 1e-300))
        return float(min(max((value - start) / (end - start), 0.0), 1.0))

    def limits(self, low: float | None, high: float | None) -> Limits:
        """Where inclusive limits are drawn: of integers, an upper one behind its value's bin."""
        return low, high + 1 if high is not None and self.whole else high


def make_axis(values: np.ndarray, low: float | None, high: float | None, whole: bool) -> Axis:
    """From a look at some finite values. Spans the 0.5th to the 99.5th percentile and always the limits.

    Integers get bins between integers, each as many of them wide; a column that is heavily skewed a logarithmic axis.
    """
    limits = [_drawn(float(bound)) for bound in (low, high) if bound is not None]
    values = _drawn(values) if len(values) else np.array(limits or [0.0, 1.0])
    positive = values[values > 0]
    if _skewed(values, positive) and all(bound > 0 for bound in limits):
        ends = [*np.quantile(positive, [0.005, 0.995]), *limits]
        edges = np.geomspace(min(ends), max(ends) * (1 + 1e-9), BINS + 1)
        return Axis(np.unique(np.floor(np.append(edges[:-1], edges[-1] + 1))) if whole else edges, True, whole)
    ends = [*np.quantile(values, [0.005, 0.995]), *limits]
    start, end = min(ends), max(ends)
    if not whole:
        scale = max(abs(start), abs(end))
        end = end if end - start > 1e-9 * scale else start + (scale or 1.0)  # one value, or as good as one
        return Axis(np.linspace(start, end, BINS + 1))
    first, last = int(np.floor(start)), int(np.ceil(end))
    step = -(-(last - first + 1) // BINS)
    return Axis(np.arange(first, last + step + 1, step, dtype=np.float64)[: BINS + 1], whole=True)


def _drawn(values: Any) -> Any:
    """A number or an array of them, with zeros for what is `TINY`."""
    return np.where(np.abs(values) < TINY, 0.0, values)[()]


def _skewed(values: np.ndarray, positive: np.ndarray) -> bool:
    if len(positive) < 0.9 * len(values):
        return False
    return bool(np.quantile(positive, 0.995) > SKEW * np.median(positive))


@dataclass
class Histogram:
    """Counts per bin, kept and not kept; what lies beyond the axis is in the end bins.

    `entered`: rows that the column is about, of documents those of its `kinds`. `computed`: those that have the value.
    `outside`: those of them beyond the limits. `rules`: whose limits.
    """

    column: str
    low: float | None
    high: float | None
    rules: Sequence[str]
    axis: Axis
    kinds: Sequence[str] = ()
    kept: np.ndarray = field(init=False)
    dropped: np.ndarray = field(init=False)
    entered: int = 0
    computed: int = 0
    outside: int = 0

    def __post_init__(self) -> None:
        self.kept = np.zeros(len(self.axis.edges) - 1, np.int64)
        self.dropped = np.zeros_like(self.kept)

    def add(self, part: Part) -> None:
        """Count a shard."""
        values = part.numbers(self.column)
        known = ~np.isnan(values)
        self.kept += bin_counts(self.axis, values[known & part.kept])
        self.dropped += bin_counts(self.axis, values[known & ~part.kept])
        self.entered += int(np.isin(part.kind, self.kinds).sum()) if self.kinds else len(values)
        self.computed += int(known.sum())
        beyond = np.zeros_like(known)
        if self.low is not None:
            beyond |= values < self.low
        if self.high is not None:
            beyond |= values > self.high
        self.outside += int((known & beyond).sum())


def bin_counts(axis: Axis, values: np.ndarray) -> np.ndarray:
    """int64 (n,): how many of the numbers (none of them NaN) lie in each bin; beyond the axis, in the end bins."""
    bins = len(axis.edges) - 1
    place = np.searchsorted(axis.edges, values, side="right") - 1
    return np.bincount(np.clip(place, 0, bins - 1), minlength=bins)


def histograms(rules: Sequence[dict[str, Any]], decider: Decider) -> list[Histogram]:
    """One per signal column that a rule of the manifest bounds, in the recipe's order, with the strictest limits."""
    found: dict[str, tuple[Limits, list[str]]] = {}
    for rule in rules:
        for column, (low, high) in rule["bounds"].items():
            if column in decider.plan.giver:
                limits, labels = found.get(column, ((None, None), []))
                found[column] = (_strictest(limits, (low, high)), [*labels, rule["label"]])
    return [
        Histogram(column, low, high, labels, look(decider, column, low, high), decider.plan.giver[column].kinds)
        for column, ((low, high), labels) in found.items()
    ]


def _strictest(one: Limits, other: Limits) -> Limits:
    lows = [pair[0] for pair in (one, other) if pair[0] is not None]
    highs = [pair[1] for pair in (one, other) if pair[1] is not None]
    return max(lows, default=None), min(highs, default=None)


def look(decider: Decider, column: str, low: float | None, high: float | None) -> Axis:
    """The axis of a signal's column from the first values of the first shards; spans the limits too."""
    node = decider.plan.giver[column]
    kind = node.step.gives()[next(given for given, stored in node.columns.items() if stored == column)]
    looks = []
    for shard in decider.shards[:LOOK_SHARDS]:
        array, states, _ = decider.column(shard, column)
        values = np.asarray(to_numpy(array), np.float64)[:LOOK_ROWS]
        looks.append(values[(states[:LOOK_ROWS] == COMPUTED) & np.isfinite(values)])
    return make_axis(np.concatenate([np.zeros(0), *looks]), low, high, pa.types.is_integer(kind))
