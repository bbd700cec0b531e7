"""What nodes have from their document."""

from __future__ import annotations

import numpy as np

from stages.documents.inherit import OfDocument

KIND = np.array(["document", "image", "text", "image", "document", "document", "image"], object)


def test_nodes_have_their_documents_language() -> None:
    column = np.array(["en", None, None, None, "de", None, None], object)
    found = OfDocument(column="language").compute({"kind": KIND, "language": column}, {})
    assert list(found["document_language"]) == ["en"] * 4 + ["de", None, None]
    number = np.array([0.5, np.nan, np.nan, np.nan, 1.0, np.nan, np.nan])
    step = OfDocument(column="document_quality", type="number")
    assert (
        list(step.compute({"kind": KIND, "document_quality": number}, {})["document_document_quality"])[:4] == [0.5] * 4
    )
