"""Whether a document's texts are prose or the furniture of a site."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar, Final

import numpy as np
import pyarrow as pa

from curate.contracts import Columns, DocumentFact, State
from curate.documents import spans
from curate.schema import TEXT
from stages.documents.coherence import HEADINGS

LABEL: Final = 25
"""Characters below which a text is a label rather than a sentence."""
EDGE: Final = 3
"""Texts at either end of a document, where menus and footers stand."""
ENDS: Final = tuple(".!?:;…。！？：；।؟")
"""What a sentence ends with."""


class Prose(DocumentFact):
    """Shares of links, labels, sentences and repetitions among the texts of a document (after Kohlschuetter et al. 2010,
    "Boilerplate detection using shallow text features": link density and text length tell most; what other pages of the
    domain say too is `stages.select.image_frequency.TextFrequency`'s to count)."""

    needs: ClassVar[tuple[str, ...]] = ("text", "tag", "link", "text_pages")

    def gives(self) -> dict[str, pa.DataType]:
        """Shares, 0 to 1, null for a document without text. Of its characters: prose_links, in texts that are one link;
        prose_sentences, in texts that end as sentences do. Of its texts: prose_labels, shorter than 25 characters and no
        heading; prose_repeats, that stood before; prose_shared, that other pages of the domain have, headings aside;
        prose_edges, links, labels or shared ones among the first and the last three."""
        columns = ("prose_links", "prose_sentences", "prose_labels", "prose_repeats", "prose_shared", "prose_edges")
        return dict.fromkeys(columns, pa.float32())

    def compute(self, columns: Columns, state: State) -> dict[str, Sequence[Any] | np.ndarray]:
        """Document by document."""
        found = {name: np.full(len(columns["kind"]), None, object) for name in self.gives()}
        for document, nodes in spans(columns):
            rows = np.flatnonzero(columns["kind"][nodes] == TEXT) + nodes.start
            texts = [(text or "").strip() for text in columns["text"][rows].tolist()]
            heading = np.isin(columns["tag"][rows].astype(str), HEADINGS)
            linked = np.array([link is not None for link in columns["link"][rows].tolist()], bool)
            shared = columns["text_pages"][rows].astype(np.float64) > 1  # one that was not counted is not
            for name, value in shares(texts, heading, linked, shared).items():
                found[name][document] = value
        return {**found}


def shares(texts: Sequence[str], heading: np.ndarray, linked: np.ndarray, shared: np.ndarray) -> dict[str, float]:
    """From a document's texts, which are headings, which one link, and which on other pages, bool (n,) each.

    Empty: there is no text.
    """
    sizes = np.array([len(text) for text in texts], np.int64)
    if not sizes.sum():
        return {}
    label, common = (sizes < LABEL) & ~heading, shared & ~heading
    ends = np.array([text.endswith(ENDS) for text in texts], bool)
    edge = np.r_[0 : min(EDGE, len(texts)), max(EDGE, len(texts) - EDGE) : len(texts)]
    return {
        "prose_links": float(sizes[linked].sum() / sizes.sum()),
        "prose_sentences": float(sizes[ends].sum() / sizes.sum()),
        "prose_labels": float(label.mean()),
        "prose_repeats": 1 - len(Counter(texts)) / len(texts),
        "prose_shared": float(common.mean()),
        "prose_edges": float((label | linked | common)[edge].mean()),
    }
