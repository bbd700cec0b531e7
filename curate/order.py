"""The exact k-th row of a pool, or of each of its groups, in bounded memory.

Rows are ordered by a key and, among equal keys, by uid and then position, so that the order is total and does not
depend on how the pool is cut into shards. A rank is four 64-bit words (key, uid high, uid low, position). The k-th
smallest is found as a radix selection finds it: histograms of the leading digit, shard by shard, then of the next one
among the rows that share the prefix, until the rows that are left fit into memory and are sorted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from curate.contracts import Columns, Scan

GATHER: Final = 1 << 20
"""Rows (of 40 bytes) that are sorted in memory instead of counted once more."""
BUCKETS: Final = 1 << 22
"""Counters (of 8 bytes) that all groups share in one pass."""
_LAST: Final = np.uint64(0xFFFFFFFFFFFFFFFF)

Ranked = tuple[np.ndarray, np.ndarray]
"""Group per row, int64 (n,), negative for rows that take no part; rank per row, uint64 (n, 4)."""


def ascending(values: np.ndarray) -> np.ndarray:
    """uint64 (n,) that sort as the numbers do (IEEE 754 read as integers); -0 equals 0. NaN is the caller's."""
    bits = (values.astype(np.float64) + 0.0).view(np.uint64)
    negative = bits >> np.uint64(63) != 0
    return np.where(negative, ~bits, bits | np.uint64(1 << 63))


def descending(values: np.ndarray) -> np.ndarray:
    """uint64 (n,) that sort the highest number first."""
    return ~ascending(values)


def number(key: int) -> float:
    """The number whose `descending` key this is."""
    word = np.uint64(key) ^ _LAST
    bits = word ^ np.uint64(1 << 63) if word >> np.uint64(63) else ~word
    return float(np.array(bits, np.uint64).view(np.float64))


def ranks(key: np.ndarray, columns: Columns) -> np.ndarray:
    """uint64 (n, 4): key, uid high, uid low, position."""
    return np.column_stack([key, columns["uid"], columns["position"]])


def at_most(words: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    """Boolean (n,): rank (n, 4) <= cut (4,) or (n, 4), word by word."""
    less, equal = np.zeros(len(words), bool), np.ones(len(words), bool)
    for i in range(words.shape[1]):
        less |= equal & (words[:, i] < cuts[..., i])
        equal &= words[:, i] == cuts[..., i]
    return less | equal


def group_sizes(scan: Scan, group: Callable[[Columns], np.ndarray], *names: str) -> np.ndarray:
    """int64 (highest group + 1,): rows per group; negative groups are not counted."""
    sizes = np.zeros(0, np.int64)
    for found in scan.map(partial(_sizes, group), *names):
        total = np.zeros(max(len(sizes), len(found)), np.int64)
        total[: len(sizes)] += sizes
        total[: len(found)] += found
        sizes = total
    return sizes


def smallest(
    scan: Scan, ranked: Callable[[Columns], Ranked], sizes: np.ndarray, wanted: np.ndarray, *names: str
) -> np.ndarray:
    """uint64 (groups, 4): the rank of the `wanted[g]`-th smallest row (1-based) of each group of `sizes[g]` rows.

    A group that wants 0 gets rank 0, which says nothing. `ranked` turns a shard's columns (`names`, uid, position)
    into groups and ranks; it is called once per shard and pass.
    """
    if (wanted > sizes).any():
        raise ValueError("a group has fewer rows than are wanted of it")
    search = _Search.start(sizes, wanted)
    while search.left.any():
        if search.rows <= GATHER:
            parts = list(scan.map(partial(_gather, ranked, search), *names))
            return search.finish(parts)
        histogram = np.zeros((int(search.open.sum()), 1 << search.bits), np.int64)
        for found in scan.map(partial(_histogram, ranked, search), *names):
            histogram += found
        search = search.narrow(histogram)
    return search.prefix


@dataclass(frozen=True)
class _Search:
    """Per group: the digits known so far, and which row among those that share them is wanted (0: settled)."""

    prefix: np.ndarray  # uint64 (groups, 4)
    left: np.ndarray  # int64 (groups,)
    depth: int  # bits known, from the front
    bits: int  # of a digit
    rows: int  # that share the prefix of an open group

    @classmethod
    def start(cls, sizes: np.ndarray, wanted: np.ndarray) -> _Search:
        """Nothing is known; the digit is as wide as the counters of all groups allow."""
        room = max(1, BUCKETS // max(1, len(wanted)))
        bits = next(b for b in (16, 8, 4, 2, 1) if 1 << b <= room or b == 1)
        return cls(
            np.zeros((len(wanted), 4), np.uint64), wanted.astype(np.int64), 0, bits, int(sizes[wanted > 0].sum())
        )

    @property
    def open(self) -> np.ndarray:
        """Boolean (groups,): not settled."""
        return self.left > 0

    def among(self, groups: np.ndarray, words: np.ndarray) -> np.ndarray:
        """Boolean (n,): rows of open groups that share their group's prefix."""
        taking = groups >= 0
        taking[taking] = self.open[groups[taking]]
        prefix = self.prefix[np.where(taking, groups, 0)]
        for i in range(-(-self.depth // 64)):
            ignored = np.uint64(max(0, 64 * (i + 1) - self.depth))
            taking &= words[:, i] >> ignored == prefix[:, i] >> ignored
        return taking

    def digit(self, words: np.ndarray) -> np.ndarray:
        """int64 (n,): the next digit of each rank."""
        shift = np.uint64(64 - self.depth % 64 - self.bits)
        return ((words[:, self.depth // 64] >> shift) & np.uint64((1 << self.bits) - 1)).astype(np.int64)

    def narrow(self, histogram: np.ndarray) -> _Search:
        """One digit more, from its counts (open groups, digits)."""
        opened = np.flatnonzero(self.open)
        upto = np.cumsum(histogram, axis=1)
        digit = (upto < self.left[opened, None]).sum(axis=1)
        inside = histogram[np.arange(len(opened)), digit]
        left, prefix = self.left.copy(), self.prefix.copy()
        left[opened] -= upto[np.arange(len(opened)), digit] - inside
        shift = np.uint64(64 - self.depth % 64 - self.bits)
        prefix[opened, self.depth // 64] |= digit.astype(np.uint64) << shift
        depth = self.depth + self.bits
        if depth == 256:  # every bit is known
            left[opened] = 0
        return _Search(prefix, left, depth, self.bits, int(inside.sum()))

    def finish(self, parts: Sequence[Ranked]) -> np.ndarray:
        """Sort the rows that are left and take the wanted one of each group."""
        groups = np.concatenate([part[0] for part in parts])
        words = np.concatenate([part[1] for part in parts])
        order = np.lexsort((*words.T[::-1], groups))
        opened = np.flatnonzero(self.open)
        begins = np.searchsorted(groups[order], opened)
        prefix = self.prefix.copy()
        prefix[opened] = words[order[begins + self.left[opened] - 1]]
        return prefix


def _sizes(group: Callable[[Columns], np.ndarray], columns: Columns) -> np.ndarray:
    groups = group(columns)
    return np.bincount(groups[groups >= 0])


def _histogram(ranked: Callable[[Columns], Ranked], search: _Search, columns: Columns) -> np.ndarray:
    groups, words = ranked(columns)
    taking = search.among(groups, words)
    compact = np.cumsum(search.open) - 1
    cells = (compact[groups[taking]] << search.bits) | search.digit(words[taking])
    counts = np.bincount(cells, minlength=int(search.open.sum()) << search.bits)
    return counts.reshape(-1, 1 << search.bits)


def _gather(ranked: Callable[[Columns], Ranked], search: _Search, columns: Columns) -> Ranked:
    groups, words = ranked(columns)
    taking = search.among(groups, words)
    return groups[taking], words[taking]
