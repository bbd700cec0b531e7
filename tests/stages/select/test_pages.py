"""One document per URL, and one per set of images."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from curate.scan import MemoryScan
from stages.select.pages import OnePerImageSet, OnePerUrl, archive

Row = tuple[str | None, str, int]
ROWS = st.lists(
    st.tuples(st.sampled_from(["u", "v", None]), st.sampled_from(["w1", "w2", ""]), st.integers(0, 2)),
    min_size=1,
    max_size=12,
)


def kept(rows: list[Row], step: OnePerUrl | OnePerImageSet, shards: int = 1, partitions: int = 1) -> list[int]:
    """Numbers of the rows (value, archive, score) that stay."""
    columns = {
        step.needs[0]: np.array([row[0] for row in rows], object),
        "meta": np.array([json.dumps({"archive": row[1]}) if row[1] else None for row in rows], object),
        "score": np.array([row[2] for row in rows], np.float32),
    }
    scan = MemoryScan(columns, shards, partitions)
    return np.flatnonzero(step.apply(scan.columns, scan.fit(step), seed=0)).tolist()


@given(ROWS, st.integers(1, 4), st.integers(1, 3))
def test_as_defined_however_the_pool_is_cut(rows: list[Row], shards: int, partitions: int) -> None:
    members = {value: [i for i, row in enumerate(rows) if row[0] == value] for value in ("u", "v")}
    alone = [i for i, row in enumerate(rows) if row[0] is None]
    groups = [group for group in members.values() if group]

    def best(group: list[int], score: bool = False) -> int:
        last = max((score * rows[i][2], rows[i][1]) for i in group)
        return min(i for i in group if (score * rows[i][2], rows[i][1]) == last)  # the lowest uid

    first = sorted([*alone, *(best(group) for group in groups)])
    scored = sorted([*alone, *(best(group, True) for group in groups)])
    newest = sorted([*alone, *(i for g in groups for i in g if rows[i][1] == max(rows[j][1] for j in g))])
    latest = sorted([*alone, *(max((rows[i][1], i) for i in group)[1] for group in groups)])
    assert kept(rows, OnePerUrl(), shards, partitions) == first
    assert kept(rows, OnePerImageSet(best="score"), shards, partitions) == scored
    assert kept(rows, OnePerUrl(mode="obelics"), shards, partitions) == newest
    assert kept(rows, OnePerImageSet(mode="obelics"), shards, partitions) == latest


def test_it_says_how_many() -> None:
    rows: list[Row] = [("u", "", 0), ("u", "", 0), ("v", "", 0), ("w", "", 0), ("w", "", 0), ("w", "", 0)]
    scan = MemoryScan({"url": np.array([row[0] for row in rows], object), "meta": np.full(6, None, object)})
    step = OnePerUrl()
    assert step.threshold(scan.fit(step)) == "one of each of 2 groups of 5 documents"


def test_obelics_ranks_by_archives_alone() -> None:
    with pytest.raises(ValidationError, match="leave out best"):
        OnePerUrl(mode="obelics", best="score")


@pytest.mark.parametrize("meta", [None, "", "[]", '{"archive": 3}', '{"other": "x"}'])
def test_documents_without_an_archive(meta: str | None) -> None:
    assert archive(meta) == ""
