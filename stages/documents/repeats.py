"""What a document says or shows again: images a second time, marks of an end that end nothing; and which images it has."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from curate.contracts import Columns, DocumentFact, Kind, State
from curate.documents import spans
from curate.schema import IMAGE, TEXT
from stages.signals.obelics import END_OF_DOCUMENT


class RepeatedImages(DocumentFact):
    """How often an image's URL stood earlier in its document (OBELICS' final processing keeps the first).

    An image without a URL is known by its bytes.
    """

    kinds: ClassVar[tuple[Kind, ...]] = ("image",)
    needs: ClassVar[tuple[str, ...]] = ("url", "sha256")

    def gives(self) -> dict[str, pa.DataType]:
        """image_repeat: 0 for the first."""
        return {"image_repeat": pa.int32()}

    def compute(self, columns: Columns, state: State) -> dict[str, Sequence[Any] | np.ndarray]:
        """In reading order, among the images that are left."""
        found = np.zeros(len(columns["kind"]), np.int32)
        for _, nodes in spans(columns):
            seen: dict[str | bytes | None, int] = {}
            for row in (nodes.start + np.flatnonzero(columns["kind"][nodes] == IMAGE)).tolist():
                image = columns["url"][row] or columns["sha256"][row]
                found[row] = seen[image] = seen.get(image, -1) + 1
        return {"image_repeat": found}


class EndMarks(DocumentFact):
    """OBELICS' END_OF_DOCUMENT tokens, and which of them say nothing: those that follow another, and the last of all.

    Its final processing (Laurençon et al. 2023, appendix A.2) merges neighbours, with no image between them, and takes
    one away from the end of a document; a document whose texts are tokens only is none.
    """

    kinds: ClassVar[tuple[Kind, ...]] = ("text",)
    needs: ClassVar[tuple[str, ...]] = ("text",)

    def gives(self) -> dict[str, pa.DataType]:
        """end_mark: 0 for a text, 1 for a token that stands between others, 2 for one that says nothing."""
        return {"end_mark": pa.int8()}

    def compute(self, columns: Columns, state: State) -> dict[str, Sequence[Any] | np.ndarray]:
        """Empty texts stand between nothing."""
        found = np.zeros(len(columns["kind"]), np.int8)
        there = ~((columns["kind"] == TEXT) & (columns["text"] == ""))
        for _, nodes in spans(columns):
            rows = nodes.start + np.flatnonzero(there[nodes])
            mark = (columns["kind"][rows] == TEXT) & np.array(
                [(text or "").strip() == END_OF_DOCUMENT for text in columns["text"][rows].tolist()], bool
            )
            idle = mark.copy()
            idle[1:] &= mark[:-1]  # of a run of tokens the first stays …
            idle[:1] = False
            ends = len(rows) - np.argmin(np.append(mark[::-1], False))
            idle[ends:] = True  # … but none at the end
            found[rows] = mark.astype(np.int8) + idle
        return {"end_mark": found}


class ImageSet(DocumentFact):
    """A name for the set of a document's image URLs: documents with equal names show the same images.

    `obelics`: the sorted URLs are joined without anything between them, so that sets of other URLs may have one name.
    """

    needs: ClassVar[tuple[str, ...]] = ("url",)

    mode: Literal["default", "obelics"] = "default"

    def gives(self) -> dict[str, pa.DataType]:
        """image_set: 32 hexadecimal digits (BLAKE2b); null for a document without an image's URL."""
        return {"image_set": pa.string()}

    def compute(self, columns: Columns, state: State) -> dict[str, Sequence[Any] | np.ndarray]:
        """Of the images that are left."""
        found = np.full(len(columns["kind"]), None, object)
        for document, nodes in spans(columns):
            urls = set(columns["url"][nodes][columns["kind"][nodes] == IMAGE].tolist()) - {None}
            if urls:
                text = ("" if self.mode == "obelics" else "\n").join(sorted(urls))
                found[document] = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        return {"image_set": found}
