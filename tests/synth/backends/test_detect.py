"""Grounding DINO and OWLv2 through the path that real checkpoints take: a folder, a spec, the step."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from PIL import Image

from curate.contracts import Batch
from curate.errors import ModelError
from synth.backends import grounding_dino, owlv2
from synth.backends.checkpoint import load
from synth.ground import Ground, open_grounder

Make = Callable[..., Batch]
Spec = Callable[[str], str]

FAMILIES = {"grounding_dino": "grounding-dino", "owlv2": "owlv2"}
CAPTIONS = ["a small cat with a red ball", None, "the big dog"]


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_grounds_with_provenance(
    family: str, checkpoint: Spec, photos: list[Image.Image], make_batch: Make
) -> None:
    step = Ground(model=checkpoint(family), threshold=1e-6)
    found = step.compute(make_batch(step, photos, text=CAPTIONS))
    phrases = found["phrases"]
    assert [[hit["phrase"] for hit in hits] for hits in phrases] == [["small cat", "red ball"], [], ["big dog"]]
    for caption, hits in zip(CAPTIONS, phrases, strict=True):
        for hit in hits:
            assert caption is not None
            assert caption[hit["start"] : hit["end"]] == hit["phrase"]
            assert 0 <= hit["box"][0] < hit["box"][2] <= 1
            assert 0 <= hit["box"][1] < hit["box"][3] <= 1
            assert 0 < hit["score"] <= 1
            assert hit["source"] == FAMILIES[family]
    assert found["phrases_model"] == [checkpoint(family)] * 3
    assert found["phrases_score"][1] is None


@pytest.mark.parametrize("family", FAMILIES)
def test_boxes_do_not_depend_on_neighbours_and_pass_the_threshold(
    family: str, checkpoint: Spec, photos: list[Image.Image], make_batch: Make
) -> None:
    step = Ground(model=checkpoint(family), threshold=1e-6)
    together = step.compute(make_batch(step, photos, text=CAPTIONS))
    alone = step.compute(make_batch(step, photos[2:], first=2, text=CAPTIONS[2:]))
    assert all(alone[name][0] == together[name][2] for name in together)
    strict = Ground(model=checkpoint(family), threshold=0.999999)
    assert all(len(hits) < 2 for hits in strict.compute(make_batch(strict, photos, text=CAPTIONS))["phrases"])


def test_owlv2_boxes_are_those_of_its_own_processor(checkpoint: Spec, photos: list[Image.Image]) -> None:
    opened, photo = load(checkpoint("owlv2"), "AutoModelForZeroShotObjectDetection"), photos[0]
    ((box, score),) = owlv2.find(opened, photo, ["cat"])
    with torch.inference_mode():
        output = opened.model(**opened.inputs(images=photo, text=[["a photo of a cat"]]))
    sizes = [(photo.height, photo.width)]
    (reference,) = opened.processor.post_process_grounded_object_detection(output, threshold=0, target_sizes=sizes)
    best = int(reference["scores"].argmax())
    expected = reference["boxes"][best] / torch.tensor([photo.width, photo.height] * 2)
    assert box == pytest.approx(expected.clip(0, 1).tolist(), abs=1e-4)
    assert score == pytest.approx(float(reference["scores"][best]), abs=1e-5)


def test_grounding_dino_boxes_are_among_those_of_its_own_processor(checkpoint: Spec, photos: list[Image.Image]) -> None:
    opened, photo = load(checkpoint("grounding_dino"), "AutoModelForZeroShotObjectDetection"), photos[0]
    found = grounding_dino.find(opened, photo, ["small cat", "red ball"])
    inputs = opened.inputs(images=photo, text="small cat. red ball.")
    with torch.inference_mode():
        output = opened.model(**inputs)
    (reference,) = opened.processor.post_process_grounded_object_detection(output, inputs["input_ids"], threshold=0)
    for box, score in found:
        distance = (reference["boxes"].clip(0, 1) - torch.tensor(box)).abs().amax(dim=1)
        assert float(distance.min()) < 1e-4
        assert score <= float(reference["scores"][distance.argmin()]) + 1e-5


def test_phrases_beyond_the_text_encoder_have_no_place(checkpoint: Spec, photos: list[Image.Image]) -> None:
    opened = load(checkpoint("grounding_dino"), "AutoModelForZeroShotObjectDetection")
    found = grounding_dino.find(opened, photos[0], ["small red cat"] * 30)  # 4 tokens each, room for 64
    assert found[0][1] > 0
    assert found[-1][1] == 0


def test_a_family_that_finds_no_phrases_is_named(checkpoint: Spec) -> None:
    with pytest.raises(ModelError, match="'blip-2'; phrases are grounded by grounding-dino, owlv2"):
        open_grounder(checkpoint("blip2"), 0.1, 8)
