"""Names and types of everything at rest, in one place: pool index, facts, ledger, and what a uid is."""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np
import pyarrow as pa

FORMAT: Final = 1
"""Version of the layout at rest."""

UID = pa.binary(16)

INDEX: Final = pa.schema(
    [
        pa.field("uid", UID, nullable=False),
        pa.field("key", pa.string(), nullable=False),
        pa.field("text", pa.string()),
        pa.field("url", pa.string()),
        pa.field("offset", pa.int64()),  # of the image's bytes in the tar; null: there is no image
        pa.field("size", pa.int64()),
        pa.field("ext", pa.string()),
        pa.field("sha256", pa.binary(32)),
        pa.field("meta", pa.string()),  # the source's own JSON, as it came
        pa.field("error", pa.string()),  # why ingest failed for this record; it still counts as entered
    ]
)
"""One row per input record, in the shard's order. Identity is (pool, shard, row)."""

DOCUMENT, TEXT, IMAGE = "document", "text", "image"
"""Kinds of rows in a pool of documents. A pool of pairs has one kind of row, and no name for it."""

DOCUMENT_INDEX: Final = pa.schema(
    [
        *INDEX,
        pa.field("kind", pa.string(), nullable=False),  # document | text | image
        pa.field("parent", pa.int64()),  # row of the node's document in this shard; null: it is a document
        pa.field("tag", pa.string()),  # of a node: the element that it stands in: p, h1, li, td, pre, figcaption, img …
        pa.field(
            "region", pa.string()
        ),  # of a node: main | nav | header | footer | aside | form, by markup; null: none
        pa.field("path", pa.string()),  # of a node: child numbers from <body> on, `3.0.12`
        pa.field("caption", pa.string()),  # of an image: <figcaption>, or its table's <caption>
        pa.field("link", pa.string()),  # of an image: where it links to; of a text: where all of it links to
        pa.field("shown_width", pa.int32()),  # of an image: as its markup says, px
        pa.field("shown_height", pa.int32()),
    ]
)
"""A document is a row, and its nodes (paragraphs, images) follow it in reading order. Of a document `text` is the title
and `url` the page's; of a node `text` is the paragraph or the alt text, and `url` the image's."""

INDEX_COLUMNS: Final = ("uid", "key", "text", "url", "ext", "sha256", "meta")
"""Columns that any step may need without a signal giving them."""

NODE_COLUMNS: Final = tuple(name for name in DOCUMENT_INDEX.names if name not in INDEX.names)
"""Further columns of a pool of documents that any step may need."""

SKIPPED, COMPUTED, ERROR, ABSENT = 0, 1, 2, 3
"""State of a signal for a row. Null is a legal value, so absence needs a column of its own. ABSENT: the row is of a kind
that the step is not about; its value is null for good."""


def state_column(label: str) -> str:
    """Name of the state column (int8) of the signal labelled so in a facts file."""
    return f"state:{label}"


def error_column(label: str) -> str:
    """Name of the error column (string) of the signal labelled so in a facts file."""
    return f"error:{label}"


DECODE = "decode: "
"""How an error of the decode begins, which is nobody's signal: all that need the image share it."""

KEPT, DROPPED, FAILED = "kept", "dropped", "failed"

LEDGER: Final = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("uid", UID, nullable=False),
        pa.field("key", pa.string(), nullable=False),
        pa.field("fate", pa.string(), nullable=False),  # kept | dropped | failed
        pa.field("rule", pa.string()),  # dropped: label of the first rule, in recipe order, that dropped it
        pa.field("value", pa.string()),  # dropped: the values that the rule saw
        pa.field("error", pa.string()),  # failed: `step: cause`
        pa.field("times", pa.int32(), nullable=False),  # how often it is exported; 0 unless kept
    ]
)
"""One row per entered record, in index order: exactly one fate each."""


def make_uid(key: str, text: str | None, digest: bytes) -> bytes:
    """The 128-bit uid of a sample whose source has none: a hash of its key, caption and image digest (sha256).

    Stable across runs and machines; a changed image or caption is a new sample.
    """
    parts = (key.encode(), b"" if text is None else text.encode("utf-8", "surrogatepass"), digest)
    state = hashlib.blake2b(digest_size=16)
    for part in parts:
        state.update(len(part).to_bytes(8, "little"))
        state.update(part)
    return state.digest()


def parse_uid(value: object) -> bytes | None:
    """A uid that the source already has: 32 hexadecimal digits, as DataComp writes it. None if it is not one."""
    if not isinstance(value, str) or len(value) != 32:
        return None
    try:
        return bytes.fromhex(value)
    except ValueError:
        return None


def uid_words(uids: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """uint64 (n, 2), high word first: sorts like the hexadecimal form."""
    array = uids.combine_chunks() if isinstance(uids, pa.ChunkedArray) else uids
    buffer = array.cast(UID).buffers()[1]
    if buffer is None or len(array) == 0:
        return np.zeros((0, 2), np.uint64)
    words = np.frombuffer(buffer, ">u8", count=2 * len(array), offset=16 * array.offset)
    return words.astype(np.uint64).reshape(-1, 2)


def hash_words(seed: int, words: np.ndarray, stream: str = "") -> np.ndarray:
    """uint64 (n,): one draw per uid from (seed, uid, stream). The only source of randomness for decisions.

    SplitMix64 finalisers over both words; `stream` separates independent draws for one uid.
    """
    salt = int.from_bytes(hashlib.blake2b(f"{seed}/{stream}".encode(), digest_size=8).digest(), "little")
    value = _mix(words[:, 0] ^ np.uint64(salt))
    return _mix(value ^ words[:, 1])


def _mix(value: np.ndarray) -> np.ndarray:
    value = (value + np.uint64(0x9E3779B97F4A7C15)).astype(np.uint64)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
