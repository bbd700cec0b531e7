"""Faults made in pages: they are what they say, change nothing else, and are made alike twice."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.document_faults import FAULTS, SAID, SHOWN, Page, clean, deranged, joined, navigation
from benchmarks.document_quality import ASPECTS, PARTS, features, interval, learn, measure

WORDS = ["crop", "brush", "layer", "mask", "path", "curve", "colour", "canvas", "pixel", "filter"]


def page(number: int, rng: np.random.Generator) -> Page:
    """A menu, then texts that hand a word on to the next, with an image and its caption after every third."""
    layout = "DmmhttcittttcitttcittM"
    kind = {"D": "document", "i": "image"}
    kinds = np.array([kind.get(letter, "text") for letter in layout], object)
    image = kinds == "image"
    words = [
        f"{WORDS[i % 10]} {WORDS[(i + 1) % 10]} page{number} and more of it, {i // 3} times."
        for i in range(len(layout))
    ]
    vectors = rng.normal(size=(len(layout), 8)).astype(np.float16)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    captions = np.flatnonzero(np.array(list(layout)) == "c")
    row = np.full(len(layout), np.nan)
    row[image] = np.flatnonzero(image) - 1
    none = np.full(len(layout), None, object)
    columns = {
        "kind": kinds,
        "text": np.array(
            [f"Figure {words[i]}" if letter in "ic" else words[i] for i, letter in enumerate(layout)], object
        ),
        "tag": np.array([{"h": "h2", "i": "img"}.get(letter, "p") for letter in layout], object),
        "link": np.array(["http://x/" if letter in "mM" else None for letter in layout], object),
        "text_pages": np.where(kinds == "text", np.where(np.isin(list(layout), ["m", "M"]), 12.0, 1.0), np.nan),
        "caption_of": np.where(kinds == "text", np.isin(np.arange(len(layout)), captions), np.nan),
        "image_caption": np.array([f"Figure {words[i - 1]}" if image[i] else None for i in range(len(layout))], object),
        "image_caption_row": row,
        "ocr_text": np.array([words[i] if image[i] else None for i in range(len(layout))], object),
        "url": none,
        "image_embedding": np.where(image[:, None], vectors, np.nan),
        "text_embedding": np.where(image[:, None], vectors, np.nan),
        "passage_embedding": np.where((kinds == "text")[:, None], vectors, np.nan),
        "image_background": np.where(image[:, None], np.linspace(-1, 1, 33, dtype=np.float32), np.nan),
    }
    return Page(columns, np.isin(list(layout), ["m", "M"]))


@pytest.fixture(scope="module")
def pages() -> list[Page]:
    rng = np.random.default_rng(0)
    return [page(number, rng) for number in range(12)]


def values(some: list[Page], name: str) -> Counter[str]:
    return Counter(repr(value) for one in some for value in one.columns[name].tolist())


@pytest.mark.parametrize("fault", [name for name in FAULTS if name != "menus kept"])
def test_a_fault_moves_what_there_is_and_makes_nothing(fault: str, pages: list[Page]) -> None:
    whole = clean(pages, np.random.default_rng(1))
    broken, again = (FAULTS[fault](pages, np.random.default_rng(1)) for _ in range(2))
    assert not any(one.menu.any() for one in broken)
    for name in whole[0].columns:
        assert values(broken, name) == values(again, name)
        if name != "image_caption_row":
            assert values(broken, name) == values(whole, name)
    assert any(
        repr(a.columns[name].tolist()) != repr(b.columns[name].tolist())
        for a, b in zip(whole, broken, strict=True)
        for name in a.columns
    )


def test_foreign_images_are_of_other_pages(pages: list[Page]) -> None:
    whole = clean(pages, np.random.default_rng(1))
    for name, fields in {"other pictures": SHOWN, "other images": (*SHOWN, *SAID)}.items():
        for before, after in zip(whole, FAULTS[name](pages, np.random.default_rng(1)), strict=True):
            own = set(before.columns["ocr_text"][before.image])
            assert own.isdisjoint(after.columns["ocr_text"][after.image])
            kept = before.columns["text"] == after.columns["text"]
            assert kept[~before.image].all() and kept[before.image].all() == ("text" not in fields)


def test_captions_follow_their_rows(pages: list[Page]) -> None:
    for name in ("images last", "figures last"):
        for one in FAULTS[name](pages, np.random.default_rng(1)):
            at = one.columns["image_caption_row"][one.image].astype(int)
            said = one.columns["image_caption"][one.image]
            assert (one.columns["text"][at] == said).all()
            assert one.columns["kind"][0] == "document"
            assert one.image[-3:].all() == (name == "images last")


def test_headings_stay_when_paragraphs_are_shuffled(pages: list[Page]) -> None:
    broken = FAULTS["paragraphs shuffled"](pages, np.random.default_rng(1))
    for before, after in zip(clean(pages, np.random.default_rng(1)), broken, strict=True):
        assert (before.columns["tag"] == after.columns["tag"]).all()
        assert (before.columns["kind"] == after.columns["kind"]).all()


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.integers(0, 9))
def test_derangements_are_permutations(owners: list[int], seed: int) -> None:
    order = deranged(np.array(owners), np.random.default_rng(seed))
    assert sorted(order.tolist()) == list(range(len(owners)))
    if max(Counter(owners).values()) * 3 <= len(owners):
        assert (np.array(owners)[order] != np.array(owners)).all()


def test_parts_of_aspects_fall_with_their_faults(pages: list[Page]) -> None:
    whole = features(clean(pages, np.random.default_rng(1)))
    assert set(whole) == set(PARTS)
    broken = {name: features(fault(pages, np.random.default_rng(1))) for name, fault in FAULTS.items()}
    assert (broken["images last"]["images_last"] > whole["images_last"]).all()
    assert (broken["menus kept"]["prose_edges"] > whole["prose_edges"]).all()
    assert broken["texts shuffled"]["order_words"].mean() < whole["order_words"].mean()
    assert (broken["other pictures"]["mean_relevance_read"] < whole["mean_relevance_read"]).all()
    assert (broken["other pictures"]["mean_relevance_words"] == whole["mean_relevance_words"]).all()
    for part in ASPECTS["text"][0] + ASPECTS["order"][0] + ASPECTS["spread"][0]:
        assert np.array_equal(broken["other figures"][part], whole[part], equal_nan=True)


def test_scores_are_judged_on_manuals_that_were_not_learned_from(pages: list[Page]) -> None:
    kinds = {"clean": clean, **FAULTS}
    manual = {name: features(fault(pages, np.random.default_rng(1))) for name, fault in kinds.items()}
    rows = measure({"one": manual, "two": manual})
    found = {row["fault"]: row["scores"]["joint"] for row in rows}
    assert list(found) == list(FAULTS)
    assert found["images last"]["mean"] == 1
    for row in found.values():
        low, high = row["interval"]
        assert 0 <= low <= row["mean"] + 0.05 and row["mean"] - 0.05 <= high <= 1
    model = learn([manual, manual], ASPECTS["spread"][0], ["images last"])
    assert (model.odds(manual["clean"]) > model.odds(manual["images last"])).all()


def test_intervals_of_a_clear_case_are_narrow() -> None:
    good, bad = np.linspace(1, 2, 20), np.linspace(-1, 0, 20)
    assert interval([(good, bad)]) == (1.0, 1.0)


def test_menus_have_the_paths_of_nodes(pages: list[Page]) -> None:
    html = b"<p>text</p><div class=x><p>menu<div class=nav><a>1</a></div></div><ul class=nav><li>2</ul>"
    assert navigation(html, ".nav") == ["1.1", "2"]
    position = joined(pages)["position"]
    assert position.tolist() == list(range(len(position)))
