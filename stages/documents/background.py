"""How similar an image is to texts that have nothing to do with it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, Final

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate.contracts import Columns, Kind, PoolFact, Scan, State
from curate.schema import hash_words

QUANTILES: Final = 33
"""At which an image's similarities are kept: each 1/32."""
SHORT: Final = 20
"""Characters up to which a text is a label and no example of the pool's texts."""
Drawn = tuple[np.ndarray, np.ndarray]
"""Draws, uint64 (n, 3): hash and uid; embeddings, float32 (n, d)."""


class Background(PoolFact):
    """Cosines of each image to `texts` paragraphs of the whole pool, as quantiles.

    Some images are near to every text ("hubs": Radovanovic, Nanopoulos and Ivanovic 2010), so a cosine alone says little.
    Drawn are the paragraphs with the lowest hashes of (seed, uid): the same ones, however the pool is cut.
    """

    kinds: ClassVar[tuple[Kind, ...]] = ("text", "image")

    texts: int = Field(default=256, ge=16, le=4096, description="paragraphs that are drawn")
    image: str = Field(default="image_embedding", description="column of the images' embeddings")
    passage: str = Field(default="passage_embedding", description="column of the texts', of the same model")

    def inputs(self) -> tuple[str, ...]:
        """Both embeddings, and the text, whose length counts."""
        return (self.image, self.passage, "text")

    def gives(self) -> dict[str, pa.DataType]:
        """image_background: lowest, 1/32, … highest cosine to the drawn texts, -1 to 1; null for a text."""
        return {"image_background": pa.list_(pa.float32(), QUANTILES)}

    def fit(self, scan: Scan, seed: int) -> State:
        """State: `passages`, float32 (up to `texts`, d), in the order of their draws."""
        kept: Drawn | None = None
        for drawn in scan.map(partial(_drawn, self, seed), *self.inputs()):
            joined = drawn if kept is None else (np.vstack([kept[0], drawn[0]]), np.vstack([kept[1], drawn[1]]))
            kept = _lowest(joined, self.texts)
        return {"passages": np.zeros((0, 0), np.float32) if kept is None else kept[1]}

    def compute(self, columns: Columns, state: State) -> dict[str, Sequence[Any] | np.ndarray]:
        """Image by image; null in a pool without texts."""
        images, passages = columns[self.image].astype(np.float32), state["passages"]
        rows: list[np.ndarray | None] = [None] * len(images)
        for row in np.flatnonzero(~np.isnan(images).any(axis=1)) if len(passages) else ():
            cosines = np.einsum("nd,d->n", passages, images[row])
            rows[row] = np.quantile(cosines, np.linspace(0, 1, QUANTILES)).astype(np.float32)
        return {"image_background": rows}


def _drawn(step: Background, seed: int, columns: Columns) -> Drawn:
    """The lowest draws of one shard."""
    passages = columns[step.passage]
    long = np.array([isinstance(text, str) and len(text) > SHORT for text in columns["text"].tolist()], bool)
    rows = np.flatnonzero(long & ~np.isnan(passages).any(axis=1))
    uids = columns["uid"][rows]
    draws = np.column_stack([hash_words(seed, uids, "background"), uids])
    return _lowest((draws, passages[rows].astype(np.float32)), step.texts)


def _lowest(drawn: Drawn, count: int) -> Drawn:
    draws, passages = drawn
    order = np.lexsort((draws[:, 2], draws[:, 1], draws[:, 0]))[:count]
    return draws[order], passages[order]
