"""Decisions about duplicates, on facts of `stages.select.dedup` and `stages.select.semantic`."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from curate.contracts import Bounds, Columns, Filter
from filters.thresholds import all_within


class FirstOfGroup(Filter):
    """Keeps the first of each group of duplicates, whether or not another rule drops it.

    Where other rules may drop the first, `stages.select.dedup.OnePerGroup` keeps the best that is still there.
    """

    groups: str = Field(default="dup", description="whose column: dup_rank; semantic: SemanticDuplicates' own")

    def inputs(self) -> tuple[str, ...]:
        """The rank in the group."""
        return (f"{self.groups}_rank",)

    def bounds(self) -> Bounds:
        """Rank 0 stays."""
        return {f"{self.groups}_rank": (None, 0)}

    def keep(self, columns: Columns) -> np.ndarray:
        """Keeps what has no duplicate."""
        return all_within(columns, self.bounds())


class NotSemantic(Filter):
    """SemDeDup's decision (Abbas et al. 2023): drops what has a cosine above 1 - `eps` to an earlier row of its cluster.

    In the paper an eps near 0.06 halves LAION-440M; every model has its own scale.
    """

    needs: ClassVar[tuple[str, ...]] = ("semdedup_similarity",)

    eps: float = Field(ge=0, le=1, description="1 minus the cosine from which on a row is a duplicate")

    def bounds(self) -> Bounds:
        """The highest cosine that stays."""
        return {"semdedup_similarity": (None, 1 - self.eps)}

    def keep(self, columns: Columns) -> np.ndarray:
        """Keeps a row without an embedding: nothing is known to be like it."""
        return ~(columns["semdedup_similarity"].astype(np.float32) > np.float32(1 - self.eps))
