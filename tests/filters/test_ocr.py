"""Text overlap: how much of a caption is written in its image."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.ocr import TextOverlap, overlap, spells


@pytest.mark.parametrize(
    ("caption", "seen", "share"),
    [
        ("SUMMER SALE", "Summer\nsale", 1.0),
        ("a red boat", "SALE", 0.0),
        ("open: the shop", "OPEN", 1 / 3),
        ("", "SALE", 0.0),
        ("!!!", "SALE", 0.0),
        ("stop stop sign", "STOP", 2 / 3),
    ],
)
def test_share_of_the_caption_that_is_written(caption: str, seen: str, share: float) -> None:
    assert overlap(caption, seen) == pytest.approx(share)


def test_keeps_up_to_the_limit_and_takes_nulls() -> None:
    columns = {
        "text": np.array(["sale now", "sale now", None, "boat"], object),
        "ocr_text": np.array(["sale", "sale now", "x", None], object),
    }
    assert TextOverlap(max=0.5).keep(columns).tolist() == [True, False, True, True]


@given(st.text(), st.text())
def test_is_a_share_and_whole_for_the_same_text(caption: str, seen: str) -> None:
    assert 0 <= overlap(caption, seen) <= 1
    assert overlap(caption, caption) in (0.0, 1.0)


@pytest.mark.parametrize(
    ("caption", "seen", "spelt"),
    [
        ("A SUMMER dress", "summer\nsale", True),
        ("a midsummer night", "SUMME", True),
        ("a boat sale", "BOAT SALE", False),  # words of four characters
        ("red boats", "d boats", True),
        ("a boat", "", False),
    ],
)
def test_cat_compares_five_characters_in_a_row(caption: str, seen: str, spelt: bool) -> None:
    assert spells(caption, seen) is spelt
    columns = {"text": np.array([caption], object), "ocr_text": np.array([seen], object)}
    assert TextOverlap(mode="cat")(columns).tolist() == [not spelt]
