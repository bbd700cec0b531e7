from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from trainer.errors import DataError
from trainer.order import Order

SIZES = st.lists(st.integers(0, 40), min_size=1, max_size=12)
SEEDS = st.integers(0, 2**63 - 1)


@given(SIZES, SEEDS, st.integers(1, 5), st.integers(0, 3))
def test_every_epoch_is_a_permutation(sizes: list[int], seed: int, window: int, epoch: int) -> None:
    assume(sum(sizes) > 0)
    order = Order(sizes, seed, window)
    assert sorted(order.take(epoch * order.total, order.total)) == list(range(order.total))


@given(SIZES, SEEDS, st.integers(0, 100), st.lists(st.integers(0, 30), max_size=6))
def test_any_way_of_cutting_the_stream_gives_the_same_stream(
    sizes: list[int], seed: int, start: int, cuts: list[int]
) -> None:
    assume(sum(sizes) > 0)
    whole = Order(sizes, seed).take(start, sum(cuts))
    ends = [0, *np.cumsum(cuts)]
    parts = [Order(sizes, seed).take(start + int(a), int(b - a)) for a, b in pairwise(ends)]
    np.testing.assert_array_equal(np.concatenate([np.empty(0, np.int64), *parts]), whole)


@given(SIZES, SEEDS)
def test_four_then_two_then_eight_then_one_rank_read_one_global_stream(sizes: list[int], seed: int) -> None:
    assume(sum(sizes) > 0)
    order, batch, seen = Order(sizes, seed), 16, 0
    stream: list[int] = []
    for world in (4, 2, 8, 1):  # preempted, and started again with another number of processes
        for _ in range(3):
            draws = [Order(sizes, seed).batch(seen, batch, rank, world) for rank in range(world)]
            assert all(len(draw.ids) == batch // world for draw in draws)
            # Ranks interleave: together they are the batch, and no sample is read by two of them.
            stream += np.stack([draw.ids for draw in draws], axis=1).reshape(-1).tolist()
            np.testing.assert_array_equal(
                np.stack([draw.noise for draw in draws], axis=1).reshape(-1, 4), order.noise(seen, batch)
            )
            seen += batch
    np.testing.assert_array_equal(stream, order.take(0, seen))


def test_samples_mix_within_a_window_of_shards_and_epochs_differ() -> None:
    order = Order([100] * 8, seed=1, window=2)
    shards = order.take(0, 800) // 100
    windows = shards.reshape(4, 200)
    assert all(len(set(window)) == 2 for window in windows)
    assert sorted(int(s) for window in windows for s in set(window)) == list(range(8))
    assert (np.diff(windows[0]) != 0).mean() > 0.3, "two shards take turns at random, they do not follow each other"
    assert (order.take(0, 800) != order.take(800, 800)).mean() > 0.9


def test_seeds_give_different_streams() -> None:
    assert (Order([1000], 0).take(0, 1000) != Order([1000], 1).take(0, 1000)).mean() > 0.9


def test_order_is_pinned_for_ever() -> None:
    """A checkpoint of today must go on in the same order next year: these numbers may never change."""
    order = Order([5, 3, 4], seed=7, window=2)
    assert order.take(0, 14).tolist() == [5, 10, 8, 6, 11, 9, 7, 3, 2, 4, 0, 1, 5, 8]
    assert order.noise(2, 1)[0].tolist() == [
        0.8569593147495812,
        0.3560028154361745,
        0.948013850452587,
        0.28809148299475207,
    ]


def test_global_random_state_is_left_alone() -> None:
    before = np.random.get_state()[1].tolist()  # type: ignore[index]
    Order([50], 0).batch(0, 10)
    assert np.random.get_state()[1].tolist() == before  # type: ignore[index]


def test_noise_is_uniform() -> None:
    noise = Order([1], 3).noise(0, 4000)
    assert noise.min() >= 0 and noise.max() < 1
    np.testing.assert_allclose(noise.mean(axis=0), 0.5, atol=0.03)
    assert np.abs(np.corrcoef(noise.T) - np.eye(4)).max() < 0.06


def test_an_empty_pool_and_an_impossible_rank_are_refused() -> None:
    with pytest.raises(DataError, match="every shard is empty"):
        Order([0, 0], 0)
    with pytest.raises(ValueError, match="rank 2 is outside"):
        Order([3], 0).batch(0, 4, rank=2, world=2)
