"""Balance over both sides of a pair: what its caption mentions and which cluster its image lies in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Final, Self

import numpy as np
from pydantic import Field, model_validator

from curate import order
from curate.contracts import Columns, Scan, Selection, State
from curate.schema import hash_words
from stages.select.metaclip import entry_probabilities, mentions, product, uniform

ROUNDS: Final = 12
"""Times that entries and clusters are fitted to each other in turn."""
_HALVINGS: Final = 40


class JointBalance(Selection):
    """Samples so that neither a few entries nor a few clusters make up the pool; new here, after MetaCLIP.

    A pair stays with b[cluster] (1 - prod(1 - a[entry])) over the entries that its caption mentions. The factors are
    fitted in turn, as in iterative proportional fitting (Deming & Stephan 1940): a = min(1, t / mentions that the clusters'
    factors leave), b = min(1, s / pairs that the entries' factors leave in the cluster). t and s cut equally hard: each
    alone would keep as many pairs as the other; together they are expected to keep `fraction` of the pairs that
    have entries and a cluster, or `total`. Other pairs are dropped.

    The factors are learned from `sample` pairs, those with the lowest hashes of (seed, uid): all of a smaller pool. An entry
    that none of them mentions is rare and has the factor 1.
    """

    entries: str = "entries"
    cluster: str = "cluster"
    fraction: float | None = Field(default=None, gt=0, le=1)
    total: int | None = Field(default=None, gt=0)
    sample: int = Field(default=500_000, gt=0, description="pairs to learn from, held in memory")

    @model_validator(mode="after")
    def _one_measure(self) -> Self:
        if (self.fraction is None) == (self.total is None):
            raise ValueError("give either fraction or total")
        return self

    def inputs(self) -> tuple[str, ...]:
        """Both sides' columns."""
        return (self.entries, self.cluster)

    def fit(self, scan: Scan, seed: int) -> State:
        """State: `entries` (k,) and their factors `a`, the clusters' factors `b`; `t` and `s`, in pairs of the pool; how many
        pairs were `eligible` and how many are `expected` to stay; `entropy`, bits of both sides before and after, (2, 2)."""
        eligible = int(order.group_sizes(scan, partial(_eligible, self), *self.inputs()).sum())
        if not eligible:
            return {"eligible": np.array(0), "entries": np.zeros(0, np.int64), "a": np.zeros(0), "b": np.zeros(0)}
        sides, numbers = self._sample(scan, eligible, seed)
        scale = eligible / sides.n
        share = float(Fraction(str(self.fraction))) if self.fraction is not None else (self.total or 0) / eligible
        fitted = fit_to_size(sides, min(1.0, share) * sides.n)
        return {
            "eligible": np.array(eligible),
            "entries": numbers,
            "a": fitted.a,
            "b": fitted.b,
            "t": np.array(fitted.t * scale),
            "s": np.array(fitted.s * scale),
            "expected": np.array(fitted.kept.sum() * scale),
            "entropy": np.array([sides.entropies(np.ones(sides.n)), sides.entropies(fitted.kept)]),
        }

    def apply(self, columns: Columns, state: State, seed: int) -> np.ndarray:
        """1 for what is drawn, 0 for the rest."""
        stays = np.zeros(len(columns["uid"]), np.int64)
        if not state["eligible"]:
            return stays
        rows, entries = mentions(columns[self.entries].tolist())
        at = np.minimum(np.searchsorted(state["entries"], entries), len(state["entries"]) - 1)
        a = np.where(state["entries"][at] == entries, state["a"][at], 1.0)
        there = _eligible(self, columns) == 0
        clusters = columns[self.cluster][there].astype(np.int64)
        b = np.ones(int(there.sum()))  # a cluster that the sample missed is small
        known = clusters < len(state["b"])
        b[known] = state["b"][clusters[known]]
        kept = b * (1 - product(rows, 1 - a, len(stays))[there])
        stays[there] = uniform(seed, columns["uid"][there], "joint") < kept
        return stays

    def threshold(self, state: State) -> str:
        """t, s, how many pairs are expected to stay, and the entropy of both sides."""
        if not state["eligible"]:
            return "no pair has entries and a cluster"
        (text, image), (text_after, image_after) = state["entropy"].tolist()
        return (
            f"t = {state['t']:.4g}, s = {state['s']:.4g}: {state['expected']:.0f} of {state['eligible']} pairs expected; "
            f"entropy of entries {text:.2f} -> {text_after:.2f}, of clusters {image:.2f} -> {image_after:.2f} bits"
        )

    def _sample(self, scan: Scan, eligible: int, seed: int) -> tuple[Sides, np.ndarray]:
        """The sampled pairs in the order of their hashes, entries renumbered, and the entries' own numbers."""
        wanted = min(self.sample, eligible)
        cut = order.smallest(
            scan, partial(_ranked, self, seed), np.array([eligible]), np.array([wanted]), *self.inputs()
        )[0]
        parts = list(scan.map(partial(_drawn, self, seed, cut), *self.inputs()))
        words = np.concatenate([part[0] for part in parts])
        entries = [found for part in parts for found in part[1]]
        by_hash = np.lexsort(words.T[::-1])
        rows, found = mentions([entries[i] for i in by_hash])
        numbers, compact = np.unique(found, return_inverse=True)
        return Sides(rows, compact, np.concatenate([part[2] for part in parts])[by_hash]), numbers


@dataclass(frozen=True)
class Sides:
    """Pairs seen from both sides: `rows` and `entries`, int64 (m,), are the mentions, rows ascending; `clusters` int64 (n,)."""

    rows: np.ndarray
    entries: np.ndarray
    clusters: np.ndarray

    @property
    def n(self) -> int:
        """Pairs."""
        return len(self.clusters)

    def mentioned(self, weights: np.ndarray) -> np.ndarray:
        """float64 (k,): mentions of each entry, pairs counting by their weights (n,)."""
        return np.bincount(self.entries, weights[self.rows])

    def filled(self, weights: np.ndarray) -> np.ndarray:
        """float64 (c,): pairs of each cluster, by their weights (n,)."""
        return np.bincount(self.clusters, weights)

    def by_entries(self, a: np.ndarray) -> np.ndarray:
        """float64 (n,): 1 - prod(1 - a) over each pair's entries."""
        return 1 - product(self.rows, 1 - a[self.entries], self.n)

    def entropies(self, weights: np.ndarray) -> tuple[float, float]:
        """Bits of the distribution over entries, by mentions, and over clusters."""
        return entropy(self.mentioned(weights)), entropy(self.filled(weights))


@dataclass(frozen=True)
class Fitted:
    """Thresholds, factors of entries (k,) and clusters (c,), and the probability to stay of each pair (n,)."""

    t: float
    s: float
    a: np.ndarray
    b: np.ndarray
    kept: np.ndarray


def fit_to_size(sides: Sides, wanted: float) -> Fitted:
    """The factors whose expected size is `wanted` pairs (at most all), found by halving over t."""
    low, high = 0.0, float(sides.mentioned(np.ones(sides.n)).max())
    best = fit_factors(sides, high)
    for _ in range(_HALVINGS):
        if high - low <= 1e-5 * high:
            break
        middle = (low + high) / 2
        fitted = fit_factors(sides, middle)
        if fitted.kept.sum() < wanted:
            low = middle
        else:
            high, best = middle, fitted
    return best


def fit_factors(sides: Sides, t: float) -> Fitted:
    """Factors for a threshold t > 0 of entries and the cluster cap that alone keeps as many pairs as t alone."""
    everyone = np.ones(sides.n)
    sizes = sides.filled(everyone)
    s = cap_for(sizes, sides.by_entries(entry_probabilities(sides.mentioned(everyone), t)).sum())
    b = np.ones(len(sizes))
    for _ in range(ROUNDS):
        a = entry_probabilities(sides.mentioned(b[sides.clusters]), t)
        by_entries = sides.by_entries(a)
        b = entry_probabilities(sides.filled(by_entries), s)
    return Fitted(t, s, a, b, by_entries * b[sides.clusters])


def cap_for(sizes: np.ndarray, total: float) -> float:
    """The cap at which groups of these sizes, float64 (c,), keep `total` members together, at most all."""
    ordered = np.sort(sizes)
    below = np.concatenate([[0.0], np.cumsum(ordered)[:-1]])
    caps = (total - below) / np.arange(len(ordered), 0, -1)  # if all smaller groups stay whole and the rest is capped
    return float(caps[np.argmax((caps <= ordered) | (np.arange(len(ordered)) == len(ordered) - 1))])


def entropy(counts: np.ndarray) -> float:
    """Bits of the distribution that counts (k,) stand for; 0 for none."""
    shares = counts[counts > 0] / max(counts.sum(), 1e-300)
    return float(-(shares * np.log2(shares)).sum())


def _eligible(step: JointBalance, columns: Columns) -> np.ndarray:
    """0 for pairs with entries and a cluster, -1 for the rest."""
    mentioning = np.array([bool(found) for found in columns[step.entries].tolist()], bool)
    return np.where(mentioning & ~np.isnan(columns[step.cluster].astype(np.float64)), 0, -1)


def _ranked(step: JointBalance, seed: int, columns: Columns) -> order.Ranked:
    return _eligible(step, columns), order.ranks(hash_words(seed, columns["uid"], "joint-sample"), columns)


def _drawn(
    step: JointBalance, seed: int, cut: np.ndarray, columns: Columns
) -> tuple[np.ndarray, Sequence[Sequence[int]], np.ndarray]:
    """Rank, entries and cluster of the shard's sampled pairs."""
    groups, words = _ranked(step, seed, columns)
    taking = (groups == 0) & order.at_most(words, cut)
    return words[taking], columns[step.entries][taking].tolist(), columns[step.cluster][taking].astype(np.int64)
