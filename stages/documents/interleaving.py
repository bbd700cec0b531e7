"""How a document's images are spread over its text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from curate.contracts import Columns, DocumentFact, State
from curate.documents import spans
from curate.schema import IMAGE


class Interleaving(DocumentFact):
    """Where images stand in the text, measured in characters, which every script has.

    Interleaved corpora (MMC4, OBELICS) count images and leave their places unexamined: a gallery after the text, or
    before it, passes their rules. Only order and lengths are read, so this costs next to nothing.
    """

    needs: ClassVar[tuple[str, ...]] = ("text",)

    def gives(self) -> dict[str, pa.DataType]:
        """Null for a document without images or without text; shares are 0 to 1.

        image_place: mean share of the text that stands before an image. images_last: share of images that no text
        follows. images_adjacent: share of images that directly follow another. text_without: share of the text in the
        longest stretch without an image. text_per_image: characters.
        """
        shares = ("image_place", "images_last", "images_adjacent", "text_without", "text_per_image")
        return dict.fromkeys(shares, pa.float32())

    def compute(self, columns: Columns, state: State) -> dict[str, Sequence[Any] | np.ndarray]:
        """Document by document."""
        found = {name: np.full(len(columns["kind"]), None, object) for name in self.gives()}
        for document, nodes in spans(columns):
            images = columns["kind"][nodes] == IMAGE
            lengths = np.array([len(text or "") for text in columns["text"][nodes].tolist()], np.int64)
            for name, value in spread(images, np.where(images, 0, lengths)).items():
                found[name][document] = value
        return {**found}


def spread(images: np.ndarray, lengths: np.ndarray) -> dict[str, float]:
    """From which nodes are images, bool (n,), and the lengths of texts, int64 (n,), 0 for images. Empty: nothing to say."""
    count, total = int(images.sum()), int(lengths.sum())
    if not count or not total:
        return {}
    before = np.cumsum(lengths)[images]
    follows = images[1:] & images[:-1]
    stretches = np.diff(np.concatenate([[0], before, [total]]))
    return {
        "image_place": float(before.mean() / total),
        "images_last": float((before == total).mean()),
        "images_adjacent": float(follows.sum() / count),
        "text_without": float(stretches.max() / total),
        "text_per_image": total / count,
    }
