"""The rules of the DataComp baselines (Gadre et al. 2023), as their code has them (baselines/apply_filter.py)."""

from __future__ import annotations

import re
from typing import ClassVar

import numpy as np

from curate.contracts import Bounds, Columns, Filter
from filters.thresholds import all_within, within

_FASTTEXT_SPACE = re.compile(r"[ \t\v\f\r\0]+")


class Basic(Filter):
    """`basic_filter`: English by top-1, more than 2 words and 5 characters, short side >= 200, aspect <= 3.

    The language's probability plays no part. The original asks lid.176.bin; give `Language(model=...)` its path.
    """

    needs: ClassVar[tuple[str, ...]] = ("lang", "caption_words", "caption_chars", "width", "height")

    def bounds(self) -> Bounds:
        """`> 2` and `> 5` as integers say them."""
        return {
            "caption_words": (3, None),
            "caption_chars": (6, None),
            "width": (200, None),
            "height": (200, None),
        }

    def keep(self, columns: Columns) -> np.ndarray:
        """The ratio is taken in float64, as the original does; the stored `aspect` is a float32."""
        sides = np.stack([columns["width"], columns["height"]]).astype(np.float64)
        long, short = sides.max(axis=0), sides.min(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            squarish = within(long / short, None, 3.0)
        return squarish & (columns["lang"] == "en") & all_within(columns, self.bounds())


class CaptionFilter(Filter):
    """`caption_filter`, the other caption rule, inside the image-based baseline: more than one fastText token.

    fastText splits on ASCII white space and NUL only, and counts each line break as a token of its own.
    """

    needs: ClassVar[tuple[str, ...]] = ("lang", "text")

    def keep(self, columns: Columns) -> np.ndarray:
        """English by top-1, more than 1 token and 5 characters."""
        texts = [text or "" for text in columns["text"].tolist()]
        long = np.fromiter((len(text) > 5 and fasttext_tokens(text) > 1 for text in texts), bool, len(texts))
        return long & (columns["lang"] == "en")


class TextBased(Filter):
    """`text_based` filter: English by top-1, and a word that names an entity of ImageNet-21k (`stages.signals.wordnet`)."""

    needs: ClassVar[tuple[str, ...]] = ("lang", "entity_count")

    def bounds(self) -> Bounds:
        """One entity is enough."""
        return {"entity_count": (1, None)}

    def keep(self, columns: Columns) -> np.ndarray:
        """Drops a missing caption."""
        return (columns["lang"] == "en") & all_within(columns, self.bounds())


class ImageBased(Filter):
    """`image_based` filter: the image's cluster holds at least one reference image (`stages.select.imagenet`)."""

    needs: ClassVar[tuple[str, ...]] = ("reference_hits",)

    def bounds(self) -> Bounds:
        """One reference image is enough."""
        return {"reference_hits": (1, None)}

    def keep(self, columns: Columns) -> np.ndarray:
        """Drops a pair without an embedding."""
        return all_within(columns, self.bounds())


def fasttext_tokens(text: str) -> int:
    """How many tokens `fasttext.tokenize` finds."""
    words = sum(word != "" for line in text.split("\n") for word in _FASTTEXT_SPACE.split(line))
    return words + text.count("\n")
