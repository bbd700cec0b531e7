"""How well an image fits the text around it: by what it shows, by what is said of it, by what can be read in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate.contracts import Columns, DocumentFact, Kind, State
from curate.documents import spans
from curate.schema import IMAGE, TEXT
from stages.documents.coherence import HEADINGS, vocabulary

FEWEST: Final = 4
"""Other texts of a document below which a place among them says nothing."""
PLACES: Final = ("before", "after", "heading", "caption")


class Relevance(DocumentFact):
    """Similarity of each image to its neighbouring texts, and whether it fits them better than it fits other texts.

    Neighbours are the nearest text before it, the nearest after it, and the heading above it. A caption says what the
    image is, not what it has to do with the page, so it is no neighbour (`stages.documents.captions`), and has a column of
    its own. The cosine of image and text alone depends on how near an image is to any text; so there are ranks: of
    its best neighbour among texts of the whole pool (`stages.documents.background`) and of its own document.
    """

    kinds: ClassVar[tuple[Kind, ...]] = ("image",)

    image: str = Field(default="image_embedding", description="column of the images' embeddings")
    alt: str = Field(default="text_embedding", description="column of their alt texts', of the same model")
    passage: str = Field(default="passage_embedding", description="column of the texts', of the same model")
    background: str | None = Field(default=None, description="column of cosines to other texts: image_background")
    read: str | None = Field(default=None, description="column of text that stands in an image: ocr_text")

    def inputs(self) -> tuple[str, ...]:
        """Texts and tags, embeddings, which texts are captions, and what else is configured."""
        optional = [column for column in (self.background, self.read) if column]
        captions = ("caption_of", "image_caption", "image_caption_row")
        return ("text", "tag", *captions, self.image, self.alt, self.passage, *optional)

    def gives(self) -> dict[str, pa.DataType]:
        """Cosines of the image and a text, -1 to 1: relevance_before, relevance_after, relevance_heading,
        relevance_caption; null where there is no such text. relevance: the best neighbour's.

        Shares, 0 to 1: relevance_place, of the document's other texts those less similar to the image than its best
        neighbour; relevance_rank, the odds that the best of as many unrelated texts of the pool is less similar (uniform for
        an image without any relation). relevance_alt: the best cosine of its alt text to a neighbour. relevance_words: share of
        the words of alt text and caption that neighbours have; relevance_read: share of the words read in it that the
        document's texts have.
        """
        cosines = [f"relevance_{place}" for place in PLACES]
        ranks = ["relevance", "relevance_place", *(["relevance_rank"] if self.background else [])]
        said = ["relevance_alt", "relevance_words", *(["relevance_read"] if self.read else [])]
        return dict.fromkeys([*cosines, *ranks, *said], pa.float32())

    def compute(self, columns: Columns, state: State) -> dict[str, Sequence[Any] | np.ndarray]:
        """Document by document, image by image."""
        found = {name: np.full(len(columns["kind"]), None, object) for name in self.gives()}
        for _, nodes in spans(columns):
            if not (columns["kind"][nodes] == IMAGE).any():
                continue
            page = _Page(self, columns, nodes)
            for row in np.flatnonzero(columns["kind"][nodes] == IMAGE):
                for name, value in page.relevance(int(row)).items():
                    found[name][nodes.start + row] = value
        return {**found}


@dataclass(frozen=True)
class Neighbours:
    """Rows of the texts around an image; None where there is none."""

    before: int | None
    after: int | None
    heading: int | None
    caption: int | None

    def rows(self) -> list[int]:
        """Those that are no caption, each once."""
        return sorted({row for row in (self.before, self.after, self.heading) if row is not None})


class _Page:
    """The nodes of one document; rows are counted from its first node."""

    def __init__(self, step: Relevance, columns: Columns, nodes: slice) -> None:
        self.step = step
        self.columns = {name: columns[name][nodes] for name in (*step.inputs(), "kind", "position")}
        captions = np.nan_to_num(self.columns["caption_of"].astype(np.float64)) > 0
        self.is_text = self.columns["kind"] == TEXT
        self.texts = np.flatnonzero(self.is_text & ~captions)
        tags = self.columns["tag"].tolist()
        self.headings = np.array([row for row in self.texts.tolist() if tags[row] in HEADINGS], np.int64)
        self.passages = np.nan_to_num(self.columns[step.passage].astype(np.float32))
        self.words = {row: vocabulary(self.columns["text"][row] or "") for row in self.texts.tolist()}
        self.vocabulary = frozenset().union(*self.words.values())

    def neighbours(self, row: int) -> Neighbours:
        """Of an image."""
        at, above = int(np.searchsorted(self.texts, row)), int(np.searchsorted(self.headings, row))
        return Neighbours(
            before=int(self.texts[at - 1]) if at else None,
            after=int(self.texts[at]) if at < len(self.texts) else None,
            heading=int(self.headings[above - 1]) if above else None,
            caption=self._caption(row),
        )

    def _caption(self, row: int) -> int | None:
        """The row of its caption, if that is there: a rule may have dropped it."""
        stated = self.columns["image_caption_row"][row]
        if stated is None or np.isnan(float(stated)):
            return None
        found = np.flatnonzero((self.columns["position"] & np.uint64(0xFFFFFFFF)) == np.uint64(stated))
        return int(found[0]) if len(found) else None

    def relevance(self, row: int) -> dict[str, float | None]:
        """The columns of an image."""
        around = self.neighbours(row)
        return {**self._shown(row, around), **self._said(row, around)}

    def _shown(self, row: int, around: Neighbours) -> dict[str, float | None]:
        """By the image itself."""
        image = self.columns[self.step.image][row].astype(np.float32)
        if np.isnan(image).any():
            return {}
        cosines = np.einsum("nd,d->n", self.passages, image)
        near = around.rows()
        found: dict[str, float | None] = {
            f"relevance_{place}": None if at is None else float(cosines[at])
            for place, at in zip(PLACES, (around.before, around.after, around.heading, around.caption), strict=True)
        }
        if not near:
            return found
        best = float(cosines[near].max())
        others = cosines[np.setdiff1d(self.texts, near)]
        found |= {"relevance": best, "relevance_place": share_below(others, best) if len(others) >= FEWEST else None}
        if self.step.background:
            found["relevance_rank"] = rank(self.columns[self.step.background][row], best, len(near))
        return found

    def _said(self, row: int, around: Neighbours) -> dict[str, float | None]:
        """By words about it, and in it."""
        near = around.rows()
        alt = self.columns[self.step.alt][row].astype(np.float32)
        spoken = vocabulary(" ".join([self.columns[c][row] or "" for c in ("text", "image_caption")]))
        found: dict[str, float | None] = {}
        if near and not np.isnan(alt).any():
            found["relevance_alt"] = float(np.einsum("nd,d->n", self.passages[near], alt).max())
        if near and spoken:
            found["relevance_words"] = sum(any(word in self.words[at] for at in near) for word in spoken) / len(spoken)
        read = vocabulary(self.columns[self.step.read][row] or "") if self.step.read else frozenset()
        if read and self.words:
            found["relevance_read"] = len(read & self.vocabulary) / len(read)
        return found


def share_below(values: np.ndarray, value: float) -> float:
    """Share of the values that are lower, equal ones by half."""
    return float((values < value).mean() + (values == value).mean() / 2)


def rank(quantiles: np.ndarray, best: float, of: int) -> float | None:
    """How likely the best of `of` unrelated texts is below `best`, 0 to 1, from quantiles of cosines to unrelated texts."""
    if np.isnan(quantiles).any():
        return None
    levels = np.linspace(0, 1, len(quantiles))
    return float(np.interp(best, quantiles, levels) ** of)
