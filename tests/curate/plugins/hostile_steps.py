"""Signals that do to their worker what a broken native decoder does; a plugin package for the tests."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from curate.contracts import Batch, ImageLevel, Signal


class Crash(Signal):
    """Dies by SIGSEGV over images of one width, and hangs over those of another."""

    image: ClassVar[ImageLevel | None] = "thumb"
    crash_width: int = 0
    hang_width: int = 0

    def gives(self) -> dict[str, pa.DataType]:
        return {"survived": pa.int32()}

    def compute(self, batch: Batch) -> dict[str, Sequence[Any] | np.ndarray]:
        for image in batch.images:
            if image.width == self.crash_width:
                os.kill(os.getpid(), signal.SIGSEGV)
            if image.width == self.hang_width:
                time.sleep(600)
        return {"survived": [1] * len(batch.images)}


class Fussy(Signal):
    """Raises for whole batches that hold a caption of `words` words, as a careless library does."""

    needs: ClassVar[tuple[str, ...]] = ("text",)
    words: int = 4
    environment: bool = False

    def gives(self) -> dict[str, pa.DataType]:
        return {"fine": pa.bool_()}

    def compute(self, batch: Batch) -> dict[str, Sequence[Any] | np.ndarray]:
        if any(len(text.split()) == self.words for text in batch.columns["text"]):
            if self.environment:
                raise OSError(28, "No space left on device")
            raise ValueError("cannot read this caption")
        return {"fine": [True] * len(batch.columns["text"])}
