"""A document of a run as its reader would see it: texts and images in order, each with its fate.

document = read_document(run, "00ab…")          # by the uid of a document, or of one of its nodes
for node in document.nodes:
    print(node.fate, node.rule, node.text)
document.left()                                 # what of it is exported, or was there when it was dropped
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from curate.engine.decide import WITH_DOCUMENT
from curate.errors import RunError
from curate.schema import DOCUMENT, KEPT, LEDGER

if TYPE_CHECKING:
    from curate.inspect import Run
    from curate.pool import Shard


@dataclass(frozen=True)
class Entry:
    """A row of a pool of documents with its fate: a document, or a node of one."""

    shard: int
    row: int
    kind: str
    """document | text | image."""
    uid: str
    """32 hexadecimal digits."""
    key: str
    text: str | None
    """A title, a paragraph, or an alt text."""
    url: str | None
    """Of the page, or of the image."""
    tag: str | None
    region: str | None
    caption: str | None
    link: str | None
    pictured: bool
    """Whether the pool has bytes of an image for it."""
    fate: str
    """kept | dropped | failed."""
    rule: str | None
    value: str | None
    """What the rule saw."""
    error: str | None

    @property
    def along(self) -> bool:
        """Whether it is gone only because its document is: nothing was said against the node itself."""
        return self.value == WITH_DOCUMENT or (self.error or "").startswith(WITH_DOCUMENT)

    @property
    def stayed(self) -> bool:
        """Whether it was in the document to the end: it is kept, or went when the document did."""
        return self.fate == KEPT or self.along


_INDEX: Final = ("uid", "key", "text", "url", "kind", "parent", "tag", "region", "caption", "link", "offset")
_FATES: Final = ("fate", "rule", "value", "error")


@dataclass(frozen=True)
class Document:
    """A document and its nodes in reading order, dropped and failed ones in their places."""

    entry: Entry
    nodes: tuple[Entry, ...]

    def left(self) -> list[Entry]:
        """Nodes that are kept; of a document that is not, those that it had when it was dropped."""
        return [node for node in self.nodes if node.stayed]


def is_documents(run: Run) -> bool:
    """Whether the run's pool holds documents and their nodes, not pairs."""
    return bool(run.manifest.get("kinds"))


def read_document(run: Run, uid: str) -> Document:
    """The document with a uid, or the one that the node with it belongs to; a prefix that fits one record will do.

    Of a page that entered more than once, the first. Raises RunError where no record or several have the uid.
    """
    found = run.explain(uid)
    if len({entry["uid"] for entry in found}) > 1:
        raise RunError(f"{len(found)} records have a uid that begins with {uid!r}; give more of its digits")
    return read_documents(run, [(found[0]["shard"], found[0]["row"])])[0]


def read_documents(run: Run, places: Sequence[tuple[int, int]]) -> list[Document]:
    """The documents at, or around the nodes at, these places (shard number, row), in their order.

    Each shard's tables are read once. Raises RunError for a pool of pairs.
    """
    if not is_documents(run):
        raise RunError(f"run {run.name!r} is about pairs: it has samples, and no documents")
    found: dict[tuple[int, int], Document] = {}
    for shard in run.shards:
        rows = sorted({row for number, row in places if number == shard.number})
        if rows:
            table = fated(run, shard)
            found |= {(shard.number, row): document_at(table, row) for row in rows}
    return [found[place] for place in places]


def fated(run: Run, shard: Shard) -> pa.Table:
    """A shard's rows as documents are read from them: index columns, then fates, in index order."""
    ledger = run.shard_ledger(shard).select(_FATES)
    table = run.pool.read_index(shard, _INDEX).slice(0, ledger.num_rows)
    for name in _FATES:
        table = table.append_column(LEDGER.field(name), ledger[name])
    return table.append_column("shard", pa.array(np.full(table.num_rows, shard.number, np.int32)))


def document_at(table: pa.Table, row: int) -> Document:
    """The document at, or around the node at, a row of a table that `fated` gave."""
    parent = table["parent"][row].as_py()
    start = row if parent is None else parent
    following = table["parent"].slice(start + 1).to_numpy()
    ends = np.flatnonzero(following != start)  # NaN, the next document's, is unequal too
    count = int(ends[0]) if len(ends) else len(following)
    first, *nodes = (_entry(cells, start + i) for i, cells in enumerate(table.slice(start, count + 1).to_pylist()))
    return Document(first, tuple(nodes))


def _entry(cells: dict[str, Any], row: int) -> Entry:
    own = {"row": row, "uid": cells["uid"].hex(), "pictured": cells["offset"] is not None}
    return Entry(**{field.name: own[field.name] if field.name in own else cells[field.name] for field in fields(Entry)})


def explain(run: Run, uid: str) -> list[dict[str, Any]]:
    """`Run.explain`; in a pool of documents with the `kind`, `text` and `url` of each row, of a document its `nodes` in
    order with their fates, and of a node its `place` and its `document` with that one's fate."""
    fates = run.explain(uid)
    if not is_documents(run):
        return fates
    documents = read_documents(run, [(fate["shard"], fate["row"]) for fate in fates])
    return [fate | _family(document, fate["row"]) for fate, document in zip(fates, documents, strict=True)]


def _family(document: Document, row: int) -> dict[str, Any]:
    entry = next(entry for entry in (document.entry, *document.nodes) if entry.row == row)
    found = {"kind": entry.kind, "text": entry.text, "url": entry.url}
    if entry.kind == DOCUMENT:
        return found | {"nodes": [_brief(node) for node in document.nodes]}
    return found | {"along": entry.along, "place": place_of(document, entry), "document": _brief(document.entry)}


def _brief(entry: Entry) -> dict[str, Any]:
    names = ("uid", "key", "kind", "tag", "text", "url", "fate", "rule", "value", "error")
    return {name: getattr(entry, name) for name in names} | {"along": entry.along}


def place_of(document: Document, entry: Entry) -> str:
    """Where a node stands, in words: `text 3 of 14, node 5 of 20`."""
    same = [node.row for node in document.nodes if node.kind == entry.kind]
    at = [node.row for node in document.nodes]
    return f"{entry.kind} {same.index(entry.row) + 1} of {len(same)}, node {at.index(entry.row) + 1} of {len(at)}"


def count_kinds(entries: Sequence[Entry]) -> dict[str, int]:
    """How many of each kind of node: {"text": 14, "image": 6}."""
    kinds = [entry.kind for entry in entries if entry.kind != DOCUMENT]
    return {kind: kinds.count(kind) for kind in ("text", "image")}
