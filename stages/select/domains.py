"""What the pages of one host have in common: how many they are, and the means of what is known of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
from pydantic import Field, field_validator

from curate.contracts import Columns, Kind, PoolFact, Scan, Spread, State

ROW = np.uint64(0xFFFFFFFF)
"""Of a position: the row in its shard."""


class DomainStatistics(PoolFact):
    """Counts the pages of each document's host, and averages columns over the host's rows.

    A mean is over all rows that have the column, whatever their kind: of `document_words` over pages, of a boolean or a
    number about images over images. A host is what stands in the URL, in lower case, without a port; pages whose URL
    has none share the empty host.
    """

    kinds: ClassVar[tuple[Kind, ...]] = ("document", "text", "image")
    needs: ClassVar[tuple[str, ...]] = ("kind", "parent", "url")

    means: tuple[str, ...] = Field(default=(), description="columns of numbers to average per domain")

    @field_validator("means")
    @classmethod
    def _different(cls, means: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(means)) < len(means):
            raise ValueError("a column is named twice")
        return means

    def inputs(self) -> tuple[str, ...]:
        """What tells a row's host, and the columns to average."""
        return (*self.needs, *self.means)

    def gives(self) -> dict[str, pa.DataType]:
        """domain: the host; domain_pages: its documents; domain_NAME: the mean of the column over the host's rows, null
        where no row has it. The same in every row of a host."""
        means = {f"domain_{name}": pa.float32() for name in self.means}
        return {"domain": pa.string(), "domain_pages": pa.int32(), **means}

    def fit(self, scan: Scan, seed: int) -> Spread:
        """Rows `position` (of a document), `pages` and a mean per column."""
        names = [f"mean{i}" for i in range(len(self.means))]
        return Spread({}, scan.regroup(partial(_sums, self.means), partial(_means, names), *self.inputs()))

    def compute(self, columns: Columns, state: State) -> dict[str, Sequence[Any] | np.ndarray]:
        """A node has what its document has."""
        owner, hosts = hosts_of(columns)
        at = np.searchsorted(state["position"].astype(np.uint64), columns["position"][columns["kind"] == "document"])
        means = {f"domain_{name}": state[f"mean{i}"][at][owner] for i, name in enumerate(self.means)}
        return {"domain": hosts[owner], "domain_pages": state["pages"][at][owner], **means}


def host(url: str | None) -> str:
    """The host of a URL in lower case, without user and port; "" where there is none."""
    try:
        return urlsplit(url or "").hostname or ""
    except ValueError:
        return ""


def hosts_of(columns: Columns) -> tuple[np.ndarray, np.ndarray]:
    """For each row its document's number in the shard, int64 (n,); for each document its host, object (documents,).

    `columns`: kind, parent, url and position of documents and nodes, the documents of all nodes among them.
    """
    rows = (columns["position"] & ROW).astype(np.int64)
    documents = columns["kind"] == "document"
    parent = np.where(documents, rows, np.nan_to_num(columns["parent"].astype(np.float64)).astype(np.int64))
    owner = np.searchsorted(rows[documents], parent)
    return owner, np.array([host(url) for url in columns["url"][documents].tolist()] + [None], object)[:-1]


def hashed(*parts: str | bytes) -> bytes:
    """16 bytes that stand for these parts: BLAKE2b."""
    state = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        state.update(len(data).to_bytes(8, "little") + data)
    return state.digest()


def words_of(digests: Sequence[bytes]) -> np.ndarray:
    """uint64 (n, 2) of digests of 16 bytes."""
    return np.frombuffer(b"".join(digests), np.uint64).reshape(-1, 2)


def _sums(means: Sequence[str], columns: Columns) -> pa.Table:
    """A row per document: `key` and `rest` of its host, and per column the sum over its rows and how many there are."""
    owner, hosts = hosts_of(columns)
    words = words_of([hashed(name) for name in hosts.tolist()])
    table = {"key": words[:, 0], "rest": words[:, 1], "position": columns["position"][columns["kind"] == "document"]}
    for i, name in enumerate(means):
        values = columns[name].astype(np.float64)  # None becomes NaN
        known = np.isfinite(values)
        sums = np.bincount(owner[known], values[known], len(hosts))
        table[f"sum{i}"] = sums.astype(np.float64)  # of nothing it would be whole numbers
        table[f"count{i}"] = np.bincount(owner[known], minlength=len(hosts))
    return pa.table({name: np.ascontiguousarray(column) for name, column in table.items()})


def _means(names: Sequence[str], rows: pa.Table) -> pa.Table:
    """Of each document its host's pages and means. Sums are rounded to floats once, in the order of positions."""
    words = np.column_stack([rows["key"].to_numpy(), rows["rest"].to_numpy()])
    order = np.lexsort((rows["position"].to_numpy(), words[:, 1], words[:, 0]))
    words = words[order]
    begins = np.ones(len(words), bool)
    begins[1:] = (words[1:] != words[:-1]).any(axis=1)
    group = np.cumsum(begins) - 1
    table = {
        "position": rows["position"].to_numpy()[order],
        "pages": np.bincount(group)[group] if len(group) else group,
    }
    for i, name in enumerate(names):
        total, count = (
            np.bincount(group, rows[f"{what}{i}"].to_numpy()[order], group[-1] + 1 if len(group) else 0)
            for what in ("sum", "count")
        )
        with np.errstate(invalid="ignore"):
            table[name] = np.round(total / count, 9)[group]
    return pa.table(table)
