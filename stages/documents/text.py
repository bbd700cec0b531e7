"""What a document says as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from curate.contracts import Columns, DocumentFact, State
from curate.documents import spans
from curate.schema import TEXT


class WholeText(DocumentFact):
    """The texts of a document that are left, joined by an empty line: what signals about a document's text read.

    OBELICS judges documents by it (Laurençon et al. 2023, appendix A.2), after its paragraphs were judged one by one.
    """

    needs: ClassVar[tuple[str, ...]] = ("text",)

    def gives(self) -> dict[str, pa.DataType]:
        """document_text: empty for a document without texts."""
        return {"document_text": pa.string()}

    def compute(self, columns: Columns, state: State) -> dict[str, Sequence[Any] | np.ndarray]:
        """Empty texts leave no empty lines."""
        found = np.full(len(columns["kind"]), None, object)
        for document, nodes in spans(columns):
            texts = columns["text"][nodes][columns["kind"][nodes] == TEXT]
            found[document] = "\n\n".join([text for text in texts.tolist() if text])
        return {"document_text": found}
