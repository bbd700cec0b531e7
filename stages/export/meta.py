"""The columns beside image and caption, the same in every format that has them."""

from __future__ import annotations

import math
from typing import Any

from curate.contracts import Record

BASE = ("image", "text", "uid", "key")
"""Columns that an export has anyway: what is exported, not what the source said."""


def meta_of(record: Record) -> dict[str, Any]:
    """`uid` and the record's meta as strict JSON. The source's own `key` or `text` becomes `source_key`, `source_text`."""
    named = {f"source_{name}" if name in BASE else name: value for name, value in record.meta.items() if name != "uid"}
    return {"uid": record.uid, **{name: _plain(value) for name, value in named.items()}}


def _plain(value: Any) -> Any:
    """NaN and infinities, which JSON lacks and strict parsers refuse, become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value
