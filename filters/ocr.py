"""Decisions about text in images."""

from __future__ import annotations

import re
from typing import ClassVar

import numpy as np
from pydantic import Field

from curate.contracts import Columns, Filter

_WORD = re.compile(r"\w+")


class TextOverlap(Filter):
    """Keeps pairs of which at most the share `max` of the caption's words is written in the image.

    A caption that spells out the image teaches a model to read, not to see. It is the third criterion of CAT (Radenovic
    et al. 2023, "Filtering, Distillation, and Hard Negatives for Vision-Language Pre-Training", section 3.1), which names
    no number. Words are runs of letters and digits, compared without case, each caption word counted as often as it stands.
    """

    needs: ClassVar[tuple[str, ...]] = ("text", "ocr_text")

    max: float = Field(default=0.5, ge=0, le=1)

    def keep(self, columns: Columns) -> np.ndarray:
        """A caption without words overlaps nothing."""
        pairs = zip(columns["text"], columns["ocr_text"], strict=True)
        return np.array([overlap(text or "", seen or "") <= self.max for text, seen in pairs], bool)


def overlap(caption: str, seen: str) -> float:
    """Share of the caption's words that are among the words read in the image, [0, 1]."""
    words = _WORD.findall(caption.casefold())
    written = set(_WORD.findall(seen.casefold()))
    return sum(word in written for word in words) / len(words) if words else 0.0
