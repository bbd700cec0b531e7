"""The top fraction: exact, tied by uid, blind to shards and order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from curate.scan import MemoryScan
from stages.select.top import TopFraction

SCORES = st.lists(st.none() | st.sampled_from([-0.1, 0.0, 0.2, 0.21, 0.3]), min_size=1, max_size=50)


def pool(scores: Sequence[float | None], shards: int = 1, seed: int = 0) -> MemoryScan:
    values = np.array([np.nan if score is None else score for score in scores], np.float32)
    uid = np.random.default_rng(seed).integers(0, 2**63, (len(scores), 2)).astype(np.uint64)
    return MemoryScan({"similarity": values, "uid": uid}, shards)


def kept(step: TopFraction, scan: MemoryScan) -> list[int]:
    return np.flatnonzero(step.apply(scan.columns, step.fit(scan, 0), 0)).tolist()


@given(SCORES, st.integers(0, 100), st.integers(1, 4))
def test_exactly_the_fraction_and_the_lowest_uids_of_a_tie(
    scores: list[float | None], percent: int, shards: int
) -> None:
    scan = pool(scores, shards)
    scored = [i for i, score in enumerate(scores) if score is not None]
    found = kept(TopFraction(fraction=percent / 100), scan)
    assert len(found) == len(scored) * percent // 100
    best = sorted(scored, key=lambda i: (-float(scan.columns["similarity"][i]), tuple(scan.columns["uid"][i].tolist())))
    assert found == sorted(best[: len(found)])


@given(SCORES, st.integers(0, 60), st.permutations(range(50)))
def test_order_does_not_matter(scores: list[float | None], count: int, shuffle: list[int]) -> None:
    scan = pool(scores)
    moved = [i for i in shuffle if i < len(scores)]
    columns = {name: scan.columns[name][moved] for name in ("similarity", "uid")}
    step = TopFraction(count=count)
    uids = scan.columns["uid"][kept(step, scan)]
    again = columns["uid"][kept(step, MemoryScan(columns, 3))]
    assert sorted(uids.tolist()) == sorted(again.tolist())


def test_a_fraction_is_read_as_written() -> None:
    scan = pool([i / 100 for i in range(100)])
    assert len(kept(TopFraction(fraction=0.29), scan)) == 29
    assert len(kept(TopFraction(fraction=0.29, mode="datacomp"), scan)) == 28 + 1


def test_datacomp_keeps_ties() -> None:
    scan = pool([0.2] * 5 + [0.3] * 3)
    assert len(kept(TopFraction(fraction=0.5, mode="datacomp"), scan)) == 8
    assert len(kept(TopFraction(fraction=0.5), scan)) == 4


def test_the_learned_rule_in_words() -> None:
    step, scan = TopFraction(fraction=0.5), pool([0.1, 0.2, 0.3, 0.4, None])
    state = step.fit(scan, 0)
    assert step.threshold(state) == "similarity >= 0.3, the best 2 of 4"
    assert step.bounds(state)["similarity"][0] == pytest.approx(0.3)


def test_nothing_to_choose_from() -> None:
    for scan in (pool([None, None]), pool([0.5])):
        step = TopFraction(fraction=0.5)
        state = step.fit(scan, 0)
        assert step.apply(scan.columns, state, 0).sum() == 0
        assert step.threshold(state).startswith("nothing of")
        assert step.bounds(state) == {}


def test_one_measure_only() -> None:
    for fields in ({}, {"fraction": 0.1, "count": 3}, {"count": 3, "mode": "datacomp"}):
        with pytest.raises(ValidationError):
            TopFraction.model_validate(fields)
