"""Where an image stands on its page, and where it leads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final, Literal
from urllib.parse import SplitResult, unquote, urlsplit

import numpy as np
import pyarrow as pa

from curate.contracts import Columns, DocumentFact, Kind
from curate.documents import spans
from curate.schema import IMAGE
from stages.documents.captions import Place, count_words, places_of

SUFFIXES: Final = (".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".png", ".svg", ".tif", ".tiff", ".webp")
"""Of files that a link shows as an image."""

Leads = Literal["image", "anchor", "page", "elsewhere"]


class Position(DocumentFact):
    """Where each image stands among the nodes of its page, whether inside a sentence, and where it leads.

    An image stands in a sentence if the element that it is in has words of its own, before it or after. It leads to an
    `image` (the file of one: a larger version of itself), to an `anchor` of its own page, to another `page` of the host,
    or `elsewhere`. It is a card if all of its caption leads to a page, or if it leads to one and so does, as a whole,
    the node before or after it: another image, or a text with the same target.
    """

    kinds: ClassVar[tuple[Kind, ...]] = ("image",)
    needs: ClassVar[tuple[str, ...]] = ("text", "tag", "path", "url", "link", "image_caption_row")
    sees: ClassVar[Literal["page", "kept"]] = "page"

    def gives(self) -> dict[str, pa.DataType]:
        """image_position: 0 for the first node of its page to 1 for the last; image_inline_words: words of the texts that
        share its element, 0: it stands alone; image_leads: `image`, `anchor`, `page` or `elsewhere`, null: it is no link."""
        return {
            "image_position": pa.float32(),
            "image_inline_words": pa.int32(),
            "image_leads": pa.string(),
            "image_card": pa.bool_(),
        }

    def compute(self, columns: Columns, state: object) -> dict[str, Sequence[Any] | np.ndarray]:
        """Per document."""
        total = len(columns["kind"])
        place, words = np.full(total, None, object), np.full(total, None, object)
        to, cards = np.full(total, None, object), np.zeros(total, bool)
        rows = (columns["position"] & np.uint64(0xFFFFFFFF)).astype(np.int64)
        captions = np.searchsorted(rows, np.nan_to_num(columns["image_caption_row"].astype(np.float64), nan=-1))
        for document, span in spans(columns):
            places = places_of(columns, span)
            page = columns["url"][document] or ""
            for at in (span.start + node.number for node in places if node.image):
                place[at] = (at - span.start) / max(1, len(places) - 1)
                words[at] = inline_words(places, at - span.start)
                to[at] = leads(columns["link"][at], page)
                said = columns["link"][captions[at]] if captions[at] else None
                near = [i for i in (at - 1, at + 1) if span.start <= i < span.stop]
                cards[at] = leads(said, page) == "page" or (
                    to[at] == "page" and any(self._with(columns, at, i, page) for i in near)
                )
        return {"image_position": place, "image_inline_words": words, "image_leads": to, "image_card": cards}

    def _with(self, columns: Columns, image: int, other: int, page: str) -> bool:
        """Whether another node is a part of the card, or the next card."""
        if columns["kind"][other] == IMAGE:
            return leads(columns["link"][other], page) == "page"
        return bool(columns["link"][other] == columns["link"][image])


def inline_words(places: Sequence[Place], image: int) -> int:
    """Words of the texts around the image that are their element's own, if the image stands in that element."""
    found = 0
    for step in (-1, 1):
        i = image + step
        while 0 <= i < len(places) and not places[i].image and places[image].inside(places[i].path):
            found += count_words(places[i].text)
            i += step
    return found


def leads(link: str | None, page: str) -> Leads | None:
    """What a link of an image, or of a text, of a page leads to; None: there is no link."""
    if link is None:
        return None
    target, own = _split(link), _split(page)
    if target is None:
        return "elsewhere"
    if unquote(target.path).lower().endswith(SUFFIXES):
        return "image"
    if own is None or target.hostname != own.hostname:
        return "elsewhere"
    return "anchor" if target.fragment and (target.path, target.query) == (own.path, own.query) else "page"


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        parts.hostname  # noqa: B018 - raises for a malformed host
    except ValueError:
        return None
    return parts if parts.scheme in ("http", "https") else None
