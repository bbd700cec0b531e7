"""Paragraphs that a website says again and again: notices, menus, teasers."""

from __future__ import annotations

from functools import partial
from typing import ClassVar, Literal
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa

from curate.contracts import Columns, Kind, Scan, Selection, Spread, State
from curate.schema import DOCUMENT, TEXT
from stages.select.image_urls import digests, groups


class OncePerDomain(Selection):
    """Of equal paragraphs of one website the first stays: that of the document with the lowest uid, then in its order.

    So what is kept does not depend on the order of shards. `obelics` (Laurençon et al. 2023, section 3.3) removes them
    everywhere, the first and those that stand twice in one document among them. A website is the host of a document's
    URL; with `obelics` the URL's network location, so that a port, or a host in capitals, is another. Only paragraphs
    that stand more than once are remembered; they are told apart by 128 bits of BLAKE2b.
    """

    kinds: ClassVar[tuple[Kind, ...]] = ("document", "text")
    needs: ClassVar[tuple[str, ...]] = ("text", "url", "kind", "parent")

    mode: Literal["default", "obelics"] = "default"

    def fit(self, scan: Scan, seed: int) -> Spread:
        """State per paragraph that stands more than once: `position`, `rank` (0: the first); shared: how many `groups`,
        and paragraphs `seen` in them."""
        rows = scan.regroup(partial(_paragraphs, self.mode), _repeated, *self.needs)
        return Spread({"groups": np.array(sum(rows.map(_firsts))), "seen": np.array(rows.rows)}, rows)

    def apply(self, columns: Columns, state: State, seed: int) -> np.ndarray:
        """1 for what stays, documents among it, 0 for the rest."""
        out = state["position"] if self.mode == "obelics" else state["position"][state["rank"] > 0]
        return (~np.isin(columns["position"].astype(np.int64), out)).astype(np.int64)

    def threshold(self, state: State) -> str:
        """How many there are, and what the mode does with them."""
        stay = "none stays" if self.mode == "obelics" else "the first of each stays"
        return f"{state['seen']} paragraphs say {state['groups']} things again; {stay}"


def website(url: str | None, mode: Literal["default", "obelics"] = "default") -> str:
    """The host of a URL, in lower case; with `obelics` its network location as written. Of what is no URL: itself."""
    try:
        parts = urlsplit(url or "")
        return parts.netloc if mode == "obelics" else parts.hostname or ""
    except ValueError:
        return url or ""


def _paragraphs(mode: Literal["default", "obelics"], columns: Columns) -> pa.Table:
    """Texts of a shard: their digest with the website's, and their place in the order of documents."""
    position = columns["position"].astype(np.int64)
    documents = np.flatnonzero(columns["kind"] == DOCUMENT)
    texts = np.flatnonzero(columns["kind"] == TEXT)
    parent = (position[texts] >> 32 << 32) | columns["parent"][texts].astype(np.int64)
    owner = documents[np.searchsorted(position[documents], parent)]
    sites = {row: website(columns["url"][row], mode) for row in documents.tolist()}
    said = zip(owner.tolist(), columns["text"][texts].tolist(), strict=True)
    key, rest = digests([f"{sites[row]}\n{text}" for row, text in said]).T
    high, low = columns["uid"][owner].T
    return pa.table({"key": key, "rest": rest, "high": high, "low": low, "position": position[texts]})


def _repeated(table: pa.Table) -> pa.Table:
    key, rest, high, low, position = (table[n].to_numpy() for n in ("key", "rest", "high", "low", "position"))
    order, start = groups(key, rest, high, low, position)
    size = np.diff(np.append(start, len(order)))
    rank = np.arange(len(order)) - np.repeat(start, size)
    again = np.repeat(size > 1, size)
    return pa.table({"position": position[order][again], "rank": rank[again]})


def _firsts(table: pa.Table) -> int:
    return int(np.count_nonzero(table["rank"].to_numpy() == 0))
