"""Decisions about captions."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import ConfigDict, Field, model_validator

from curate.contracts import Bounds, Columns, Filter
from filters.thresholds import all_within, within


class CaptionLength(Filter):
    """Keeps captions within limits of words (`text.split()`) and characters (code points), all inclusive."""

    min_words: int | None = Field(default=None, ge=0)
    max_words: int | None = Field(default=None, ge=0)
    min_chars: int | None = Field(default=None, ge=0)
    max_chars: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if not self.bounds():
            raise ValueError("give at least one of min_words, max_words, min_chars, max_chars")
        return self

    def inputs(self) -> tuple[str, ...]:
        """Only the counts that are limited."""
        return tuple(self.bounds())

    def bounds(self) -> Bounds:
        """Limits per count."""
        limits: Bounds = {
            "caption_words": (self.min_words, self.max_words),
            "caption_chars": (self.min_chars, self.max_chars),
        }
        return {name: pair for name, pair in limits.items() if pair != (None, None)}

    def keep(self, columns: Columns) -> np.ndarray:
        """Drops a missing caption."""
        return all_within(columns, self.bounds())


class Language(Filter):
    """Keeps captions whose most probable language is one of `keep`, with at least the probability `min_score`.

    Short captions are often taken for another language with a low probability: `certainty` keeps those for which the other
    language's probability is below it. At 0.5 a caption is dropped when another language is likelier than all else together.
    """

    model_config = ConfigDict(populate_by_name=True)

    needs: ClassVar[tuple[str, ...]] = ("lang", "lang_score")

    languages: str | tuple[str, ...] = Field(
        alias="keep", min_length=1, description="ISO 639 codes, one or a list: `en`, `[en, de]`"
    )
    min_score: float = Field(default=0.0, ge=0, le=1)
    certainty: float = Field(
        default=0.0, ge=0, le=1, description="probability from which another language drops a caption"
    )

    def bounds(self) -> Bounds:
        """The lowest probability that stays."""
        return {"lang_score": (self.min_score, None)} if self.min_score > 0 else {}

    def keep(self, columns: Columns) -> np.ndarray:
        """Drops a caption without a language."""
        named = np.array([lang is not None for lang in columns["lang"]], bool)
        wanted = named & np.isin(columns["lang"].astype(str), self.languages)
        doubtful = named & ~wanted & (columns["lang_score"] < self.certainty)
        return doubtful | (wanted & within(columns["lang_score"], self.min_score, None))


class Letters(Filter):
    """Keeps captions of which at least `min` of the characters that are not white space are letters, in any script."""

    needs: ClassVar[tuple[str, ...]] = ("caption_letters",)

    min: float = Field(gt=0, le=1)

    def bounds(self) -> Bounds:
        """The lowest share that stays."""
        return {"caption_letters": (self.min, None)}

    def keep(self, columns: Columns) -> np.ndarray:
        """Drops a missing caption."""
        return all_within(columns, self.bounds())


class CleanText(Filter):
    """Drops captions that nobody wrote as one: addresses, file names, markup, control characters, a shop's phrases.

    `CaptionStats` finds the faults (`stages/signals/faults.py` has the rules); `allow` names those that may stay.
    """

    needs: ClassVar[tuple[str, ...]] = ("caption_faults",)

    allow: tuple[Literal["address", "filename", "markup", "control", "boilerplate"], ...] = ()

    def keep(self, columns: Columns) -> np.ndarray:
        """Drops a missing caption."""
        faults = columns["caption_faults"]
        clean = faults == ""
        if self.allow:
            some = np.flatnonzero(~clean & (faults != None))  # noqa: E711
            clean[some] = [set(faults[i].split(",")) <= set(self.allow) for i in some]
        return clean
