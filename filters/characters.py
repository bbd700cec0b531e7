"""Decisions about the characters of captions."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from curate.contracts import Bounds, Columns, Filter
from filters.thresholds import all_within


class Characters(Filter):
    """Keeps captions that consist of words: enough letters and digits, few signs. Spaces count as characters."""

    needs: ClassVar[tuple[str, ...]] = ("caption_alnum", "caption_special")

    min_alnum: float = Field(default=0.6, ge=0, le=1)
    max_special: float = Field(default=0.25, ge=0, le=1)

    def bounds(self) -> Bounds:
        """The limits."""
        return {"caption_alnum": (self.min_alnum, None), "caption_special": (None, self.max_special)}

    def keep(self, columns: Columns) -> np.ndarray:
        """Drops a missing caption."""
        return all_within(columns, self.bounds())
