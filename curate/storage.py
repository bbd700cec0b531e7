"""The root of everything at rest: a local folder or any fsspec URL, with atomic commits of whole files.

Files are built as local temporary files and then renamed (local) or sent with one `put_file` (remote): what is under
its final name is complete. Nothing is ever written through `fs.open`, which publishes a partial file on an error.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from curate.errors import EnvironmentFault, MissingExtra, PoolError

TEMPORARY = ".tmp"
"""Folder under a local root for files being built: on the same disk, so that a rename is atomic, and out of the way of
whoever reads the results, so that what a killed process leaves is seen by nobody but `curate gc`."""


def default_root() -> str:
    """`CURATE_ROOT`, else `workspace` in the current folder."""
    return os.environ.get("CURATE_ROOT") or "workspace"


def sha256_file(path: Path) -> str:
    """Hexadecimal sha256 of a local file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def store_errors() -> tuple[type[Exception], ...]:
    """What an unreachable store may raise. Clients that are not loaded cannot have raised anything."""
    clients = (("botocore.exceptions", "BotoCoreError"), ("aiohttp", "ClientError"), ("gcsfs.retry", "HttpError"))
    return OSError, *(getattr(sys.modules[module], name) for module, name in clients if module in sys.modules)


class Storage:
    """Files under one root. Paths are relative to it, with forward slashes. Travels between workers by pickle."""

    def __init__(self, root: str) -> None:
        try:
            self.fs, base = fsspec.core.url_to_fs(root)
        except ImportError as error:
            raise MissingExtra(str(error).split("'")[1] if "'" in str(error) else str(error), "s3") from error
        except ValueError as error:
            raise PoolError(f"root {root!r} is no folder or URL that fsspec knows: {error}") from error
        self.local = "file" in (self.fs.protocol if isinstance(self.fs.protocol, tuple) else (self.fs.protocol,))
        self.base = os.path.abspath(base) if self.local else base.rstrip("/")
        self.root = self.base if self.local else root.rstrip("/")

    def __reduce__(self) -> tuple[type[Storage], tuple[str]]:
        return Storage, (self.root,)

    def path(self, relative: str) -> str:
        """The full path inside the filesystem."""
        return f"{self.base}/{relative}" if relative else self.base

    def url(self, relative: str) -> str:
        """The full URL or local path, for people and for other tools."""
        return f"{self.root}/{relative}" if relative else self.root

    def exists(self, relative: str) -> bool:
        """Whether a file or folder is there."""
        return bool(self.fs.exists(self.path(relative)))

    def list(self, relative: str) -> list[str]:
        """Names of the files in one folder, sorted; empty when there is no folder."""
        self.fs.invalidate_cache(self.path(relative))
        try:
            entries = self.fs.ls(self.path(relative), detail=False)
        except FileNotFoundError:
            return []
        return sorted(name for name in (entry.rstrip("/").rsplit("/", 1)[-1] for entry in entries) if name)

    def read(self, relative: str) -> bytes:
        """The whole file. Raises FileNotFoundError."""
        return bytes(self.fs.cat_file(self.path(relative)))

    def read_json(self, relative: str) -> Any:
        """The file as JSON."""
        return json.loads(self.read(relative))

    def write(self, relative: str, data: bytes) -> None:
        """Commit one whole file atomically."""
        with self.building(relative) as path:
            path.write_bytes(data)

    def write_json(self, relative: str, value: Any) -> None:
        """Commit JSON, indented for people, keys in the order given."""
        self.write(relative, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())

    @contextmanager
    def building(self, relative: str) -> Iterator[Path]:
        """A local temporary path that is committed as `relative` when the block ends without an error."""
        with self.temporary(relative) as path:
            yield path
            self.commit(path, relative)

    @contextmanager
    def temporary(self, relative: str) -> Iterator[Path]:
        """A local temporary path, unique per attempt, from which `relative` can be committed."""
        final = self.path(relative)
        try:
            if self.local:
                os.makedirs(os.path.dirname(final), exist_ok=True)
                os.makedirs(self.path(TEMPORARY), exist_ok=True)
                temporary = Path(self.path(f"{TEMPORARY}/{uuid.uuid4().hex}-{os.path.basename(final)}"))
            else:
                handle, name = tempfile.mkstemp(prefix="curate-")
                os.close(handle)
                temporary = Path(name)
        except OSError as error:
            raise EnvironmentFault(f"cannot write {self.url(relative)}: {error.strerror or error}") from error
        try:
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)

    def commit(self, temporary: Path, relative: str) -> None:
        """Publish a finished local file under its final name, atomically."""
        try:
            if self.local:
                with temporary.open("rb+") as file:
                    os.fsync(file.fileno())
                os.replace(temporary, self.path(relative))
            else:
                self.fs.put_file(str(temporary), self.path(relative))
                self.fs.invalidate_cache(self.path(relative).rsplit("/", 1)[0])
        except store_errors() as error:
            cause = getattr(error, "strerror", None) or error
            raise EnvironmentFault(f"cannot commit {self.url(relative)}: {cause}") from error

    def create(self, relative: str, data: bytes) -> bool:
        """Create a file only if there is none, atomically where the store can; False if it was there."""
        try:
            if self.local:  # a link appears whole or not at all; fsspec would look first and write then
                with self.temporary(relative) as path:
                    path.write_bytes(data)
                    os.link(path, self.path(relative))
            else:
                self.fs.pipe_file(self.path(relative), data, mode="create")
        except FileExistsError:
            return False
        return True

    def remove(self, relatives: Iterable[str]) -> None:
        """Remove files or folders; what is already gone is fine."""
        for relative in relatives:
            if self.exists(relative):
                self.fs.rm(self.path(relative), recursive=True)

    def write_table(self, relative: str, table: pa.Table) -> str:
        """Commit a Parquet file; returns its sha256. The bytes depend on the table alone."""
        with self.building(relative) as path:
            pq.write_table(table, path, compression="zstd", row_group_size=65536, store_schema=True)
            digest = sha256_file(path)
        return digest

    def read_table(self, relative: str, columns: Sequence[str] | None = None) -> pa.Table:
        """A Parquet file, or some of its columns in the given order."""
        # Arrow's threads must not be left holding buffers of a Python file: one that they let go of while the
        # interpreter ends aborts the process. A local file is Arrow's own; a remote one is read by this thread.
        path, local = self.path(relative), self.local
        with pa.OSFile(path, "rb") if local else self.fs.open(path, "rb") as file:
            wanted = list(columns) if columns is not None else None
            table = pq.ParquetFile(file, pre_buffer=local).read(columns=wanted, use_threads=local)
        return table if columns is None else table.select(list(columns))


def read_ranges(url: str, ranges: Sequence[tuple[int, int]], gap: int = 1 << 20) -> list[bytes]:
    """Byte ranges (offset, size) of one file, in the order given; neighbours less than `gap` apart share a read."""
    fs, path = fsspec.core.url_to_fs(url)
    order = sorted(range(len(ranges)), key=lambda i: ranges[i])
    found: dict[int, bytes] = {}
    group: list[int] = []

    def flush() -> None:
        start, end = ranges[group[0]][0], max(sum(ranges[i]) for i in group)
        data = fs.cat_file(path, start=start, end=end)
        for i in group:
            offset, size = ranges[i]
            found[i] = data[offset - start : offset - start + size]

    for i in order:
        if group and (ranges[i][0] - sum(ranges[group[-1]]) > gap or ranges[i][0] - ranges[group[0]][0] > 64 << 20):
            flush()
            group = []
        group.append(i)
    if group:
        flush()
    return [found[i] for i in range(len(ranges))]
