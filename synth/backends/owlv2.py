"""OWLv2 (Minderer et al. 2023, arXiv:2306.09683): each phrase is a text query against every image patch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from curate.models.device import inference
from synth.backends.checkpoint import Checkpoint
from synth.boxes import Box, corners

if TYPE_CHECKING:
    from PIL.Image import Image

PROMPT = "a photo of a {phrase}"
"""The template of the paper's code (scenic, owl_vit)."""


def find(checkpoint: Checkpoint, image: Image, phrases: Sequence[str]) -> list[tuple[Box, float]]:
    """The best patch's box and score for each phrase."""
    queries = [PROMPT.format(phrase=phrase) for phrase in phrases]
    inputs = checkpoint.inputs(images=image, text=[queries], padding="max_length", truncation=True)
    with inference(checkpoint.model.device):
        output = checkpoint.model(**inputs)
    scores, best = output.logits[0].float().sigmoid().max(dim=0)  # over patches: (phrases,)
    boxes = output.pred_boxes[0][best].float().tolist()
    longer = max(image.size)  # the processor pads to a square at the right and the bottom
    scale = (longer / image.width, longer / image.height)
    return [(corners(box, scale), score) for box, score in zip(boxes, scores.tolist(), strict=True)]
