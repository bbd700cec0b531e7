"""Text in images: rendered words, whose place is known, and photos without any."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from curate.contracts import Batch
from stages.signals.ocr import BOXES, TextInImage, _part
from synth.boxes import iou

Truth = tuple[float, float, float, float]


def poster(words: str, at: tuple[int, int] = (60, 80), size: int = 48) -> tuple[Image.Image, list[Truth]]:
    """A white 512x384 image with one line of text, and where each of its words is, in fractions."""
    image = Image.new("RGB", (512, 384), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size)
    draw.text(at, words, fill="black", font=font)
    boxes, done = [], ""
    for word in words.split():
        left = at[0] + draw.textlength(done, font=font)
        x1, y1, x2, y2 = draw.textbbox((left, at[1]), word, font=font)
        boxes.append((x1 / 512, y1 / 384, x2 / 512, y2 / 384))
        done += word + " "
    return image, boxes


def read(*images: Image.Image, **fields: Any) -> dict[str, Any]:
    return dict(TextInImage(**fields).compute(Batch(columns={}, images=images)))


def test_words_are_read_and_boxed_where_they_stand() -> None:
    image, truth = poster("SUMMER SALE")
    facts = read(image)
    assert facts["ocr_text"] == ["SUMMER SALE"]
    (words,) = facts["ocr_boxes"]
    assert [word["text"] for word in words] == ["SUMMER", "SALE"]
    assert all(iou(word["box"], box) > 0.5 for word, box in zip(words, truth, strict=True))
    assert all(word["line"] == 0 and word["score"] > 0.9 for word in words)
    assert 0.03 < facts["ocr_area"][0] < 0.2


def test_lines_come_in_reading_order() -> None:
    image, _ = poster("first line", at=(40, 60))
    ImageDraw.Draw(image).text((40, 220), "second line", fill="navy", font=ImageFont.load_default(48))
    facts = read(image)
    assert facts["ocr_text"] == ["first line\nsecond line"]
    assert [word["line"] for word in facts["ocr_boxes"][0]] == [0, 0, 1, 1]


@pytest.mark.parametrize("turn", [Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_270])
def test_standing_text_is_read_either_way_up(turn: Image.Transpose) -> None:
    image, truth = poster("SUMMER SALE")
    facts = read(image.transpose(turn))
    assert facts["ocr_text"] == ["SUMMER SALE"]
    for word, (x1, y1, x2, y2) in zip(facts["ocr_boxes"][0], truth, strict=True):
        turned = (y1, 1 - x2, y2, 1 - x1) if turn == Image.Transpose.ROTATE_90 else (1 - y2, x1, 1 - y1, x2)
        assert iou(word["box"], turned) > 0.5


def test_a_photo_without_text_has_none() -> None:
    from skimage import data

    facts = read(Image.fromarray(data.chelsea()))
    assert facts["ocr_text"] == [""]
    assert facts["ocr_boxes"] == [[]]
    assert facts["ocr_area"][0] == 0


def test_a_scanned_page_is_mostly_text() -> None:
    from skimage import data

    facts = read(Image.fromarray(data.page()).convert("RGB"))
    assert "Region-based segmentation" in facts["ocr_text"][0]
    assert facts["ocr_area"][0] > 0.3


def test_only_the_largest_lines_of_a_page_are_read() -> None:
    from skimage import data

    page = Image.fromarray(data.page()).convert("RGB")
    assert len(read(page, max_lines=2)["ocr_text"][0].splitlines()) == 2


def test_an_image_does_not_depend_on_its_neighbours() -> None:
    images = [poster("one")[0], poster("two words")[0], Image.new("RGB", (300, 260), "red")]
    together = read(*images)
    for i, image in enumerate(images):
        alone = read(image)
        assert all(alone[name][0] == together[name][i] for name in together)


@pytest.mark.parametrize("size", [(1, 1), (3, 400), (2000, 8), (256, 256)])
def test_images_of_any_shape_are_read(size: tuple[int, int]) -> None:
    assert read(Image.new("RGB", size, "white"))["ocr_text"] == [""]


def test_columns_fit_their_declared_types() -> None:
    facts = read(poster("hello")[0], Image.new("RGB", (64, 64)))
    for name, kind in TextInImage().gives().items():
        assert pa.array(facts[name], kind).type == kind
    assert pa.array(facts["ocr_boxes"], BOXES)[0][0]["box"].as_py()[0] >= 0


@given(st.floats(0, 0.5), st.floats(0.5, 1), st.booleans())
def test_a_part_of_a_line_lies_inside_it(start: float, end: float, standing: bool) -> None:
    quad = np.array([[10, 10], [40, 12], [38, 200], [8, 198]] if standing else [[10, 10], [90, 14], [89, 30], [9, 26]])
    points = _part(quad.astype(np.float32), start, end)
    assert (points >= quad.min(axis=0) - 1e-3).all()
    assert (points <= quad.max(axis=0) + 1e-3).all()
