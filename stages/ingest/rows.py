"""Rows of the pool index, as every source makes them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import NamedTuple

import pyarrow as pa

from curate.contracts import Kind
from curate.schema import INDEX, make_uid, parse_uid

_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


class Row(NamedTuple):
    """One row, its fields in the order of `curate.schema.INDEX`. Where `error` is set, `offset` and `size` are null."""

    uid: bytes
    key: str
    text: str | None = None
    url: str | None = None
    offset: int | None = None
    size: int | None = None
    ext: str | None = None
    sha256: bytes | None = None
    meta: str | None = None
    error: str | None = None


class DocumentRow(NamedTuple):
    """One row of a pool of documents, a document or a node, its fields in the order of `curate.schema.DOCUMENT_INDEX`."""

    uid: bytes
    key: str
    text: str | None
    url: str | None
    offset: int | None
    size: int | None
    ext: str | None
    sha256: bytes | None
    meta: str | None
    error: str | None
    kind: Kind
    parent: int | None = None
    tag: str | None = None
    region: str | None = None
    path: str | None = None
    caption: str | None = None
    link: str | None = None
    shown_width: int | None = None
    shown_height: int | None = None


def table_of(rows: Iterable[Row] | Iterable[DocumentRow], schema: pa.Schema = INDEX) -> pa.Table:
    """The rows as a table of the index schema (`DOCUMENT_INDEX` for rows of documents), in the order given."""
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.table(arrays, schema=schema)


def failed_row(key: str, error: str, text: object = None, url: object = None, uid: object = None) -> Row:
    """A record that could not be had. Without a uid of its own it is told apart by its URL instead of its image."""
    key, words, link = safe_key(key), clean(text), clean(url)
    digest = hashlib.sha256(link.encode()).digest() if link else b""
    return Row(parse_uid(uid) or make_uid(key, words, digest), key, words, link, error=clean(error))


def safe_key(name: str) -> str:
    """A name from outside as a key: control characters, direction marks and invalid bytes are spelt out as escapes."""
    if name.isascii() and name.isprintable():
        return name
    return _UNSAFE.sub(lambda match: match[0].encode("unicode_escape", "surrogatepass").decode(), name)


def clean(text: object) -> str | None:
    """The text with lone surrogates, which no file can hold, replaced by `?`; None if it is no text."""
    return text.encode("utf-8", "replace").decode() if isinstance(text, str) else None
