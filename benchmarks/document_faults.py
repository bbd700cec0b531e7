"""Real pages of manuals, and the same pages with one fault each: what a document's quality score is learned and judged on.

A page is the rows of one document as a run left them (columns of index and facts), its navigation told apart by the
manual's own class names. A fault takes the pages of a manual and gives them back with that fault; who reads a page sees
columns, and nothing that the facts do not see either.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

import curate
from curate.columns import to_numpy
from curate.contracts import Columns
from curate.schema import IMAGE, KEPT, TEXT
from stages.documents.coherence import HEADINGS
from stages.html.encoding import decode
from stages.html.tree import normalise
from stages.ingest.warc import Warc

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

RECIPE: Final = "manifests/documents/quality.yaml"
INDEX: Final = ("row", "kind", "text", "tag", "link", "path", "url")
SHOWN: Final = ("image_embedding", "image_background", "ocr_text")
"""What an image's bytes say."""
SAID: Final = ("text", "text_embedding", "link")
"""What its markup says besides."""
FACTS: Final = (
    "text_pages",
    "caption_of",
    "image_caption",
    "image_caption_row",
    "text_embedding",
    "passage_embedding",
    *SHOWN,
)
FEWEST: Final = 5
"""Texts of a page that is judged; it also has an image and `SHORTEST` characters, navigation not counted."""
SHORTEST: Final = 400


@dataclass(frozen=True)
class Manual:
    """Pages of one author's hand. `menus`: CSS of what is navigation; `part`: in the URL of pages that are used."""

    name: str
    archive: str
    menus: str
    part: str = ""


DOCBOOK: Final = "div.navheader, div.navfooter"
MANUALS: Final = (
    Manual("GIMP", "gimp-help-en", DOCBOOK),
    Manual("GnuCash", "gnucash-docs", DOCBOOK, "-en/"),
    Manual("GRASS", "grass-doc", "hr.header ~ hr.header ~ *"),
    Manual("Debian", "debian-handbook-en-US", "ul.docnav, p#title"),
    Manual(
        "skimage", "python-skimage-doc", "a.logo, div.navbar, div.span3, div.forum, div.footer, .sphx-glr-signature"
    ),
)


@dataclass(frozen=True)
class Page:
    """Columns of a document's rows, the document first. `menu`: bool (n,), rows of navigation. The column
    `image_caption_row` counts from the document's row."""

    columns: Columns
    menu: np.ndarray

    @property
    def image(self) -> np.ndarray:
        """Bool (n,)."""
        return np.asarray(self.columns["kind"] == IMAGE)

    @property
    def text(self) -> np.ndarray:
        """Bool (n,)."""
        return np.asarray(self.columns["kind"] == TEXT)

    def rows(self, order: np.ndarray) -> Page:
        """Some rows, or the same in another order, the document first."""
        to = np.full(len(self.menu) + 1, np.nan)
        to[order] = np.arange(len(order))
        at = np.nan_to_num(self.columns["image_caption_row"], nan=len(self.menu)).astype(np.int64)
        columns = {name: values[order] for name, values in self.columns.items()}
        return Page({**columns, "image_caption_row": to[at][order]}, self.menu[order])


Fault = Callable[[Sequence[Page], np.random.Generator], list[Page]]


def joined(pages: Sequence[Page]) -> Columns:
    """Columns of all pages as a `DocumentFact` gets those of a shard."""
    starts = np.cumsum([0, *(len(page.menu) for page in pages[:-1])])
    columns = {name: np.concatenate([page.columns[name] for page in pages]) for name in pages[0].columns}
    owner = np.repeat(starts, [len(page.menu) for page in pages])
    position = np.arange(len(owner), dtype=np.uint64)
    return {**columns, "image_caption_row": columns["image_caption_row"] + owner, "position": position, "parent": owner}


def load(manual: Manual, archives: Path, root: str, rows: int | None = None) -> list[Page]:
    """The manual's pages, navigation among their rows, by a run whose facts are kept under `root`.

    `rows`: about how many documents and nodes of it enter; None: all.
    """
    archive = archives / f"{manual.archive}.warc.gz"
    name = f"dq-{manual.archive}"
    whole = "select.5={step: stages.select.top.TopFraction, name: all, column: document_quality, fraction: 1.0}"
    overrides = [f"pool.name={name}", f"pool.path={archive}", whole, "export.formats=[]", "max_failed=0.9"]
    curate.run(RECIPE, root=root, executor="inline", overrides=overrides, name=name, limit=rows, quiet=True)
    table = curate.open_run(name, root).table("fate", *INDEX, *FACTS)
    columns = {column: to_numpy(table[column]) for column in table.column_names}
    menus = {page.url: page.html for page in html_pages(archive)}
    pages = [_page(columns, own, manual, menus) for own in _documents(columns)]
    return [page for page in pages if page is not None]


def html_pages(archive: Path) -> Iterator[Any]:
    """Pages of an archive with their HTML."""
    source = Warc(path=str(archive))
    for unit in source.units():
        yield from source.pages(unit, Counter())


def _documents(columns: Columns) -> list[np.ndarray]:
    starts = np.flatnonzero(columns["kind"] == "document")
    return [np.arange(a, b) for a, b in zip(starts, [*starts[1:], len(columns["kind"])], strict=True)]


def _page(columns: Columns, rows: np.ndarray, manual: Manual, html: dict[Any, bytes]) -> Page | None:
    """A document as the rules left it; None if it is not one to judge."""
    url, first = columns["url"][rows[0]], rows[0]
    kept = rows[columns["fate"][rows] == KEPT]
    if not len(kept) or kept[0] != first or manual.part not in url:
        return None
    own = {name: columns[name][kept] for name in (*INDEX, *FACTS)}
    place = {float(row): at for at, row in enumerate(columns["row"][kept].tolist())}
    caption = [place.get(row, np.nan) for row in own["image_caption_row"].astype(np.float64).tolist()]
    paths = navigation(html[url], manual.menus)
    menu = np.array([_inside(path or "", paths) for path in own["path"].tolist()], bool)
    menu[0] = False
    page = Page({**own, "image_caption_row": np.array(caption)}, menu)
    texts = page.text & ~menu
    long = sum(map(len, own["text"][texts])) >= SHORTEST
    return page if long and texts.sum() >= FEWEST and (page.image & ~menu).any() else None


def navigation(html: bytes, selector: str) -> list[str]:
    """Paths of the elements that a selector finds, as nodes have them: child numbers from <body> on."""
    from selectolax.lexbor import LexborHTMLParser

    body = LexborHTMLParser(normalise(decode(html, None)[0])).body
    return [_path(node) for node in body.css(selector)] if body is not None else []


def _path(node: LexborNode | None) -> str:
    numbers: list[str] = []
    while node is not None and node.tag != "body":
        before, number = node.prev, 0
        while before is not None:
            number += before.is_element_node
            before = before.prev
        numbers.append(str(number))
        node = node.parent
    return ".".join(reversed(numbers))


def _inside(path: str, containers: Sequence[str]) -> bool:
    return any(path == container or path.startswith(f"{container}.") for container in containers)


# -- faults ---------------------------------------------------------------------------------------------------------


def clean(pages: Sequence[Page], rng: np.random.Generator) -> list[Page]:
    """No fault: the pages without navigation."""
    return [page.rows(np.flatnonzero(~page.menu)) for page in pages]


def menus_kept(pages: Sequence[Page], rng: np.random.Generator) -> list[Page]:
    """Texts of navigation among the others. Icons are left out here as elsewhere."""
    return list(pages)


def foreign_images(fields: Sequence[str], pages: Sequence[Page], rng: np.random.Generator) -> list[Page]:
    """Images trade places with those of other pages of the manual, and take `fields` along."""
    whole = clean(pages, rng)
    slots = [(p, row) for p, page in enumerate(whole) for row in np.flatnonzero(page.image).tolist()]
    taken = deranged(np.array([p for p, _ in slots]), rng)
    values = {name: [whole[p].columns[name][row] for p, row in slots] for name in fields}
    changed = [{name: page.columns[name].copy() for name in fields} for page in whole]
    for i, (p, row) in enumerate(slots):
        for name in fields:
            changed[p][name][row] = values[name][taken[i]]
    return [Page({**page.columns, **new}, page.menu) for page, new in zip(whole, changed, strict=True)]


def deranged(pages: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A permutation that brings hardly anything to a place of its own page, int64 (n,); `pages` (n,)."""
    order = rng.permutation(len(pages))
    for i in np.flatnonzero(pages[order] == pages):
        for j in rng.permutation(len(pages)):
            if pages[order[j]] != pages[i] and pages[order[i]] != pages[j]:
                order[[i, j]] = order[[j, i]]
                break
    return order


def images_last(captions: bool, pages: Sequence[Page], rng: np.random.Generator) -> list[Page]:
    """Images after all texts, in their order; with their captions, or without."""

    def last(page: Page) -> Page:
        caption = np.nan_to_num(page.columns["caption_of"].astype(np.float64)) > 0
        return page.rows(np.argsort(page.image | (captions & caption), kind="stable"))

    return [last(page) for page in clean(pages, rng)]


def texts_shuffled(headings: bool, pages: Sequence[Page], rng: np.random.Generator) -> list[Page]:
    """Texts in a random order over the places of texts; headings among them, or left where they are."""

    def shuffled(page: Page) -> Page:
        heading = np.isin(page.columns["tag"].astype(str), HEADINGS)
        places = np.flatnonzero(page.text & (headings | ~heading))
        order = np.arange(len(page.menu))
        order[places] = rng.permutation(places)
        return page.rows(order)

    return [shuffled(page) for page in clean(pages, rng)]


FAULTS: Final[dict[str, Fault]] = {
    "other pictures": partial(foreign_images, SHOWN),
    "other images": partial(foreign_images, (*SHOWN, *SAID)),
    "other figures": partial(foreign_images, (*SHOWN, *SAID, "image_caption")),
    "images last": partial(images_last, False),
    "figures last": partial(images_last, True),
    "menus kept": menus_kept,
    "texts shuffled": partial(texts_shuffled, True),
    "paragraphs shuffled": partial(texts_shuffled, False),
}
"""`other pictures`: the bytes alone change places; `other images`: with alt text and link; `other figures`: with what is known
as their caption. The texts of captions stay where they are."""
