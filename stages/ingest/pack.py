"""Tars of our own making: the same samples in the same order give the same bytes."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import pyarrow as pa

from curate.errors import EnvironmentFault
from stages.ingest.rows import Row, table_of
from stages.ingest.tar import index_tar

Sample = tuple[str, Mapping[str, bytes]]
"""A key and its members, image first: extension -> bytes."""


def member_key(path: str) -> str:
    """A safe path without its extension as a key: dots of the base name, at which readers cut, are written %2E."""
    folder, slash, name = path.replace("%", "%25").rpartition("/")
    key = f"{folder}{slash}{name.replace('.', '%2E')}"
    return f"%5F{key[1:]}" if key.startswith("__") else key  # webdataset passes over __reserved__ names


def pack(records: Iterable[Sample | Row], target: Path) -> pa.Table:
    """Write the samples to a tar at `target`; one row per record, in order: the tar's own, or the failed row given.

    Raises:
        EnvironmentFault: the tar cannot be written.
    """
    failed: list[Row | None] = []
    try:
        with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
            for record in records:
                failed.append(record if isinstance(record, Row) else None)
                if not isinstance(record, Row):
                    _add(tar, *record)
        with target.open("rb") as file:
            packed = index_tar(file, str(target))
    except OSError as error:
        raise EnvironmentFault(f"{target}: cannot be written: {error.strerror or error}") from error
    rows = (Row(*row.values()) for row in packed.to_pylist())
    return table_of([next(rows) if row is None else row for row in failed])


def _add(tar: tarfile.TarFile, key: str, members: Mapping[str, bytes]) -> None:
    for suffix, data in members.items():
        info = tarfile.TarInfo(f"{key}.{suffix}")  # mtime, uid and gid are 0, mode is 0644
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
        tar.members = []  # type: ignore[attr-defined]  # tarfile would keep them all


def image_format(image: bytes) -> str | None:
    """The extension by the first bytes, of the formats that are decoded; None: they are none of these."""
    if image[:4] == b"RIFF" and image[8:12] == b"WEBP":
        return "webp"
    starts = {b"\xff\xd8\xff": "jpg", b"\x89PNG": "png", b"GIF8": "gif", b"BM": "bmp", b"II*\0": "tif", b"MM\0*": "tif"}
    return next((suffix for start, suffix in starts.items() if image.startswith(start)), None)
