"""Sampled captions: by class names, and through checkpoints of a model that generates."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from curate.contracts import Batch
from synth.backends.class_draws import draw
from synth.candidates import Candidates

Make = Callable[..., Batch]
Spec = Callable[[str], str]


def test_class_names_are_drawn_from_what_the_image_shows(photos: list[Image.Image], make_batch: Make) -> None:
    step = Candidates()
    found = step.compute(make_batch(step, photos))
    for name, kind in step.gives().items():
        assert pa.array(found[name], kind).null_count == 0
    cat, coffee, astronaut = found["candidates"]
    assert [len(captions) for captions in found["candidates"]] == [8, 8, 8]
    assert sum("cat" in caption for caption in cat) >= 5
    assert "an image of an espresso" in coffee
    assert len(set(astronaut)) > 2  # nothing fits her, and much is drawn
    assert found["candidates_prompt"] == ["an image of {}"] * 3


@pytest.mark.parametrize("family", ["default", "blip", "llava"])
def test_candidates_follow_the_sample_and_the_seed_alone(
    family: str, checkpoint: Spec, photos: list[Image.Image], make_batch: Make
) -> None:
    model = "default" if family == "default" else checkpoint(family)
    step = Candidates(model=model, count=3, top_p=0.99)
    same = [photos[2]] * 2
    together = step.compute(make_batch(step, same))
    assert together["candidates"][0] != together["candidates"][1]  # two samples, two seeds
    alone = step.compute(make_batch(step, same[1:], first=1))
    assert all(alone[name][0] == together[name][1] for name in together)
    assert step.compute(make_batch(step, same, seed=8))["candidates"] != together["candidates"]
    fewer = Candidates(model=model, count=2, top_p=0.99)
    assert fewer.compute(make_batch(fewer, same))["candidates"][0] == together["candidates"][0][:2]


def test_a_caption_has_as_many_tokens_as_asked_for(
    checkpoint: Spec, photos: list[Image.Image], make_batch: Make
) -> None:
    step = Candidates(model=checkpoint("blip"), count=4, min_tokens=5, max_tokens=7, top_p=1.0)
    found = step.compute(make_batch(step, photos))
    lengths = [len(caption.split()) for captions in found["candidates"] for caption in captions]
    assert max(lengths) <= 7
    assert found["candidates_prompt"] == ["a picture of"] * 3
    assert all(0 < score < 1 for score in found["candidates_score"])


@given(st.lists(st.floats(0.001, 1), min_size=2, max_size=8), st.floats(0.05, 1), st.floats(0, 0.999))
def test_a_draw_is_of_the_nucleus(weights: list[float], top_p: float, uniform: float) -> None:
    probabilities = np.array(weights) / sum(weights)
    (drawn,) = draw(probabilities, np.array([uniform]), top_p)
    likelier = probabilities[probabilities > probabilities[drawn]].sum()
    assert likelier < top_p + 1e-9


def test_draws_follow_the_probabilities() -> None:
    uniform = (np.arange(10_000) + 0.5) / 10_000
    drawn = draw(np.array([0.2, 0.5, 0.3]), uniform, 0.75)
    assert np.bincount(drawn, minlength=3).tolist() == pytest.approx([0, 6250, 3750], abs=1)


def test_fields_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValidationError, match="template that holds"):
        Candidates(prompt="describe the image")
    with pytest.raises(ValidationError, match="above max_tokens"):
        Candidates(min_tokens=30)
