"""Pairs written as webdataset tars that are byte-identical for equal input."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

MAX_BYTES, MAX_ROWS = 190_000_000, 1000


@dataclass(frozen=True)
class Pair:
    """One image with its caption. `meta` becomes `key.json`; `extension` has no dot."""

    image: bytes
    extension: str
    caption: str
    meta: Mapping[str, object] = field(default_factory=dict)


def write_pool(pairs: Iterable[Pair], folder: Path, max_bytes: int = MAX_BYTES) -> tuple[int, int]:
    """Write `pairs` in their order to `folder/00000.tar …`, each of at most `max_bytes` and 1,000 pairs; returns (pairs, tars).

    A tar appears under its name only when it is complete; tars of an earlier, longer pool are removed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = shard = 0
    for shard, batch in enumerate(_batches(pairs, max_bytes)):
        partial = folder / f"{shard:05d}.tar.partial"
        write_tar(((f"{shard:05d}{row:05d}", pair) for row, pair in enumerate(batch)), partial)
        partial.rename(folder / f"{shard:05d}.tar")
        rows += len(batch)
    tars = shard + 1 if rows else 0
    for stale in sorted(folder.glob("*.tar"))[tars:]:
        stale.unlink()
    return rows, tars


def write_tar(pairs: Iterable[tuple[str, Pair]], path: Path) -> None:
    """Write (key, pair) rows to one tar at `path`: `key.<extension>`, `key.txt`, `key.json`, always in this order."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for key, pair in pairs:
            for extension, data in _members(pair):
                tar.addfile(_header(f"{key}.{extension}", len(data)), io.BytesIO(data))


def _members(pair: Pair) -> list[tuple[str, bytes]]:
    meta = json.dumps(dict(pair.meta), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return [(pair.extension, pair.image), ("txt", pair.caption.encode()), ("json", meta.encode())]


def _header(name: str, size: int) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)  # mtime, uid and gid are 0 and the names empty unless set
    header.size, header.mode = size, 0o644
    return header


def _batches(pairs: Iterable[Pair], max_bytes: int) -> Iterator[list[Pair]]:
    batch: list[Pair] = []
    total = 0
    for pair in pairs:
        size = sum(1024 + len(data) for _, data in _members(pair))  # a header block and at most one of padding
        if batch and (total + size > max_bytes or len(batch) == MAX_ROWS):
            yield batch
            batch, total = [], 0
        batch.append(pair)
        total += size
    if batch:
        yield batch
