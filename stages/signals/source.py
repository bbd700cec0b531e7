"""What the source itself published about a pair, such as LAION's scores, from the JSON that came with it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate.contracts import Batch, Signal

Kind = Literal["number", "text"]


class SourceFields(Signal):
    """Fields of the source's own JSON (`meta`) as columns, named alike; `rename` gives them other names.

    LAION publishes `punsafe`, the probability that the image is not safe for work, and `pwatermark`, that it bears a
    watermark (LAION-5B, Schuhmann et al. 2022, section 3.2), both 0 to 1 and both by its own classifiers.
    """

    needs: ClassVar[tuple[str, ...]] = ("meta",)
    cost: ClassVar[float] = 0.005

    fields: dict[str, Kind] = Field(
        default={"punsafe": "number", "pwatermark": "number"}, min_length=1, description="field of the JSON -> its type"
    )

    def gives(self) -> dict[str, pa.DataType]:
        """A number is a float64, a text a string."""
        return {name: pa.float64() if kind == "number" else pa.string() for name, kind in self.fields.items()}

    def compute(self, batch: Batch) -> dict[str, Sequence[Any] | np.ndarray]:
        """What is absent, of another type, or not finite is null: sources are what they are."""
        records = [_record(meta) for meta in batch.columns["meta"].tolist()]
        return {name: [_READ[kind](record.get(name)) for record in records] for name, kind in self.fields.items()}


def _record(meta: str | None) -> dict[str, Any]:
    try:
        found = json.loads(meta) if meta else None
    except (ValueError, RecursionError):  # cut off, no JSON at all, or nested to break parsers
        return {}
    return found if isinstance(found, dict) else {}


def _number(value: object) -> float | None:
    """A number, or a number written as text, as metadata that went through CSV has it."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def _text(value: object) -> str | None:
    """Text without unpaired surrogates, which JSON can spell and Arrow cannot hold."""
    return value.encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else None


_READ: Final[dict[Kind, Callable[[object], float | str | None]]] = {"number": _number, "text": _text}
