"""How often a caption, or its template, stands in the pool."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from typing import Any, ClassVar, Final

import numpy as np
import pyarrow as pa

from curate.contracts import Columns, PoolFact, Scan, Spread, State
from stages.signals.text import without

CAPTION, TEMPLATE, BOTH = 0, 1, 2
"""Whose text a row's hash is of: `BOTH` for a caption in which nothing is masked, which is its own template."""
_NUMBER: Final = re.compile(r"\d+(?:[.,:/-]?\d+)*")
_MASK: Final = "\0"
"""Stands for a number in a template; no normalised caption holds it."""
_QUOTED: Final = re.compile(r"[\"“„«「『][^\"”“»」』]{1,80}[\"”“»」』]")
_ROWS: Final = pa.schema([("key", pa.uint64()), ("rest", pa.uint64()), ("kind", pa.int8()), ("position", pa.uint64())])


class CaptionFrequency(PoolFact):
    """Counts pairs with the same caption (ALIGN, Jia et al. 2021, section 3), and with the same template.

    Captions are the same if they agree without case, white space and closing punctuation. In a template numbers and
    quoted strings are masked: `Photo 12 of 30` and `Photo 7 of 30` have one. A caption without either is its own template.
    Captions are told apart by 128 bits of BLAKE2b. Only rows whose caption or template is not alone take room.
    """

    needs: ClassVar[tuple[str, ...]] = ("text",)

    def gives(self) -> dict[str, pa.DataType]:
        """caption_count, template_count: pairs of the pool with it, this one included; no caption, no fact."""
        return {"caption_count": pa.int32(), "template_count": pa.int32()}

    def fit(self, scan: Scan, seed: int) -> Spread:
        """Rows `position`, `kind` and `count` of texts that stand more than once: at most two for a pair."""
        return Spread({}, scan.regroup(_hashed, _counted, "text"))

    def compute(self, columns: Columns, state: State) -> dict[str, Sequence[Any] | np.ndarray]:
        """What no row of the state names is alone."""
        missing = np.array([text is None for text in columns["text"].tolist()], bool)
        counts = np.ones((2, len(missing)), np.int64)
        order = np.argsort(columns["position"])
        at = order[np.searchsorted(columns["position"], state["position"].astype(np.uint64), sorter=order)]
        for kind in (CAPTION, TEMPLATE):
            named = (state["kind"] == kind) | (state["kind"] == BOTH)
            counts[kind, at[named]] = state["count"][named]
        return {
            "caption_count": without(counts[CAPTION], missing),
            "template_count": without(counts[TEMPLATE], missing),
        }


def normal(caption: str) -> str:
    """The caption without case (NFKC, case folded), outer punctuation and repeated white space."""
    folded = caption.lower() if caption.isascii() else unicodedata.normalize("NFKC", caption).casefold()
    return " ".join(folded.replace(_MASK, " ").split()).strip(" .,;:!?-_\"'")


def template(caption: str) -> str:
    """The normalised caption with its numbers and quoted strings masked."""
    return _masked(normal(caption))


def _masked(text: str) -> str:
    return _NUMBER.sub(_MASK, _QUOTED.sub(_MASK, text))


def _hashed(columns: Columns) -> pa.Table:
    """A row per caption, and one more where its template is another text."""
    digests, kinds, positions = [], [], []
    for position, caption in zip(columns["position"].tolist(), columns["text"].tolist(), strict=True):
        if caption is None:
            continue
        text = normal(caption)
        masked = _masked(text)
        for kind, value in ((BOTH, text),) if masked == text else ((CAPTION, text), (TEMPLATE, masked)):
            digests.append(hashlib.blake2b(value.encode("utf-8", "surrogatepass"), digest_size=16).digest())
            kinds.append(kind)
            positions.append(position)
    words = np.frombuffer(b"".join(digests), np.uint64).reshape(-1, 2)
    arrays = [words[:, 0].copy(), words[:, 1].copy(), np.array(kinds, np.int8), np.array(positions, np.uint64)]
    return pa.table(arrays, _ROWS)


def _counted(rows: pa.Table) -> pa.Table:
    """`position`, `kind` and `count` of the rows that share their text with another."""
    names = ("key", "rest", "kind", "position")
    key, rest, kind, position = (rows[name].to_numpy() for name in names)
    order = np.lexsort([kind, rest, key])
    key, rest, kind, position = (values[order] for values in (key, rest, kind, position))
    begins = np.ones(len(key), bool)
    begins[1:] = (key[1:] != key[:-1]) | (rest[1:] != rest[:-1]) | (kind[1:] != kind[:-1])
    size = np.diff(np.append(np.flatnonzero(begins), len(key)))
    count = np.repeat(size, size)
    shared = count > 1
    return pa.table({"position": position[shared], "kind": kind[shared], "count": count[shared].astype(np.int64)})
