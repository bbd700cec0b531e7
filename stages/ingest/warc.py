"""Documents from WARC archives (ISO 28500:2017): crawls with their page requisites, or Common Crawl's."""

from __future__ import annotations

import hashlib
import math
import sys
from array import array
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import BinaryIO, NamedTuple
from urllib.parse import urljoin

import numpy as np
from pydantic import Field

from curate.contracts import Unit
from curate.errors import PoolError
from stages.ingest.archive import FIRST, Archive, Record
from stages.ingest.documents import Images, WebPage
from stages.ingest.files import Refused, find_files, reading
from stages.ingest.response import Response, content, parse
from stages.ingest.tar import MAX_IMAGE
from stages.ingest.web import MISSING, WebSource, address

HTML = frozenset(["text/html", "application/xhtml+xml"])
KINDS = frozenset(["text", "image", "audio", "video", "font", "application"])
MEDIA = ("image/", "audio/", "video/", "font/")
OTHERS = frozenset(["warcinfo", "request", "metadata", "conversion", "continuation"])
"""Types of records that are no answer."""
PAGES = frozenset(["response", "resource"])
CARRIERS = PAGES | {"revisit"}
"""Types of records that stand for what a URL holds."""
MAX_INDEXED = 4_000_000
"""Records of one archive whose URLs are known, 16 bytes each."""
NEAR = 1 << 20
"""Bytes that are fetched at once around an image, of an archive in a store."""
MAX_HOPS = 5
"""Redirects and revisits that are followed inside an archive."""
MAX_TRIES = 4
"""Records of one URL that are looked into."""


class Warc(WebSource):
    """Pages of WARC archives (.warc, .warc.gz), one shard per `megabytes_per_shard` of an archive as it is stored.

    A page is a `response` or `resource` record with status 200 and an HTML media type (or none, and bytes that begin
    like HTML); other records are passed over, as are revisits, redirects and errors: they hold no page. A damaged record
    that may have been a page is a document that failed. Images are looked for in the page's own archive, by URL.
    """

    path: str | tuple[str, ...] = Field(
        description="archive, folder of .warc*, glob, {000..012} range or URL; or a list"
    )
    megabytes_per_shard: float = Field(
        default=32, gt=0, description="of the archive; 32 MB of Common Crawl are about 1,000 pages"
    )

    def units(self) -> list[Unit]:
        """One unit per `megabytes_per_shard` of each archive; nothing is read for it but the listing."""
        step = math.ceil(self.megabytes_per_shard * 1e6)
        units = []
        for file in find_files([self.path] if isinstance(self.path, str) else list(self.path), ".warc*"):
            for number, start in enumerate(range(0, file.size, step)):
                stamp = repr((file.stamp, start, step, self.settings()))
                digest = hashlib.blake2b(stamp.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
                args = {
                    "archive": file.path,
                    "name": file.name,
                    "stamp": file.stamp,
                    "start": start,
                    "end": start + step,
                }
                units.append(Unit(f"{file.name}/{number:05d}", digest, args))
        if not units:
            raise PoolError(f"{self.path}: these archives are empty; name one that is not")
        return units

    def pages(self, unit: Unit, passed: Counter[str]) -> Iterator[WebPage]:
        """The pages that begin in the unit's part of its archive."""
        limit = int(self.max_page_megabytes * 1e6)
        path, name = unit.args["archive"], unit.args["name"]

        def wants(record: Record) -> int:
            return limit + FIRST if may_be_page(record) else 0

        with reading(path) as file:
            for record in Archive(file, path).records(unit.args["start"], unit.args["end"], wants):
                page = page_of(record, name, limit)
                if page is not None:
                    yield page
                else:
                    passed[_what(record)] += 1

    @contextmanager
    def archived(self, unit: Unit) -> Iterator[Images]:
        """The images of the unit's archive, all of it."""
        path = unit.args["archive"]
        with reading(path, NEAR) as file:
            yield ArchivedImages(file, path, unit.args["stamp"])


def page_of(record: Record, archive: str, limit: int) -> WebPage | None:
    """The page that a record holds; with an error if it is larger than `limit` bytes, or damaged. None: it is no page."""
    if not may_be_page(record):
        return None
    named = {"date": record.headers.get("warc-date"), "truncated": record.headers.get("warc-truncated")}
    meta = {"archive": archive, "byte": record.at, **{name: value for name, value in named.items() if value}}
    answer = answer_of(record)
    if record.error is not None or answer is None:
        return WebPage(record.url or None, meta=meta, error=record.error)
    if len(record.block) < record.length:
        return WebPage(record.url, meta=meta, error=f"larger than {limit / 1e6:g} MB")
    try:
        return WebPage(record.url, content(answer, limit), answer.charset, meta)
    except Refused as refused:
        return WebPage(record.url, meta=meta, error=str(refused))


def may_be_page(record: Record) -> bool:
    """Whether a record, of which at least the beginning was read, is a page; of a damaged one whether it may have been."""
    answer = answer_of(record)
    if record.error is not None:  # then nothing that it says is sure: it is no page only if it names what it was
        return record.type not in OTHERS and (answer is None or not answer.media_type.startswith(MEDIA))
    if answer is None or record.type not in PAGES or not record.url.startswith(("http://", "https://")):
        return False
    html = answer.media_type in HTML or (not answer.media_type and _looks_like_html(answer.body))
    return answer.status == 200 and html


def _what(record: Record) -> str:
    """What a record is that is no page: its type; of an answer also the status, or the kind of media."""
    if record.type not in OTHERS | CARRIERS:
        return "other"
    answer = answer_of(record)
    if answer is None or record.type not in PAGES:
        return record.type
    kind = answer.media_type.partition("/")[0]
    return f"{record.type} {answer.status if answer.status != 200 else kind if kind in KINDS else 'other'}"


def answer_of(record: Record) -> Response | None:
    """What the record's URL was answered with; None: it is no answer, or none that can be read."""
    if record.type in OTHERS:
        return None
    if record.type == "resource":
        return Response(200, {"content-type": record.headers.get("content-type", "")}, record.block)
    return parse(record.block)


def _looks_like_html(body: bytes) -> bool:
    return body[:FIRST].lstrip()[:14].lower().startswith((b"<!doctype html", b"<html"))


class Index(NamedTuple):
    """Where an archive has which URL: 64-bit hashes of addresses in order, and the bytes at which their records begin."""

    hashes: np.ndarray
    places: np.ndarray


class ArchivedImages:
    """What the records of one archive hold, by URL. Redirects and revisits are followed inside the archive."""

    def __init__(self, file: BinaryIO, path: str, stamp: str) -> None:
        self.archive = Archive(file, path)
        self.index = index_of(path, stamp)

    def read(self, url: str) -> bytes:
        """The body of the URL's first record that has one. Raises `Refused` where the archive has none."""
        for _ in range(MAX_HOPS):
            found = self._find(url)
            if isinstance(found, bytes):
                return found
            url = found
        raise Refused(f"{MISSING}more than {MAX_HOPS} redirects")

    def _find(self, url: str) -> bytes | str:
        """The body, or the URL that the archive names instead of it."""
        why, instead = "not in the archive", None
        for record in self._records(url):
            answer = answer_of(record)
            if record.error is not None:
                why = record.error
            elif record.type == "revisit":
                why, instead = "the archive has it as a revisit only", record.headers.get("warc-refers-to-target-uri")
            elif answer is None:
                why = "its record is no HTTP answer"
            elif 300 <= answer.status < 400 and "location" in answer.headers:
                instead = _redirected(url, answer.headers["location"])
            elif answer.status == 200:
                return content(answer, MAX_IMAGE)
            else:
                why = f"the archive has it with status {answer.status}"
        if instead is None or address(instead) == address(url):
            raise Refused(f"{MISSING}{why}")
        return instead

    def _records(self, url: str) -> Iterator[Record]:
        wanted = address(url)
        hashed = np.uint64(_hash(wanted))
        first = int(np.searchsorted(self.index.hashes, hashed))
        for at in range(first, min(first + MAX_TRIES, len(self.index.hashes))):
            if self.index.hashes[at] != hashed:
                return
            place = int(self.index.places[at])
            for record in self.archive.records(place, place + 1, lambda _: MAX_IMAGE + FIRST):
                if address(record.url) == wanted:
                    yield record


def _redirected(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise Refused(f"{MISSING}its redirect is malformed: {error}") from error


@lru_cache(maxsize=2)
def index_of(path: str, stamp: str) -> Index:
    """The index of an archive, from one pass over it. `stamp`: what changes when the archive does.

    It is kept for the last archives that this process read; of an archive of more than `MAX_INDEXED` records the rest is
    not found.
    """
    hashes, places = array("Q"), array("Q")
    with reading(path) as file:
        for record in Archive(file, path).records(0, sys.maxsize):
            if record.type in CARRIERS and record.url:
                hashes.append(_hash(address(record.url)))
                places.append(record.at)
            if len(hashes) >= MAX_INDEXED:
                break
    order = np.argsort(np.frombuffer(hashes, np.uint64), kind="stable")
    return Index(np.frombuffer(hashes, np.uint64)[order], np.frombuffer(places, np.uint64)[order])


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
