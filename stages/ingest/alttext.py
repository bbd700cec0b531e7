"""Image-alt-text pairs, as Common Crawl style pools have them, from the same archives and pages as documents."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import ClassVar

import pyarrow as pa

from curate.schema import make_uid
from stages.ingest.documents import BATCH, FULL, MAX_CHARACTERS, PAGE_CHARACTERS, Parsed, Store, describe
from stages.ingest.pack import Place
from stages.ingest.pages import Pages
from stages.ingest.rows import Row, clean, table_of
from stages.ingest.warc import Warc


class WarcAltText(Warc):
    """Pairs of the pages of WARC archives: each image that has an alt text, with that text as its caption."""

    documents: ClassVar[bool] = False

    def tables(self, pages: Iterable[Parsed], store: Store) -> Iterator[pa.Table]:
        """The index of a shard of pairs, in pieces."""
        return pair_tables(pages, store)


class PagesAltText(Pages):
    """Pairs of HTML files: each image that has an alt text, with that text as its caption."""

    documents: ClassVar[bool] = False

    def tables(self, pages: Iterable[Parsed], store: Store) -> Iterator[pa.Table]:
        """The index of a shard of pairs, in pieces."""
        return pair_tables(pages, store)


def pair_tables(pages: Iterable[Parsed], store: Store) -> Iterator[pa.Table]:
    """The pairs of a shard's pages, schema `INDEX`, in reading order; no pair is left out for what its text or image is.

    A page that cannot be had is one row with its error: nobody knows how many pairs it held.
    """
    rows: list[Row] = []
    for number, parsed in enumerate(_bounded(pages)):
        rows += _pairs(f"{number:08d}", parsed, store)
        if len(rows) >= BATCH:
            yield table_of(rows)
            rows = []
    yield table_of(rows)


def _bounded(pages: Iterable[Parsed]) -> Iterator[Parsed]:
    """What is known of a page stands in each of its pairs: with too much of it a page fails, and so do those behind."""
    room = MAX_CHARACTERS
    for parsed in pages:
        size = len(_meta(parsed)) * len(parsed.page.alt_texts()) if parsed.page else 0
        if size > min(room, PAGE_CHARACTERS):
            yield parsed._replace(page=None, error=FULL)
        else:
            room -= size
            yield parsed


def _meta(parsed: Parsed) -> str:
    about = describe(parsed)
    if parsed.page:
        about = {name: value for name, value in about.items() if name != "alternates"} | {"page": parsed.page.url}
    return json.dumps(about, ensure_ascii=True, sort_keys=True)


def _pairs(key: str, parsed: Parsed, store: Store) -> Iterator[Row]:
    source, page, error = parsed
    meta = _meta(parsed)
    if page is None:
        digest = hashlib.sha256(source.html).digest()
        url = clean(source.url)
        yield Row(make_uid(url or meta, None, digest), key, url=url, meta=meta, error=clean(error))
        return
    for place, (node, alt) in enumerate(page.alt_texts()):
        found, end = store.find(node)
        url, text = clean(found), clean(alt)
        image, error = (end, None) if isinstance(end, Place) else (None, end)
        digest = image.sha256 if image else hashlib.sha256((url or "").encode()).digest()
        offset, size, ext, sha256 = image or (None, None, None, None)
        uid = make_uid(url or f"{page.url}#{place}", text, digest)
        yield Row(uid, f"{key}/{place:04d}", text, url, offset, size, ext, sha256, meta, clean(error))
