"""The order of an export is a pure function of (seed, uid, copy), and its shards are balanced."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.export.shuffle import ShardPlan, histogram, order_key

SEEDS = st.integers(0, 2**63)


def uids(seed: int, n: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**64, (n, 2), np.uint64)


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(0, 400), st.integers(1, 500), st.lists(st.integers(0, 400), max_size=4))
def test_every_sample_gets_one_shard_however_the_source_is_split(seed: int, n: int, size: int, cuts: list[int]) -> None:
    words = uids(seed % 1000, n)
    keys = order_key(words, np.zeros(n, int), seed)
    parts = np.split(words, sorted(min(c, n) for c in cuts))
    split = [order_key(part, np.zeros(len(part), int), seed) for part in parts]
    assert np.array_equal(np.concatenate(split), keys)
    bins = sum((histogram(part) for part in split), np.zeros(1 << 20, np.int64))
    plan = ShardPlan.from_histogram(bins, size)
    assert np.bincount(plan.assign(keys), minlength=len(plan.counts)).tolist() == list(plan.counts)
    assert sum(plan.counts) == n


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(1, 5000), st.integers(1, 700))
def test_shards_are_as_even_as_the_bins_allow(seed: int, n: int, size: int) -> None:
    bins = histogram(order_key(uids(seed % 1000, n), np.zeros(n, int), seed))
    plan = ShardPlan.from_histogram(bins, size)
    even = n / max(1, round(n / size))
    assert min(plan.counts) > 0
    if even >= bins.max():
        assert all(abs(count - even) < bins.max() for count in plan.counts)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.integers(0, (1 << 20) - 1), st.integers(1, 50), min_size=1, max_size=12), st.integers(1, 20))
def test_no_shard_is_empty_when_one_bin_holds_many(heavy: dict[int, int], size: int) -> None:
    """One uid many times in a pool gives one key many times."""
    keys = np.concatenate([np.full(n, b << 44, np.uint64) for b, n in heavy.items()])
    plan = ShardPlan.from_histogram(histogram(keys), size)
    assert np.bincount(plan.assign(keys), minlength=len(plan.counts)).tolist() == list(plan.counts)
    assert min(plan.counts) > 0


def test_shards_are_contiguous_in_the_order() -> None:
    keys = np.sort(order_key(uids(0, 3000), np.zeros(3000, int), 1))
    plan = ShardPlan.from_histogram(histogram(keys), 100)
    assert (np.diff(plan.assign(keys)) >= 0).all()
    assert len(plan.counts) == 30


def test_copies_of_a_sample_spread_over_the_shards() -> None:
    words = np.repeat(uids(0, 1), 64, axis=0)
    keys = order_key(words, np.arange(64), 7)
    assert len(set(keys.tolist())) == 64
    others = order_key(uids(1, 4000), np.zeros(4000, int), 7)
    plan = ShardPlan.from_histogram(histogram(np.concatenate([keys, others])), 400)
    assert len(set(plan.assign(keys).tolist())) >= 8


def test_another_seed_is_another_order() -> None:
    words, zeros = uids(0, 1000), np.zeros(1000, int)
    one, two = (np.argsort(order_key(words, zeros, seed)) for seed in (0, 1))
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.1
    assert abs(np.corrcoef(one, np.arange(1000))[0, 1]) < 0.1
