"""Decisions about captions."""

from __future__ import annotations

import re
from typing import ClassVar, Self

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
    """Keeps captions whose most probable language is one of `keep`, with at least the probability `min_score`."""

    model_config = ConfigDict(populate_by_name=True)

    needs: ClassVar[tuple[str, ...]] = ("lang", "lang_score")

    languages: str | tuple[str, ...] = Field(
        alias="keep", min_length=1, description="ISO 639 codes, one or a list: `en`, `[en, de]`"
    )
    min_score: float = Field(default=0.0, ge=0, le=1)

    def bounds(self) -> Bounds:
        """The lowest probability that stays."""
        return {"lang_score": (self.min_score, None)} if self.min_score > 0 else {}

    def keep(self, columns: Columns) -> np.ndarray:
        """Drops a caption without a language."""
        known = np.isin(columns["lang"].astype(str), self.languages)
        return known & within(columns["lang_score"], self.min_score, None)


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


_FAULTS = {
    "urls": r"https?://|www\.[a-z0-9]",
    # The whole caption is a file's name, or the number that a camera, telephone or screen gave it.
    "filenames": r"\A\s*[^\s/\\]*[\w)-]\.(?:jpe?g|png|gif|webp|bmp|tiff?|svg|heic|psd|cr2|nef)\s*\Z"
    r"|\A\s*(?:img|dscn?|dscf|dsc|pict|pxl|mvi|p|image|photo|screenshot)[ _-]?\d{3,}[\w-]*\s*\Z",
    # HTML tags, entities and forum codes; "a < b" and "R&B" are none.
    "markup": r"</?[a-z][a-z0-9]*(?:\s[^<>]*)?/?>|<!--|&(?:[a-z]{2,8}|#\d{1,7}|#x[0-9a-f]{1,6});"
    r"|\[/?(?:url|img)[=\]]|\[/[bi]\]",
    # C0 and C1 controls except tab and line breaks, bidirectional overrides, the replacement character, private use
    # (icon fonts). Joiners and variation selectors are legitimate: emoji and Indic scripts need them.
    "controls": "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ue000-\uf8ff\ufffd]",
}


class CleanText(Filter):
    """Drops captions that nobody wrote as one: URLs, file names, markup, control characters. Each can be allowed."""

    needs: ClassVar[tuple[str, ...]] = ("text",)

    urls: bool = Field(default=True, description="drop captions that hold an address of the web")
    filenames: bool = Field(default=True, description="drop captions that are a file's name and nothing else")
    markup: bool = Field(default=True, description="drop captions with HTML tags, entities or forum codes")
    controls: bool = Field(default=True, description="drop captions with control or private-use characters")

    @model_validator(mode="after")
    def _drops_something(self) -> Self:
        if not self._active():
            raise ValueError("at least one of urls, filenames, markup, controls has to be true")
        return self

    def keep(self, columns: Columns) -> np.ndarray:
        """Drops a missing caption."""
        search = re.compile("|".join(self._active()), re.IGNORECASE).search
        texts = columns["text"].tolist()
        return np.fromiter((text is not None and search(text) is None for text in texts), bool, len(texts))

    def _active(self) -> list[str]:
        return [pattern for name, pattern in _FAULTS.items() if getattr(self, name)]
