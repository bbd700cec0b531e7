"""Images that stand all over the corpus: buttons, logos, placeholders."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from typing import ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate.contracts import Columns, Kind, Scan, Selection, Spread, State


class FewPlaces(Selection):
    """Drops images whose URL stands in more than `max` places among the documents that are left, in each of them.

    OBELICS takes 10 (Laurençon et al. 2023, section 3.3). Places in one document count one by one. Only images that are
    dropped are remembered; URLs are told apart by 128 bits of BLAKE2b.
    """

    kinds: ClassVar[tuple[Kind, ...]] = ("image",)
    needs: ClassVar[tuple[str, ...]] = ("url",)

    max: int = Field(default=10, ge=1)

    def fit(self, scan: Scan, seed: int) -> Spread:
        """State per image in too many places: `position`; shared: how many `images`, and their different `urls`."""
        rows = scan.regroup(_hashed, partial(_frequent, self.max), "url")
        return Spread({"images": np.array(rows.rows), "urls": np.array(sum(rows.map(_urls)))}, rows)

    def apply(self, columns: Columns, state: State, seed: int) -> np.ndarray:
        """1 for what stays, 0 for the rest; an image without a URL stays."""
        return (~np.isin(columns["position"].astype(np.int64), state["position"])).astype(np.int64)

    def threshold(self, state: State) -> str:
        """How many there are."""
        return f"{state['images']} images by {state['urls']} URLs stand in more than {self.max} places"


def digests(texts: Sequence[str]) -> np.ndarray:
    """uint64 (n, 2): 128 bits of BLAKE2b of each text; the first word is a key to regroup by."""
    found = [hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest() for text in texts]
    return np.frombuffer(b"".join(found), np.uint64).reshape(-1, 2)


def groups(key: np.ndarray, rest: np.ndarray, *then: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Order of rows by digest (`key`, `rest`), then by `then`, int64 (n,); and where groups of equal digests begin in it."""
    order = np.lexsort((*reversed(then), rest, key))
    key, rest = key[order], rest[order]
    first = np.ones(len(order), bool)
    first[1:] = (key[1:] != key[:-1]) | (rest[1:] != rest[:-1])
    return order, np.flatnonzero(first)


def _hashed(columns: Columns) -> pa.Table:
    has = np.array([url is not None for url in columns["url"].tolist()], bool)
    key, rest = digests(columns["url"][has].tolist()).T
    return pa.table({"key": key, "rest": rest, "position": columns["position"][has].astype(np.int64)})


def _frequent(most: int, table: pa.Table) -> pa.Table:
    key, rest, position = (table[name].to_numpy() for name in ("key", "rest", "position"))
    order, start = groups(key, rest)
    size = np.diff(np.append(start, len(order)))
    many = np.repeat(size > most, size)
    return pa.table({"position": position[order][many], "url": key[order][many]})


def _urls(table: pa.Table) -> int:
    return len(table["url"].unique())
