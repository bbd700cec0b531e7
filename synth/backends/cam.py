"""Grounding without a download: class activation maps for what the embedded classifier knows, OCR boxes for words.

A phrase is looked for in the classes whose names mean nearly the same (all-MiniLM-L6-v2, cosine >= SIMILAR). What they
have together in probability, each weighted by its similarity, is the phrase's score. The box is that of Zhou et al.
2016 (arXiv:1512.04150, section 3.2): of the map of the likeliest of them, the largest connected part above a fraction
of its maximum. Words that stand in the image get their OCR box instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from curate.contracts import Columns
from curate.models import classifier, sentence_encoder
from curate.models.imagenet import class_names
from synth.boxes import Box
from synth.ground import Grounded
from synth.phrases import NounPhrase, noun_phrases
from synth.words import Word, words_in_image

if TYPE_CHECKING:
    from PIL.Image import Image

SIMILAR: Final = 0.6
"""A motor scooter is as close as this to 'motorcycle', a tripod not quite to 'camera'; 'man' is close to no class."""
MAP_FRACTION: Final = 0.4
"""The paper takes 0.2 for its networks; the best fraction depends on the network (Choe et al. 2020, arXiv:2001.07437,
section 4). For this one docs/methods/grounding.md has the measurement."""
MAP_SIDE: Final = 56
"""The classifier's map is 7x7: it is interpolated to this before it is cut."""


class Candidate(NamedTuple):
    """A phrase that the classifier sees in the image of a row, and the class to draw the map of."""

    row: int
    phrase: NounPhrase
    score: float
    label: int


class ClassMaps:
    """A grounder (`synth.ground.Grounder`); the same image and caption always give the same boxes."""

    prompt = "{phrase}"

    def __init__(self, threshold: float, max_phrases: int) -> None:
        self.threshold, self.max_phrases = threshold, max_phrases

    def ground(
        self, images: Sequence[Image] | np.ndarray, captions: Sequence[str | None], columns: Columns
    ) -> list[list[Grounded]]:
        """`images`: uint8 (n, side, side, 3), the whole image in the classifier's square; `columns`: `ocr_boxes`."""
        found: list[list[Grounded]] = []
        wanted: list[tuple[int, NounPhrase]] = []
        for row, (caption, words) in enumerate(zip(captions, columns["ocr_boxes"], strict=True)):
            read = _read(caption or "", words or ())
            phrases = noun_phrases(caption or "")[: self.max_phrases]
            wanted += [(row, phrase) for phrase in phrases if not any(_covers(hit, phrase) for hit in read)]
            found.append([hit for hit in read if hit.score >= self.threshold])
        seen = self._candidates(np.asarray(images), wanted)
        if seen:
            pixels = np.asarray(images)[[candidate.row for candidate in seen]]
            maps = classifier("default").cam(pixels, np.array([candidate.label for candidate in seen]))
            for (row, phrase, score, _), values in zip(seen, maps, strict=True):
                box = box_of_map(values)
                if box is not None:
                    found[row].append(Grounded(phrase.text, phrase.start, phrase.end, box, score, "cam"))
        return [sorted(hits, key=lambda hit: (hit.start, hit.end)) for hits in found]

    def _candidates(self, images: np.ndarray, wanted: Sequence[tuple[int, NounPhrase]]) -> list[Candidate]:
        """Phrases that pass the threshold. An image of whose caption no phrase names a class is not looked at."""
        weights = class_weights([phrase.text.lower() for _, phrase in wanted])
        named = [(row, phrase, own) for (row, phrase), own in zip(wanted, weights, strict=True) if own.any()]
        rows = sorted({row for row, _, _ in named})
        if not rows:
            return []
        probabilities = dict(zip(rows, classifier("default").probabilities(images[rows]), strict=True))
        found = []
        for row, phrase, own in named:
            evidence = own * probabilities[row]
            score = float(evidence.sum())
            if score >= self.threshold:
                found.append(Candidate(row, phrase, score, int(np.argmax(evidence))))
        return found


def box_of_map(values: np.ndarray, fraction: float = MAP_FRACTION) -> Box | None:
    """Box of the largest connected part of a map (h, w) above a fraction of its maximum; None: it is nowhere > 0."""
    import cv2

    large = cv2.resize(values.astype(np.float32), (MAP_SIDE, MAP_SIDE), interpolation=cv2.INTER_LINEAR)
    peak = float(large.max())
    if not peak > 0:
        return None
    count, _, stats, _ = cv2.connectedComponentsWithStats((large >= fraction * peak).astype(np.uint8))
    largest = max(range(1, count), key=lambda part: int(stats[part, cv2.CC_STAT_AREA]))
    x, y, width, height = (int(value) for value in stats[largest, :4])
    return x / MAP_SIDE, y / MAP_SIDE, (x + width) / MAP_SIDE, (y + height) / MAP_SIDE


def class_weights(phrases: Sequence[str]) -> np.ndarray:
    """float32 (n, classes): cosine of each phrase to each class name, 0 below SIMILAR."""
    similarity = np.einsum("nd,cd->nc", sentence_encoder("default").encode(phrases), _class_embeddings())
    return np.where(similarity >= SIMILAR, similarity, 0).astype(np.float32)


@lru_cache(maxsize=1)
def _class_embeddings() -> np.ndarray:
    """float32 (classes, 384), unit rows."""
    return sentence_encoder("default").encode(class_names())


def _read(caption: str, words: Sequence[Word]) -> list[Grounded]:
    runs = words_in_image(caption, words)
    return [Grounded(caption[start:end], start, end, box, score, "ocr") for start, end, box, score in runs]


def _covers(hit: Grounded, phrase: NounPhrase) -> bool:
    return hit.start <= phrase.start and phrase.end <= hit.end
