"""Documents of any number for measuring scale: pages with a menu of their domain, a logo, planted copies, images."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
from pydantic import Field

from benchmarks.data.endless import SHARD_ROWS, _png, _write, shard_captions
from curate.contracts import Ingested, Source, Unit
from curate.schema import DOCUMENT, DOCUMENT_INDEX, IMAGE, TEXT, make_uid

PAGES = 500
"""Pages of a shard, each with four paragraphs of four captions, a line and a logo of its domain, and two pictures."""
ROWS = 9
DOMAIN = 50
"""Pages of a domain."""


class Pages(Source):
    """`rows` rows, of which one in nine is a page; one page in ten is the shard before's, with words changed."""

    documents: ClassVar[bool] = True
    rows: int = Field(gt=0)

    def units(self) -> list[Unit]:
        """Shards of 500 pages."""
        return [Unit(f"{n:06d}", "1", {"number": n}) for n in range(-(-self.rows // (ROWS * PAGES)))]

    def ingest(self, unit: Unit, target: Path) -> Ingested:
        """A tar whose one member holds all images, and rows that point into it."""
        number = int(unit.args["number"])
        png, logos = _png(), PAGES // DOMAIN
        names = [b"logo%012d" % (number * logos + domain) for domain in range(logos)]
        names += [b"%016d" % (number * PAGES * 2 + picture) for picture in range(PAGES * 2)]
        blobs = [png + name for name in names]
        _write(target, b"".join(blobs))
        size = len(blobs[0])
        images = [(512 + size * i, size, hashlib.sha256(blob).digest()) for i, blob in enumerate(blobs)]
        rows = [row for page in range(PAGES) for row in _rows(number, page, _nodes(number, page), images)]
        return Ingested(pa.Table.from_pylist(rows[: self.rows - number * ROWS * PAGES], DOCUMENT_INDEX))


@lru_cache(maxsize=2)
def _captions(number: int) -> list[str]:
    return shard_captions(number)


def _nodes(number: int, page: int) -> list[str | int]:
    """Texts, and images by their place in the tar."""
    of = SHARD_ROWS // PAGES
    own = _captions(number)[page * of : (page + 1) * of]
    if page % 10 == 0 and number:
        own = [*_captions(number - 1)[(page + 1) * of : (page + 2) * of - 1], own[0]]
    texts = [", ".join(own[i : i + 4]) + "." for i in range(0, of, 4)]
    domain, picture = page // DOMAIN, PAGES // DOMAIN + 2 * page
    return [domain, f"Pages of {number} and {domain}, all of them.", *texts[:3], picture, *texts[3:4], picture + 1]


def _rows(
    number: int, page: int, nodes: list[str | int], images: list[tuple[int, int, bytes]]
) -> Iterator[dict[str, Any]]:
    """A document and its nodes."""
    empty: dict[str, Any] = dict.fromkeys(DOCUMENT_INDEX.names)
    key, parent = f"{number:06d}{page:04d}", page * ROWS
    host = f"http://site{number}-{page // DOMAIN}.example"
    uid = make_uid(key, None, b"")
    yield {**empty, "uid": uid, "key": key, "kind": DOCUMENT, "text": f"Page {page}", "url": f"{host}/{page}.html"}
    for place, node in enumerate(nodes):
        row = {**empty, "uid": make_uid(key, str(place), b""), "key": f"{key}/{place:04d}", "parent": parent}
        if isinstance(node, str):
            yield {**row, "kind": TEXT, "tag": "p", "text": node}
        else:
            offset, size, sha256 = images[node]
            picture = {"offset": offset, "size": size, "sha256": sha256, "ext": "png"}
            yield {**row, "kind": IMAGE, "tag": "img", "url": f"{host}/{node}.png", **picture}
