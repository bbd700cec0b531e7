"""Steps that repeat documents and move images; a plugin package for the tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from curate.contracts import Columns, DocumentFact, Kind, Scan, Selection, State
from curate.documents import spans


class Repeat(Selection):
    """Exports each document as often as its title has words."""

    kinds: ClassVar[tuple[Kind, ...]] = ("document",)
    needs: ClassVar[tuple[str, ...]] = ("text",)

    def fit(self, scan: Scan, seed: int) -> State:
        return {}

    def apply(self, columns: Columns, state: State, seed: int) -> np.ndarray:
        return np.array([len(title.split()) for title in columns["text"]])


class Ahead(DocumentFact):
    """Sends the last image of a document to its first node, and the others nowhere."""

    kinds: ClassVar[tuple[Kind, ...]] = ("image",)

    def gives(self) -> dict[str, pa.DataType]:
        return {"goes": pa.int32()}

    def compute(self, columns: Columns, state: State) -> dict[str, Sequence[Any] | np.ndarray]:
        found = np.full(len(columns["kind"]), None, object)
        for _, nodes in spans(columns):
            images = nodes.start + np.flatnonzero(columns["kind"][nodes] == "image")
            found[images[-1:]] = 0
        return {"goes": found.tolist()}
