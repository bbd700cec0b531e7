"""The similarity join finds all pairs and only those, whatever the counters say and however pairs are cut into chunks."""

from __future__ import annotations

from fractions import Fraction
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.select import setjoin
from stages.select.components import components
from stages.select.setjoin import Jaccard, prefixes, similar, slots
from stages.select.shingles import Sets

THRESHOLDS = st.sampled_from([0.1, 0.34, 0.5, 0.7, 0.75, 0.999999, 1.0])
SETS = st.lists(st.sets(st.integers(0, 14), min_size=1, max_size=12), min_size=1, max_size=25)
TOKENS = np.random.default_rng(5).integers(0, 2**64, 4000, dtype=np.uint64)


def ragged(sets: list[set[int]]) -> Sets:
    parts = [np.sort(TOKENS[sorted(one)]) for one in sets]
    return Sets(np.concatenate(parts), np.array([len(part) for part in parts]))


def jaccard(a: set[int], b: set[int]) -> Fraction:
    return Fraction(len(a & b), len(a | b))


def joined(sets: Sets, bound: Jaccard, counters: int) -> dict[int, int]:
    """Components by prefixes and verification."""
    counts = np.bincount(slots(sets.tokens, counters), minlength=counters)
    row, key, early = prefixes(sets, counts, bound)
    root = similar(sets.take(row), key, early, bound)
    return dict(components([np.column_stack([row, row[root]])]).tolist())


@given(SETS, THRESHOLDS, st.sampled_from([1, 4, 1 << 12]), st.sampled_from([1, 7, 1 << 18]))
def test_components_are_those_of_all_pairs(sets: list[set[int]], threshold: float, counters: int, chunk: int) -> None:
    bound = Fraction(str(threshold))
    near = [(i, j) for i, a in enumerate(sets) for j, b in enumerate(sets[:i]) if jaccard(a, b) >= bound]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(setjoin, "CHUNK", chunk)
        found = joined(ragged(sets), Jaccard.of(threshold), counters)
    assert found == dict(components([np.array(near, np.int64).reshape(-1, 2)]).tolist())


@given(SETS, THRESHOLDS, st.data())
def test_only_members_of_a_group_are_compared(sets: list[set[int]], threshold: float, data: st.DataObject) -> None:
    groups = data.draw(st.lists(st.integers(0, 2), min_size=len(sets), max_size=len(sets)))
    bound = Fraction(str(threshold))
    near = [
        (i, j)
        for i, a in enumerate(sets)
        for j, b in enumerate(sets[:i])
        if groups[i] == groups[j] and jaccard(a, b) >= bound
    ]
    nodes, roots = components([np.array(near, np.int64).reshape(-1, 2)]).T
    expected = np.arange(len(sets))
    expected[nodes] = roots
    early = np.ones(len(sets), bool)
    found = similar(ragged(sets), np.array(groups, np.uint64), early, Jaccard.of(threshold))
    assert found.tolist() == expected.tolist()


def test_the_threshold_is_exact() -> None:
    """7/10 in floats is 0.7 or a hair off, depending on how it is computed; here it is 7/10."""
    same = partial(similar, groups=np.zeros(2, np.uint64), early=np.ones(2, bool), jaccard=Jaccard.of(0.7))
    for size in range(1, 60):
        a, b = set(range(7 * size)), set(range(10 * size))
        assert same(ragged([a, b])).tolist() == [0, 0]
        assert same(ragged([a, b | {3999}])).tolist() == [0, 1]


def test_many_alike_need_few_comparisons(monkeypatch: pytest.MonkeyPatch) -> None:
    """A template with one word that changes: all pairs would be 4.5 million."""
    looked: list[int] = []
    pairs = setjoin._Alike.pairs

    def counted(self: setjoin._Alike, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        looked.append(len(a))
        return pairs(self, a, b)

    monkeypatch.setattr(setjoin._Alike, "pairs", counted)
    sets = ragged([{*range(20), 20 + i} for i in range(3000)])
    found = similar(sets, np.zeros(3000, np.uint64), np.ones(3000, bool), Jaccard.of(0.7))
    assert (found == 0).all()
    assert sum(looked) < 2 * 3000
