"""A signal that reads another's columns and no image; a plugin package for the tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from curate.contracts import Batch, Signal


class Doubled(Signal):
    """Twice a column of another signal."""

    column: str

    def inputs(self) -> tuple[str, ...]:
        return (self.column,)

    def gives(self) -> dict[str, pa.DataType]:
        return {"doubled": pa.float32()}

    def compute(self, batch: Batch) -> dict[str, Sequence[Any] | np.ndarray]:
        return {"doubled": np.asarray(batch.columns[self.column], np.float32) * 2}
