"""Rows of documents: what pages become in a shard's index, and the bytes of their images, each once in its tar.

Text lives in the rows. Whatever cannot be had is a row that says why: a page that cannot be parsed, an image that is
missing, too large, or none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import pyarrow as pa

from curate.errors import SampleError
from curate.schema import DOCUMENT_INDEX, make_uid
from stages.html.node import Node, Page
from stages.ingest.files import Refused
from stages.ingest.pack import Blobs, Place, image_format
from stages.ingest.rows import DocumentRow, clean, table_of
from stages.ingest.tar import MAX_IMAGE

MAX_NODES = 200_000
"""Of one page; with more it fails."""
MAX_ROWS = 4_000_000
"""Of one shard; pages behind them fail, so that an archive of bombs stays within memory."""
MAX_CHARACTERS = 1 << 30
"""The same of a shard's texts and addresses."""
PAGE_CHARACTERS = 64 << 20
"""Of one page's rows; with more it fails: a text or an address may stand in many of them."""
FULL = "the shard is full: too many nodes, or too much text, in the pages before"
BATCH = 10_000

Extract = Callable[[bytes, str, str | None], Page]
"""From a page's bytes, its URL, and the encoding that its server named, to its nodes."""


@dataclass(frozen=True)
class WebPage:
    """A page as its source has it, or why the source does not have it. `url` is null where even that is unknown."""

    url: str | None
    html: bytes = b""
    charset: str | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None


class Parsed(NamedTuple):
    """A page, cut into nodes, or why it is not."""

    source: WebPage
    page: Page | None
    error: str | None


class Images(Protocol):
    """Where images come from."""

    def read(self, url: str) -> bytes:
        """The bytes that stand for the URL. Raises `Refused` with the reason where there are none."""
        ...


class Store:
    """The images of a shard: each URL is asked for once, equal bytes are kept once."""

    def __init__(self, images: Images, blobs: Blobs) -> None:
        self.images, self.blobs = images, blobs
        self.ends: dict[str, Place | str] = {}

    def find(self, node: Node) -> tuple[str | None, Place | str]:
        """Of an image its URL, and where its bytes are in the tar, or why there are none.

        An image may be named by several URLs (`Node.others`): the first that has bytes counts, else the first.
        """
        if node.data is not None:
            return None, self._put(lambda: node.data or b"")
        if node.url is None:
            return None, node.error or "no URL"
        for url in (node.url, *node.others):
            if isinstance(end := self._end(url), Place):
                return url, end
        return node.url, self._end(node.url)

    def _end(self, url: str) -> Place | str:
        if url not in self.ends:
            self.ends[url] = self._put(lambda: self.images.read(url))
        return self.ends[url]

    def _put(self, read: Callable[[], bytes]) -> Place | str:
        try:
            return self.blobs.add(*_image(read()))
        except Refused as refused:
            return str(refused)


def parse(pages: Iterable[WebPage], extract: Extract) -> Iterator[Parsed]:
    """Each page with its nodes. A page that its parser refuses, or that is too much, has its error."""
    rows = characters = 0
    for source in pages:
        found = _parse(source, extract)
        size = _characters(found.page) if found.page else 0
        if rows >= MAX_ROWS or characters >= MAX_CHARACTERS:
            found = Parsed(source, None, FULL)
        elif size > PAGE_CHARACTERS:
            found = Parsed(source, None, f"HTML: rows of {size} characters, more than {PAGE_CHARACTERS}")
        elif found.page is not None:
            rows += 1 + len(found.page.nodes)
            characters += size
        yield found


def _parse(source: WebPage, extract: Extract) -> Parsed:
    if source.error is not None or source.url is None:
        return Parsed(source, None, source.error or "no URL")
    try:
        page = extract(source.html, source.url, source.charset)
    except SampleError as error:
        return Parsed(source, None, str(error))
    if len(page.nodes) > MAX_NODES:
        return Parsed(source, None, f"HTML: {len(page.nodes)} nodes, more than {MAX_NODES}")
    return Parsed(source, page, None)


def _characters(page: Page) -> int:
    """Of its rows at most: an image has the longest of its URLs in the end, perhaps."""
    size = sum(len(language) + len(url) for language, url in page.alternates.items())
    for node in page.nodes:
        size += sum(
            len(text) for text in (node.text, node.url, node.caption, node.link, node.path, *node.others) if text
        )
    return size


def document_tables(pages: Iterable[Parsed], store: Store) -> Iterator[pa.Table]:
    """The index of a shard in pieces, schema `DOCUMENT_INDEX`: a document, then its nodes in reading order."""
    rows: list[DocumentRow] = []
    done = 0
    for number, parsed in enumerate(pages):
        rows += document_rows(number, done + len(rows), parsed, store)
        if len(rows) >= BATCH:
            yield table_of(rows, DOCUMENT_INDEX)
            done, rows = done + len(rows), []
    yield table_of(rows, DOCUMENT_INDEX)


def document_rows(number: int, row: int, parsed: Parsed, store: Store) -> Iterator[DocumentRow]:
    """The rows of the document of that number in the shard; its own is the shard's `row`."""
    source, page, error = parsed
    url, key = clean(source.url), f"{number:08d}"
    meta = json.dumps(describe(parsed), ensure_ascii=True, sort_keys=True)
    uid = make_uid(url or meta, None, hashlib.sha256(source.html).digest())  # what has no URL is known by its place
    title = clean(page.title) if page else None
    yield DocumentRow(uid, key, title, url, None, None, None, None, meta, clean(error), "document")
    for place, node in enumerate(page.nodes if page else ()):
        yield _node_row(f"{uid.hex()}/{place}", f"{key}/{place:04d}", row, node, store)


def describe(parsed: Parsed) -> dict[str, Any]:
    """What is known of a page beside its nodes: its source's own facts, and those of its head that it states."""
    page = parsed.page
    if page is None:
        return dict(parsed.source.meta)
    head = {
        "charset": page.charset,
        "language": page.language,
        "canonical": page.canonical,
        "alternates": page.alternates,
    }
    return {**parsed.source.meta, **{name: value for name, value in head.items() if value}}


def _node_row(name: str, key: str, parent: int, node: Node, store: Store) -> DocumentRow:
    text, url, error = clean(node.text), None, node.error
    place: Place | None = None
    if node.kind == "image":
        url, end = store.find(node)
        place, error = (end, None) if isinstance(end, Place) else (None, end)
    uid = make_uid(name, text, place.sha256 if place else b"")
    offset, size, ext, sha256 = place or (None, None, None, None)
    content = (uid, key, text, clean(url), offset, size, ext, sha256, None, clean(error))
    markup = (node.tag, node.region, node.path, clean(node.caption), clean(node.link))
    return DocumentRow(*content, node.kind, parent, *markup, node.width, node.height)


def _image(data: bytes) -> tuple[bytes, str]:
    """An image's bytes and the extension of their format. Raises `Refused`."""
    if not data:
        raise Refused("empty image: no bytes")
    if len(data) > MAX_IMAGE:
        raise Refused(f"the image has {len(data)} bytes, more than {MAX_IMAGE >> 20} MiB")
    suffix = image_format(data)
    if suffix is None:
        raise Refused(f"no image that is decoded: it begins with {data[:16]!r}")
    return data, suffix
