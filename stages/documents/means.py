"""What a document's nodes are on average."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate.contracts import Columns, DocumentFact, State
from curate.documents import owners
from curate.schema import DOCUMENT


class NodeMeans(DocumentFact):
    """Means over a document's nodes of columns that they have: of its images' relevance, its paragraphs' perplexity."""

    columns: tuple[str, ...] = Field(min_length=1, description="columns of numbers about texts or images")

    def inputs(self) -> tuple[str, ...]:
        """The columns."""
        return self.columns

    def gives(self) -> dict[str, pa.DataType]:
        """mean_NAME per column, in its unit; null where no node has a value."""
        return {f"mean_{name}": pa.float32() for name in self.columns}

    def compute(self, columns: Columns, state: State) -> dict[str, Sequence[Any] | np.ndarray]:
        """All documents at once."""
        documents = np.flatnonzero(columns["kind"] == DOCUMENT)
        owner = owners(columns)
        found = {name: np.full(len(owner), None, object) for name in self.gives()}
        for name in self.columns:
            values = columns[name].astype(np.float64)
            known = np.isfinite(values) & (columns["kind"] != DOCUMENT)
            count = np.bincount(owner[known], minlength=len(documents))
            total = np.bincount(owner[known], values[known], minlength=len(documents))
            has = count > 0
            found[f"mean_{name}"][documents[has]] = total[has] / count[has]
        return {**found}
