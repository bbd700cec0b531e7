"""Sieve: what is taken out of captions, and which of several agrees with the alt-text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.contracts import Batch
from curate.models import sentence_encoder
from stages.signals.sieve import PHRASES, Mode, Sieve, align, clean


def score(rows: list[tuple[str | None, list[str] | None]], mode: Mode = "words") -> dict[str, Any]:
    columns = {}
    for name, values in zip(("text", "candidates"), zip(*rows, strict=True), strict=True):
        columns[name] = np.empty(len(values), object)
        columns[name][:] = values
    return dict(Sieve(mode=mode).compute(Batch(columns)))


def test_the_best_caption_decides() -> None:
    captions = ["an image of a pickup truck", "an image of a cat", "an image of a loaf of bread"]
    found = score([("A photo of a sleeping kitten", captions), ("Quarterly earnings report", captions)])
    assert found["sieve_caption"][0] == "an image of a cat"
    assert found["sieve_score"][0] > 0.5 > found["sieve_score"][1]
    assert found["sieve_mean"][0] < found["sieve_score"][0]
    vectors = sentence_encoder().encode(["a sleeping kitten", "a cat"])
    assert found["sieve_score"][0] == pytest.approx(float(vectors[0] @ vectors[1]), abs=1e-6)
    for name, kind in Sieve().gives().items():
        assert pa.array(found[name], kind).null_count == 0


def test_without_text_or_captions_there_is_no_score_and_saying_nothing_scores_zero() -> None:
    found = score([(None, ["a cat"]), ("a cat", None), ("a cat", []), ("Stock photo", ["a photo of"]), ("", ["a cat"])])
    assert found["sieve_score"] == [None, None, None, 0.0, 0.0]
    assert found["sieve_caption"][:3] == [None] * 3


@pytest.mark.parametrize(
    ("caption", "words", "sieve"),
    [
        ("A photo of a photographer", "a photographer", " grapher"),
        ("a  photo   of a dog", "a dog", "a     of a dog"),
        ("imagery of photos", "imagery of photos", "ry of s"),
    ],
)
def test_phrases_are_words_unless_the_original_is_asked_for(caption: str, words: str, sieve: str) -> None:
    assert (clean(caption), clean(caption, "sieve")) == (words, sieve)


@given(st.text(alphabet="ab photimgesck", max_size=40))
def test_what_is_left_holds_no_phrase(caption: str) -> None:
    left = clean(caption).casefold().split()
    assert not {"photo", "image"} & set(left)
    assert clean(caption) == " ".join(clean(caption).split())


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=8))
def test_the_best_is_the_first_of_the_highest(cosines: list[float]) -> None:
    found = align(np.array(cosines))
    assert found.score == max(cosines) == cosines[found.best]
    assert found.best == cosines.index(found.score)
    assert min(cosines) - 1e-9 <= found.mean <= found.score + 1e-9


def test_a_score_does_not_depend_on_its_neighbours() -> None:
    rows: list[tuple[str | None, list[str] | None]] = [("a cat", ["a dog", "cats"]), ("a long road home", ["a street"])]
    together, alone = score(rows), score(rows[1:])
    assert all(together[name][1] == alone[name][0] for name in together)


def test_the_phrases_are_those_of_the_paper_in_its_order() -> None:
    assert list(PHRASES[:2]) == ["an image of", "a photo of"]
    assert list(PHRASES[-2:]) == ["image", "photo"]
