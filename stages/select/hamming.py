"""Exact search for hashes of 64 or 256 bits that differ in a few, without comparing all pairs.

Block search (Manku, Jain and Das Sarma 2007): of distance + a blocks of the bits at least a agree. Each choice of a
blocks is a key by which hashes are sorted, so that only those that share a key are compared. The first of the agreeing
blocks is one of distance + 1: out of core, hashes meet by it (`bands`), and the others are chosen where they met.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, product
from math import comb
from typing import Final, NamedTuple

import numpy as np

from stages.select.components import components
from stages.select.shingles import spans

FLAT_SHARE: Final = 3 / 32
"""A hash with a lower share of ones, or of zeros, comes from a flat or evenly graded image and says nothing of it."""
HELD_PAIRS: Final = 1 << 20
"""Pairs (of 16 bytes) that are held before they are reduced to a forest."""
COMPARED: Final = 1 << 16
"""Pairs (of some 50 bytes) that are compared at a time."""
CROWD: Final = 64
"""Hashes that share a key above which they are divided by colour first."""

Rows = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Hashes, uint64 (n, words); the allowance of each; and indexes of some of them."""


class Blocks(NamedTuple):
    """How the bits of a hash are cut: into `total` blocks, of which `agreeing` make a key; `bits` of the hash."""

    total: int
    agreeing: int
    bits: int

    @property
    def firsts(self) -> int:
        """Blocks that can be the first of those that agree."""
        return self.total - self.agreeing + 1

    def span(self, block: int) -> tuple[int, int]:
        """The first bit of a block, and how many it has."""
        low, high = (self.bits * i // self.total for i in (block, block + 1))
        return low, high - low


def choose_blocks(n: int, distance: int, bits: int) -> Blocks:
    """The choice that sorts and compares n hashes least; the more hashes, the more blocks a key takes.

    Sorting costs about ten comparisons per hash; random hashes share a key of b bits with n / 2**b others. A block has
    at most 64 bits.
    """

    def cost(agreeing: int) -> float:
        blocks = distance + agreeing
        return comb(blocks, agreeing) * (10 + n / 2 / 2 ** (bits * agreeing / blocks))

    agreeing = min(range(max(1, bits // 64 - distance), 6), key=cost)
    return Blocks(distance + agreeing, agreeing, bits)


def flat(hashes: np.ndarray) -> np.ndarray:
    """Boolean (n,): hashes, uint64 (n, words), that say nothing."""
    ones, bits = _ones(hashes), 64 * hashes.shape[-1]
    return np.minimum(ones, bits - ones) < FLAT_SHARE * bits


def allowance(hashes: np.ndarray, distance: int) -> np.ndarray:
    """int64 (n,): the bits that a copy of each hash, uint64 (n, words), may differ in; rounded up.

    Half of a perceptual hash's bits are ones, but those of symmetric drawings: for them half of the frequencies, or
    more, are zero whatever they show, and with the same allowance flags and stars would all be each other's copies. So
    it shrinks in proportion where fewer than half are ones.
    """
    half = 32 * hashes.shape[-1]
    return -(-distance * np.minimum(_ones(hashes), half) // half)


def alike(a: np.ndarray, b: np.ndarray, distance: int) -> np.ndarray:
    """Boolean (n,): hashes, uint64 (n, words), that differ in no more bits than the allowance of both."""
    return _ones(a ^ b) <= np.minimum(allowance(a, distance), allowance(b, distance))


def bands(hashes: np.ndarray, blocks: Blocks) -> Iterator[tuple[int, np.ndarray]]:
    """Each block that can be the first to agree, and its bits of each hash, uint64 (n,)."""
    for first in range(blocks.firsts):
        yield first, _block(hashes, blocks, first)


class Looks:
    """Hashes with mean colours, and which of them chains of near pairs have connected so far.

    Near are hashes, uint64 (n, words), that are `alike`, with colours, uint64 (n,) as 0xRRGGBB, that differ by at most
    `limit` levels in each channel. Rows of the same `items`, int64 (n,), are connected from the beginning.
    """

    def __init__(self, hashes: np.ndarray, distance: int, colors: np.ndarray, limit: int, items: np.ndarray) -> None:
        """`distance`: the bits that may differ."""
        self.hashes, self.distance, self.limit = hashes, distance, limit
        self.allowed = allowance(hashes, distance)
        self.channels = ((colors[:, None] >> np.array([16, 8, 0], np.uint64)) & np.uint64(255)).astype(np.int16)
        _, first, item = np.unique(items, return_index=True, return_inverse=True)
        self.root = first[item]
        """int64 (n,): a row for each chain, the same for all of it."""
        self._place = np.empty(len(hashes), np.int64)

    def connect(self, runs: np.ndarray, rows: np.ndarray) -> None:
        """Connects near rows that stand in one run of equal numbers, `runs`, int64 (m,) like `rows`.

        Neighbours are compared first, then ever farther rows, but none that are connected already; a run that is
        connected as a whole is done with, so what is all alike takes about as many comparisons as it has members.
        """
        if not len(rows):
            return
        before = self.root[rows]
        self._place[before] = np.arange(len(rows))  # of the rows of a chain, the last
        place = self._place[before]
        tree = np.arange(len(rows))  # of such places; flat
        begins = _begins(runs)
        sizes = np.diff(np.append(begins, len(runs)))
        partners = np.repeat(begins + sizes, sizes) - np.arange(len(rows)) - 1
        hashes, allowed = self.hashes[rows], self.allowed[rows]
        near = 1
        while len(left := np.flatnonzero((partners >= near) & np.repeat(_divided(tree[place], begins), sizes))):
            widths = np.minimum(partners[left] + 1, 2 * near) - near
            trees = tree[place]
            for begin, end in _chunks(widths, COMPARED):
                a = np.repeat(left[begin:end], widths[begin:end])
                b = spans(left[begin:end] + near, widths[begin:end])
                apart = trees[a] != trees[b]
                if not apart.all():
                    a, b = a[apart], b[apart]
                a, b, _ = _near((hashes, allowed, a), (hashes, allowed, b))
                close = self._same_color(rows[a], rows[b])
                if close.any():
                    joined = components([np.column_stack([trees[a[close]], trees[b[close]]])])
                    tree[joined[:, 0]] = joined[:, 1]
                    tree = tree[tree]
                    trees = tree[place]
            near *= 2
        self.root[before] = before[tree[place]]
        self.root = self.root[self.root]

    def _same_color(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.asarray(np.abs(self.channels[a] - self.channels[b]).max(axis=1, initial=0) <= self.limit)

    def cells(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        """Colours of rows as numbers of cells, int64 (m,), in eight grids or one: near colours share a cell in some.

        Cells are two limits wide. Half a cell's shift of a channel puts its borders where the cells had their middle.
        """
        half = self.limit + 1
        for shifts in product((0, half) if 2 * half < 256 else (0,), repeat=3):
            yield ((self.channels[rows] + np.array(shifts)) // (2 * half)) @ np.array([1 << 16, 1 << 8, 1])


def connect_in_bands(looks: Looks, firsts: np.ndarray, blocks: Blocks) -> None:
    """Connects near looks with equal `firsts`, uint64 (n,), and bits of that block; a row is a look in one of its bands."""
    for first in range(blocks.firsts):
        rows = np.flatnonzero(firsts == first)
        if len(rows) < 2:
            continue
        cut = {i: _block(looks.hashes[rows], blocks, i) for i in range(first, blocks.total)}
        for others in combinations(range(first + 1, blocks.total), blocks.agreeing - 1):
            keys = _joined([(cut[i], blocks.span(i)[1]) for i in (first, *others)])
            by_key = np.argsort(keys, kind="stable")
            _connect_by_key(looks, keys[by_key], rows[by_key])


def near_forest(hashes: np.ndarray, distance: int) -> np.ndarray:
    """int64 (m, 2): hashes, uint64 (n, words), and another to which chains of `alike` ones connect each."""
    items = np.arange(len(hashes))
    looks = Looks(hashes, distance, np.zeros(len(hashes), np.uint64), 255, items)
    blocks = choose_blocks(len(hashes), distance, 64 * hashes.shape[1])
    for first in range(blocks.firsts):
        connect_in_bands(looks, np.full(len(hashes), first), blocks)
    return _true(np.column_stack([items, looks.root]))


class HashIndex:
    """A list of hashes, uint64 (n, words), in which near ones are looked up; it takes 16 bytes a hash and block."""

    def __init__(self, hashes: np.ndarray, distance: int) -> None:
        """`distance`: the bits that may differ; of one block more at least one agrees."""
        self._hashes, self._allowed = hashes, allowance(hashes, distance)
        bits = 64 * hashes.shape[1]
        self._blocks, self._distance = Blocks(max(distance + 1, bits // 64), 1, bits), distance
        self._tables = []
        for _, values in bands(hashes, self._blocks):
            order = np.argsort(values, kind="stable")
            self._tables.append((order, values[order]))

    def near(self, queries: np.ndarray) -> Iterator[np.ndarray]:
        """int64 (m, 3): of each query, uint64 (k, words), that is `alike` a listed hash its index, the hash's, and the
        bits they differ in; some come repeatedly."""
        allowed = allowance(queries, self._distance)
        for (_, values), (order, table) in zip(bands(queries, self._blocks), self._tables, strict=True):
            low, high = (np.searchsorted(table, values, side) for side in ("left", "right"))
            for begin, end in _chunks(high - low, HELD_PAIRS):
                count = (high - low)[begin:end]
                at = order[spans(low[begin:end], count)]
                query = np.repeat(np.arange(begin, end), count)
                yield np.column_stack(_near((queries, allowed, query), (self._hashes, self._allowed, at)))


def _true(edges: np.ndarray) -> np.ndarray:
    return edges[edges[:, 0] != edges[:, 1]]


def _chunks(counts: np.ndarray, most: int) -> Iterator[tuple[int, int]]:
    """Runs of items with at most so many in sum, or with one item."""
    ends, begin = np.cumsum(counts), 0
    while begin < len(counts):
        before = ends[begin] - counts[begin]
        end = max(begin + 1, int(np.searchsorted(ends, before + most, "right")))
        yield begin, end
        begin = end


def _ones(words: np.ndarray) -> np.ndarray:
    """int64, without the last axis: bits that are one. (numpy sums a short axis slowly.)"""
    counts = np.bitwise_count(words)
    total = counts[..., 0].astype(np.int64)
    for i in range(1, words.shape[-1]):
        total += counts[..., i]
    return total


def _block(hashes: np.ndarray, blocks: Blocks, block: int) -> np.ndarray:
    """uint64 (n,): the bits of a block, which may reach into a second word."""
    low, width = blocks.span(block)
    word, offset = divmod(low, 64)
    bits = hashes[:, word] << np.uint64(offset)
    if offset + width > 64:
        bits |= hashes[:, word + 1] >> np.uint64(64 - offset)
    return bits >> np.uint64(64 - width)


def _joined(parts: list[tuple[np.ndarray, int]]) -> np.ndarray:
    """Values of so many bits as one number each, unsigned and as small as may be: numpy sorts 16 bits ten times faster.

    Beyond 64 bits they are mixed, and unequal ones may meet: they are compared anyway.
    """
    width = sum(bits for _, bits in parts)
    keys = np.zeros_like(parts[0][0])
    for values, bits in parts:
        keys = (keys << np.uint64(bits)) | values if width <= 64 else keys * np.uint64(0x9E3779B97F4A7C15) + values
    return keys.astype(np.uint16 if width <= 16 else np.uint32 if width <= 32 else np.uint64)


def _connect_by_key(looks: Looks, keys: np.ndarray, rows: np.ndarray) -> None:
    """Connects near rows that share a key, by which they are sorted."""
    begins = _begins(keys)
    sizes = np.diff(np.append(begins, len(keys)))
    runs, sizes = np.repeat(np.arange(len(begins)), sizes), np.repeat(sizes, sizes)
    few, many = (sizes > 1) & (sizes <= CROWD), sizes > CROWD
    looks.connect(runs[few], rows[few])
    if many.any():
        for cells in looks.cells(rows[many]):
            numbers = (runs[many] << 24) | cells
            by_cell = np.argsort(numbers, kind="stable")
            looks.connect(numbers[by_cell], rows[many][by_cell])


def _begins(values: np.ndarray) -> np.ndarray:
    """Where runs of equal values begin."""
    first = np.ones(len(values), bool)
    first[1:] = values[1:] != values[:-1]
    return np.flatnonzero(first)


def _divided(trees: np.ndarray, begins: np.ndarray) -> np.ndarray:
    """Boolean: runs that begin there and have rows of more than one tree."""
    return np.minimum.reduceat(trees, begins) != np.maximum.reduceat(trees, begins)


def _near(left: Rows, right: Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of pairs those that are alike: both indexes, and the bits they differ in, (m,) each."""
    (hashes, allowed, a), (others, their, b) = left, right
    apart = np.zeros(len(a), np.uint8)
    for word in range(hashes.shape[1]):  # most pairs have too many differences in the first word, or in two
        apart += np.bitwise_count(hashes[a, word] ^ others[b, word])
        near = apart <= np.minimum(allowed[a], their[b])
        a, b, apart = a[near], b[near], apart[near]
    return a, b, apart
