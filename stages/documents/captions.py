"""Which text of a page is the caption of which image, by where they stand, in any language and any style of markup."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate.contracts import Columns, DocumentFact, Kind
from curate.documents import spans
from curate.schema import IMAGE

LEVELS: Final = 8
"""Containers around an image that are looked at, from the innermost."""
LETTERS: Final = 64
"""Characters of a word, so that a huge text is not counted again for each image beside it."""
SPAN: Final = 256
"""Nodes of a container that are looked at: one that has more is no figure."""
HEADINGS: Final = frozenset(("h1", "h2", "h3", "h4", "h5", "h6"))
ITEMS: Final = frozenset(("li", "dt", "dd", "th", "tr"))
TERMS: Final = frozenset(("dt", "dd", "th", "tr"))
LISTINGS: Final = frozenset(("pre", "table", "textarea", "form", "blockquote"))
_NUMBER: Final = r"(?:[A-Z]\.)?\d+(?:[.\-–]\d+)*"
NUMBERED: Final = re.compile(
    rf"\W*[^\W\d_]+(?:\.\s?|\s){_NUMBER}\s*[.:)–—|．：]\s*\S"  # a word, a number and a stop
    rf"|\W*[^\W\d_]*[\u2e80-\ud7ff]\s?{_NUMBER}[\s.:)–—|．：]+\S"  # in scripts without spaces a space is a stop
)
"""`Figure 3.1. A house`, `Abb. 4: Haus`, `図16.275 …`: how a numbered caption begins, whatever the language."""
_WORD: Final = re.compile(r"\w+")
_IDEOGRAPHS: Final = re.compile(r"[\u2e80-\U0003ffff]")


@dataclass(frozen=True, slots=True)
class Place:
    """A node of a page, and where it stands."""

    number: int
    image: bool
    path: str
    tag: str
    text: str

    def inside(self, path: str) -> bool:
        """Whether it stands in the container at `path`, or is that container's own text."""
        return not path or self.path == path or self.path.startswith(f"{path}.")

    def child(self, path: str) -> str:
        """Path of the child of the container at `path` that it stands in; `path` where it is the container's own."""
        if self.path == path:
            return path
        end = self.path.find(".", len(path) + 1 if path else 0)
        return self.path if end < 0 else self.path[:end]


class Captions(DocumentFact):
    """Finds the caption of each image: what its <figcaption> says, else the text that shares a tight container with it.

    From the image outwards, the first container that holds texts besides (not counting those in a smaller container of
    another image) is a figure if they are few and short, and no heading, list item or listing. They are captions if they
    are numbered or repeat half of the alt text, or else if they follow the image and the container does not stand among
    others of its kind that have no image (an item of a list, a cell). The next container out may add a title that several
    images share, or that is numbered. A numbered text may also stand next to the image in no container of their own.
    """

    kinds: ClassVar[tuple[Kind, ...]] = ("image", "text")
    needs: ClassVar[tuple[str, ...]] = ("text", "tag", "path", "caption")
    sees: ClassVar[Literal["page", "kept"]] = "page"

    max_words: int = Field(
        default=100, ge=1, description="of one image's or figure's caption; two ideographs are a word"
    )
    max_texts: int = Field(default=3, ge=1, description="paragraphs of a caption")

    def gives(self) -> dict[str, pa.DataType]:
        """Of an image: image_caption, the text, null where there is none; image_caption_row, the row in the shard of the
        (first) node that carries it, null where no node does; figure_caption and figure_caption_row, the title of the
        figure around it, where there is one besides. Of a text: caption_of, images that it is a caption of, 0 and more."""
        texts = {name: pa.string() for name in ("image_caption", "figure_caption")}
        rows = {f"{name}_row": pa.int64() for name in texts}
        return {**texts, **rows, "caption_of": pa.int32()}

    def compute(self, columns: Columns, state: object) -> dict[str, Sequence[Any] | np.ndarray]:
        """Per document; rows are those of the shard."""
        total = len(columns["kind"])
        found: dict[str, np.ndarray] = {name: np.full(total, None, object) for name in self.gives()}
        rows = (columns["position"] & np.uint64(0xFFFFFFFF)).astype(np.int64)
        caption_of = np.zeros(total, np.int32)
        for _, span in spans(columns):
            places = places_of(columns, span)
            for place in places:
                if place.image:
                    groups = self._groups(places, place.number, columns["caption"][span.start + place.number])
                    for name, (text, nodes) in zip(("image_caption", "figure_caption"), groups, strict=False):
                        at = [span.start + number for number in nodes]
                        found[name][span.start + place.number] = text
                        found[f"{name}_row"][span.start + place.number] = rows[at[0]] if at else None
                        caption_of[at] += 1
        return {**found, "caption_of": caption_of}

    def _groups(self, places: Sequence[Place], image: int, said: str | None) -> list[tuple[str, list[int]]]:
        """Texts and numbers of their nodes: the image's own caption, then the figure's."""
        if said:
            return [(said, carriers(places, image, said))]
        groups = captions(places, image, self.max_words, self.max_texts)
        return [(" ".join(node.text for node in group), [node.number for node in group]) for group in groups]


def places_of(columns: Columns, span: slice) -> list[Place]:
    """The nodes of a document, numbered from 0."""
    cells = (columns[name][span].tolist() for name in ("kind", "path", "tag", "text"))
    return [
        Place(number, kind == IMAGE, path or "", tag or "", text or "")
        for number, (kind, path, tag, text) in enumerate(zip(*cells, strict=True))
    ]


def captions(places: Sequence[Place], image: int, max_words: int = 100, max_texts: int = 3) -> list[list[Place]]:
    """Captions of the image with this number: at most two groups of texts, the image's own before its figure's."""
    found: list[list[Place]] = []
    path = places[image].path
    for _ in range(LEVELS):
        path = path.rpartition(".")[0]
        low, high = _extent(places, image, path) if path else (0, SPAN + 1)
        if high - low > SPAN:
            break
        texts, images = _own(places[low:high], path)
        texts = [text for text in texts if all(text not in group for group in found)]
        if not texts:
            continue
        if not _short(texts, max_words, max_texts):
            break
        listed = _listed(places, low, high, path.rpartition(".")[0])
        group = _told(texts, places[image], images, bool(found), listed)
        if not group:
            break
        found.append(group)
        if len(found) == 2:
            break
    return found or _beside(places, image, max_words)


def carriers(places: Sequence[Place], image: int, said: str) -> list[int]:
    """Numbers of the nodes near an image that carry a caption which its markup gives."""
    near = range(max(0, image - 8), min(len(places), image + 9))
    found = [i for i in near if not places[i].image and places[i].text and places[i].text in said]
    whole = [i for i in found if places[i].text == said]
    return whole[:1] or [i for i in found if places[i].tag == "figcaption"]


def count_words(text: str) -> int:
    """Words between white space; of scripts without spaces a word is two characters."""
    return len(text.split()) + len(_IDEOGRAPHS.findall(text)) // 2


def _extent(places: Sequence[Place], at: int, path: str) -> tuple[int, int]:
    """First and one past the last node around `at` that stand in the container at `path`; of one that goes on for more
    than SPAN nodes to either side only that it is too long."""
    ends = (i for i in (at - SPAN, at + SPAN) if 0 <= i < len(places))
    if any(places[i].inside(path) for i in ends):
        return at - SPAN, at + SPAN
    low, high = at, at + 1
    while low > 0 and places[low - 1].inside(path):
        low -= 1
    while high < len(places) and places[high].inside(path):
        high += 1
    return low, high


def _own(span: Sequence[Place], path: str) -> tuple[list[Place], list[Place]]:
    """Texts of a container that stand in no child of it that holds an image; and its images."""
    images = [place for place in span if place.image]
    holders = {image.child(path) for image in images}
    return [p for p in span if not p.image and (p.path == path or p.child(path) not in holders)], images


def _short(texts: Sequence[Place], max_words: int, max_texts: int) -> bool:
    if len(texts) > max_texts or any(text.tag in HEADINGS | ITEMS | LISTINGS for text in texts):
        return False
    return all(len(text.text) <= LETTERS * max_words for text in texts) and (
        sum(count_words(text.text) for text in texts) <= max_words
    )


def _told(texts: list[Place], image: Place, images: list[Place], further: bool, listed: bool) -> list[Place]:
    """Those texts that are a caption. `further`: the image has one of its own already; `listed`: see `_listed`."""
    numbered = [text for text in texts if NUMBERED.match(text.text)]
    sure = numbered or ([] if further else [text for text in texts if _repeats(image.text, text.text)])
    after = [text for text in texts if text.number > images[-1].number]
    if sure:
        return sure
    alone = further and len(images) == 1
    return after if len(after) == len(texts) and not alone and not listed else []


def _repeats(alt: str, text: str) -> bool:
    """Whether a text has half of the alt text's words, and at least three, or all of its own."""
    first, second = (set(_WORD.findall(words.lower())) for words in (alt, text))
    shared = len(first & second)
    return shared > 0 and 2 * shared >= len(first) and shared >= min(3, len(second))


def _listed(places: Sequence[Place], low: int, high: int, parent: str) -> bool:
    """Whether a neighbour of the container low:high is an item, or a container like it that holds text and no image."""
    for i in (low - 1, high):
        if not 0 <= i < len(places) or places[i].image or not places[i].inside(parent):
            continue
        if places[i].tag in TERMS:
            return True
        child = places[i].child(parent)
        if places[i].path != child and places[i].tag not in HEADINGS | LISTINGS | {"li"}:
            begin, end = _extent(places, i, child)
            if not any(place.image for place in places[max(0, begin) : end]):
                return True
    return False


def _beside(places: Sequence[Place], image: int, max_words: int) -> list[list[Place]]:
    """A numbered text right after the image, or else right before it."""
    for i in (image + 1, image - 1):
        near = places[i] if 0 <= i < len(places) else places[image]
        if not near.image and NUMBERED.match(near.text[: LETTERS * max_words]) and _short([near], max_words, 1):
            return [[near]]
    return []
