"""Exact similarity join of sets: every pair whose Jaccard similarity reaches a threshold, without comparing all pairs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np

from stages.select.shingles import Sets, sorted_within, spans

CHUNK: Final = 1 << 18
"""Pairs that are looked at, or tokens that are compared, at a time (of some 50 bytes)."""
_COUNT_BITS: Final = 16


@dataclass(frozen=True)
class Jaccard:
    """The threshold p/q in whole numbers: |x ∩ y| / |x ∪ y| >= p/q without rounding."""

    p: int
    q: int

    @classmethod
    def of(cls, similarity: float) -> Jaccard:
        """The decimal as it is written (0.7 is 7/10), to six places."""
        exact = Fraction(str(similarity)).limit_denominator(10**6)
        return cls(exact.numerator, exact.denominator)

    def overlap(self, sizes: np.ndarray, others: np.ndarray) -> np.ndarray:
        """int64: tokens that sets of these sizes must share."""
        return -(-self.p * (sizes + others) // (self.p + self.q))

    def shortest(self, sizes: np.ndarray) -> np.ndarray:
        """int64: size of the smallest set that can be similar to one of this size."""
        return -(-self.p * sizes // self.q)

    def longest(self, sizes: np.ndarray) -> np.ndarray:
        """int64: and of the largest, at most 2^31."""
        return np.minimum(sizes * self.q // self.p, 1 << 31)


def prefixes(sets: Sets, counts: np.ndarray, jaccard: Jaccard) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Keys by which similar sets meet: (set, int64; key, uint64; early, bool), of equal length.

    Prefix filter (Bayardo, Ma and Srikant 2007, "Scaling Up All Pairs Similarity Search"; Xiao et al. 2008, PPJoin): in
    any common order of tokens, sets that share k tokens have one in common among the first n - k + 1 of each. Rare
    tokens come first: `counts` (a power of two, of some hash of the tokens) says in how many sets a token is at most,
    and what is in one set only is left out. The larger set's prefix reckons with the smallest partner; the smaller
    set's can be shorter, as its partner is no smaller: `early` is what belongs to that.

    A key is the count and the token's leading bits. Tokens that share a key only make a candidate more.
    """
    frequent = np.minimum(counts[slots(sets.tokens, len(counts))], (1 << _COUNT_BITS) - 1).astype(np.uint64)
    keys = (frequent << np.uint64(64 - _COUNT_BITS)) | (sets.tokens >> np.uint64(_COUNT_BITS))
    ordered = sorted_within(Sets(keys, sets.sizes))
    lengths = sets.sizes - jaccard.shortest(sets.sizes) + 1
    short = sets.sizes - jaccard.overlap(sets.sizes, sets.sizes) + 1
    found = ordered.tokens[spans(sets.begins, lengths)]
    rows = np.repeat(np.arange(len(lengths)), lengths)
    place = spans(np.zeros_like(lengths), lengths)
    wanted = found >> np.uint64(64 - _COUNT_BITS) > 1
    wanted[1:] &= (found[1:] != found[:-1]) | (rows[1:] != rows[:-1])
    return rows[wanted], found[wanted], (place < short[rows])[wanted]


def slots(tokens: np.ndarray, size: int) -> np.ndarray:
    """int64 (n,): each token's place in a table of `size` counters, a power of two."""
    return (tokens & np.uint64(size - 1)).astype(np.int64)


def similar(sets: Sets, groups: np.ndarray, early: np.ndarray, jaccard: Jaccard) -> np.ndarray:
    """int64 (n,): for each set the first one of its group that a chain of similar sets of the group connects it with.

    `groups`, uint64 (n,): equal for sets that are to be compared. Pairs that are connected already are not compared, so
    that a group in which all are alike takes about as many comparisons as it has members. `early`: see `prefixes`.
    """
    order = np.lexsort((sets.sizes, groups))
    order = order[_accompanied(groups[order])]
    alike = _Alike(sets.take(order), jaccard)
    root = np.arange(len(order))
    for a, b in _within(groups[order], alike.sets.sizes, jaccard):
        apart = early[order[a]] & (root[a] != root[b])
        _connect(root, *alike.pairs(a[apart], b[apart]))
    first = np.full(len(order), len(groups))
    np.minimum.at(first, root, order)
    found = np.arange(len(groups))
    found[order] = first[root]
    return found


def _accompanied(groups: np.ndarray) -> np.ndarray:
    """Boolean (n,): the group, which stands in one run, has another member."""
    same = groups[1:] == groups[:-1]
    found = np.zeros(len(groups), bool)
    found[1:] = same
    found[:-1] |= same
    return found


def _within(groups: np.ndarray, sizes: np.ndarray, jaccard: Jaccard) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Index pairs of a group whose sizes allow it, in order of group and size: neighbours first, then ever farther."""
    number = np.cumsum(np.append(0, groups[1:] != groups[:-1]))[: len(groups)] << 32
    partners = np.searchsorted(number | sizes, number | jaccard.longest(sizes), "right") - np.arange(len(sizes)) - 1
    near = 1
    while len(left := np.flatnonzero(partners >= near)):
        far = 2 * near
        widths = np.minimum(partners[left] + 1, far) - near
        for begin, end in _runs(widths, CHUNK):
            a = np.repeat(left[begin:end], widths[begin:end])
            yield a, spans(left[begin:end] + near, widths[begin:end])
        near = far


def _runs(sizes: np.ndarray, most: int) -> Iterator[tuple[int, int]]:
    """Cuts a row of sizes into runs of about `most` together, of one at least."""
    ends = np.cumsum(sizes)
    begin = 0
    while begin < len(ends):
        end = max(begin + 1, int(np.searchsorted(ends, ends[begin] - sizes[begin] + most, "right")))
        yield begin, end
        begin = end


def _connect(root: np.ndarray, a: np.ndarray, b: np.ndarray) -> None:
    """Joins the trees of each pair, in place; all trees are flat before and after."""
    while len(a):
        a, b = root[a], root[b]
        apart = a != b
        a, b = np.minimum(a[apart], b[apart]), np.maximum(a[apart], b[apart])
        np.minimum.at(root, b, a)
        while not np.array_equal(root, flat := root[root]):
            root[:] = flat


class _Alike:
    """Which pairs of some sets are similar."""

    def __init__(self, sets: Sets, jaccard: Jaccard) -> None:
        self.sets = sets
        self._jaccard = jaccard
        self._parities = _parities(sets)
        self._begins = sets.begins

    def pairs(self, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Those of the pairs (a, b), int64 (m,), that are similar; by parities first, then by counting."""
        sizes = self.sets.sizes
        overlap = self._jaccard.overlap(sizes[a], sizes[b])
        spare = sizes[a] + sizes[b] - 2 * overlap
        for word in self._parities:
            spare -= np.bitwise_count(word[a] ^ word[b])
            a, b, overlap, spare = (values[spare >= 0] for values in (a, b, overlap, spare))
        keep = np.zeros(len(a), bool)
        for begin, end in _runs(sizes[a] + sizes[b], CHUNK):
            keep[begin:end] = self._shared(a[begin:end], b[begin:end]) >= overlap[begin:end]
        return a[keep], b[keep]

    def _shared(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """int64 (m,): how many tokens each pair shares: those that stand twice among the tokens of both."""
        both = Sets(
            self.sets.tokens[spans(_alternating(self._begins, a, b), _alternating(self.sets.sizes, a, b))],
            self.sets.sizes[a] + self.sets.sizes[b],
        )
        tokens, pair = sorted_within(both).tokens, both.rows()
        twice = (tokens[1:] == tokens[:-1]) & (pair[1:] == pair[:-1])
        return np.bincount(pair[1:][twice], minlength=len(a))


def _alternating(values: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.column_stack([values[a], values[b]]).ravel()


def _parities(sets: Sets) -> np.ndarray:
    """uint64 (4, n): 256 bits of each set, one per residue of its tokens: whether the number of such tokens is odd.

    Two sets differ in at least as many tokens as in bits (the bitmap filter of Sandes, Teodoro and Melo 2020, with
    parities, which do not fill up).
    """
    bit = np.uint64(1) << (sets.tokens & np.uint64(63))
    word = (sets.tokens >> np.uint64(6)) & np.uint64(3)
    zero, begins = np.uint64(0), sets.begins
    if not len(begins):
        return np.zeros((4, 0), np.uint64)
    return np.stack([np.bitwise_xor.reduceat(np.where(word == i, bit, zero), begins) for i in range(4)])
