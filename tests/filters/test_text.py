"""Decisions about captions: each rule catches its fault and lets real captions pass."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from curate.contracts import Batch, Columns
from filters.text import CaptionLength, CleanText, Language, Letters
from stages.signals.text import CaptionStats

REAL = [
    "A red bus & two cyclists",
    "R&B; the album",
    "Coffee, 50% off - 3 < 5 > 2",
    "IMG dealers meet in London",
    "Photo by J. Smith (2019)",
    "👩‍🚀 astronaut ❤️",
    "नमस्ते दुनिया",
    "می‌خواهم",  # a zero-width non-joiner belongs to the word
    "line one\nline two\tand more",
    "version 2.0 of the logo.svg format",
    "1984",
    "Plate no. 12 [b]",
]


def column(*texts: str | None) -> Columns:
    values = np.empty(len(texts), object)
    values[:] = texts
    return {"text": values}


def counted(*texts: str | None) -> Columns:
    return {name: np.array(v) for name, v in CaptionStats().compute(Batch(column(*texts))).items()}


def test_caption_length_is_inclusive() -> None:
    columns = {"caption_words": np.array([1, 2, 5, 6]), "caption_chars": np.array([9, 9, 9, 9])}
    assert CaptionLength(min_words=2, max_words=5)(columns).tolist() == [False, True, True, False]
    assert CaptionLength(min_chars=9, max_chars=9)(columns).all()


def test_caption_length_needs_only_what_it_limits() -> None:
    assert CaptionLength(max_chars=9).inputs() == ("caption_chars",)
    assert CaptionLength(min_words=1, max_chars=9).bounds() == {"caption_words": (1, None), "caption_chars": (None, 9)}
    with pytest.raises(ValidationError, match="give at least one of"):
        CaptionLength()


def test_a_missing_count_drops() -> None:
    columns = {"caption_words": np.array([np.nan, 3.0])}
    assert CaptionLength(max_words=5)(columns).tolist() == [False, True]


def test_language_takes_one_or_many() -> None:
    columns = {
        "lang": np.array(["en", "de", None, "en"], object),
        "lang_score": np.array([0.9, 0.9, np.nan, 0.4], np.float32),
    }
    assert Language(keep="en")(columns).tolist() == [True, False, False, True]
    assert Language(keep=("en", "de"), min_score=0.5)(columns).tolist() == [True, True, False, False]
    with pytest.raises(ValidationError, match="at least 1 item"):
        Language(keep=())


def test_letters() -> None:
    columns = counted("a red bus", "!!! @@ 1", "красный 1 автобус", "#### ab")
    assert Letters(min=0.5)(columns).tolist() == [True, False, True, False]


@pytest.mark.parametrize("caption", REAL)
def test_clean_text_keeps_real_captions(caption: str) -> None:
    assert CleanText()(column(caption)).all()


@pytest.mark.parametrize(
    ("rule", "caption"),
    [
        ("urls", "Buy now http://shop1.example.com/p?id=2 red shoes"),
        ("urls", "WWW.shop.com"),
        ("filenames", "IMG_0123.jpg"),
        ("filenames", "some-product_800x600.PNG"),
        ("filenames", "DSC00042"),
        ("filenames", "Screenshot 20240101-1030"),
        ("filenames", " photo17.png "),
        ("markup", "<b>Sale</b> today"),
        ("markup", 'a dog<br/>on a <a href="x">mat</a>'),
        ("markup", "Tom &amp; Jerry"),
        ("markup", "it&#39;s a dog"),
        ("markup", "[url=x]dog[/url]"),
        ("controls", "a dog\x00 on a mat"),
        ("controls", "a \u202edog\u202c on a mat"),
        ("controls", "icon \uf0c1 link"),
        ("controls", "caf\ufffd in Paris"),
    ],
)
def test_clean_text_drops_each_fault_by_its_own_rule(rule: str, caption: str) -> None:
    rules = dict.fromkeys(("urls", "filenames", "markup", "controls"), False)
    assert not CleanText.model_validate(rules | {rule: True})(column(caption)).any()
    assert CleanText.model_validate({rule: False})(column(caption)).all()


def test_clean_text_drops_a_missing_caption_and_wants_a_rule() -> None:
    assert CleanText()(column(None, "a dog")).tolist() == [False, True]
    with pytest.raises(ValidationError, match="has to be true"):
        CleanText(urls=False, filenames=False, markup=False, controls=False)
