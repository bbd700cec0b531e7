"""Exact search for 64-bit hashes that differ in a few bits, without comparing all pairs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, pairwise
from math import comb
from typing import Final

import numpy as np

FLAT_BITS: Final = 6
"""A hash with fewer ones, or fewer zeros, comes from a flat or evenly graded image and says nothing of its content."""


def flat(hashes: np.ndarray) -> np.ndarray:
    """Boolean (n,): hashes that say nothing."""
    ones = np.bitwise_count(hashes)
    return np.minimum(ones, 64 - ones) < FLAT_BITS


def alike(a: np.ndarray, b: np.ndarray, distance: int) -> np.ndarray:
    """Boolean (n,): hashes at most `distance` bits apart, in proportion fewer where one has fewer than 32 ones.

    Half of a perceptual hash's bits are ones, but those of symmetric drawings: for them half of the frequencies, or
    more, are zero whatever they show, and with the same allowance flags and stars would all be each other's copies.
    """
    ones = np.minimum(np.minimum(np.bitwise_count(a), np.bitwise_count(b)).astype(np.int64), 32)
    return np.bitwise_count(a ^ b) <= -(-distance * ones // 32)  # rounded up


def near_pairs(hashes: np.ndarray, distance: int) -> Iterator[np.ndarray]:
    """Index pairs, int64 (m, 2), of all hashes (uint64 (n,)) that are `alike`; some come repeatedly.

    Block search (Manku, Jain and Das Sarma 2007): of distance + a blocks at least a agree. Each choice of a blocks is
    a key by which hashes are sorted, so that only those that share a key are compared. The more hashes, the more
    blocks a key takes, so that a key is shared by few.
    """
    blocks, agreeing = _blocks(len(hashes), distance)
    masks = _masks(blocks)
    for chosen in combinations(masks, agreeing):
        keys = hashes & np.bitwise_or.reduce(np.array(chosen, np.uint64))
        by_key = np.argsort(keys, kind="stable")
        yield from _within_runs(hashes, keys[by_key], by_key, distance)


def components(n: int, pairs: Iterator[np.ndarray]) -> np.ndarray:
    """int64 (n,): per item the lowest index that pairs connect it with."""
    root = np.arange(n)
    for found in pairs:
        while True:
            a, b = root[found[:, 0]], root[found[:, 1]]
            if np.array_equal(a, b):
                break
            np.minimum.at(root, np.maximum(a, b), np.minimum(a, b))
            while not np.array_equal(root, root[root]):
                root = root[root]
    return root


def _blocks(n: int, distance: int) -> tuple[int, int]:
    """How many blocks, and how many of them make a key: the choice that sorts and compares least.

    Sorting costs about ten comparisons per hash; random hashes share a key of b bits with n / 2**b others.
    """

    def cost(agreeing: int) -> float:
        blocks = distance + agreeing
        return comb(blocks, agreeing) * (10 + n / 2 / 2 ** (64 * agreeing / blocks))

    agreeing = min(range(1, 6), key=cost)
    return distance + agreeing, agreeing


def _masks(blocks: int) -> list[int]:
    edges = [64 * i // blocks for i in range(blocks + 1)]
    return [(1 << high) - (1 << low) for low, high in pairwise(edges)]


def _within_runs(hashes: np.ndarray, keys: np.ndarray, by_key: np.ndarray, distance: int) -> Iterator[np.ndarray]:
    """Compare each hash with the one 1, 2, 3 … places further on, as long as they share the key."""
    left = np.arange(len(keys) - 1)
    lag = 1
    while len(left):
        left = left[left + lag < len(keys)]
        left = left[keys[left] == keys[left + lag]]
        a, b = by_key[left], by_key[left + lag]
        near = alike(hashes[a], hashes[b], distance)
        if near.any():
            yield np.column_stack([a[near], b[near]])
        lag += 1
