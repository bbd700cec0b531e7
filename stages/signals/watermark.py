"""Marks of stock agencies among the words that were read in the image.

LAION-5B (Schuhmann et al. 2022, section 3.2) scored watermarks by a classifier whose weights are not in any package; its
scores come with its metadata, a classifier of one's own by `stages.signals.classes.ClassProbability`. This signal looks for
what most watermarks are: the agency's name, or one word in many places.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final, NamedTuple

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate.contracts import Batch, Signal

AGENCIES: Final = (
    *("123rf", "adobe stock", "agefotostock", "alamy", "bigstock", "bigstockphoto", "canstock", "canstockphoto"),
    *("colourbox", "depositphotos", "dreamstime", "featurepics", "fotolia", "fotosearch", "freepik", "getty images"),
    *("gograph", "imagebroker", "istock", "masterfile", "photodune", "picfair", "pngtree", "pond5", "shutterstock"),
    *("stockfresh", "stocksy", "thinkstock", "vectorstock", "watermark"),
)
"""As they stand in their marks, in small letters; `watermark` is what templates say."""
SURE: Final = 8
"""Letters from which on a name may stand inside a longer word or have one wrong letter; shorter ones stand alone."""
_TAILS: Final = ("", "com", "photo", "photos", "stockphoto", "images")
_REPEATED: Final = 4
"""Least letters of a word whose repetition counts."""


class Found(NamedTuple):
    """The best mark of an image: its name and how surely it was read; (None, 0) where there is none."""

    name: str | None
    score: float


class Watermark(Signal):
    """`watermark`: name of the agency, or null. `watermark_score`: how surely it was read, [0, 1].

    `watermark_repeats`: how often the most frequent word of four letters or more stands in the image. `copyright`: whether
    a © or the word is there; photographers sign so, and books and mugs show it too.
    """

    needs: ClassVar[tuple[str, ...]] = ("ocr_boxes",)
    cost: ClassVar[float] = 0.05

    names: tuple[str, ...] = Field(
        default=AGENCIES, description="in small letters; one of two words is also found as one"
    )

    def gives(self) -> dict[str, pa.DataType]:
        """A name, a score, a count, a truth value."""
        return {
            "watermark": pa.string(),
            "watermark_score": pa.float32(),
            "watermark_repeats": pa.int32(),
            "copyright": pa.bool_(),
        }

    def compute(self, batch: Batch) -> dict[str, Sequence[Any] | np.ndarray]:
        """An image without words has no mark."""
        rows = [list(words) if words is not None else [] for words in batch.columns["ocr_boxes"]]
        marks = [find_mark(words, self.names) for words in rows]
        return {
            "watermark": [mark.name for mark in marks],
            "watermark_score": np.array([mark.score for mark in marks], np.float32),
            "watermark_repeats": np.array([repeats(words) for words in rows], np.int32),
            "copyright": [any(_claims(str(word["text"])) for word in words) for words in rows],
        }


def find_mark(words: Sequence[Mapping[str, Any]], names: Sequence[str] = AGENCIES) -> Found:
    """The most surely read name among words of `stages.signals.ocr.BOXES`; a wrong letter costs its share of the name."""
    best = Found(None, 0.0)
    for text, score, joined in _candidates(words):
        for name in names:
            likeness = _likeness(text, name.replace(" ", "")) if " " in name or not joined else 0.0
            if likeness * score > best.score:
                best = Found(name, likeness * score)
    return best


def repeats(words: Sequence[Mapping[str, Any]]) -> int:
    """How often the most frequent word of four letters or more stands there; 0 where there is none."""
    counts = Counter(text for word in words if len(text := _plain(str(word["text"]))) >= _REPEATED)
    return max(counts.values(), default=0)


def _candidates(words: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, float, bool]]:
    """Each word, and each two that follow each other in a line (joined) with the lower of their scores."""
    before: tuple[str, float, int] | None = None
    for word in words:
        text, score, line = _plain(str(word["text"])), float(word["score"]), int(word["line"])
        if text:
            yield text, score, False
        if before is not None and before[2] == line:
            yield before[0] + text, min(before[1], score), True
        before = (text, score, line)


def _likeness(text: str, name: str) -> float:
    """1 where the name is there, less one letter's share where one is wrong, missing or too many, else 0."""
    if len(name) < SURE:
        return 1.0 if text.startswith(name) and text[len(name) :] in _TAILS else 0.0
    if name in text:
        return 1.0
    return 1 - 1 / len(name) if abs(len(text) - len(name)) <= 1 and _one_edit(text, name) else 0.0


def _one_edit(a: str, b: str) -> bool:
    """Whether one letter changed, put in or left out makes one string the other."""
    if len(a) > len(b):
        a, b = b, a
    same = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), len(a))
    return a[same + (len(a) == len(b)) :] == b[same + 1 :]


def _plain(text: str) -> str:
    """Small letters and digits only, ligatures and full-width forms resolved."""
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", text).lower())


def _claims(text: str) -> bool:
    return "©" in text or "(c)" in text.lower() or _plain(text) == "copyright"
