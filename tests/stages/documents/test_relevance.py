"""Images and the texts around them, with embeddings of two numbers whose cosines can be read."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.scan import MemoryScan
from stages.documents.background import QUANTILES, Background
from stages.documents.relevance import Relevance, rank, share_below

Node = tuple[str, str | None, str, float | None]
"""Kind, tag, text (alt), and the angle of its embedding in degrees."""

PAGE: list[Node] = [
    ("document", None, "Tools", None),
    ("text", "h2", "The crop tool", 10.0),
    ("text", "p", "It cuts the picture and leaves the rest.", 40.0),
    ("image", "img", "crop dialog", 0.0),
    ("text", "p", "Figure 3. The crop dialog", 2.0),
    ("text", "p", "Press the button below.", 60.0),
    ("text", "h2", "The brush", 80.0),
    ("text", "p", "It paints.", 85.0),
    ("text", "p", "Colours mix.", 5.0),
    ("text", "p", "Save often.", 90.0),
]


def vector(angle: float | None) -> list[float]:
    return [np.nan] * 2 if angle is None else [np.cos(np.radians(angle)), np.sin(np.radians(angle))]


def only(text: str, rows: np.ndarray) -> np.ndarray:
    return np.array([text if row else None for row in rows.tolist()], object)


def columns(nodes: list[Node], first: int = 0) -> dict[str, np.ndarray]:
    """A page whose rows in the shard begin at `first`, and whose row 4 is the caption of its image."""
    kinds = np.array([kind for kind, *_ in nodes], object)
    vectors = np.array([vector(angle) for *_, angle in nodes], np.float16)
    image = kinds == "image"
    caption = np.array([text.startswith("Figure") for _, _, text, _ in nodes])
    found: dict[str, np.ndarray] = {
        "kind": kinds,
        "tag": np.array([tag for _, tag, _, _ in nodes], object),
        "text": np.array([text for _, _, text, _ in nodes], object),
        "position": (np.arange(len(nodes)) + first).astype(np.uint64) + np.uint64(7 << 32),
        "caption_of": np.where(kinds == "text", caption, np.nan),
        "image_caption": only("Figure 3. The crop dialog", image & caption.any()),
        "image_caption_row": np.where(image & caption.any(), first + 4.0, np.nan),
        "image_embedding": np.where(image[:, None], vectors, np.nan),
        "text_embedding": np.where(image[:, None], np.array(vector(42.0), np.float16), np.nan),
        "passage_embedding": np.where((kinds == "text")[:, None], vectors, np.nan),
        "ocr_text": only("CROP\nPress Press\nundo", image),
        "image_background": np.where(image[:, None], np.linspace(0, 1, QUANTILES, dtype=np.float32), np.nan),
    }
    return found


def relevance(nodes: list[Node] = PAGE, first: int = 0, **changed: Any) -> dict[str, Any]:
    step = Relevance(background="image_background", read="ocr_text")
    found = step.compute({**columns(nodes, first), **changed}, {})
    row = [kind for kind, *_ in nodes].index("image")
    return {name: values[row] for name, values in found.items()}


def test_neighbours_heading_and_caption() -> None:
    found = relevance()
    angles = {"before": 40, "after": 60, "heading": 10, "caption": 2}
    for place, angle in angles.items():
        assert found[f"relevance_{place}"] == pytest.approx(np.cos(np.radians(angle)), abs=2e-3)
    assert found["relevance"] == found["relevance_heading"]  # the caption is nearer, and no neighbour
    assert found["relevance_place"] == 0.75  # of the four other texts one, at 5 degrees, is nearer
    assert found["relevance_rank"] == pytest.approx(np.cos(np.radians(10)) ** 3, abs=5e-3)
    assert found["relevance_alt"] == pytest.approx(1, abs=2e-3)


def test_words_said_and_read() -> None:
    found = relevance()
    assert found["relevance_words"] == 2 / 4  # "crop", "the" of {crop, dialog, figure, the}
    assert found["relevance_read"] == 2 / 3  # "undo" stands nowhere


def test_words_of_a_page_are_gathered_once_not_for_each_of_its_images() -> None:
    def unions(images: int) -> int:
        called: list[str] = []

        def watch(_: FrameType, event: str, what: Any) -> None:
            if event == "c_call":
                called.append(what.__name__)

        nodes = [*PAGE, *[PAGE[3]] * images]
        step, seen = Relevance(read="ocr_text"), columns(nodes)
        sys.setprofile(watch)
        found = step.compute(seen, {})
        sys.setprofile(None)
        assert set(found["relevance_read"][len(PAGE) :]) == {2 / 3}
        return called.count("union")

    assert unions(1) == unions(40) > 0


def test_rows_are_those_of_the_shard_and_dropped_nodes_are_gone() -> None:
    assert relevance(first=100) == relevance()
    kept = [node for node in PAGE if not node[2].startswith("Figure")]
    row = np.where(columns(kept)["kind"] == "image", 4.0, np.nan)
    gone = columns(kept)["position"].copy()
    gone[4:] += np.uint64(1)  # the caption was row 4, and a rule dropped it
    assert relevance(kept, image_caption_row=row, position=gone)["relevance_caption"] is None


def test_an_image_alone_or_broken_has_nothing() -> None:
    alone = relevance([PAGE[0], PAGE[3]])
    assert {name for name, value in alone.items() if value is not None} == set()
    broken = relevance(image_embedding=np.full((len(PAGE), 2), np.nan, np.float16))
    assert broken["relevance"] is None and broken["relevance_before"] is None
    assert broken["relevance_alt"] is not None
    nothing = np.full((len(PAGE), QUANTILES), np.nan, np.float32)
    assert relevance(image_background=nothing)["relevance_rank"] is None


def test_pages_do_not_see_each_other() -> None:
    two = {name: np.concatenate([values, values]) for name, values in columns(PAGE).items()}
    two["position"] = np.arange(len(two["kind"]), dtype=np.uint64)
    two["image_caption_row"][-7] += len(PAGE)
    found = Relevance(background="image_background", read="ocr_text").compute(two, {})
    assert all(values[3] == values[13] for values in found.values())


@given(st.lists(st.floats(-1, 1), min_size=1), st.floats(-1, 1), st.integers(1, 3))
def test_ranks_rise_with_the_value_and_fall_with_the_number_of_texts(
    values: list[float], value: float, of: int
) -> None:
    quantiles = np.quantile(values, np.linspace(0, 1, QUANTILES))
    found, more = rank(quantiles, value, of), rank(quantiles, value, of + 1)
    assert found is not None and more is not None
    assert 0 <= more <= found <= 1
    assert 0 <= share_below(np.array(values), value) <= 1
    assert share_below(np.array(values), 2.0) == 1


def test_rank_of_unrelated_texts_is_uniform() -> None:
    rng = np.random.default_rng(0)
    pool = rng.normal(size=512)
    quantiles = np.quantile(pool, np.linspace(0, 1, QUANTILES))
    drawn = np.array([rank(quantiles, best, 3) for best in rng.normal(size=(4000, 3)).max(axis=1)])
    assert np.abs(np.quantile(drawn, [0.1, 0.5, 0.9]) - [0.1, 0.5, 0.9]).max() < 0.06


@given(st.integers(1, 5), st.integers(0, 2**16))
def test_the_same_texts_are_drawn_however_the_pool_is_cut(shards: int, seed: int) -> None:
    rng = np.random.default_rng(1)
    kinds = np.array(["text", "image"] * 40, object)
    vectors = rng.normal(size=(80, 4)).astype(np.float16)
    pool = {
        "uid": rng.integers(0, 2**63, (80, 2)).astype(np.uint64),
        "text": np.array(
            [f"a paragraph that is long enough, number {i}" if i % 8 else "label" for i in range(80)], object
        ),
        "passage_embedding": np.where((kinds == "text")[:, None], vectors, np.nan),
        "image_embedding": np.where((kinds == "image")[:, None], vectors, np.nan),
    }
    step = Background(texts=16)
    whole, cut = (MemoryScan(pool, n).fit(step, seed) for n in (1, shards))
    assert np.array_equal(whole["passages"], cut["passages"])
    assert len(whole["passages"]) == 16
    found = step.compute(pool, whole)["image_background"]
    assert [row is not None for row in found] == (kinds == "image").tolist()
    cosines = whole["passages"] @ pool["image_embedding"][1].astype(np.float32)
    assert found[1] == pytest.approx(np.quantile(cosines, np.linspace(0, 1, QUANTILES)), abs=1e-5)


def test_a_pool_without_texts_has_no_background() -> None:
    pool = {
        "text": np.array(["short"], object),
        "passage_embedding": np.full((1, 4), np.nan, np.float16),
        "image_embedding": np.ones((1, 4), np.float16),
    }
    step = Background()
    assert list(step.compute(pool, MemoryScan(pool).fit(step))["image_background"]) == [None]
