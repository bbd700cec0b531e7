"""Quality learned from labels: the same however the pool is cut, judged on rows it did not see, refused without labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curate.columns import to_arrow
from curate.errors import RecipeError
from curate.fingerprint import fingerprint
from curate.scan import MemoryScan
from stages.select.caption_quality import CaptionQuality
from stages.select.logistic import auc, sigmoid
from stages.select.quality import Quality

ROWS = 600
WORDS = ("lake", "boat", "tree", "house", "cat")


def columns(seed: int = 0) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """A pool whose good pairs have a high score and captions without the word `sale`."""
    draw = np.random.default_rng(seed)
    good = draw.random(ROWS) < 0.5
    score = good + draw.normal(0, 0.7, ROWS)
    score[::29] = np.nan
    text = [" ".join([*draw.choice(WORDS, 4), "fine" if ok else "sale"]) for ok in good.tolist()]
    uid = draw.integers(0, 2**63, (ROWS, 2)).astype(np.uint64)
    found: dict[str, np.ndarray] = {
        "score": score.astype(np.float32),
        "words": draw.integers(1, 9, ROWS),
        "text": np.array(text, object),
    }
    return {**found, "uid": uid, "key": np.array([f"{i:05d}" for i in range(ROWS)], object)}, good


def write_labels(path: Path, good: np.ndarray, rows: range = range(0, ROWS, 2)) -> str:
    """Labels of every second row, by key."""
    path.write_text("key,label\n" + "".join(f"{i:05d},{int(good[i])}\n" for i in rows))
    return str(path)


def quality(path: str, **fields: Any) -> Quality:
    return Quality.model_validate({"labels": path, "by": "key", "features": ("score", "words"), **fields})


def test_rows_that_nobody_labelled_are_told_apart_as_well_as_the_state_says(tmp_path: Path) -> None:
    pool, good = columns()
    step = quality(write_labels(tmp_path / "l.csv", good))
    state = MemoryScan(pool, 3).fit(step)
    found = step.compute(pool, state)
    held = np.arange(1, ROWS, 2)
    reached = auc(np.asarray(found["quality"])[held], good[held])
    assert reached > 0.78
    assert float(state["auc"]) == pytest.approx(reached, abs=0.05)
    assert int(state["labelled"]) == ROWS // 2
    odds = found["quality_prior"] + np.asarray(found["quality_score"]) + np.asarray(found["quality_words"])
    assert np.allclose(sigmoid(odds), found["quality"], atol=1e-6)
    for name, kind in step.gives().items():
        assert to_arrow(found[name], kind, ROWS, name).null_count == 0


def test_shards_and_their_order_do_not_show(tmp_path: Path) -> None:
    pool, good = columns()
    step = quality(write_labels(tmp_path / "l.csv", good))
    one = MemoryScan(pool).fit(step)
    order = np.random.default_rng(5).permutation(ROWS)
    two = MemoryScan({name: values[order] for name, values in pool.items()}, shards=7).fit(step)
    assert one.keys() == two.keys()
    for name, values in one.items():
        assert np.array_equal(values, two[name]), name


@pytest.mark.parametrize("learned_with_nulls", [True, False])
def test_a_boolean_is_a_number_with_nulls_or_without(tmp_path: Path, learned_with_nulls: bool) -> None:
    pool, good = columns()
    whole, gaps = good.copy(), good.astype(object)
    gaps[3::7] = None
    gaps[:100] = None  # shards of nulls alone, and some without any
    gaps[150:400] = good[150:400]
    step = quality(write_labels(tmp_path / "l.csv", good), features=("fine", "words"))
    learned, other = (gaps, whole) if learned_with_nulls else (whole, gaps)
    state = MemoryScan({**pool, "fine": learned}, shards=6).fit(step)
    for values in (learned, other, np.full(ROWS, None, object)):
        part = np.asarray(step.compute({**pool, "fine": values}, state)["quality_fine"])
        for value, sign in ((True, 1), (False, -1)):
            assert (
                np.sign(part[[i for i in range(ROWS) if values[i] is not None and values[i] == value]]) == sign
            ).all()
        nulls = [i for i in range(ROWS) if values[i] is None]
        assert len(np.unique(part[nulls])) == bool(nulls)


def test_labels_by_uid_are_the_same_labels(tmp_path: Path) -> None:
    pool, good = columns()
    rows = range(0, ROWS, 2)
    uids = ["".join(f"{word:016x}" for word in words) for words in pool["uid"].tolist()]
    path = tmp_path / "uids.csv"
    path.write_text("uid,label\n" + "".join(f"{uids[i]},{int(good[i])}\n" for i in rows))
    by_uid = MemoryScan(pool).fit(quality(str(path), by="uid"))
    by_key = MemoryScan(pool).fit(quality(write_labels(tmp_path / "l.csv", good)))
    assert np.array_equal(by_uid["score:weights"], by_key["score:weights"])


def test_the_fingerprint_follows_the_labels(tmp_path: Path) -> None:
    _, good = columns()
    path = write_labels(tmp_path / "l.csv", good)
    before = fingerprint(quality(path), {})
    assert fingerprint(quality(path), {}) == before
    write_labels(tmp_path / "l.csv", good, range(0, ROWS, 3))
    assert fingerprint(quality(path), {}) != before


def test_nothing_to_learn_from_is_said(tmp_path: Path) -> None:
    pool, good = columns()
    elsewhere = tmp_path / "elsewhere.csv"
    elsewhere.write_text("key,label\nx,1\ny,0\n")
    with pytest.raises(RecipeError, match="0 of its 2 samples are in the pool"):
        MemoryScan(pool).fit(quality(str(elsewhere)))
    one_sided = tmp_path / "one.csv"
    first = [i for i in range(ROWS) if good[i]][:5]
    one_sided.write_text("key,label\nx,0\n" + "".join(f"{i:05d},1\n" for i in first))
    with pytest.raises(RecipeError, match="all with one label"):
        MemoryScan(pool).fit(quality(str(one_sided)))
    with pytest.raises(RecipeError, match="no file"):
        fingerprint(quality(str(tmp_path / "gone.csv")), {})


def test_captions_alone_by_fasttext(tmp_path: Path) -> None:
    pool, good = columns()
    pool["text"][0] = None
    pool["text"][2] = "__label__good </s> a boat"  # fastText's own marks in a caption are words like others
    step = CaptionQuality(labels=write_labels(tmp_path / "l.csv", good), by="key")
    one, two = MemoryScan(pool).fit(step), MemoryScan(pool, shards=4).fit(step)
    assert np.array_equal(one["model"], two["model"])  # byte by byte, run after run
    found = step.compute(pool, one)
    assert found["caption_quality"][0] is None
    scores = np.array([np.nan if score is None else score for score in found["caption_quality"]])
    held = np.arange(1, ROWS, 2)
    assert auc(scores[held], good[held]) > 0.99
    assert float(one["auc"]) > 0.95
    pool["text"][2] = "label good a boat"
    assert step.compute(pool, one)["caption_quality"][2] == scores[2]
