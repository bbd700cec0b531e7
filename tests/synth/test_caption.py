"""The caption step with its embedded default, on real photos and rendered text."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageDraw, ImageFont
from pydantic import ValidationError

from curate.contracts import Batch
from curate.models.imagenet import class_names
from stages.signals.ocr import TextInImage
from synth.backends.class_names import name_thing, with_article
from synth.caption import Caption

Make = Callable[..., Batch]


def read(images: Sequence[Image.Image]) -> list[Any]:
    return list(TextInImage().compute(Batch(columns={}, images=images))["ocr_boxes"])


def probabilities(**named: float) -> np.ndarray:
    """1000 class probabilities: those given by name (spaces as underscores), the rest shared evenly."""
    names = class_names()
    found = np.full(len(names), (1 - sum(named.values())) / len(names), np.float32)
    for name, value in named.items():
        found[names.index(name.replace("_", " "))] += value
    return found


def test_photos_are_named_and_unsure_ones_are_not(photos: list[Image.Image], make_batch: Make) -> None:
    step = Caption()
    found = step.compute(make_batch(step, photos, ocr_boxes=read(photos)))
    cat, coffee, astronaut = found["synth_caption"]
    assert str(cat).endswith(" cat")  # ImageNet knows five kinds
    assert coffee == "an image of an espresso"
    assert astronaut is None  # no class of ImageNet fits her, and none is claimed
    assert found["synth_caption_score"][0] > 0.5 > found["synth_caption_score"][2]


def test_text_in_the_image_is_quoted(make_batch: Make) -> None:
    image = Image.new("RGB", (512, 384), "white")
    ImageDraw.Draw(image).text((120, 150), "SALE", fill="red", font=ImageFont.load_default(96))
    step = Caption(prompt="a picture of {}")
    found = step.compute(make_batch(step, [image], ocr_boxes=read([image])))
    assert str(found["synth_caption"][0]).endswith('the text "SALE"')
    assert str(found["synth_caption"][0]).startswith("a picture of ")
    assert found["synth_caption_score"][0] > 0


def test_long_text_is_said_to_begin(make_batch: Make) -> None:
    image = Image.new("RGB", (300, 300), "grey")
    words = [{"text": f"word{i}", "box": [0, 0, 1, 1], "score": 0.99, "line": 0} for i in range(40)]
    step = Caption(max_words=10)
    (caption,) = step.compute(make_batch(step, [image], ocr_boxes=[words]))["synth_caption"]
    assert 'text that begins "word0 word1' in str(caption)
    assert len(str(caption).split()) <= 20


@pytest.mark.parametrize(("score", "text"), [(0.7, "SALE"), (0.99, "O"), (0.99, "->")])
def test_doubtful_text_is_not_quoted(score: float, text: str, make_batch: Make) -> None:
    step = Caption()
    words = [{"text": text, "box": [0, 0, 1, 1], "score": score, "line": 0}]
    batch = make_batch(step, [Image.new("RGB", (300, 300), "grey")], ocr_boxes=[words])
    assert text not in str(step.compute(batch)["synth_caption"][0])


def test_what_is_named_follows_the_probability() -> None:
    name, score = name_thing(probabilities(coffee_mug=0.9))
    assert name == "a coffee mug"
    assert score == pytest.approx(0.9, abs=1e-3)
    assert name_thing(probabilities(coffee_mug=0.6))[0] == "what may be a coffee mug"
    name, score = name_thing(probabilities(coffee_mug=0.4))
    assert name is None
    assert score == pytest.approx(0.4, abs=1e-3)


def test_kinds_that_are_hard_to_tell_apart_share_their_noun() -> None:
    name, score = name_thing(probabilities(tiger_cat=0.5, Egyptian_cat=0.35))
    assert name == "a cat"
    assert score == pytest.approx(0.85, abs=5e-3)
    assert name_thing(probabilities(tiger_cat=0.3, Egyptian_cat=0.3))[0] == "what may be a cat"
    assert name_thing(probabilities(tiger_cat=0.9, Egyptian_cat=0.02))[0] == "a tiger cat"


@pytest.mark.parametrize(
    ("name", "phrase"),
    [("abacus", "an abacus"), ("unicycle", "a unicycle"), ("sunglasses", "sunglasses"), ("bus", "a bus")],
)
def test_articles(name: str, phrase: str) -> None:
    assert with_article(name) == phrase


def test_every_row_says_where_its_caption_comes_from(photos: list[Image.Image], make_batch: Make) -> None:
    step = Caption()
    found = step.compute(make_batch(step, photos, ocr_boxes=[None] * 3))
    for name, kind in step.gives().items():
        assert pa.array(found[name], kind).null_count == 0 or name == "synth_caption"
    assert found["synth_caption_model"] == ["default"] * 3
    assert found["synth_caption_prompt"] == ["an image of {}"] * 3
    assert len(set(found["synth_caption_seed"])) == 3


def test_a_caption_does_not_depend_on_its_neighbours(photos: list[Image.Image], make_batch: Make) -> None:
    step = Caption()
    words = read(photos)
    together = step.compute(make_batch(step, photos, ocr_boxes=words))
    for i, photo in enumerate(photos):
        alone = step.compute(make_batch(step, [photo], first=i, ocr_boxes=[words[i]]))
        assert all(alone[name][0] == together[name][i] for name in together)


def test_fields_that_do_not_fit_the_default_are_refused() -> None:
    with pytest.raises(ValidationError, match="does not sample"):
        Caption(temperature=0.7)
    with pytest.raises(ValidationError, match="template that holds"):
        Caption(prompt="describe the image")


def test_the_steps_import_no_model_library() -> None:
    heavy = {"torch", "transformers", "spacy", "cv2", "rapidocr", "onnxruntime"}
    code = f"import sys, synth.caption, synth.ground, stages.signals.ocr; print(sorted({heavy} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
