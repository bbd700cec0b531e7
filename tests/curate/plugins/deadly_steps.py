"""A signal that ends its process at once, as a power cut would; a plugin package for the tests."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from curate.contracts import Batch, Signal


class PowerCut(Signal):
    """Kills the process that computes it."""

    def inputs(self) -> tuple[str, ...]:
        return ("text",)

    def gives(self) -> dict[str, pa.DataType]:
        return {"cut": pa.float32()}

    def compute(self, batch: Batch) -> dict[str, Sequence[Any] | np.ndarray]:
        os.kill(os.getpid(), signal.SIGKILL)
        return {"cut": np.zeros(len(batch.columns["text"]), np.float32)}
