"""The columns beside image and caption, the same in every format that has them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from curate.contracts import NodeRecord, Record

BASE = ("image", "text", "uid", "key")
"""Columns that an export has anyway: what is exported, not what the source said."""
NODE_BASE = ("url", "caption")
"""Columns that the nodes of a document have anyway."""


def meta_of(record: Record) -> dict[str, Any]:
    """`uid` and the record's meta as strict JSON. The source's own `key` or `text` becomes `source_key`, `source_text`."""
    named = {f"source_{name}" if name in BASE else name: value for name, value in record.meta.items() if name != "uid"}
    return {"uid": record.uid, **{name: strict(value) for name, value in named.items()}}


def document_of(record: Record) -> dict[str, Any]:
    """A document but for its nodes: `uid`, `key`, `url`, `title`, and `meta`, the columns that the recipe names."""
    rest = {name: strict(value) for name, value in record.meta.items() if name not in ("uid", "url")}
    return {"uid": record.uid, "key": record.key, "url": record.meta["url"], "title": record.text, "meta": rest}


def node_of(node: NodeRecord) -> dict[str, Any]:
    """A node but for an image's bytes: `kind`, `uid`, then `text`, or `alt`, `caption` and `url`; `meta` if the recipe
    names columns."""
    rest = {name: strict(value) for name, value in node.meta.items() if name not in NODE_BASE}
    said = (
        {"text": node.text}
        if node.kind == "text"
        else {"alt": node.text, "caption": node.meta["caption"], "url": node.meta["url"]}
    )
    return {"kind": node.kind, "uid": node.uid, **said, **({"meta": rest} if rest else {})}


def counts_of(records: Sequence[Record]) -> dict[str, int]:
    """How many texts and images the documents of a shard hold."""
    kinds = Counter(node.kind for record in records for node in record.nodes)
    return {"texts": kinds["text"], "images": kinds["image"]}


def strict(value: Any) -> Any:
    """NaN and infinities, which JSON lacks and strict parsers refuse, become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: strict(item) for key, item in value.items()}
    return [strict(item) for item in value] if isinstance(value, list) else value
