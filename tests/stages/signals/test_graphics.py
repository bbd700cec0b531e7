"""Colours, lines and strokes of drawings whose answers are known, and of real pictures."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from curate.contracts import Batch
from curate.image import decode
from filters.image import NotScreenshot
from stages.signals.graphics import Graphics, contrast, top_color


def facts(*pictures: Image.Image) -> dict[str, np.ndarray]:
    made = Graphics().compute(Batch({}, images=pictures))
    assert set(made) == set(Graphics().gives())
    return {name: np.asarray(values) for name, values in made.items()}


def window() -> Image.Image:
    """A dialog: title bar, panel, rows of labels and fields, two buttons."""
    width, height = 480, 360
    picture = Image.new("RGB", (width, height), "#f0f0f0")
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(13)
    pen.rectangle((0, 0, width, 28), fill="#3b6ea5")
    pen.text((10, 6), "Preferences of the application", fill="white", font=font)
    for row in range(7):
        top = 50 + row * 34
        pen.text((16, top + 4), f"Setting number {row} of this page", fill="black", font=font)
        pen.rectangle((240, top, width - 20, top + 24), fill="white", outline="#808080")
        pen.text((248, top + 4), "value of it", fill="black", font=font)
    for left in (260, 370):
        pen.rectangle((left, height - 44, left + 90, height - 16), fill="#e0e0e0", outline="#707070")
        pen.text((left + 24, height - 38), "Close", fill="black", font=font)
    return picture


def test_one_colour_and_two() -> None:
    halves = Image.new("RGB", (256, 256), "white")
    halves.paste("navy", (0, 0, 128, 256))
    found = facts(Image.new("RGB", (300, 260), "teal"), halves)
    assert found["top_color"].tolist() == [1.0, 0.5]
    assert found["contrast"][0] == 0
    assert found["flat"].tolist() == [1.0, pytest.approx(1 - 1 / 255, abs=1e-3)]
    assert found["lines"].tolist() == [0.0, pytest.approx(1 / 256)]
    assert found["strokes"].tolist() == [0.0, 0.0]


def test_near_uniform_survives_compression() -> None:
    page = Image.new("RGB", (400, 300), (120, 120, 120))
    page.paste("black", (10, 10, 30, 30))
    buffer = io.BytesIO()
    page.save(buffer, "JPEG", quality=60)
    found = facts(decode(buffer.getvalue()))
    assert found["top_color"][0] > 0.95
    assert found["contrast"][0] < 0.05


@given(st.lists(st.integers(0, 255), min_size=1, max_size=300))
def test_contrast_and_top_color_are_what_numpy_says(values: list[int]) -> None:
    grey = np.array(values, np.uint8)
    low, high = np.quantile(grey, [0.01, 0.99], method="inverted_cdf")
    assert contrast(np.bincount(grey, minlength=256).tolist()) == pytest.approx((int(high) - int(low)) / 255)
    pixels = np.repeat(grey[None, :, None], 3, axis=2)
    assert top_color(pixels) == pytest.approx(np.bincount(grey >> 4).max() / len(grey))


@pytest.mark.parametrize("length", [23, 24, 200])
def test_only_long_even_edges_are_lines(length: int) -> None:
    picture = Image.new("L", (300, 300), 100)
    picture.paste(140, (20, 20, 20 + length, 290))
    ImageDraw.Draw(picture).ellipse((230, 40, 290, 100), fill=200)  # curves are none
    (lines,) = facts(picture.convert("RGB"))["lines"]
    sides = 2 * 270 + (2 * length if length >= 24 else 0)
    assert lines * 90_000 == pytest.approx(sides, abs=60)


def test_a_window_is_a_screenshot_and_photographs_are_none() -> None:
    skimage = pytest.importorskip("skimage.data")
    photos = [Image.fromarray(getattr(skimage, name)()) for name in ("astronaut", "coffee", "chelsea", "rocket")]
    buffer = io.BytesIO()
    window().save(buffer, "JPEG", quality=80)
    pictures = [window(), decode(buffer.getvalue()), *photos]
    assert NotScreenshot()(facts(*pictures)).tolist() == [False, False, True, True, True, True]


def test_a_screenshot_needs_both_and_unknown_drops() -> None:
    columns = {"lines": np.array([0.1, 0.1, 0.0, np.nan]), "strokes": np.array([0.1, 0.0, 0.1, 0.0])}
    assert NotScreenshot()(columns).tolist() == [False, True, True, False]


def test_tiny_and_empty() -> None:
    found = facts(*(Image.new("RGB", size, "red") for size in ((1, 1), (1, 900), (3, 3), (900, 2), (60_000, 200))))
    assert all(np.isfinite(values).all() for values in found.values())
    assert len(facts()["flat"]) == 0
