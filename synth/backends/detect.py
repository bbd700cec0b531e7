"""Grounding by an open-vocabulary detector: what Grounding DINO and OWLv2 share.

Images go through one at a time: shapes differ, and padding one image to another's size would change its boxes. Each
phrase gets the detector's best box for it, if that passes the threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from curate.contracts import Columns
from curate.errors import ModelError
from synth.backends import grounding_dino, owlv2
from synth.backends.checkpoint import Checkpoint, family, load
from synth.boxes import Box
from synth.ground import Grounded
from synth.phrases import noun_phrases

if TYPE_CHECKING:
    from PIL.Image import Image

Find = Callable[[Checkpoint, "Image", Sequence[str]], list[tuple[Box, float]]]

FAMILIES: dict[str, tuple[Find, str]] = {
    "grounding-dino": (grounding_dino.find, grounding_dino.PROMPT),
    "owlv2": (owlv2.find, owlv2.PROMPT),
}
"""model_type -> how phrases are found, and how they are put to it."""


def open_detector(spec: str, threshold: float, max_phrases: int) -> Detector:
    """Load the checkpoint behind the spec. Raises ModelError when its family is not one of FAMILIES."""
    kind = family(spec)
    if kind not in FAMILIES:
        raise ModelError(f"{spec} is a {kind!r}; phrases are grounded by {', '.join(FAMILIES)}, or by 'default'")
    return Detector(load(spec, "AutoModelForZeroShotObjectDetection"), kind, threshold, max_phrases)


class Detector:
    """A grounder (`synth.ground.Grounder`) around one checkpoint."""

    def __init__(self, checkpoint: Checkpoint, kind: str, threshold: float, max_phrases: int) -> None:
        self.checkpoint, self.kind, self.threshold, self.max_phrases = checkpoint, kind, threshold, max_phrases
        self.find, self.prompt = FAMILIES[kind]

    def ground(
        self, images: Sequence[Image] | np.ndarray, captions: Sequence[str | None], columns: Columns
    ) -> list[list[Grounded]]:
        """The best box of each noun phrase, where it is good enough."""
        return [self._one(image, caption or "") for image, caption in zip(images, captions, strict=True)]

    def _one(self, image: Image, caption: str) -> list[Grounded]:
        phrases = noun_phrases(caption)[: self.max_phrases]
        if not phrases:
            return []
        boxes = self.find(self.checkpoint, image, [phrase.text.lower() for phrase in phrases])
        return [
            Grounded(phrase.text, phrase.start, phrase.end, box, score, self.kind)
            for phrase, (box, score) in zip(phrases, boxes, strict=True)
            if score >= self.threshold and box[0] < box[2] and box[1] < box[3]
        ]
