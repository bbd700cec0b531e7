"""Products of embeddings whose bits do not depend on where a row stands: each choice by cosine is made of these.

A float32 matrix product of equal rows differs in its last bits from place to place (about 2e-6), which is enough to turn
near ties. So rows are rounded to a grid on which float64 holds products and their sums exactly, in whatever order they
are added; a float32 product only finds what comes near to being chosen.
"""

from __future__ import annotations

from typing import Final

import numpy as np

BLOCK: Final = 1024
"""Rows that meet in one matrix product."""
MARGIN: Final = 1e-4
"""By how much two float32 products of rows of unit length can be off: what is nearer to a bound is computed exactly."""
_GRID: Final = np.float32(1 << 26)
"""Steps of 1. A product of two rows is a multiple of 2**-52 below 2, all sums on the way included: 53 bits hold it."""
_PAIRS: Final = 1 << 8
"""Pairs whose rows are gathered at a time, so that they stay in the cache."""
_DENSE: Final = 16
"""Where more than one pair in so many is wanted, a float64 matrix product is faster than single pairs."""


def on_grid(rows: np.ndarray) -> np.ndarray:
    """float32 (n, d): rows, no longer than 1, rounded to multiples of 2**-26, less than what float32 rounds itself."""
    found = np.multiply(rows, _GRID, dtype=np.float32)
    np.rint(found, out=found)
    found /= _GRID
    return found


def lengths(vectors: np.ndarray) -> np.ndarray:
    """float32 (n,): lengths of float32 rows, of which each is summed by itself."""
    return np.sqrt(np.square(vectors).sum(axis=1))


def unit(vectors: np.ndarray) -> np.ndarray:
    """float32 (n, d): rows, (n, d) of any float, of unit length and `on_grid`; zeros stay."""
    found = np.empty(vectors.shape, np.float32)
    for start in range(0, len(found), BLOCK):
        block = vectors[start : start + BLOCK].astype(np.float32)
        block /= np.maximum(lengths(block), 1e-12)[:, None]
        found[start : start + BLOCK] = on_grid(block)
    return found


def exact(left: np.ndarray, i: np.ndarray, right: np.ndarray, j: np.ndarray) -> np.ndarray:
    """float64 (p,): products of rows `left[i]` and `right[j]`, both `on_grid`: the same bits in any order and place."""
    if len(i) * _DENSE > len(left) * len(right):
        return (left.astype(np.float64) @ right.T.astype(np.float64))[i, j]
    found = np.empty(len(i))
    for start in range(0, len(i), _PAIRS):
        part = slice(start, start + _PAIRS)
        pair = left[i[part]].astype(np.float64), right[j[part]].astype(np.float64)
        found[part] = np.einsum("nd,nd->n", *pair)
    return found


def reaching(
    near: np.ndarray, floor: np.ndarray | float, left: np.ndarray, right: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs that can reach `floor`, a number or (n,), and their exact products: (i, j, value), by i, then j.

    `near`, float32 (n, m), is `left @ right.T`. Some pairs within MARGIN below the floor are among them.
    """
    least = np.asarray(floor - MARGIN, np.float32).reshape(-1, 1)
    i, j = places(near >= least)
    return i, j, exact(left, i, right, j)


def highest(
    left: np.ndarray, right: np.ndarray, count: int, less: tuple[np.ndarray, np.ndarray] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Of each left row the `count` right rows of the highest products, int64 (n, count), and those products, float64.

    The highest come first, of equal ones the first row. `less`, float64 (n,) and (m,), both at least 0: their product is
    taken off, as |c|^2 is for distances.
    """
    found = np.zeros((len(left), min(count, len(right))), np.int64)
    values, held = np.zeros(found.shape), np.empty((min(BLOCK, len(left)), len(right)), np.float32)
    for start in range(0, len(left) if found.shape[1] else 0, BLOCK):
        rows = slice(start, start + BLOCK)
        block = left[rows]
        near, slack = np.matmul(block, right.T, out=held[: len(block)]), np.full(len(block), MARGIN)
        if less is not None:
            near -= np.outer(less[0][rows].astype(np.float32), less[1].astype(np.float32))
            slack *= 1 + less[0][rows] * less[1].max()
        i, j = places(near >= (_nth_highest(near, found.shape[1]) - slack).astype(np.float32)[:, None])
        value = exact(block, i, right, j)
        if less is not None:
            value -= less[0][rows][i] * less[1][j]
        best = first(found.shape[1], i, j, -value)
        found[rows], values[rows] = j[best].reshape(found[rows].shape), value[best].reshape(found[rows].shape)
    return found, values


def places(chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of what is True in a boolean (n, m), by row, then column: as np.nonzero, several times as fast."""
    i, j = np.divmod(np.flatnonzero(chosen), chosen.shape[1])
    return i, j


def first(k: int, group: np.ndarray, *order: np.ndarray) -> np.ndarray:
    """Rows, int64, that are among the first `k` of their group by `order`, least significant first; sorted so."""
    by = np.lexsort((*order, group))
    group = group[by]
    return by[np.arange(len(by)) - np.searchsorted(group, group) < k]


def _nth_highest(values: np.ndarray, n: int) -> np.ndarray:
    """The n-th highest of each row; `values` are as they were when it returns."""
    lines, taken = np.arange(len(values)), []
    for _ in range(n - 1):
        best = values.argmax(axis=1)
        taken.append((best, values[lines, best]))
        values[lines, best] = -np.inf
    found = values.max(axis=1)
    for best, value in taken:
        values[lines, best] = value
    return found
