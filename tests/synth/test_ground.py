"""The grounding step with its embedded default, on real photos and rendered text."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageDraw, ImageFont

from curate.contracts import Batch
from stages.signals.ocr import TextInImage
from synth.backends.cam import box_of_map, class_weights
from synth.boxes import iou
from synth.ground import Ground

Make = Callable[..., Batch]


def test_the_cat_is_found_and_the_table_is_not_guessed(photos: list[Image.Image], make_batch: Make) -> None:
    step = Ground()
    captions = ["A cat looking at you", "espresso on a wooden table", "a portrait of a woman"]
    found = step.compute(make_batch(step, photos, text=captions, ocr_boxes=[None] * 3))
    cat, espresso, woman = found["phrases"]
    assert [hit["phrase"] for hit in cat] == ["cat"]
    assert [hit["phrase"] for hit in espresso] == ["espresso"]
    assert woman == []
    assert found["phrases_score"][2] is None
    assert cat[0]["source"] == "cam"
    x1, y1, x2, y2 = cat[0]["box"]
    assert x1 < 0.55 < x2  # the cat's nose
    assert y1 < 0.5 < y2


def test_a_cat_in_a_corner_is_boxed_there(photos: list[Image.Image], make_batch: Make) -> None:
    step = Ground()
    canvas = Image.new("RGB", (600, 600), "white")
    canvas.paste(photos[0].resize((270, 270)), (300, 310))
    truth = (300 / 600, 310 / 600, 570 / 600, 580 / 600)
    (hits,) = step.compute(make_batch(step, [canvas], text=["the cat"], ocr_boxes=[None]))["phrases"]
    assert [hit["phrase"] for hit in hits] == ["cat"]
    assert iou(hits[0]["box"], truth) > 0.5


def test_a_rendered_word_gets_its_ocr_box(make_batch: Make) -> None:
    image = Image.new("RGB", (512, 384), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(64)
    draw.text((90, 220), "FREE COFFEE", fill="brown", font=font)
    x1, y1, x2, y2 = draw.textbbox((90, 220), "FREE COFFEE", font=font)
    words = list(TextInImage().compute(Batch(columns={}, images=[image]))["ocr_boxes"])
    step = Ground()
    caption = "A poster that promises free coffee"
    (hits,) = step.compute(make_batch(step, [image], text=[caption], ocr_boxes=words))["phrases"]
    (hit,) = [hit for hit in hits if hit["source"] == "ocr"]
    assert caption[hit["start"] : hit["end"]] == hit["phrase"] == "free coffee"
    assert iou(hit["box"], (x1 / 512, y1 / 384, x2 / 512, y2 / 384)) > 0.5


def test_rows_without_caption_have_no_phrases_and_types_hold(photos: list[Image.Image], make_batch: Make) -> None:
    step = Ground(caption="synth_caption")
    assert "synth_caption" in step.inputs()
    found = step.compute(make_batch(step, photos, synth_caption=[None, "a cat", float("nan")], ocr_boxes=[None] * 3))
    assert found["phrases"] == [[], [], []]  # the second photo shows no cat
    for name, kind in step.gives().items():
        assert len(pa.array(found[name], kind)) == 3
    assert found["phrases_model"] == ["default"] * 3


def test_a_box_does_not_depend_on_its_neighbours(photos: list[Image.Image], make_batch: Make) -> None:
    step = Ground()
    captions = ["a cat", "an espresso", "a cat"]
    together = step.compute(make_batch(step, photos, text=captions, ocr_boxes=[None] * 3))
    for i, photo in enumerate(photos):
        alone = step.compute(make_batch(step, [photo], first=i, text=[captions[i]], ocr_boxes=[None]))
        assert all(alone[name][0] == together[name][i] for name in together)


@pytest.mark.parametrize(("phrase", "matched"), [("golden retriever", True), ("cat", True), ("smiling woman", False)])
def test_phrases_meet_classes_by_meaning(phrase: str, matched: bool) -> None:
    assert class_weights([phrase]).any() == matched


def test_the_largest_part_of_a_map_is_boxed() -> None:
    values = np.zeros((7, 7), np.float32)
    values[1:4, 2:5] = 1.0
    values[6, 6] = 1.5  # the peak, but a small part
    box = box_of_map(values)
    assert box is not None
    assert iou(box, (2 / 7, 1 / 7, 5 / 7, 4 / 7)) > 0.6
    assert box_of_map(-values) is None


@given(hnp.arrays(np.float32, (7, 7), elements=st.floats(-10, 10, width=32)))
def test_a_map_gives_an_ordered_box_or_none(values: np.ndarray) -> None:
    box = box_of_map(values)
    if box is not None:
        assert 0 <= box[0] < box[2] <= 1
        assert 0 <= box[1] < box[3] <= 1
