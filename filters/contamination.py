"""The decision about samples of evaluation sets."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from curate.contracts import Columns, Filter


class NotContaminated(Filter):
    """Drops what `stages.signals.contamination.Contamination` found in an evaluation set; the ledger names the set."""

    needs: ClassVar[tuple[str, ...]] = ("contaminated_by",)

    def keep(self, columns: Columns) -> np.ndarray:
        """Boolean (n,): no set was found."""
        return np.array([value is None for value in columns["contaminated_by"].tolist()], bool)
