"""What a caption's characters are: letters and digits, or signs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from curate.contracts import Batch, Signal
from stages.signals.text import code_points, of_each, without


class Characters(Signal):
    """Shares of a caption's characters, white space among them, as common filter sets measure them.

    `caption_alnum`: letters and digits, Data-Juicer's alphanumeric filter. `caption_special`: neither letter, digit nor
    white space (ROOTS and OBELICS have a list of special characters instead, which digits and spaces belong to).
    """

    needs: ClassVar[tuple[str, ...]] = ("text",)
    cost: ClassVar[float] = 0.004

    def gives(self) -> dict[str, pa.DataType]:
        """Both 0 to 1, 0 for an empty caption; no caption, no fact."""
        return {"caption_alnum": pa.float32(), "caption_special": pa.float32()}

    def compute(self, batch: Batch) -> dict[str, Sequence[Any] | np.ndarray]:
        """All captions of the batch as one array of code points."""
        texts: Sequence[str | None] = batch.columns["text"].tolist()
        captions = [text or "" for text in texts]
        sizes = np.fromiter(map(len, captions), np.int64, len(captions))
        ends = np.cumsum(sizes)
        points = code_points(captions)
        missing = np.array([text is None for text in texts], bool)
        columns: dict[str, Sequence[Any] | np.ndarray] = {}
        for name, table in zip(self.gives(), _tables(), strict=True):
            before = np.zeros(len(points) + 1, np.int32)
            np.cumsum(table[points], out=before[1:])
            shares = (before[ends] - before[ends - sizes]) / np.maximum(sizes, 1)
            columns[name] = without(shares.astype(np.float32), missing)
        return columns


@cache
def _tables() -> tuple[np.ndarray, np.ndarray]:
    """bool (0x110000,) each: letters and digits; what is neither these nor white space."""
    alnum = of_each(np.strings.isalnum)
    return alnum, ~alnum & ~of_each(np.strings.isspace)
