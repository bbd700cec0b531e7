"""Means of nodes, and what nodes have from their document."""

from __future__ import annotations

import numpy as np

from stages.documents.inherit import OfDocument
from stages.documents.means import NodeMeans

KIND = np.array(["document", "image", "text", "image", "document", "document", "image"], object)


def test_means_are_over_the_nodes_that_have_a_value() -> None:
    column = np.array([9.0, 1.0, np.nan, 2.0, 9.0, 9.0, np.nan], np.float32)
    found = NodeMeans(columns=("relevance",)).compute({"kind": KIND, "relevance": column}, {})
    assert [found["mean_relevance"][row] for row in (0, 4, 5)] == [1.5, None, None]


def test_nodes_have_their_documents_language() -> None:
    column = np.array(["en", None, None, None, "de", None, None], object)
    found = OfDocument(column="language").compute({"kind": KIND, "language": column}, {})
    assert list(found["document_language"]) == ["en"] * 4 + ["de", None, None]
    number = np.array([0.5, np.nan, np.nan, np.nan, 1.0, np.nan, np.nan])
    step = OfDocument(column="document_quality", type="number")
    assert (
        list(step.compute({"kind": KIND, "document_quality": number}, {})["document_document_quality"])[:4] == [0.5] * 4
    )
