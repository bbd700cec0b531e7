"""Token sequences of one length, filled with documents, an image's place held by placeholders: what a trainer maps into
memory and reads as it is. `trainer/packed.py` reads it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from curate.contracts import Exporter, NodeRecord, Record
from curate.schema import UID
from stages.export.documents.batches import batches
from stages.export.documents.packing import Piece, Unit, pack, pieces
from stages.export.documents.tokenizer import (
    CLIP_END,
    CLIP_START,
    DEFAULT,
    Vocabulary,
    open_vocabulary,
    tokenizer_file,
)
from stages.export.images import readable
from stages.export.meta import counts_of

FORM: Final = 1
"""Version of the files' form."""
ROWS, BYTES = 256, 64 << 20
"""Sequences of a record batch at most, and image bytes after which one ends."""

SEGMENTS = pa.list_(pa.struct([("length", pa.int32()), ("key", pa.string()), ("uid", UID), ("piece", pa.int32())]))
NODES = pa.list_(pa.struct([("segment", pa.int32()), ("start", pa.int32()), ("uid", UID), ("part", pa.int32())]))
IMAGES = pa.list_(pa.struct([("start", pa.int32()), ("uid", UID), ("ext", pa.string()), ("bytes", pa.large_binary())]))


class Packed(Exporter):
    """An Arrow IPC file, a row per sequence.

    `tokens`: fixed-size list of `length` numbers, uint16 where they fit, else int32; what is left at the end is padding, 0.
    `segments`: the pieces of documents from the start on, each {length, key and uid of its document, piece};
    attention stays inside one, and positions count from its start. `nodes`: in which segment and at which token each node
    begins, and which part it is (of a text that was cut). `images`: {start, uid, ext, bytes}; from `start` on
    `image_tokens` tokens hold its place.
    The schema's metadata `packed` is JSON: the settings, the tokenizer's sha256, and the shard's counts.
    """

    format: ClassVar[str] = "packed"
    suffix: ClassVar[str] = ".arrow"
    documents: ClassVar[bool] = True

    tokenizer: str = Field(default=DEFAULT, description="default (CLIP's), file:PATH of a tokenizer.json, hf:ORG/NAME")
    length: int = Field(default=2048, ge=16, le=1 << 20, description="tokens of a sequence")
    image_tokens: int = Field(default=64, ge=1, description="placeholder tokens of an image")
    image: str | None = Field(
        default=None,
        description="the tokenizer's own token that holds an image's place; without: the first free number",
    )
    start: str | None = Field(default=None, description="token that opens a document; of the default tokenizer its own")
    end: str | None = Field(default=None, description="token that closes a document; of the default tokenizer its own")
    separator: str = Field(default="\n\n", description="between neighbouring texts")
    max_side: int | None = Field(
        default=None, ge=16, description="longest side in px; larger images are reduced and stored as JPEG"
    )
    quality: int = Field(default=90, ge=1, le=95, description="JPEG quality of the images that are reduced")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.image_tokens + 2 > self.length:
            raise ValueError(f"an image of {self.image_tokens} tokens does not fit a sequence of {self.length}")
        return self

    def files(self) -> tuple[str, ...]:
        """The tokenizer's."""
        return (str(tokenizer_file(self.tokenizer)),)

    def write(self, records: Sequence[Record], path: Path) -> dict[str, int]:
        """One file; equal records give equal bytes. Counts: texts, images, sequences, tokens (those that hold an image's
        place are `placeholders`), padding, and how many documents and texts were cut."""
        coder = _Coder(self, open_vocabulary(self.tokenizer))
        found = [piece for record in records for piece in pieces(record, coder.units(record), self.length)]
        sequences = pack([len(piece) for piece in found], self.length)
        counts = {
            **counts_of(records),
            **_counts(found, len(sequences) * self.length, len(sequences), self.image_tokens),
        }
        about = json.dumps({**coder.settings(), "counts": counts}, sort_keys=True)
        tokens = pa.list_(pa.from_numpy_dtype(coder.type), self.length)
        columns = [("tokens", tokens), ("segments", SEGMENTS), ("nodes", NODES), ("images", IMAGES)]
        schema = pa.schema(columns, {"packed": about})
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
            rows = ([found[number] for number in sequence] for sequence in sequences)
            for group in batches(rows, _size, ROWS, BYTES):
                writer.write_batch(coder.batch(group, schema))
        return counts


class _Coder:
    """A configured exporter with its tokenizer open."""

    def __init__(self, step: Packed, vocabulary: Vocabulary) -> None:
        self.step, self.vocabulary = step, vocabulary
        clip = step.tokenizer == DEFAULT
        self.start = self._number(step.start or (CLIP_START if clip else None))
        self.end = self._number(step.end or (CLIP_END if clip else None))
        named = self._number(step.image)
        self.image = vocabulary.size if named is None else named
        self.size = max(vocabulary.size, self.image + 1)
        self.type = np.dtype(np.uint16 if self.size <= 1 << 16 else np.int32)

    def _number(self, token: str | None) -> int | None:
        return None if token is None else self.vocabulary.number(token)

    @cached_property
    def separator(self) -> np.ndarray:
        """Tokens between two texts; CLIP's tokenizer knows no white space, so none there."""
        return self.vocabulary.encode(self.step.separator)

    def settings(self) -> dict[str, Any]:
        """What a reader has to know."""
        return {
            "form": FORM,
            "tokenizer": self.step.tokenizer if self.step.tokenizer.startswith("hf:") else self.vocabulary.file.name,
            "tokenizer_sha256": self.vocabulary.sha256,
            "vocabulary": self.size,
            "length": self.step.length,
            "image": self.image,
            "image_tokens": self.step.image_tokens,
            "start": self.start,
            "end": self.end,
        }

    def units(self, record: Record) -> list[Unit]:
        """A document's nodes as tokens: the opening token goes with the first, the closing one with the last."""
        opening = np.array([] if self.start is None else [self.start], np.int32)
        closing = np.array([] if self.end is None else [self.end], np.int32)
        if not record.nodes:
            return [Unit(None, np.concatenate([opening, closing]))]
        after = (*record.nodes[1:], None)
        tokens = [self._tokens(node, follower) for node, follower in zip(record.nodes, after, strict=True)]
        tokens[0] = np.concatenate([opening, tokens[0]])
        tokens[-1] = np.concatenate([tokens[-1], closing])
        leads = [len(opening)] + [0] * (len(tokens) - 1)
        return [Unit(*unit) for unit in zip(record.nodes, tokens, leads, strict=True)]

    def _tokens(self, node: NodeRecord, after: NodeRecord | None) -> np.ndarray:
        if node.kind == "image":
            return np.full(self.step.image_tokens, self.image, np.int32)
        found = self.vocabulary.encode(node.text)
        return np.concatenate([found, self.separator]) if after is not None and after.kind == "text" else found

    def batch(self, sequences: Sequence[Sequence[Piece]], schema: pa.Schema) -> pa.RecordBatch:
        """Sequences as rows of the file."""
        tokens = np.zeros((len(sequences), self.step.length), self.type)
        for row, sequence in zip(tokens, sequences, strict=True):
            joined = np.concatenate([piece.tokens for piece in sequence])
            row[: len(joined)] = joined
        rows = [self._row(sequence) for sequence in sequences]
        arrays = [pa.FixedSizeListArray.from_arrays(pa.array(tokens.reshape(-1)), self.step.length)]
        arrays += [pa.array([row[name] for row in rows], schema.field(name).type) for name in schema.names[1:]]
        return pa.record_batch(arrays, schema=schema)

    def _row(self, sequence: Sequence[Piece]) -> dict[str, list[dict[str, Any]]]:
        """What a row says beside its tokens."""
        row: dict[str, list[dict[str, Any]]] = {"segments": [], "nodes": [], "images": []}
        start = 0
        for number, piece in enumerate(sequence):
            uid = bytes.fromhex(piece.record.uid)
            row["segments"].append({"length": len(piece), "key": piece.record.key, "uid": uid, "piece": piece.number})
            for placed in piece.nodes:
                at = {"start": start + placed.start, "uid": bytes.fromhex(placed.node.uid)}
                row["nodes"].append({**at, "segment": number, "part": placed.part})
                if placed.node.kind == "image":
                    row["images"].append({**at, **self._image(piece.record, placed.node)})
            start += len(piece)
        return row

    def _image(self, record: Record, node: NodeRecord) -> dict[str, Any]:
        owner = f"{record.key} ({node.uid})"
        ext, blob = readable(node.image, owner, self.step.max_side, self.step.quality)
        return {"ext": ext, "bytes": blob}


def _counts(found: Sequence[Piece], room: int, sequences: int, image_tokens: int) -> dict[str, int]:
    """Of the pieces of a shard. `tokens` and `padding` add up to `room`, all places of its sequences."""
    tokens = sum(map(len, found))
    images = sum(placed.node.kind == "image" for piece in found for placed in piece.nodes)
    cut = Counter(piece.record.key for piece in found if piece.number)
    texts = {(piece.record.key, placed.node.uid) for piece in found for placed in piece.nodes if placed.part}
    return {
        "sequences": sequences,
        "tokens": tokens,
        "placeholders": images * image_tokens,
        "padding": room - tokens,
        "documents_cut": len(cut),
        "texts_cut": len(texts),
    }


def _size(sequence: list[Piece]) -> int:
    return sum(len(placed.node.image) for piece in sequence for placed in piece.nodes)


def documents_in(data: bytes) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Uid and node uids of each document of a shard, put together from its pieces. A node counts once, whatever its
    parts; an image, if its bytes are there."""
    uids: dict[str, str] = {}  # by key: a document that is exported twice has two
    nodes: dict[str, list[tuple[int, int, str]]] = {}  # piece, place in its row, uid
    with pa.ipc.open_file(pa.BufferReader(data)) as file:
        image = json.loads(file.schema.metadata[b"packed"])["image"]
        for number in range(file.num_record_batches):
            batch = file.get_batch(number)
            holds_place = batch["tokens"].flatten().to_numpy().reshape(batch.num_rows, -1) == image
            for row, places in zip(batch.select(["segments", "nodes", "images"]).to_pylist(), holds_place, strict=True):
                uids |= {segment["key"]: segment["uid"].hex() for segment in row["segments"]}
                there = {placed["start"] for placed in row["images"] if placed["bytes"]}
                for at, node in enumerate(row["nodes"]):
                    segment, start = row["segments"][node["segment"]], node["start"]
                    if node["part"] == 0 and (start in there or not places[start : start + 1].any()):
                        nodes.setdefault(segment["key"], []).append((segment["piece"], at, node["uid"].hex()))
    for key, uid in uids.items():
        yield uid, tuple(node for _, _, node in sorted(nodes.get(key, ())))
