"""Sieve (Mahmoud et al. 2023, arXiv:2310.02110): does the alt-text say what a captioner would say of the image?

Several captions are sampled per image (`synth.candidates.Candidates`); the score is the highest cosine of the alt-text's
and a caption's sentence embedding, phrases about the medium taken out of both.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar, Final, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate.contracts import Batch, Lane, Signal

PHRASES: Final = (
    "an image of",
    "a photo of",
    "stock photo",
    "photo stock",
    "a photo",
    "an image",
    "image",
    "photo",
)
"""What says that there is a picture, not what is in it; taken out in this order."""
_ANYWHERE: Final = [re.compile(phrase, re.IGNORECASE) for phrase in PHRASES]
_WORDS: Final = [re.compile(rf"\b{phrase}\b".replace(" ", r"\s+"), re.IGNORECASE) for phrase in PHRASES]

Mode = Literal["words", "sieve"]


class Aligned(NamedTuple):
    """How well a text and its captions agree: the highest cosine, whose it is, and the mean."""

    score: float
    best: int
    mean: float


class Sieve(Signal):
    """`sieve_score`: the highest cosine of alt-text and captions, -1 to 1; `sieve_mean`: the mean; `sieve_caption`: the
    caption that came closest, as it was written.

    Null without alt-text or captions. An alt-text or best caption that says nothing but 'a photo' scores 0. `mode:
    sieve` takes the phrases out wherever their letters stand ('photographer' becomes 'grapher') and trims nothing, as
    the original does; `words` takes them out as words and trims the spaces that are left.
    """

    lane: ClassVar[Lane] = "model"
    cost: ClassVar[float] = 30.0

    captions: str = Field(default="candidates", description="column with a list of captions per sample")
    mode: Mode = "words"

    def inputs(self) -> tuple[str, ...]:
        """The alt-text and the captions."""
        return ("text", self.captions)

    def gives(self) -> dict[str, pa.DataType]:
        """Two cosines and a caption."""
        return {"sieve_score": pa.float32(), "sieve_mean": pa.float32(), "sieve_caption": pa.string()}

    def models(self) -> tuple[str, ...]:
        """all-MiniLM-L6-v2, as in the original."""
        return ("sentence:default",)

    def compute(self, batch: Batch) -> dict[str, Sequence[Any] | np.ndarray]:
        """Each distinct text is embedded once."""
        pairs = list(zip(batch.columns["text"], batch.columns[self.captions], strict=True))
        cleaned = [
            (clean(text, self.mode), [clean(caption, self.mode) for caption in captions])
            if text is not None and captions
            else None
            for text, captions in pairs
        ]
        vectors = _embedded({text for pair in cleaned if pair for text in (pair[0], *pair[1])})
        rows: list[tuple[float | None, float | None, str | None]] = []
        for (_, captions), pair in zip(pairs, cleaned, strict=True):
            if pair is None:
                rows.append((None, None, None))
                continue
            text, written = pair
            found = align(np.array([vectors[caption] @ vectors[text] for caption in written]))
            said = bool(text.strip() and written[found.best].strip())
            rows.append((found.score if said else 0.0, found.mean, captions[found.best]))
        return {name: [row[i] for row in rows] for i, name in enumerate(self.gives())}


def clean(caption: str, mode: Mode = "words") -> str:
    """The caption without phrases about the medium."""
    for pattern in _ANYWHERE if mode == "sieve" else _WORDS:
        caption = pattern.sub("", caption)
    return caption if mode == "sieve" else " ".join(caption.split())


def align(cosines: np.ndarray) -> Aligned:
    """From the cosines (k,) of a text and its captions; of equal ones the first is the best."""
    best = int(np.argmax(cosines))
    return Aligned(float(cosines[best]), best, float(np.mean(cosines)))


def _embedded(texts: set[str]) -> dict[str, np.ndarray]:
    """Unit rows, float32 (384,)."""
    from curate.models import sentence_encoder

    ordered = sorted(texts)
    return dict(zip(ordered, sentence_encoder().encode(ordered), strict=True))
