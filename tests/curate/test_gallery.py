"""Grids of a real run's images: what is drawn, where, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import ImageFont

import curate
from curate.errors import RunError
from curate.gallery import GAP, LINE, LINES, TINT, grid, wrap
from curate.inspect import Run

FONT = ImageFont.load_default(11)


@pytest.fixture
def run(write_recipe: Callable[..., Path], root: str) -> Run:
    """120 samples in three shards; row 5 of shard 1 is no image."""
    return curate.open_run(curate.run(write_recipe(), root=root, executor="inline", quiet=True)["run"])


def rows(shard: int, *numbers: int, **columns: list[object]) -> pa.Table:
    return pa.table({"shard": [shard] * len(numbers), "row": list(numbers), **columns})


def test_cells_stand_in_order_and_show_the_images(run: Run) -> None:
    sheet = grid(run, rows(0, 3, 4, 5), columns=2, side=100)
    assert sheet.size == (2 * 110 + GAP, 2 * 110 + GAP)
    shown = run.image(0, 4, 100)  # second of the first line: as wide as the cell, centred in its height
    top = GAP + (100 - shown.height) // 2
    cell = sheet.crop((GAP + 110, top, GAP + 110 + shown.width, top + shown.height))
    assert np.array_equal(np.asarray(cell), np.asarray(shown))
    assert sheet.getpixel((GAP + 1, GAP + 1)) == tuple(bytes.fromhex(TINT[1:]))  # beside the image: its square


def test_captions_take_two_lines_and_boxes_are_drawn(run: Run) -> None:
    plain = grid(run, rows(0, 3), side=100)
    captioned = grid(run, rows(0, 3, text=["a red boat on the lake"]), side=100)
    assert captioned.height == plain.height + LINES * LINE
    boxed = grid(run, rows(0, 3, phrases=[[{"phrase": "boat", "box": [0.0, 0.0, 1.0, 1.0]}]]), side=100)
    assert np.count_nonzero(np.asarray(boxed) != np.asarray(plain))


def test_an_image_that_does_not_open_leaves_a_cell(run: Run) -> None:
    assert grid(run, rows(1, 4, 5), side=100).width == 2 * 110 + GAP


def test_wrong_tables_are_refused(run: Run) -> None:
    with pytest.raises(RunError, match="needs `shard` and `row`"):
        grid(run, pa.table({"uid": ["a"]}))
    with pytest.raises(RunError, match="1 to 400"):
        grid(run, rows(0))


@pytest.mark.parametrize("text", ["", "boat", "a red boat on the lake at dawn", "x" * 500, "two\nlines", "x " * 300])
def test_wrapped_lines_fit(text: str) -> None:
    lines = wrap(text, FONT, 100)
    assert 1 <= len(lines) <= LINES
    assert all(FONT.getlength(line) <= 100 for line in lines)
    whole = " ".join(lines) == " ".join(text.split())
    assert whole or lines[-1].endswith("...")
