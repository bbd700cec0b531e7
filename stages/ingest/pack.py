"""Tars of our own making: the same samples in the same order give the same bytes."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import pyarrow as pa

from curate.errors import EnvironmentFault
from stages.ingest.members import BLOCK
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
    with writing(target):
        with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
            for record in records:
                failed.append(record if isinstance(record, Row) else None)
                if not isinstance(record, Row):
                    _add(tar, *record)
        with target.open("rb") as file:
            packed = index_tar(file, str(target))
    rows = (Row(*row.values()) for row in packed.to_pylist())
    return table_of([next(rows) if row is None else row for row in failed])


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """What the system says while `target` is written is the environment's fault."""
    try:
        yield
    except OSError as error:
        raise EnvironmentFault(f"{target}: cannot be written: {error.strerror or error}") from error


def _add(tar: tarfile.TarFile, key: str, members: Mapping[str, bytes]) -> None:
    for suffix, data in members.items():
        info = tarfile.TarInfo(f"{key}.{suffix}")  # mtime, uid and gid are 0, mode is 0644
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
        tar.members = []  # type: ignore[attr-defined]  # tarfile would keep them all


class Place(NamedTuple):
    """Where an image's bytes are in a tar, and what they are."""

    offset: int
    size: int
    ext: str
    sha256: bytes


class Blobs:
    """A tar of images without captions, each named by its content and written once. Closing it ends the tar.

    Raises:
        EnvironmentFault: the tar cannot be written.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.places: dict[bytes, Place] = {}

    def __enter__(self) -> Self:
        self.file = self.target.open("wb")
        self.tar = tarfile.open(fileobj=self.file, mode="w", format=tarfile.PAX_FORMAT)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self.file:
            if error is None:
                with writing(self.target):
                    self.tar.close()

    def add(self, image: bytes, suffix: str) -> Place:
        """Where the image is; written now, unless equal bytes were before."""
        digest = hashlib.sha256(image).digest()
        if digest not in self.places:
            with writing(self.target):
                _add(self.tar, digest.hex(), {suffix: image})
            padded = -(-len(image) // BLOCK) * BLOCK
            self.places[digest] = Place(self.file.tell() - padded, len(image), suffix, digest)
        return self.places[digest]


def image_format(image: bytes) -> str | None:
    """The extension by the first bytes, of the formats that are decoded; None: they are none of these."""
    if image[:4] == b"RIFF" and image[8:12] == b"WEBP":
        return "webp"
    starts = {b"\xff\xd8\xff": "jpg", b"\x89PNG": "png", b"GIF8": "gif", b"BM": "bmp", b"II*\0": "tif", b"MM\0*": "tif"}
    return next((suffix for start, suffix in starts.items() if image.startswith(start)), None)
