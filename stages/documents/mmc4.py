"""Images of a document married to its texts by what they show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final, Literal, Self

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from curate.contracts import Columns, DocumentFact, Kind, State
from curate.documents import spans
from curate.errors import MissingExtra
from curate.schema import IMAGE, TEXT

PAIRS: Final = 1 << 20
"""Images times texts of a document that is matched; none of the manuals' pages has a hundredth of it."""
NONE: Final = -1


class Matches(DocumentFact):
    """Which text of its document each image goes with (Zhu et al. 2023, Multimodal C4, section 3).

    A linear assignment makes the sum of similarities largest, with at most one image to a text. `mmc4`: each image gets a
    text, however unlike; images that are left over, where there are more of them than texts, each go to the text that they
    are most similar to. `default`: an image may also have no match, which counts as much as the similarity `no_match`. So
    no image goes with a text to which it is less similar, and none is left over.

    Texts are the rows that have an embedding: sentences, where the pool was read by sentence (`mode: mmc4` of a source).
    """

    kinds: ClassVar[tuple[Kind, ...]] = ("image",)

    mode: Literal["default", "mmc4"] = "default"
    no_match: float | None = Field(
        default=None,
        ge=-1,
        le=1,
        description="default mode: cosine that no match is worth; each model has its own scale",
    )
    image: str = Field(default="image_embedding", description="column of the images' embeddings")
    passage: str = Field(default="passage_embedding", description="column of the texts', of the same model")

    @model_validator(mode="after")
    def _stated(self) -> Self:
        if (self.mode == "default") == (self.no_match is None):
            raise ValueError("`no_match` belongs to the default mode, which has to state it")
        return self

    def inputs(self) -> tuple[str, ...]:
        """Both embeddings."""
        return (self.image, self.passage)

    def gives(self) -> dict[str, pa.DataType]:
        """Of an image: matched_node, the number of its text among all nodes of the document, from 0 (`export.place` reads
        it); matched_text_index, the same among the texts that are left, as in MMC4; matched_sim, their cosine, -1 to 1.
        best_sim: its highest cosine to any text. Null: no match, no embedding, no texts, or more than a million pairs."""
        places = dict.fromkeys(("matched_node", "matched_text_index"), pa.int32())
        return {**places, **dict.fromkeys(("matched_sim", "best_sim"), pa.float32())}

    def compute(self, columns: Columns, state: State) -> dict[str, Sequence[Any] | np.ndarray]:
        """Document by document; cosines are of the stored vectors, in float32."""
        found = {name: np.full(len(columns["kind"]), None, object) for name in self.gives()}
        images, texts = (_embedded(columns, kind, name) for kind, name in ((IMAGE, self.image), (TEXT, self.passage)))
        numbers = (columns["position"] & np.uint64(0xFFFFFFFF)).astype(np.int64)
        for document, nodes in spans(columns):
            ours, theirs = (rows[slice(*np.searchsorted(rows, (nodes.start, nodes.stop)))] for rows in (images, texts))
            if not len(ours) or not len(theirs) or len(ours) * len(theirs) > PAIRS:
                continue
            pair = (columns[self.image][ours], columns[self.passage][theirs])
            similarity = np.einsum("nd,md->nm", *(vectors.astype(np.float32) for vectors in pair))
            found["best_sim"][ours] = similarity.max(axis=1)
            matched = assign(similarity, self.no_match)
            has = matched != NONE
            rows, at = ours[has], matched[has]
            found["matched_node"][rows] = numbers[theirs[at]] - numbers[document] - 1
            found["matched_text_index"][rows] = at
            found["matched_sim"][rows] = similarity[has, at]
        return {**found}


def _embedded(columns: Columns, kind: str, name: str) -> np.ndarray:
    """Rows of a kind that have an embedding, ascending."""
    return np.flatnonzero((columns["kind"] == kind) & ~np.isnan(columns[name]).any(axis=1))


def assign(similarity: np.ndarray, no_match: float | None = None) -> np.ndarray:
    """int64 (n,): for each image a text, or NONE.

    Args:
        similarity: (n, m), of images and texts; m > 0.
        no_match: similarity that no match is worth; None: each image has to have a text, as in MMC4.

    Raises MissingExtra("scipy").
    """
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError as error:
        raise MissingExtra("scipy", extra="documents") from error
    if no_match is None:
        images, texts = linear_sum_assignment(similarity, maximize=True)
        matched = similarity.argmax(axis=1)  # for images beyond the texts
        matched[images] = texts
        return matched
    # As if each image had a column of its own, worth `no_match`: what is not better is worth nothing.
    gain = np.maximum(similarity.astype(np.float64) - no_match, 0)
    images, texts = linear_sum_assignment(gain, maximize=True)
    better = gain[images, texts] > 0
    matched = np.full(len(similarity), NONE)
    matched[images[better]] = texts[better]
    return matched
