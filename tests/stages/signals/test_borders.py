"""Borders of known width around noise and around a photograph."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from curate.contracts import Batch
from curate.image import decode
from stages.signals.borders import Borders, borders

NAMES = ("border_top", "border_bottom", "border_left", "border_right")
widths = st.tuples(*[st.integers(0, 20)] * 4)


def framed(
    inside: np.ndarray, sides: tuple[int, int, int, int], colour: tuple[int, int, int] = (255, 255, 255)
) -> np.ndarray:
    """`inside` with top, bottom, left, right lines of a colour around it."""
    top, bottom, left, right = sides
    full = np.empty((inside.shape[0] + top + bottom, inside.shape[1] + left + right, 3), np.uint8)
    full[:] = colour
    full[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
    return full


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, (height, width, 3), dtype=np.uint8)


def facts(*pictures: Image.Image) -> dict[str, list[float]]:
    made = Borders().compute(Batch({}, images=pictures))
    assert set(made) == set(Borders().gives())
    return {name: np.asarray(values).tolist() for name, values in made.items()}


@given(widths, st.integers(8, 60), st.integers(8, 60))
def test_borders_are_exact_on_frames(sides: tuple[int, int, int, int], height: int, width: int) -> None:
    assert borders(framed(noise(height, width), sides)) == sides


@given(widths)
def test_turning_the_image_turns_the_borders(sides: tuple[int, int, int, int]) -> None:
    picture = framed(noise(30, 40), sides)
    top, bottom, left, right = sides
    assert borders(picture[::-1]) == (bottom, top, left, right)
    assert borders(picture.swapaxes(0, 1)) == (left, right, top, bottom)


def test_shares() -> None:
    found = facts(Image.fromarray(framed(noise(60, 80), (20, 20, 0, 0), (0, 0, 0))), Image.new("RGB", (50, 40), "red"))
    assert found["border_top"] == found["border_bottom"] == [pytest.approx(0.2), 0.5]
    assert found["border_left"] == found["border_right"] == [0, 0.5]
    assert found["content"] == [pytest.approx(0.6), 0.0]


@pytest.mark.parametrize("quality", [50, 75, 95])
@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (180, 40, 90)])
def test_compression_moves_a_border_by_less_than_a_block(quality: int, colour: tuple[int, int, int]) -> None:
    skimage = pytest.importorskip("skimage.data")
    sides = (40, 60, 0, 32)
    buffer = io.BytesIO()
    Image.fromarray(framed(skimage.coffee(), sides, colour)).save(buffer, "JPEG", quality=quality)
    thumb = decode(buffer.getvalue())
    found = facts(thumb)
    for name, side, whole in zip(NAMES, sides, (500, 500, 632, 632), strict=True):
        assert abs(found[name][0] * whole - side) <= 16, name


def test_photographs_have_none_and_tiny_images_are_no_error() -> None:
    skimage = pytest.importorskip("skimage.data")
    found = facts(*(Image.fromarray(getattr(skimage, name)()) for name in ("astronaut", "coffee", "chelsea")))
    assert all(found[name] == [0, 0, 0] for name in NAMES)
    assert found["content"] == [1, 1, 1]
    assert facts(Image.new("RGB", (1, 1)), Image.new("RGB", (1, 300)))["content"] == [0, 0]
    assert Borders().compute(Batch({}))["content"].tolist() == []  # type: ignore[union-attr]
