"""On how many pages of its domain an image is shown, or a text stands: navigation, logos, notices are on many pages."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, Final

import numpy as np
import pyarrow as pa

from curate.contracts import Columns, Kind, PoolFact, Scan, Spread, State
from curate.schema import IMAGE, TEXT
from stages.select.domains import hashed, hosts_of, words_of
from stages.signals.text import without

PAGE: Final = -1
"""What a row of the count is about: a page of a domain. Others: a node by the column of this number."""
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
        return Spread({}, scan.regroup(partial(_split, IMAGE, ("url", "sha256")), _count, *self.needs))

    def compute(self, columns: Columns, state: State) -> dict[str, Sequence[Any] | np.ndarray]:
        """What no row of the state names is on one page."""
        return dict(zip(self.gives(), _frequency(columns, state, IMAGE), strict=True))


class TextFrequency(PoolFact):
    """Counts the documents of a domain (its host) in which the same text stands, as `ImageFrequency` does images.

    Texts are the same if they agree character by character.
    """

    kinds: ClassVar[tuple[Kind, ...]] = ("document", "text")
    needs: ClassVar[tuple[str, ...]] = ("kind", "parent", "url", "text")

    def gives(self) -> dict[str, pa.DataType]:
        """text_pages: documents of the domain that have it, at least 1; text_share: of the domain's documents, above 0
        to 1. Of a document: null."""
        return {"text_pages": pa.int32(), "text_share": pa.float32()}

    def fit(self, scan: Scan, seed: int) -> Spread:
        """Rows as `ImageFrequency` has them."""
        return Spread({}, scan.regroup(partial(_split, TEXT, ("text",)), _count, *self.needs))

    def compute(self, columns: Columns, state: State) -> dict[str, Sequence[Any] | np.ndarray]:
        """What no row of the state names is on one page."""
        return dict(zip(self.gives(), _frequency(columns, state, TEXT), strict=True))


def _frequency(columns: Columns, state: State, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Pages that have each row, and their share of the domain's; None for rows of other kinds."""
    owner, hosts = hosts_of(columns)
    order = np.argsort(columns["position"])
    at = order[np.searchsorted(columns["position"], state["position"].astype(np.uint64), sorter=order)]
    pages, found = np.ones(len(hosts), np.int64), np.ones(len(owner), np.int64)
    about = state["what"] == PAGE
    pages[owner[at[about]]] = state["count"][about]
    np.maximum.at(found, at[~about], state["count"][~about])
    other = columns["kind"] != kind
    return without(found, other), without(found / pages[owner], other)


def _split(kind: str, names: Sequence[str], columns: Columns) -> pa.Table:
    """A row per document under its host; per node of the kind one for each of the columns, under host and value."""
    owner, hosts = hosts_of(columns)
    page = columns["position"][columns["kind"] == "document"]
    digests = [hashed(name) for name in hosts.tolist()]
    found = [(PAGE, place, place) for place in page.tolist()]
    for row in np.flatnonzero(columns["kind"] == kind).tolist():
        for number, name in enumerate(names):
            if columns[name][row] is not None:
                digests.append(hashed(hosts[owner[row]], name, columns[name][row]))
                found.append((number, int(page[owner[row]]), int(columns["position"][row])))
    words = words_of(digests)
    what, pages, positions = zip(*found, strict=True) if found else ((), (), ())
    return pa.table([words[:, 0].copy(), words[:, 1].copy(), what, pages, positions], _ROWS)


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
