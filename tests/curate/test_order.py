"""The exact k-th row: equal to sorting everything, whatever the digits, the memory and the shards."""

from __future__ import annotations

import pickle
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate import order
from curate.contracts import Columns
from curate.scan import MemoryScan

FINITE = st.floats(allow_nan=False, allow_infinity=True)


def ranked(columns: Columns) -> order.Ranked:
    return columns["group"], order.ranks(order.ascending(columns["value"]), columns)


def group(columns: Columns) -> np.ndarray:
    return columns["group"]


@given(st.lists(FINITE, min_size=2))
def test_keys_sort_as_numbers_do(values: list[float]) -> None:
    numbers = np.array(values)
    keys = order.ascending(numbers)
    assert np.array_equal(keys[:, None] < keys[None], numbers[:, None] < numbers[None])
    assert np.array_equal(order.descending(numbers), ~keys)
    assert [order.number(key) for key in order.descending(numbers)] == [value + 0.0 for value in values]


@given(
    st.lists(
        st.tuples(st.integers(-1, 3), st.sampled_from([-2.5, -0.0, 0.0, 1.0, 7.25, np.inf])), min_size=1, max_size=60
    ),
    st.data(),
    st.integers(1, 5),
    st.sampled_from([1, 8, 1 << 20]),
    st.sampled_from([2, 70, 1 << 22]),
)
def test_equal_to_sorting(
    rows: list[tuple[int, float]], data: st.DataObject, shards: int, memory: int, buckets: int
) -> None:
    groups = np.array([row[0] for row in rows])
    values = np.array([row[1] for row in rows])
    words = np.random.default_rng(len(rows)).integers(0, 4, (len(rows), 2)).astype(np.uint64)  # uids that collide
    scan = MemoryScan({"group": groups, "value": values, "uid": words}, shards)
    sizes = order.group_sizes(scan, group, "group")
    assert sizes.tolist() == np.bincount(groups[groups >= 0]).tolist()
    wanted = np.array([data.draw(st.integers(0, int(size))) for size in sizes], np.int64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(order, "GATHER", memory)
        patch.setattr(order, "BUCKETS", buckets)
        cuts = order.smallest(scan, ranked, sizes, wanted, "group", "value")
    keys = order.ranks(order.ascending(values), scan.columns)
    for g, k in enumerate(wanted):
        mine = sorted(tuple(key) for key in keys[groups == g].tolist())
        assert k == 0 or tuple(cuts[g].tolist()) == mine[k - 1]
        if k:
            below = order.at_most(keys[groups == g], cuts[g])
            assert below.sum() == k


def test_more_than_there_are_is_an_error() -> None:
    scan = MemoryScan({"group": np.zeros(3, np.int64), "value": np.ones(3)})
    with pytest.raises(ValueError, match="fewer rows than are wanted"):
        order.smallest(scan, ranked, np.array([3]), np.array([4]), "group", "value")


def test_steps_travel() -> None:
    """What a scan maps is pickled on its way to a worker."""
    assert pickle.loads(pickle.dumps(partial(order._sizes, group)))
