"""Decisions about text in images."""

from __future__ import annotations

import re
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from curate.contracts import Columns, Filter

_WORD = re.compile(r"\w+")
CAT_CHARACTERS = 5


class TextOverlap(Filter):
    """Keeps pairs whose caption does not spell out the image: it would teach a model to read, not to see.

    The third criterion of CAT (Radenovic et al. 2023, "Filtering, Distillation, and Hard Negatives for Vision-Language
    Pre-Training", section 3.1), whose code is not public. `share`: at most the share `max` of the caption's words is
    written in the image; words are runs of letters and digits, compared without case, each caption word counted as often
    as it stands. `cat`: no five characters in a row of a word in the image are also in a word of the caption.
    """

    needs: ClassVar[tuple[str, ...]] = ("text", "ocr_text")

    max: float = Field(default=0.5, ge=0, le=1, description="mode share: highest share that stays")
    mode: Literal["share", "cat"] = "share"

    def keep(self, columns: Columns) -> np.ndarray:
        """A caption without words overlaps nothing."""
        pairs = [(text or "", seen or "") for text, seen in zip(columns["text"], columns["ocr_text"], strict=True)]
        if self.mode == "cat":
            return np.array([not spells(caption, seen) for caption, seen in pairs], bool)
        return np.array([overlap(caption, seen) <= self.max for caption, seen in pairs], bool)


def overlap(caption: str, seen: str) -> float:
    """Share of the caption's words that are among the words read in the image, [0, 1]."""
    words = _WORD.findall(caption.casefold())
    written = set(_WORD.findall(seen.casefold()))
    return sum(word in written for word in words) / len(words) if words else 0.0


def spells(caption: str, seen: str, characters: int = CAT_CHARACTERS) -> bool:
    """Whether a word of the caption and one read in the image share that many characters in a row, without case."""
    return seen != "" and not _runs(caption, characters).isdisjoint(_runs(seen, characters))


def _runs(text: str, n: int) -> set[str]:
    return {word[i : i + n] for word in _WORD.findall(text.casefold()) for i in range(len(word) - n + 1)}
