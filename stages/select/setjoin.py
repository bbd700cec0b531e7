"""Exact similarity join of sets: every pair whose Jaccard similarity reaches a threshold, without comparing all pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np

from curate.schema import hash_words
from stages.select.shingles import Sets, sorted_within, spans

CHUNK: Final = 1 << 18
"""Pairs that are looked at, or tokens that are compared, at a time (of some 50 bytes)."""
PARITY_WORDS: Final = 4
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


def parities(sets: Sets) -> np.ndarray:
    """uint64 (PARITY_WORDS, n): bits of each set, one per residue of its tokens: whether it has an odd number of such.

    Two sets differ in at least as many tokens as in bits (the bitmap filter of Sandes, Teodoro and Melo 2020, with
    parities, which do not fill up). No set may be empty.
    """
    bit = np.uint64(1) << (sets.tokens & np.uint64(63))
    word = (sets.tokens >> np.uint64(6)) % np.uint64(PARITY_WORDS)
    if not len(bit):
        return np.zeros((PARITY_WORDS, 0), np.uint64)
    zero, begins = np.uint64(0), sets.begins
    return np.stack([np.bitwise_xor.reduceat(np.where(word == i, bit, zero), begins) for i in range(PARITY_WORDS)])


@dataclass(frozen=True)
class Meeting:
    """What is known of sets that meet at a key, without their tokens: row-aligned, in any order."""

    ids: np.ndarray  # int64 (n,): whose set it is
    groups: np.ndarray  # uint64 (n,): equal for sets that meet
    early: np.ndarray  # bool (n,): see `prefixes`
    sizes: np.ndarray  # int64 (n,)
    parities: np.ndarray  # uint64 (PARITY_WORDS, n)


def candidates(meeting: Meeting, jaccard: Jaccard) -> tuple[np.ndarray, np.ndarray]:
    """Rows that may be similar to another of their group, int64 (m,), and whom to compare with, uint64 (m,).

    That is a hash of the ids which chains of possible pairs connect: two long texts that meet at a thousand keys are
    the same two each time, and need be compared once.
    """

    def possible(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        early = np.flatnonzero(meeting.early[a])
        return early[_possible(meeting.sizes, meeting.parities, a[early], b[early], jaccard)]

    order, root = _chains(meeting.groups, meeting.sizes, jaccard, possible)
    words = meeting.ids[order].astype(np.uint64)
    together = np.zeros(len(order), np.uint64)
    np.add.at(together, root, hash_words(0, np.column_stack([words, np.zeros_like(words)]), "together"))
    several = np.bincount(root, minlength=len(order))[root] > 1
    return order[several], together[root][several]


def similar(ids: np.ndarray, groups: np.ndarray, sets: Sets, jaccard: Jaccard) -> np.ndarray:
    """int64 (m, 2): ids of sets, and the lowest id that a chain of similar sets of the same group connects each with.

    Pairs that are connected already are not compared, so that a group in which all are alike takes about as many
    comparisons as it has members.
    """
    bits = parities(sets)

    def alike(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        left = _possible(sets.sizes, bits, a, b, jaccard)
        return left[_verified(sets, a[left], b[left], jaccard)]

    order, root = _chains(groups, sets.sizes, jaccard, alike)
    lowest = np.full(len(order), np.iinfo(np.int64).max)
    np.minimum.at(lowest, root, ids[order])
    edges = np.column_stack([ids[order], lowest[root]])
    return edges[edges[:, 0] != edges[:, 1]]


def _chains(
    groups: np.ndarray, sizes: np.ndarray, jaccard: Jaccard, near: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Rows that share their group with others, and for each the place among them of one that pairs connect it with.

    `near` tells which of some pairs of rows, the smaller set first, are to be connected.
    """
    order = np.lexsort((sizes, groups))
    order = order[_accompanied(groups[order])]
    root = np.arange(len(order))
    for a, b in _within(groups[order], sizes[order], jaccard):
        apart = np.flatnonzero(root[a] != root[b])
        found = apart[near(order[a[apart]], order[b[apart]])]
        _connect(root, a[found], b[found])
    return order, root


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


def _possible(sizes: np.ndarray, bits: np.ndarray, a: np.ndarray, b: np.ndarray, jaccard: Jaccard) -> np.ndarray:
    """Index, int64 (k,), of those of the pairs of rows (a, b), int64 (m,), that differ in few enough parities."""
    spare = sizes[a] + sizes[b] - 2 * jaccard.overlap(sizes[a], sizes[b])
    left = np.arange(len(a))
    for word in bits:
        spare -= np.bitwise_count(word[a[left]] ^ word[b[left]])
        left, spare = left[spare >= 0], spare[spare >= 0]
    return left


def _verified(sets: Sets, a: np.ndarray, b: np.ndarray, jaccard: Jaccard) -> np.ndarray:
    """Boolean (m,): pairs of rows that share enough tokens."""
    overlap = jaccard.overlap(sets.sizes[a], sets.sizes[b])
    keep = np.zeros(len(a), bool)
    for begin, end in _runs(sets.sizes[a] + sets.sizes[b], CHUNK):
        keep[begin:end] = _shared(sets, a[begin:end], b[begin:end]) >= overlap[begin:end]
    return keep


def _shared(sets: Sets, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """int64 (m,): how many tokens each pair shares: those that stand twice among the tokens of both."""
    rows = np.column_stack([a, b]).ravel()
    both = Sets(sets.take(rows).tokens, sets.sizes[a] + sets.sizes[b])
    tokens, pair = sorted_within(both).tokens, both.rows()
    twice = (tokens[1:] == tokens[:-1]) & (pair[1:] == pair[:-1])
    return np.bincount(pair[1:][twice], minlength=len(a))
