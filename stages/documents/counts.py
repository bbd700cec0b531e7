"""What a document has: how many texts, images and words; and any number of its nodes, brought up to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate.contracts import Columns, DocumentFact, State
from curate.documents import owners
from curate.schema import DOCUMENT, IMAGE, TEXT
from stages.signals.text import without

_REDUCE: Final[dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]]] = {
    "max": np.maximum.reduceat,
    "min": np.minimum.reduceat,
    "sum": np.add.reduceat,
}


class Counts(DocumentFact):
    """Texts, images and words (`text.split()`) of a document that are left. Empty texts do not count."""

    needs: ClassVar[tuple[str, ...]] = ("text",)

    def gives(self) -> dict[str, pa.DataType]:
        """document_texts, document_images, document_words."""
        return {f"document_{name}": pa.int32() for name in ("texts", "images", "words")}

    def compute(self, columns: Columns, state: State) -> dict[str, Sequence[Any] | np.ndarray]:
        """Of a row that is no document: its document's."""
        kind, owner = columns["kind"], owners(columns)
        words = np.zeros(len(kind), np.int64)
        for row in np.flatnonzero(kind == TEXT).tolist():
            words[row] = len((columns["text"][row] or "").split())
        counted = {"texts": (kind == TEXT) & (columns["text"] != ""), "images": kind == IMAGE, "words": words}
        totals = {name: np.bincount(owner, weights, minlength=1) for name, weights in counted.items()}
        return {f"document_{name}": total.astype(np.int32)[owner] for name, total in totals.items()}


class OverNodes(DocumentFact):
    """A document's highest, lowest, total or mean value of a column of its nodes that are left.

    OBELICS drops a document for one bad image (Laurençon et al. 2023, section 3.3): `max` of the images' scores.
    """

    column: str = Field(description="a number (or truth value) of texts or images")
    take: Literal["max", "min", "sum", "mean"]

    def inputs(self) -> tuple[str, ...]:
        """The column."""
        return (self.column,)

    def gives(self) -> dict[str, pa.DataType]:
        """TAKE_COLUMN, such as max_nsfw; null for a document none of whose nodes has a value."""
        return {f"{self.take}_{self.column}": pa.float64()}

    def compute(self, columns: Columns, state: State) -> dict[str, Sequence[Any] | np.ndarray]:
        """Nodes without a value do not count."""
        values = columns[self.column].astype(np.float64)
        owner = owners(columns)
        has = ~np.isnan(values) & (columns["kind"] != DOCUMENT)
        found = np.full(len(owner), np.nan)
        if has.any():
            documents, first = np.unique(owner[has], return_index=True)
            taken = _REDUCE["sum" if self.take == "mean" else self.take](values[has], first)
            if self.take == "mean":
                taken = taken / np.diff(np.append(first, has.sum()))
            found[np.flatnonzero(columns["kind"] == DOCUMENT)[documents]] = taken
        return {f"{self.take}_{self.column}": without(found, np.isnan(found))}
