"""Balance over what captions mention: entries of the head give about as many pairs as those of the tail have."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import partial
from itertools import chain
from typing import Final, Self

import numpy as np
from pydantic import Field, model_validator

from curate.contracts import Columns, Scan, Selection, State
from curate.errors import PoolError
from curate.schema import hash_words

TRIED: Final = 32
"""Thresholds whose expected sizes one pass over the pool gives."""
PRECISION: Final = 1e-4
"""Relative distance of neighbouring thresholds at which the search for a size ends."""
_UNIT: Final = float(1 << 32)
"""Expected sizes are summed in these parts of a pair, as integers, so that no order of shards can change them."""
_HELD: Final = 1 << 18
"""Counts of shards that wait to be merged."""


class EntryBalance(Selection):
    """MetaCLIP's balanced sampling (Xu et al. 2023, algorithm 1): a pair stays with 1 - prod(1 - min(1, t / count)).

    The product is over the entries that its caption mentions, `count` over the pairs that mention the entry. The
    draw is a hash of (seed, uid): the same pairs on every run, and a larger `t` only adds pairs. A pair whose
    caption mentions nothing is dropped. Give `t`, or the expected size as a `fraction` of the pairs with entries or as a
    `total`. With `reference` (MetaCLIP 2; Chuang et al. 2025, section 3.3) entries are counted per `lang`, `t` is that
    language's, and each other language gets the t at which its tail holds the same share of mentions: its smallest count
    at least, so that a size too small for what that leaves is refused, and one between two steps is not exceeded.
    """

    column: str = "entries"
    t: float | None = Field(default=None, gt=0, description="published: 20,000 of 400M pairs, 170,000 of 2.5B")
    fraction: float | None = Field(default=None, gt=0, le=1)
    total: int | None = Field(default=None, gt=0)
    reference: str | None = Field(default=None, description="language whose t is given; others follow it")

    @model_validator(mode="after")
    def _one_measure(self) -> Self:
        if [self.t, self.fraction, self.total].count(None) != 2:
            raise ValueError("give one of t, fraction and total")
        return self

    def inputs(self) -> tuple[str, ...]:
        """The entries' column, and the language where t depends on it."""
        return (self.column,) if self.reference is None else (self.column, "lang")

    def fit(self, scan: Scan, seed: int) -> State:
        """State: `languages` (l,) and their `thresholds` (l,); `keys` (k,), language << 32 | entry, and their `counts`;
        how many pairs are `matched` by any entry, and how many are `expected` to stay.

        It grows with the metadata, 16 bytes per entry and language, not with the pool.
        """
        languages = np.array([""]) if self.reference is None else _languages(scan)
        keys, counts, matched = _merged(scan.map(partial(_counted, self, languages), *self.inputs()))
        state: State = {"languages": languages, "keys": keys, "counts": counts, "matched": np.array(matched)}
        if not matched:
            return {**state, "thresholds": np.zeros(len(languages)), "expected": np.zeros(1)}
        t = self.t if self.t is not None else self._searched(scan, state)
        thresholds = self._thresholds(state, np.array([t]))
        expected = _expected(scan, self, state, thresholds)
        return {**state, "thresholds": thresholds[0], "expected": expected}

    def apply(self, columns: Columns, state: State, seed: int) -> np.ndarray:
        """1 for what is drawn, 0 for the rest and for captions that mention nothing."""
        rows, counts, spoken = _mentioned(self, state, columns)
        chances = entry_probabilities(counts, state["thresholds"][spoken])
        kept = keep_probabilities(rows, chances, len(columns["uid"]))
        return (uniform(seed, columns["uid"], "entries") < kept).astype(np.int64)

    def threshold(self, state: State) -> str:
        """t, the share of mentions in the tail, and how many pairs are expected to stay."""
        if not state["matched"]:
            return "no caption mentions an entry"
        place = 0 if self.reference is None else _place(state, self.reference)
        t, tail = state["thresholds"][place], tail_share(_of(state, place), state["thresholds"][place])
        others = f", {len(state['languages']) - 1} other languages by equal tails" if self.reference else ""
        return f"t = {t:.6g}, tail {tail:.1%}{others}: {state['expected'][0]:.0f} of {state['matched']} pairs expected"

    def _searched(self, scan: Scan, state: State) -> float:
        """The threshold that is expected to keep as many pairs as wanted, and not more. Raises PoolError for too few."""
        matched = int(state["matched"])
        wanted = float(Fraction(str(self.fraction)) * matched) if self.fraction is not None else float(self.total or 0)
        low, high = self._lowest(scan, state, wanted), float(state["counts"].max())  # at the highest count all stay
        while high > low * (1 + PRECISION):
            tried = np.geomspace(low, high, TRIED)
            sizes = _expected(scan, self, state, self._thresholds(state, tried))
            place = max(1, int(np.searchsorted(sizes, wanted, side="right")))
            if place == TRIED:
                return high
            low, high = tried[place - 1], tried[place]
        return low

    def _lowest(self, scan: Scan, state: State, wanted: float) -> float:
        """A threshold that keeps no more than wanted: an entry gives at most t pairs, beside what other languages give."""
        if self.reference is None:
            return wanted / len(state["keys"])
        others = float(_expected(scan, self, state, self._thresholds(state, np.zeros(1)))[0])
        if wanted <= others:
            raise PoolError(
                f"{wanted:g} pairs are too few: with the reference language {self.reference!r} the smallest size is "
                f"{math.floor(others) + 1}, since other languages keep at least the mentions of their smallest count"
            )
        counts = _of(state, _place(state, self.reference))
        return float(min((wanted - others) / len(counts), counts.min()))  # below its smallest count no tail grows

    def _thresholds(self, state: State, t: np.ndarray) -> np.ndarray:
        """Thresholds of all languages, (n, l), for n thresholds of the reference."""
        thresholds = np.repeat(t[:, None], len(state["languages"]), axis=1)
        if self.reference is None:
            return thresholds
        shares = [tail_share(_of(state, _place(state, self.reference)), one) for one in t]
        for place, language in enumerate(state["languages"].tolist()):
            counts = _of(state, place)
            if language != self.reference and len(counts):
                thresholds[:, place] = [tail_threshold(counts, share) for share in shares]
        return thresholds


def tail_share(counts: np.ndarray, t: float) -> float:
    """Share of all mentions that go to entries of fewer than `t`, 0 to 1. Counts: (k,), their sum above 0."""
    return float(counts[counts < t].sum() / counts.sum())


def tail_threshold(counts: np.ndarray, share: float) -> int:
    """The count whose tail, itself included, is nearest to `share` of all mentions; the lowest of equally near ones."""
    ordered = np.sort(counts)
    return int(ordered[np.abs(np.cumsum(ordered) / ordered.sum() - share).argmin()])


def entry_probabilities(counts: np.ndarray, t: float | np.ndarray) -> np.ndarray:
    """min(1, t / count), float64 (k,); 1 where nothing was counted and t is above 0."""
    return np.asarray(t / np.maximum(counts, t))


def keep_probabilities(rows: np.ndarray, probabilities: np.ndarray, n: int) -> np.ndarray:
    """1 - prod(1 - p) over the mentions of each of n texts, float64 (n,); 0 for a text without any.

    Row and p of each mention, (m,) each; rows ascend.
    """
    return 1 - product(rows, 1 - probabilities, n)


def mentions(entries: Sequence[Sequence[int] | None]) -> tuple[np.ndarray, np.ndarray]:
    """Row and entry number of each mention, int64 (m,) each, rows ascending."""
    lengths = np.fromiter((len(found) if found is not None else 0 for found in entries), np.int64, len(entries))
    numbers = np.fromiter(chain.from_iterable(found for found in entries if found is not None), np.int64, lengths.sum())
    return np.repeat(np.arange(len(entries)), lengths), numbers


def product(rows: np.ndarray, factors: np.ndarray, n: int) -> np.ndarray:
    """Per row the product of its factors, float64 (n,); 1 where there are none. Rows ascend."""
    found = np.ones(n)
    if len(rows):
        first = np.flatnonzero(np.diff(rows, prepend=-1))
        found[rows[first]] = np.multiply.reduceat(factors, first)
    return found


def uniform(seed: int, uid: np.ndarray, stream: str) -> np.ndarray:
    """One draw in [0, 1) per uid, float64 (n,), of 53 bits."""
    return (hash_words(seed, uid, stream) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _languages(scan: Scan) -> np.ndarray:
    """The pool's languages, sorted; '' stands for none."""
    return np.array(sorted(set().union(*scan.map(_spoken, "lang"))), str)


def _spoken(columns: Columns) -> set[str]:
    return {language or "" for language in columns["lang"].tolist()}


def _keyed(step: EntryBalance, languages: np.ndarray, columns: Columns) -> tuple[np.ndarray, np.ndarray]:
    """Row and key, language << 32 | entry, of each mention."""
    rows, numbers = mentions(columns[step.column].tolist())
    if step.reference is None:
        return rows, numbers
    spoken = np.searchsorted(languages, [language or "" for language in columns["lang"].tolist()])
    return rows, spoken[rows] << 32 | numbers


def _counted(step: EntryBalance, languages: np.ndarray, columns: Columns) -> tuple[np.ndarray, np.ndarray, int]:
    """Keys of a shard, sorted, how often each is mentioned, and how many rows mention anything."""
    rows, keys = _keyed(step, languages, columns)
    return *np.unique(keys, return_counts=True), len(np.unique(rows))


def _merged(parts: Iterable[tuple[np.ndarray, np.ndarray, int]]) -> tuple[np.ndarray, np.ndarray, int]:
    """The counts of all shards; merged once there are as many of them as there are known keys."""
    total = (np.zeros(0, np.int64), np.zeros(0, np.int64))
    waiting, size, matched = [], 0, 0
    for keys, counts, rows in parts:
        waiting.append((keys, counts))
        size, matched = size + len(keys), matched + rows
        if size > max(_HELD, len(total[0])):
            total, waiting, size = _summed([total, *waiting]), [], 0
    return *_summed([total, *waiting]), matched


def _summed(parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    keys, counts = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
    order = np.argsort(keys, kind="stable")
    first = np.flatnonzero(np.diff(keys[order], prepend=-1))
    return keys[order][first], np.add.reduceat(counts[order], first) if len(first) else counts


def _mentioned(step: EntryBalance, state: State, columns: Columns) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each mention its row, its entry's count in the pool (0: never seen) and the place of its language."""
    rows, keys = _keyed(step, state["languages"], columns)
    if not len(state["keys"]):
        return rows, np.zeros(len(rows), np.int64), keys >> 32
    at = np.minimum(np.searchsorted(state["keys"], keys), len(state["keys"]) - 1)
    return rows, np.where(state["keys"][at] == keys, state["counts"][at], 0), keys >> 32


def _expected(scan: Scan, step: EntryBalance, state: State, thresholds: np.ndarray) -> np.ndarray:
    """float64 (n,): how many pairs are expected to stay at each of n rows of thresholds."""
    sums = [0] * len(thresholds)
    for found in scan.map(partial(_kept_of_shard, step, state, thresholds), *step.inputs()):
        sums = [total + size for total, size in zip(sums, found, strict=True)]
    return np.array(sums, np.float64) / _UNIT


def _kept_of_shard(step: EntryBalance, state: State, thresholds: np.ndarray, columns: Columns) -> list[int]:
    rows, counts, spoken = _mentioned(step, state, columns)
    n = len(columns["uid"])
    kept = (keep_probabilities(rows, entry_probabilities(counts, one[spoken]), n) for one in thresholds)
    return [int(np.rint(chances * _UNIT).astype(np.int64).sum()) for chances in kept]


def _of(state: State, place: int) -> np.ndarray:
    """Counts of a language's entries."""
    first, last = np.searchsorted(state["keys"], [place << 32, (place + 1) << 32])
    return state["counts"][first:last]


def _place(state: State, language: str) -> int:
    """Where a language stands. Raises PoolError for one that no caption with entries is in."""
    languages = state["languages"].tolist()
    if language not in languages or not len(_of(state, languages.index(language))):
        raise PoolError(f"no caption in the reference language {language!r} mentions an entry; there are: {languages}")
    return languages.index(language)
