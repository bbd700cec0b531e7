"""Caption frequency: exact counts, templates, and nothing that depends on how the pool is cut."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from curate.contracts import Columns
from curate.scan import MemoryScan
from filters.text import Frequency
from stages.select.frequency import CaptionFrequency, normal, template


def counts(texts: list[str | None], shards: int = 1, partitions: int = 1) -> Columns:
    column = np.empty(len(texts), object)
    column[:] = texts
    scan, step = MemoryScan({"text": column}, shards, partitions), CaptionFrequency()
    return {name: np.array(v) for name, v in step.compute(scan.columns, scan.fit(step)).items()}


def test_captions_and_templates() -> None:
    texts = [
        "Photo 12 of 30",
        "photo 7 of 30.",
        "A cat",
        "a  CAT",
        None,
        "dog",
        "The “abc” logo",
        "the «d» logo",
        "Photo 7 of 30",
    ]
    found = counts(texts)
    assert found["caption_count"].tolist() == [1, 2, 2, 2, None, 1, 1, 1, 2]
    assert found["template_count"].tolist() == [3, 3, 2, 2, None, 1, 2, 2, 3]


def test_forms() -> None:
    assert normal("  A\u00a0Cat!\n") == "a cat"
    assert normal("ＣＡＴ") == "cat"
    assert template("IMG_0042.jpg") == template("img_7.JPG")
    assert template("at 12:30, 3.5 x 4,2") == "at \0, \0 x \0"
    assert template("a\0b") == "a b"


captions = st.lists(
    st.none() | st.sampled_from(["a", "A ", "b 1", "b 2", "b 22", "", "c", "“x” d", "“y” d"]), min_size=1
)


@given(captions, st.integers(1, 5), st.integers(1, 5))
def test_counts_are_exact_however_the_pool_is_cut(texts: list[str | None], shards: int, partitions: int) -> None:
    found = counts(texts, shards, partitions)
    present = [text for text in texts if text is not None]
    same, like = Counter(map(normal, present)), Counter(map(template, present))
    assert found["caption_count"].tolist() == [None if t is None else same[normal(t)] for t in texts]
    assert found["template_count"].tolist() == [None if t is None else like[template(t)] for t in texts]


def test_one_shard_is_decided_on_from_its_own_rows() -> None:
    texts = np.array(["a", "a", "b", "a"], object)
    scan, step = MemoryScan({"text": texts}, shards=2), CaptionFrequency()
    state = scan.fit(step)
    assert state["position"].tolist() == [0, 1, 3]
    own = {name: values[2:] for name, values in state.items()}
    shard = {name: values[2:] for name, values in scan.columns.items()}
    assert np.array(step.compute(shard, own)["caption_count"]).tolist() == [1, 3]


def test_filter() -> None:
    facts = {"caption_count": np.array([1.0, 10, 11, np.nan]), "template_count": np.array([1.0, 900, 11, np.nan])}
    assert Frequency()(facts).tolist() == [True, True, False, False]
    assert Frequency(max=None, max_template=100)(facts).tolist() == [True, False, True, False]
    assert Frequency().inputs() == ("caption_count",)
    with pytest.raises(ValidationError, match="at least one of"):
        Frequency(max=None)
