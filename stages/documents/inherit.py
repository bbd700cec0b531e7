"""What nodes have from their document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate.contracts import Columns, DocumentFact, Kind, State
from curate.documents import owners
from curate.schema import DOCUMENT


class OfDocument(DocumentFact):
    """A column of a document, given to its nodes: its language, so that of one picture one per language can be kept."""

    kinds: ClassVar[tuple[Kind, ...]] = ("text", "image")
    sees: ClassVar[Literal["page", "kept"]] = "page"

    column: str = Field(description="about documents, such as language")
    type: Literal["text", "number"] = "text"

    def inputs(self) -> tuple[str, ...]:
        """The column."""
        return (self.column,)

    def gives(self) -> dict[str, pa.DataType]:
        """document_NAME: a string or a float64, as the document has it; null where it has none."""
        return {f"document_{self.column}": pa.string() if self.type == "text" else pa.float64()}

    def compute(self, columns: Columns, state: State) -> dict[str, Sequence[Any] | np.ndarray]:
        """All rows at once."""
        values = columns[self.column][columns["kind"] == DOCUMENT].astype(object)[owners(columns)]
        missing = np.array([isinstance(value, float) and np.isnan(value) for value in values.tolist()], bool)
        values[missing] = None
        return {f"document_{self.column}": values}
