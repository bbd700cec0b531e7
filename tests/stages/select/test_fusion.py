"""Fusion: exact places, blind to how a pool is cut and to the scale of a score."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from curate.scan import MemoryScan
from stages.select import fusion
from stages.select.fusion import Fusion

SCORE = st.none() | st.sampled_from([-1.0, -0.0, 0.0, 0.25, 7.0]) | st.floats(-1e3, 1e3, width=32)
PAIRS = st.lists(st.tuples(SCORE, SCORE), min_size=1, max_size=60)
Pairs = list[tuple[float | None, float | None]]


def pool(pairs: Pairs, shards: int = 1, partitions: int = 1) -> MemoryScan:
    values = np.array([[np.nan if score is None else score for score in pair] for pair in pairs], np.float32)
    return MemoryScan({"a": values[:, 0], "b": values[:, 1]}, shards, partitions)


def fused(scan: MemoryScan, mode: Literal["rank", "sieve"] = "rank", **weights: float) -> list[float | None]:
    step = Fusion(weights=weights or {"a": 1.0, "b": 1.0}, mode=mode)
    return list(step.compute(scan.columns, scan.fit(step))["fused"])


def place(values: np.ndarray) -> np.ndarray:
    """By definition, in quadratic time."""
    known = values[~np.isnan(values)]
    below = (known[None] < values[:, None]).sum(axis=1) + (known[None] == values[:, None]).sum(axis=1) / 2
    return np.where(np.isnan(values), np.nan, below / max(1, len(known)))


@given(PAIRS, st.integers(1, 5), st.integers(1, 4), st.sampled_from([2, 3, 4096]), st.sampled_from([3, 1 << 16]))
def test_places_are_exact_however_the_pool_is_cut(
    pairs: Pairs, shards: int, partitions: int, splitters: int, sample: int
) -> None:
    scan = pool(pairs, shards, partitions)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fusion, "SPLITTERS", splitters)
        patch.setattr(fusion, "SAMPLE", sample)
        found = fused(scan, a=1.0, b=3.0)
    expected = (place(scan.columns["a"]) + 3 * place(scan.columns["b"])) / 4
    assert [None if np.isnan(value) else value for value in expected] == pytest.approx(found, abs=1e-12)


@given(PAIRS)
def test_only_the_order_of_a_score_matters(pairs: Pairs) -> None:
    plain = pool(pairs)
    bent = MemoryScan({**plain.columns, "a": plain.columns["a"].astype(np.float64) ** 3 * 8})
    assert fused(bent) == fused(plain)


@given(PAIRS, st.permutations(range(60)))
def test_the_order_of_rows_does_not_matter(pairs: Pairs, shuffle: list[int]) -> None:
    scan = pool(pairs)
    moved = [i for i in shuffle if i < len(pairs)]
    columns = {name: scan.columns[name][moved] for name in ("a", "b", "uid")}
    assert fused(MemoryScan(columns, 3)) == [fused(scan)[i] for i in moved]


@given(PAIRS)
def test_a_negative_weight_turns_a_score_round(pairs: Pairs) -> None:
    scan = pool(pairs)
    turned = MemoryScan({**scan.columns, "b": -scan.columns["b"]})
    assert fused(scan, a=1.0, b=-1.0) == pytest.approx(fused(turned), abs=1e-12)


def test_an_outlier_moves_the_min_max_and_not_the_ranks() -> None:
    pairs: Pairs = [(i / 10, 0.5 + i / 20) for i in range(8)]
    with_outlier: Pairs = [*pairs[:-1], (1e6, pairs[-1][1])]
    assert fused(pool(with_outlier)) == fused(pool(pairs))
    assert fused(pool(pairs), "sieve") == pytest.approx([i / 7 for i in range(8)])
    assert fused(pool(with_outlier), "sieve")[6] == pytest.approx(6 / 14, abs=1e-5)


def test_an_infinite_score_scales_no_other() -> None:
    pairs: Pairs = [(0, None), (1, None), (4, None), (np.inf, None), (-np.inf, None), (None, None)]
    assert fused(pool(pairs), "sieve", a=1.0) == [0, 0.25, 1, 1, 0, None]
    assert fused(pool(pairs, shards=6), "sieve", a=-1.0) == [1, 0.75, 0, 0, 1, None]
    assert fused(pool(pairs), a=1.0) == [0.3, 0.5, 0.7, 0.9, 0.1, None]
    assert fused(pool([(np.inf, None), (np.inf, None)]), "sieve", a=1.0) == [None, None]


def test_equal_scores_get_the_mean_of_their_ranks() -> None:
    assert fused(pool([(0.5, None)] * 4), a=1.0) == [0.5] * 4
    assert fused(pool([(1, None), (2, None), (2, None), (3, None)]), a=1.0) == [0.125, 0.5, 0.5, 0.875]
    assert fused(pool([(0.5, None)] * 4), "sieve", a=1.0) == [0.0] * 4
    assert fused(pool([(None, None), (1, 1)])) == [None, 0.5]
    assert fused(pool([(None, None)]), "sieve") == [None]


def test_a_large_pool_is_cut_evenly() -> None:
    rows = 300_000
    values = np.random.default_rng(0).normal(size=rows).astype(np.float32)
    values[::3] = 0.25  # a third is one value: it must not come together in one place
    scan = MemoryScan({"a": values}, shards=7, partitions=4)
    splitters = fusion._splitters(scan, ("a",))
    counts = sum(scan.map(lambda columns: fusion._counted(("a",), splitters, columns), "a"))
    assert np.asarray(counts)[0, ::2].max() < 10 * rows / fusion.SPLITTERS
    assert np.asarray(counts)[0, 1::2].max() >= rows // 3
    ranks = np.array(fused(scan, a=1.0), float)
    order = np.argsort(values, kind="stable")
    assert (np.diff(ranks[order]) >= 0).all()
    assert ranks.mean() == pytest.approx(0.5, abs=1e-9)


@pytest.mark.parametrize("weights", [{}, {"a": 0.0}, {"a": float("nan")}])
def test_weights_that_weigh_nothing_are_refused(weights: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Fusion(weights=weights)
