"""Sampled captions without a download: a class of the embedded classifier, drawn by its probability.

A language of a thousand sentences, 'an image of' and a class name, sampled as a captioner's tokens are: from the
nucleus, the fewest classes that hold `top_p` of the probability (Holtzman et al. 2020, arXiv:1904.09751).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from curate.models import classifier
from curate.models.imagenet import class_names
from synth.backends.class_names import PROMPT, with_article
from synth.caption import Captioned

if TYPE_CHECKING:
    from PIL.Image import Image

_SEEDS: Final = float(1 << 63)


class ClassDraws:
    """A drawer (`synth.candidates.Drawer`)."""

    def __init__(self, prompt: str | None, top_p: float) -> None:
        self.prompt = PROMPT if prompt is None else prompt
        self.top_p = top_p

    def candidates(self, images: Sequence[Image] | np.ndarray, seeds: np.ndarray) -> list[list[Captioned]]:
        """`images`: uint8 (n, side, side, 3) as `Candidates.prepare` makes them; `seeds`: int64 (n, k), not negative."""
        probabilities = classifier("default").probabilities(np.asarray(images)).astype(np.float64)
        names = class_names()
        found = []
        for row, own in zip(probabilities, seeds, strict=True):
            drawn = draw(row, own / _SEEDS, self.top_p)
            found.append([Captioned(self.prompt.format(with_article(names[i])), float(row[i])) for i in drawn])
        return found


def draw(probabilities: np.ndarray, uniform: np.ndarray, top_p: float) -> np.ndarray:
    """Classes (k,) of the nucleus of (classes,) probabilities, by uniform numbers (k,) in [0, 1)."""
    order = np.argsort(-probabilities, kind="stable")
    upto = np.cumsum(probabilities[order])
    kept = int(np.searchsorted(upto, top_p * upto[-1])) + 1
    return np.asarray(order[np.searchsorted(upto[:kept], uniform * upto[kept - 1], side="right")])
