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
from stages.select.setjoin import Jaccard, Meeting, candidates, parities, prefixes, similar, slots
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
    bits = parities(sets)[:, row]
    which, group = candidates(Meeting(row, key, early, sets.sizes[row], bits), bound)
    asked = np.unique(np.column_stack([row[which].astype(np.uint64), group]), axis=0)
    ids = asked[:, 0].astype(np.int64)
    return dict(components([similar(ids, asked[:, 1], sets.take(ids), bound)]).tolist())


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
    found = similar(np.arange(len(sets)), np.array(groups, np.uint64), ragged(sets), Jaccard.of(threshold))
    joined = components([np.array(near, np.int64).reshape(-1, 2)])
    assert sorted(found.tolist()) == [row for row in joined.tolist() if row[0] != row[1]]


def test_the_threshold_is_exact() -> None:
    """7/10 in floats is 0.7 or a hair off, depending on how it is computed; here it is 7/10."""
    both = partial(similar, np.arange(2), np.zeros(2, np.uint64))
    for size in range(1, 60):
        a, b = set(range(7 * size)), set(range(10 * size))
        assert both(ragged([a, b]), Jaccard.of(0.7)).tolist() == [[1, 0]]
        assert both(ragged([a, b | {3999}]), Jaccard.of(0.7)).tolist() == []


def test_many_alike_need_few_comparisons(monkeypatch: pytest.MonkeyPatch) -> None:
    """A template with one word that changes: all pairs would be 4.5 million."""
    looked: list[int] = []
    shared = setjoin._shared

    def counted(sets: Sets, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        looked.append(len(a))
        return shared(sets, a, b)

    monkeypatch.setattr(setjoin, "_shared", counted)
    sets = ragged([{*range(20), 20 + i} for i in range(3000)])
    found = similar(np.arange(3000), np.zeros(3000, np.uint64), sets, Jaccard.of(0.7))
    assert sorted(found.tolist()) == [[i, 0] for i in range(1, 3000)]
    assert sum(looked) < 2 * 3000


def test_two_long_sets_are_compared_once() -> None:
    """They meet at hundreds of keys; the tokens are asked for once."""
    sets = ragged([set(range(3000)), {*range(2, 3000)}, {*range(3000, 3990)}])
    row, key, early = prefixes(sets, np.bincount(slots(sets.tokens, 1 << 20), minlength=1 << 20), Jaccard.of(0.7))
    assert len(row) > 1500
    meeting = Meeting(row, key, early, sets.sizes[row], parities(sets)[:, row])
    which, group = candidates(meeting, Jaccard.of(0.7))
    assert set(row[which].tolist()) == {0, 1}
    assert len(np.unique(group)) == 1
