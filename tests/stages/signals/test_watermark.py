"""Agencies' names among words, as a reader gives them, and as the real one reads them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from curate.contracts import Batch
from filters.laion import Below
from stages.signals.ocr import TextInImage
from stages.signals.watermark import AGENCIES, Watermark, find_mark, repeats

Words = list[dict[str, Any]]


def words(*lines: str, score: float = 0.9) -> Words:
    return [{"text": word, "score": score, "line": i} for i, line in enumerate(lines) for word in line.split()]


def facts(*rows: Words | None) -> dict[str, list[Any]]:
    column = np.empty(len(rows), object)
    column[:] = rows
    made = Watermark().compute(Batch({"ocr_boxes": column}))
    assert set(made) == set(Watermark().gives())
    return {name: list(values) for name, values in made.items()}


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("shutterstock", "shutterstock"),
        ("ShutterStock", "shutterstock"),
        ("www.shutterstock.com - 1234567", "shutterstock"),
        ("shutterst0ck", "shutterstock"),
        ("shuterstock", "shutterstock"),
        ("getty images", "getty images"),
        ("gettyimages", "getty images"),
        ("Adobe Stock | #1234", "adobe stock"),
        ("alamy", "alamy"),
        ("alamy stock photo", "alamy"),
        ("iStock", "istock"),
        ("123RF", "123rf"),
        ("Credit: depositphotos", "depositphotos"),
        ("a shutter and a stock of wood", None),
        ("Salamy Alamyar", None),
        ("stock photo", None),
        ("think stock options", None),
        ("stocks", None),
        ("istockphoto", "istock"),
        ("getting images", None),
        ("", None),
    ],
)
def test_names(line: str, name: str | None) -> None:
    found = find_mark(words(line))
    assert found.name == name
    assert (found.score > 0.8) == (name is not None)


def test_words_of_two_lines_are_not_joined() -> None:
    assert find_mark(words("getty", "images")).name is None


@given(
    st.sampled_from([name for name in AGENCIES if len(name) >= 8 and " " not in name]),
    st.integers(0, 40),
    st.sampled_from("xq7"),
)
def test_one_wrong_letter_costs_its_share(name: str, at: int, letter: str) -> None:
    at %= len(name)
    for text in (name[:at] + letter + name[at + 1 :], name[:at] + name[at + 1 :], name[:at] + letter + name[at:]):
        assert find_mark(words(text, score=1.0)).score >= 1 - 1 / 8
    assert find_mark(words(f"{letter}{name}{letter}", score=0.5)).score == 0.5


def test_repeats_copyright_and_nothing() -> None:
    found = facts(
        words("SAMPLE", "sample image", "Sample"), words("© 2019 Jane Doe"), words("Copyright Acme"), None, []
    )
    assert found["watermark_repeats"] == [3, 1, 1, 0, 0]
    assert found["copyright"] == [False, True, True, False, False]
    assert found["watermark"] == [None] * 5
    assert found["watermark_score"] == [0] * 5
    assert repeats(words("a a a the the the")) == 0


def test_a_mark_over_a_photograph_is_read_and_dropped() -> None:
    skimage = pytest.importorskip("skimage.data")
    pytest.importorskip("rapidocr")
    photo = Image.fromarray(skimage.chelsea()).convert("RGBA")
    layer = Image.new("RGBA", photo.size)
    ImageDraw.Draw(layer).text((60, 120), "shutterstock", fill=(255, 255, 255, 170), font=ImageFont.load_default(56))
    marked = Image.alpha_composite(photo, layer).convert("RGB")
    read = TextInImage().compute(Batch({}, images=[marked, photo.convert("RGB")]))
    found = facts(*read["ocr_boxes"])
    assert found["watermark"] == ["shutterstock", None]
    column = {"watermark_score": np.array(found["watermark_score"])}
    assert Below(column="watermark_score", max=0.5)(column).tolist() == [False, True]
