"""Decisions about duplicates that `stages.select.dedup.Duplicates` has grouped."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from curate.contracts import Bounds, Columns, Filter
from filters.thresholds import all_within


class FirstOfGroup(Filter):
    """Keeps the first of each group of duplicates, whether or not another rule drops it.

    Where other rules may drop the first, `stages.select.dedup.OnePerGroup` keeps the best that is still there.
    """

    needs: ClassVar[tuple[str, ...]] = ("dup_rank",)

    def bounds(self) -> Bounds:
        """Rank 0 stays."""
        return {"dup_rank": (None, 0)}

    def keep(self, columns: Columns) -> np.ndarray:
        """Keeps what has no duplicate."""
        return all_within(columns, self.bounds())
