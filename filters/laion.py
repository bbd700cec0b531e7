"""The rules of LAION-5B (Schuhmann et al. 2022, section 3; LAION's announcement) and of its subsets."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from curate.contracts import Bounds, Columns, Filter
from filters.thresholds import all_within


class Size(Filter):
    """Drops captions of fewer than `min_chars` characters and image files of fewer than `min_bytes` bytes (5 KB)."""

    needs: ClassVar[tuple[str, ...]] = ("caption_chars", "bytes")

    min_chars: int = Field(default=5, ge=0)
    min_bytes: int = Field(default=5000, ge=0)

    def bounds(self) -> Bounds:
        """Both limits stay."""
        return {"caption_chars": (self.min_chars, None), "bytes": (self.min_bytes, None)}

    def keep(self, columns: Columns) -> np.ndarray:
        """Drops a missing caption."""
        return all_within(columns, self.bounds())


class LanguageSimilarity(Filter):
    """Keeps pairs whose similarity reaches their language's threshold.

    Theirs: 0.28 for English by CLIP ViT-B/32, 0.26 for all others by a multilingual CLIP. Scales differ by model.
    """

    needs: ClassVar[tuple[str, ...]] = ("lang",)

    thresholds: dict[str, float] = Field(default={"en": 0.28}, description="language -> lowest similarity that stays")
    other: float = Field(default=0.26, description="lowest similarity of every other language, and of none")
    column: str = "similarity"

    def inputs(self) -> tuple[str, ...]:
        """The language and the score's column."""
        return (*self.needs, self.column)

    def bounds(self) -> Bounds:
        """The lowest of all thresholds."""
        return {self.column: (min(self.other, *self.thresholds.values()), None)}

    def keep(self, columns: Columns) -> np.ndarray:
        """Drops a pair without a score."""
        score = columns[self.column]
        least = [self.thresholds.get(lang, self.other) for lang in columns["lang"].tolist()]
        return score >= np.array(least, np.float64).astype(score.dtype)  # in the score's own precision


class Below(Filter):
    """Keeps pairs whose score is below `max`, which itself drops: `punsafe < 0.5`, `pwatermark < 0.8` in LAION's subsets."""

    column: str
    max: float
    missing: Literal["drop", "keep"] = Field(default="drop", description="what happens to a pair without the score")

    def inputs(self) -> tuple[str, ...]:
        """The score's column."""
        return (self.column,)

    def bounds(self) -> Bounds:
        """Up to the limit."""
        return {self.column: (None, self.max)}

    def keep(self, columns: Columns) -> np.ndarray:
        """A score that is missing is NaN, which is below nothing."""
        score = columns[self.column]
        if score.dtype.kind != "f":
            score = score.astype(np.float64)
        limit = np.float64(self.max).astype(score.dtype)  # in the score's own precision
        return (score < limit) | (np.isnan(score) & (self.missing == "keep"))


class OneOf(Filter):
    """Keeps pairs of which a column of text is one of `values`: LAION-400M's tag `NSFW: UNLIKELY`, a licence, a source."""

    column: str
    values: tuple[str, ...] = Field(min_length=1)

    def inputs(self) -> tuple[str, ...]:
        """The column."""
        return (self.column,)

    def keep(self, columns: Columns) -> np.ndarray:
        """Drops a pair without the value."""
        return np.array([value in self.values for value in columns[self.column].tolist()], bool)
