"""Decisions about how well image and caption go together."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from curate.contracts import Bounds, Columns, Filter
from filters.thresholds import all_within


class Similarity(Filter):
    """Keeps pairs whose score is at least `min`. What a score is worth depends on the model that gave it."""

    min: float = Field(description="LAION-5B took 0.28 for English by CLIP ViT-B/32; every model has its own scale")
    column: str = "similarity"

    def inputs(self) -> tuple[str, ...]:
        """The score's column."""
        return (self.column,)

    def bounds(self) -> Bounds:
        """The lowest score that stays."""
        return {self.column: (self.min, None)}

    def keep(self, columns: Columns) -> np.ndarray:
        """Drops a pair without a score."""
        return all_within(columns, self.bounds())
