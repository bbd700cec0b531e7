"""Samples by the uids of a subset file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from curate.errors import PoolError
from filters.subset import PAIR, InSubset, contains

UID = st.tuples(st.integers(0, 3) | st.integers(0, 2**64 - 1), st.integers(0, 3) | st.integers(0, 2**64 - 1))


@given(st.lists(UID, max_size=30), st.lists(UID, max_size=30))
def test_membership(there: list[tuple[int, int]], asked: list[tuple[int, int]]) -> None:
    subset = np.array(sorted(there), np.uint64).reshape(-1, 2)
    uids = np.array([*asked, *there], np.uint64).reshape(-1, 2)
    assert contains(subset, uids).tolist() == [uid in set(there) for uid in (*asked, *there)]


def test_the_filter_reads_a_file_of_datacomp(tmp_path: Path) -> None:
    uids = ["139e4a9b22a614771f06c700a8ebe150", "6e356964a967af455c8016b75d691203"]
    pairs = [(int(uid[:16], 16), int(uid[16:], 16)) for uid in uids]
    np.save(tmp_path / "subset.npy", np.array(pairs, "u8,u8"))  # as the README of DataComp writes it
    asked = np.array([pairs[1], (pairs[0][0], 0), pairs[0]], np.uint64)
    assert InSubset(path=str(tmp_path / "subset.npy"))({"uid": asked}).tolist() == [True, False, True]
    np.save(tmp_path / "subset.npy", np.zeros(0, PAIR))
    assert not InSubset(path=str(tmp_path / "subset.npy"))({"uid": asked}).any()


@pytest.mark.parametrize("content", [np.zeros(3), np.zeros((2, 2), PAIR), np.array([{}], object), np.zeros(2, "u8,i8")])
def test_other_files_are_refused_when_the_recipe_is_read(tmp_path: Path, content: np.ndarray) -> None:
    np.save(tmp_path / "subset.npy", content, allow_pickle=True)
    with pytest.raises(ValidationError, match="subset file"):
        InSubset(path=str(tmp_path / "subset.npy"))
    with pytest.raises(ValidationError, match="cannot be read"):
        InSubset(path=str(tmp_path / "none.npy"))


def test_a_file_out_of_order_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "subset.npy", np.array([(2, 1), (1, 2)], PAIR))
    with pytest.raises(PoolError, match="not sorted"):
        InSubset(path=str(tmp_path / "subset.npy"))({"uid": np.zeros((1, 2), np.uint64)})
