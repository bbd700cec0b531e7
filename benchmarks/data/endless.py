"""Pools of any size for measuring scale: captions with planted near-duplicates, and vectors in clusters.

Every image is the same small PNG with its number behind it: a file of its own that costs nothing to make.
`--plugins benchmarks` makes these steps known to a recipe.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from PIL import Image
from pydantic import Field

from curate.contracts import Batch, Ingested, Signal, Source, Unit
from curate.schema import INDEX, hash_words, make_uid

SHARD_ROWS = 10_000
WORDS = 30_000
COPIES = 10
"""One caption in so many is one of the shard before, with a word changed."""


class Captions(Source):
    """`rows` captions of 4 to 15 pseudo-words, frequent ones often; one image in twenty is the same file as another."""

    rows: int = Field(gt=0)

    def units(self) -> list[Unit]:
        """Shards of 10,000 rows."""
        return [Unit(f"{n:06d}", "1", {"number": n}) for n in range(-(-self.rows // SHARD_ROWS))]

    def ingest(self, unit: Unit, target: Path) -> Ingested:
        """A tar whose one member holds all images, and rows that point into it."""
        number = int(unit.args["number"])
        texts = shard_captions(number)[: self.rows - number * SHARD_ROWS]
        rows = np.arange(number * SHARD_ROWS, number * SHARD_ROWS + len(texts))
        png = _png()
        blobs = [png + b"%010d" % (row - (row % 20 == 1)) for row in rows.tolist()]
        _write(target, b"".join(blobs))
        digests = [hashlib.sha256(blob).digest() for blob in blobs]
        size = len(png) + 10
        keys = [f"{number:06d}{row:05d}" for row in range(len(texts))]
        columns: dict[str, Any] = {
            "uid": [make_uid(*row) for row in zip(keys, texts, digests, strict=True)],
            "key": keys,
            "text": texts,
            "url": [None] * len(texts),
            "offset": list(range(512, 512 + size * len(texts), size)),
            "size": [size] * len(texts),
            "ext": ["png"] * len(texts),
            "sha256": digests,
            "meta": [None] * len(texts),
            "error": [None] * len(texts),
        }
        return Ingested(pa.table(columns, schema=INDEX))


class Vectors(Signal):
    """A unit vector per sample near one of `clusters` centres; one in twenty is all but the same as another."""

    needs: ClassVar[tuple[str, ...]] = ("key",)

    width: int = 512
    clusters: int = 1000

    def gives(self) -> dict[str, pa.DataType]:
        """image_embedding, float16."""
        return {"image_embedding": pa.list_(pa.float16(), self.width)}

    def compute(self, batch: Batch) -> dict[str, Sequence[Any] | np.ndarray]:
        """From the sample's number, which is its key, alone."""
        number = np.array([int(key) for key in batch.columns["key"]], np.uint64)
        original = number - (number % np.uint64(20) == 1).astype(np.uint64)
        kind = _draw(original, "cluster") % np.uint64(self.clusters)
        own = 0.05 * _noise(_draw(number, "own"), self.width)
        vectors = _noise(kind, self.width) + 0.7 * _noise(_draw(original, "offset"), self.width) + own
        return {"image_embedding": (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)}


def shard_captions(number: int) -> list[str]:
    """The captions of one shard; one in ten is the shard before's, with a word changed."""
    texts = _fresh(number)
    if number == 0:
        return texts
    before, draw = _fresh(number - 1), np.random.default_rng([number, 2])
    for row in range(0, SHARD_ROWS, COPIES):
        words = before[row + 1].split()
        words[int(draw.integers(len(words)))] = _word(int(draw.integers(WORDS)))
        texts[row] = " ".join(words)
    return texts


def _fresh(number: int) -> list[str]:
    draw = np.random.default_rng([number, 0])
    lengths = draw.integers(4, 16, SHARD_ROWS)
    words = (WORDS ** draw.random(int(lengths.sum()))).astype(np.int64)  # frequency falls as 1 / rank
    ends = np.cumsum(lengths)
    return [" ".join(map(_word, words[end - n : end].tolist())) for end, n in zip(ends, lengths, strict=True)]


def _word(rank: int) -> str:
    """A pronounceable word of its own for each rank."""
    found = ""
    rank += 1
    while rank:
        rank, syllable = divmod(rank, 70)
        found += "bdfgklmnprstvz"[syllable % 14] + "aeiou"[syllable // 14]
    return found


def _draw(numbers: np.ndarray, stream: str) -> np.ndarray:
    return hash_words(0, np.column_stack([np.zeros_like(numbers), numbers]), stream)


def _noise(seeds: np.ndarray, width: int) -> np.ndarray:
    """float32 (n, width): standard normal, from the seed alone (sum of uniforms, Irwin-Hall)."""
    cells = np.column_stack([np.repeat(seeds, width // 4), np.tile(np.arange(width // 4, dtype=np.uint64), len(seeds))])
    bits = hash_words(0, cells, "noise").view(np.uint16).reshape(len(seeds), width)
    return (bits.astype(np.float32) - 32767.5) * np.float32(np.sqrt(12) / 65536)


def _png() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8), (200, 120, 40)).save(out, "PNG")
    return out.getvalue()


def _write(target: Path, data: bytes) -> None:
    """A tar with one member, whose bytes begin at 512."""
    with tarfile.open(target, "w", format=tarfile.USTAR_FORMAT) as tar:
        member = tarfile.TarInfo("images.bin")
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))
