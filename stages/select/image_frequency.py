"""On how many pages of its domain an image is shown: navigation, logos and icons are on many, content on few."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final

import numpy as np
import pyarrow as pa

from curate.contracts import Columns, Kind, PoolFact, Scan, Spread, State
from stages.select.domains import hashed, hosts_of, words_of
from stages.signals.text import without

PAGES, URL, BYTES = 0, 1, 2
"""What a row of the count is about: a page of a domain, an image by its URL, an image by its bytes."""
_ROWS: Final = pa.schema(
    [
        ("key", pa.uint64()),
        ("rest", pa.uint64()),
        ("what", pa.int8()),
        ("page", pa.uint64()),  # position of the document
        ("position", pa.uint64()),
    ]
)


class ImageFrequency(PoolFact):
    """Counts the documents of a domain (its host) that show the same image: the same URL, or the same bytes.

    Several places on one page count once. The share is of the domain's documents. Only what more than one document shows
    is remembered, and one number per document.
    """

    kinds: ClassVar[tuple[Kind, ...]] = ("document", "image")
    needs: ClassVar[tuple[str, ...]] = ("kind", "parent", "url", "sha256")

    def gives(self) -> dict[str, pa.DataType]:
        """image_pages: documents of the domain that show it, at least 1, by URL or by bytes, whichever are more;
        image_share: of the domain's documents, above 0 to 1. Of a document: null."""
        return {"image_pages": pa.int32(), "image_share": pa.float32()}

    def fit(self, scan: Scan, seed: int) -> Spread:
        """Rows `position`, `what` and `count`: of each document its domain's pages, of an image what is above 1."""
        return Spread({}, scan.regroup(_split, _count, *self.needs))

    def compute(self, columns: Columns, state: State) -> dict[str, Sequence[Any] | np.ndarray]:
        """What no row of the state names is on one page."""
        owner, hosts = hosts_of(columns)
        order = np.argsort(columns["position"])
        at = order[np.searchsorted(columns["position"], state["position"].astype(np.uint64), sorter=order)]
        pages = np.ones(len(hosts), np.int64)
        about = state["what"] == PAGES
        pages[owner[at[about]]] = state["count"][about]
        shown = np.ones(len(owner), np.int64)
        np.maximum.at(shown, at[~about], state["count"][~about])
        other = columns["kind"] != "image"
        return {"image_pages": without(shown, other), "image_share": without(shown / pages[owner], other)}


def _split(columns: Columns) -> pa.Table:
    """A row per document under its host; per image one under its host and URL, and one under its host and bytes."""
    owner, hosts = hosts_of(columns)
    page = columns["position"][columns["kind"] == "document"]
    digests = [hashed(name) for name in hosts.tolist()]
    found = [(PAGES, place, place) for place in page.tolist()]
    for row in np.flatnonzero(columns["kind"] == "image").tolist():
        name, place = hosts[owner[row]], (page[owner[row]], columns["position"][row])
        for about, value in ((URL, columns["url"][row]), (BYTES, columns["sha256"][row])):
            if value is not None:
                digests.append(hashed(name, str(about), value))
                found.append((about, *place))
    words = words_of(digests)
    what, pages, positions = np.array(found, np.uint64).reshape(-1, 3).T
    return pa.table([words[:, 0].copy(), words[:, 1].copy(), what.astype(np.int8), pages, positions], _ROWS)


def _count(rows: pa.Table) -> pa.Table:
    """`position`, `what` and how many different pages share the key, where there are more than one."""
    names = ("key", "rest", "what", "page", "position")
    columns = {name: rows[name].to_numpy() for name in names}
    order = np.lexsort([columns[name] for name in ("position", "page", "what", "rest", "key")])
    key, rest, what, page, position = (columns[name][order] for name in names)
    begins = np.ones(len(key), bool)
    begins[1:] = (key[1:] != key[:-1]) | (rest[1:] != rest[:-1]) | (what[1:] != what[:-1])
    different = begins.copy()
    different[1:] |= page[1:] != page[:-1]
    group = np.cumsum(begins) - 1
    count = np.bincount(group, different)[group].astype(np.int64) if len(group) else group
    shared = count > 1
    return pa.table({"position": position[shared], "what": what[shared], "count": count[shared]})
