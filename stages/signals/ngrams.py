"""Which captions may repeat an n-gram: a whole batch at once, by hashes, so that the few that do are counted exactly.

The hash of a run of code points is the difference of two prefix sums of c * p^i (mod 2^64), times the inverse of
p^start: equal runs have equal hashes wherever they stand. A caption without two equal hashes repeats nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final

import numpy as np

from stages.signals.text import code_points, of_each

_BASE: Final = 0x9E3779B97F4A7C15
_INVERSE: Final = pow(_BASE, -1, 1 << 64)
_MIX: Final = np.uint64(0xBF58476D1CE4E5B9)
_OWNER_BITS: Final = np.uint64(40)
"""A key is the caption's number above 40 bits of hash."""


def may_repeat_characters(texts: Sequence[str], n: int) -> list[int]:
    """Numbers of the texts, ascending, in which n characters in a row may stand twice; all in which they do."""
    points, owner = code_points(texts), _owners(texts)
    if len(points) < n:
        return []
    starts = owner[: len(points) - n + 1]
    inside = starts == owner[n - 1 :]
    return _twice(_hashes(points, slice(len(starts)), slice(n, None))[inside], starts[inside])


def may_repeat_words(texts: Sequence[str], n: int) -> list[int]:
    """The same for n words in a row: lower case, each from the first letter between white space to the last."""
    points, owner = code_points(texts), _owners(texts)
    begins, ends = _words(points, owner)
    longer = [i for i, text in enumerate(texts) if "İ" in text]  # the one letter that two characters are made of
    if len(begins) < n:
        return longer
    words, of = _hashes(_lower()[points], begins, ends), owner[begins]
    rows = len(words) - n + 1
    grams = np.zeros(rows, np.uint64)
    for i in range(n):
        grams = grams * _MIX + words[i : rows + i]
    inside = of[:rows] == of[n - 1 :]
    return sorted({*longer, *_twice(grams[inside], of[:rows][inside])})


def _owners(texts: Sequence[str]) -> np.ndarray:
    """uint64: the number of the text of each code point."""
    return np.repeat(np.arange(len(texts), dtype=np.uint64), np.fromiter(map(len, texts), np.int64, len(texts)))


def _words(points: np.ndarray, owner: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Begins and ends (exclusive) of the words: of each run without white space, its first letter to its last."""
    kind = _kinds()[points]
    run = np.cumsum(kind == 2, dtype=np.uint64) + owner  # grows where white space is, and where a text begins
    letters = np.flatnonzero(kind == 1)
    last = np.ones(len(letters), bool)
    last[:-1] = run[letters[1:]] != run[letters[:-1]]
    first = np.ones(len(letters), bool)
    first[1:] = last[:-1]
    return letters[first], letters[last] + 1


def _hashes(points: np.ndarray, begins: np.ndarray | slice, ends: np.ndarray | slice) -> np.ndarray:
    """uint64: of each half-open run of code points; where runs begin and end, as places or as slices of all places."""
    size = 1 << max(16, len(points).bit_length())
    sums = np.zeros(len(points) + 1, np.uint64)
    np.cumsum(points.astype(np.uint64) * _powers(_BASE, size)[: len(points)], out=sums[1:])
    found = (sums[ends] - sums[begins]) * _powers(_INVERSE, size)[begins]
    return (found ^ (found >> np.uint64(32))) * _MIX


def _twice(hashes: np.ndarray, owner: np.ndarray) -> list[int]:
    """Owners that have a hash twice."""
    keys = np.sort((owner << _OWNER_BITS) | (hashes >> (np.uint64(64) - _OWNER_BITS)))
    found: list[int] = np.unique(keys[1:][keys[1:] == keys[:-1]] >> _OWNER_BITS).astype(np.int64).tolist()
    return found


@cache
def _powers(base: int, size: int) -> np.ndarray:
    """uint64 (size,): base^0, base^1, … modulo 2^64."""
    factors = np.full(size, base, np.uint64)
    factors[0] = 1
    return np.multiply.accumulate(factors)


@cache
def _kinds() -> np.ndarray:
    """uint8 (0x110000,): 1 for letters as a regular expression's `[^\\W\\d_]`, 2 for white space, 0 for the rest."""
    letter = of_each(np.strings.isalnum) & ~of_each(np.strings.isdecimal)
    return np.where(letter, 1, np.where(of_each(np.strings.isspace), 2, 0)).astype(np.uint8)


@cache
def _lower() -> np.ndarray:
    """uint32 (0x110000,): what `str.lower` makes of a letter, as far as that does not depend on its neighbours.

    Both small sigmas count as one, and `İ`, which becomes two characters, as the first of these.
    """
    table = np.arange(0x110000, dtype=np.uint32)
    for point in np.flatnonzero(of_each(np.strings.isupper) | of_each(np.strings.istitle)).tolist():
        table[point] = ord(chr(point).lower()[0])
    table[ord("ς")] = ord("σ")
    return table


def head_shares(texts: Sequence[str], n: int) -> np.ndarray:
    """float64 (len(texts),): share of a text's character n-grams that are copies of the commonest few, 0 to 1.

    The few are at most sqrt(distinct n-grams), rounded down, of those that stand more than once. N-grams of equal hash are
    compared character by character; two that differ would have to share 50 bits to make one that repeats look as if not.
    """
    found = np.zeros(len(texts))
    numbers = may_repeat_characters(texts, n)
    some = [texts[i] for i in numbers]
    if not some:
        return found
    points, owner = code_points(some), _owners(some)
    starts = np.flatnonzero(owner[: len(points) - n + 1] == owner[n - 1 :])
    bits = np.uint64(64 - len(some).bit_length())  # of hash, below the text's number
    keys = (owner[starts] << bits) | (_hashes(points, starts, starts + n) >> (np.uint64(64) - bits))
    order = np.argsort(keys)
    of, at = (keys[order] >> bits).astype(np.int64), starts[order]
    windows = np.lib.stride_tricks.sliding_window_view(points, n)
    same = keys[order[1:]] == keys[order[:-1]]
    pairs = np.flatnonzero(same)
    same[pairs] = (windows[at[pairs + 1]] == windows[at[pairs]]).all(axis=1)
    first = np.flatnonzero(np.concatenate([[True], ~same]))  # of each distinct n-gram
    counts = np.diff(np.append(first, len(order)))
    total = np.bincount(of, minlength=len(some))
    distinct = np.bincount(of[first], minlength=len(some))
    repeated = counts > 1
    of, counts = of[first][repeated], counts[repeated]
    few = np.minimum(np.sqrt(distinct).astype(np.int64), np.bincount(of, minlength=len(some)))
    sums = np.concatenate([[0], np.cumsum(counts[np.lexsort((-counts, of))])])
    begins = np.searchsorted(of, np.arange(len(some)))
    found[numbers] = (sums[begins + few] - sums[begins]) / total
    return found
