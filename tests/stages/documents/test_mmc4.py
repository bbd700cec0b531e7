"""Images of a document married to its texts."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError

from stages.documents.mmc4 import NONE, PAIRS, Matches, assign

similarities = arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 4)), elements=st.floats(-1, 1, width=16))


def best(similarity: np.ndarray, no_match: float) -> float:
    """The largest sum there is, by trying all ways to marry: `no_match` counts for each image without a text."""
    images, texts = similarity.shape
    padded = np.hstack([similarity, np.full((images, images), no_match)])
    return max(padded[np.arange(images), list(way)].sum() for way in permutations(range(texts + images), images))


@given(similarities, st.floats(-0.5, 0.5))
def test_default_is_the_best_way_to_marry(similarity: np.ndarray, no_match: float) -> None:
    matched = assign(similarity, no_match)
    married = np.flatnonzero(matched != NONE)
    assert len(set(matched[married].tolist())) == len(married)
    assert (similarity[married, matched[married]] > no_match).all()
    total = similarity[married, matched[married]].sum() + no_match * (matched == NONE).sum()
    assert total == pytest.approx(best(similarity, no_match))


@given(similarities)
def test_mmc4_gives_each_image_a_text(similarity: np.ndarray) -> None:
    matched = assign(similarity)
    images, texts = similarity.shape
    assert matched.shape == (images,)
    used = np.bincount(matched, minlength=texts)
    if images <= texts:
        assert used.max() == 1
        assert similarity[np.arange(images), matched].sum() == pytest.approx(best(similarity, -1e3))
    else:
        assert used.min() >= 1
        left_over = similarity[np.arange(images), matched] == similarity.max(axis=1)
        assert left_over.sum() >= images - texts


def unit(*numbers: float) -> list[float]:
    return (np.array(numbers) / np.linalg.norm(numbers)).tolist()


def columns(rows: list[tuple[str, list[float] | None]], first: int = 7) -> dict[str, np.ndarray]:
    """Of one shard, from (kind, embedding) of its rows; row numbers begin at `first`."""
    kinds = np.array([kind for kind, _ in rows], object)
    starts = np.maximum.accumulate(np.where(kinds == "document", np.arange(len(rows)), 0))
    vectors = np.array([[np.nan] * 2 if vector is None else vector for _, vector in rows], np.float16)
    nothing = np.full_like(vectors, np.nan)
    return {
        "kind": kinds,
        "parent": np.where(kinds == "document", np.nan, starts + first),
        "position": np.arange(first, first + len(rows), dtype=np.uint64) | np.uint64(3 << 32),
        "image_embedding": np.where((kinds == "image")[:, None], vectors, nothing),
        "passage_embedding": np.where((kinds == "text")[:, None], vectors, nothing),
    }


PAGE: list[tuple[str, list[float] | None]] = [
    ("document", None),
    ("text", unit(1, 0)),
    ("image", unit(0, 1)),
    ("text", None),
    ("text", unit(0.1, 1)),
    ("image", unit(0.5, 1)),
    ("image", None),
    ("document", None),
    ("image", unit(1, 1)),
    ("document", None),
    ("image", unit(1, 1)),
    ("text", unit(1, -1)),
]


def test_matches_of_a_shard() -> None:
    found = Matches(mode="mmc4").compute(columns(PAGE), {})
    nodes = [None if node is None else int(node) for node in found["matched_node"]]
    assert nodes == [None, None, 3, None, None, 0, None, None, None, None, 1, None]  # the pair with the larger sum
    assert found["matched_text_index"][2] == 1
    assert found["matched_sim"][2] == pytest.approx(0.995, abs=1e-3)
    assert found["best_sim"][5] == pytest.approx(0.935, abs=1e-3)
    assert found["matched_sim"][10] == pytest.approx(0, abs=1e-3)


def test_an_image_may_have_no_match() -> None:
    found = Matches(no_match=0.5).compute(columns(PAGE), {})
    married = [row for row, node in enumerate(found["matched_node"]) if node is not None]
    assert married == [2]  # the text that both images are like takes the nearer one
    assert found["matched_sim"][10] is None
    assert found["best_sim"][10] == pytest.approx(0, abs=1e-3)


def test_numbers_are_those_of_the_page_though_nodes_are_gone() -> None:
    left = columns(PAGE)
    keep = np.array([row not in (1, 3) for row in range(len(PAGE))])
    found = Matches(mode="mmc4").compute({name: values[keep] for name, values in left.items()}, {})
    assert [found["matched_node"][row] for row in (1, 3)] == [3, 3]
    assert [found["matched_text_index"][row] for row in (1, 3)] == [0, 0]


def test_a_document_beyond_the_limit_is_left_alone() -> None:
    images, texts = PAIRS // 1000 + 1, 1000
    rows: list[tuple[str, list[float] | None]] = [("document", None)]
    rows += [("image", [1.0, 0.0])] * images + [("text", [1.0, 0.0])] * texts
    found = Matches(mode="mmc4").compute(columns(rows), {})
    assert all(value is None for values in found.values() for value in values)


def test_no_match_belongs_to_the_default_mode() -> None:
    with pytest.raises(ValidationError, match="default mode"):
        Matches(mode="mmc4", no_match=0.2)
    with pytest.raises(ValidationError, match="has to state it"):
        Matches()
