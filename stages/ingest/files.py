"""Files that a source is made of, local or on any fsspec URL: listing by pattern, stamps, opening, and whose fault an
error is."""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, BinaryIO

import fsspec

from curate.errors import EnvironmentFault, MissingExtra, PoolError
from curate.storage import store_errors

MAGIC = "*?["
MAX_BRACES = 1_000_000


@dataclass(frozen=True)
class File:
    """A file of a source. `path` is local or a URL; `name` is relative to the folder that the patterns share."""

    path: str
    name: str
    stamp: str
    size: int


class Refused(Exception):
    """Why a record's bytes are not taken up: its fate, not the run's."""


def find_files(patterns: Sequence[str], suffix: str) -> list[File]:
    """Files matching paths, folders, globs and brace ranges, sorted within each, none twice.

    A folder stands for the files in it that end in `suffix`. Names are relative to the folder that the patterns' fixed
    parts share, so that they outlive a move of that folder and do not depend on which files are there today.

    Raises:
        PoolError: a pattern matches nothing, or a file named outright is missing.
    """
    found: dict[str, tuple[str, str, int]] = {}
    folders, stores = [], set()
    for pattern in patterns:
        expanded = expand_braces(pattern)
        stores.add(_refresh(expanded))
        for one in expanded:
            folder, entries = _matches(one, suffix)
            folders.append(folder)
            found |= {path: (url, stamp, size) for path, url, stamp, size in entries if path not in found}
    if len(stores) > 1:
        raise PoolError(f"{', '.join(patterns)}: these are in different stores; make one pool of each")
    base = posixpath.commonpath(folders)
    return [File(url, posixpath.relpath(path, base), stamp, size) for path, (url, stamp, size) in found.items()]


def expand_braces(pattern: str) -> list[str]:
    """`{00..12}` (the width is kept) and `{a,b}` spelt out, left to right, as the shell does."""
    head, brace, rest = pattern.partition("{")
    body, close, tail = rest.partition("}")
    if not brace or not close:
        return [pattern]
    options, ends = _range(body) or body.split(","), expand_braces(tail)
    if len(options) * len(ends) > MAX_BRACES:
        raise PoolError(f"{pattern}: more than {MAX_BRACES} files; name the folder or use a * instead")
    return [head + option + end for option in options for end in ends]


def _range(body: str) -> list[str]:
    first, dots, last = body.partition("..")
    if not dots or not (first.isdecimal() and last.isdecimal()):
        return []
    if int(last) - int(first) >= MAX_BRACES:
        raise PoolError(f"{{{body}}}: more than {MAX_BRACES} files; name the folder or use a * instead")
    return [f"{number:0{len(first)}d}" for number in range(int(first), int(last) + 1)]


def _refresh(patterns: Sequence[str]) -> int:
    """Forget old listings; of a range in a remote store, list each folder once instead of asking for each file."""
    with faults(patterns[0]):
        fs, _ = filesystem(patterns[0])
        fs.invalidate_cache()
        folders = {posixpath.dirname(pattern) for pattern in patterns} if len(patterns) > 1 else set[str]()
        for folder in folders if not is_local(fs) else ():
            if not any(char in folder for char in MAGIC):
                with suppress(FileNotFoundError):
                    fs.ls(filesystem(folder)[1])
    return id(fs)


def _matches(pattern: str, suffix: str) -> tuple[str, list[tuple[str, str, str, int]]]:
    """The fixed folder of a pattern without braces, and (path, path or URL, stamp, size) of each match."""
    with faults(pattern):
        fs, path = filesystem(pattern)
        if any(char in pattern for char in MAGIC):
            fixed = path[: min(path.index(char) for char in MAGIC if char in path)]
            folder, infos = posixpath.dirname(fixed), fs.glob(path, detail=True)
        else:
            folder, infos = posixpath.dirname(path), {path: fs.info(path)}
            if infos[path]["type"] == "directory":
                folder, infos = path.rstrip("/"), fs.glob(f"{path.rstrip('/')}/*{suffix}", detail=True)
    entries = [
        (path, unstrip(fs, path), stamp_of(info), info["size"])
        for path, info in sorted(infos.items())
        if info["type"] == "file"
    ]
    if not entries:
        raise PoolError(f"{pattern}: there is no {suffix} file here; name a folder, a file, a glob or a range like "
                        f"{{00000..00012}}{suffix}")  # fmt: skip
    return folder, entries


def filesystem(path: str) -> tuple[Any, str]:
    """The fsspec filesystem of a path or URL, and the path inside it; a local one without `..`, so that equal files have
    equal names."""
    try:
        fs, inside = fsspec.core.url_to_fs(path)
    except ImportError as error:
        protocol = path.partition("://")[0]
        raise MissingExtra({"s3": "s3fs", "gs": "gcsfs"}.get(protocol, protocol), "s3") from error
    except ValueError as error:
        raise PoolError(f"{path}: no folder or URL that fsspec knows: {error}") from error
    return fs, os.path.normpath(inside) if is_local(fs) else inside


def unstrip(fs: Any, path: str) -> str:
    """A path inside a filesystem as people and other tools name it: plain if it is local, else the URL."""
    return path if is_local(fs) else str(fs.unstrip_protocol(path))


def is_local(fs: Any) -> bool:
    """Whether the filesystem is this machine's."""
    return "file" in (fs.protocol if isinstance(fs.protocol, tuple) else (fs.protocol,))


def stamp_of(info: dict[str, Any]) -> str:
    """What changes when the file does: its ETag, else size and time of the last change."""
    tag = info.get("ETag") or info.get("etag")
    when = next((info[key] for key in ("mtime", "LastModified", "updated", "created") if info.get(key)), "")
    return f"{info['size']}-{tag or when}"


@contextmanager
def reading(path: str, block: int = 8 << 20) -> Iterator[BinaryIO]:
    """The file, opened to be read; of a store, `block` bytes at a time. Errors are told apart as in `faults`."""
    with faults(path):
        fs, inside = filesystem(path)
        if is_local(fs):
            with open(inside, "rb", buffering=1 << 20) as file:
                yield file
        else:
            with fs.open(inside, "rb", block_size=block) as file:
                yield file


def read_inside(root: str, path: str, limit: int, what: str = "image") -> bytes:
    """A file below the folder `root` (a real path). Raises `Refused`: missing, outside, no plain file, too large."""
    full = os.path.join(root, path)
    if "\0" in path or not os.path.exists(full):
        raise Refused(f"missing {what}: {path}")
    real = os.path.realpath(full)
    if os.path.commonpath([root, real]) != root:
        raise Refused(f"refused: {path} leads out of the folder")
    with faults(full):
        info = os.stat(real)
        if not stat.S_ISREG(info.st_mode):
            raise Refused(f"refused: {path} is no regular file")
        if info.st_size > limit:
            raise Refused(f"refused: {path} has {info.st_size} bytes, more than {limit / 1e6:g} MB")
        with open(real, "rb") as file:
            return file.read()


@contextmanager
def faults(path: str) -> Iterator[None]:
    """A missing file is the source's fault (`PoolError`); anything else that the system says is the environment's."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise PoolError(f"{path}: there is no such file; correct the path in the recipe, or bring it back") from error
    except PermissionError as error:
        raise EnvironmentFault(f"{path}: no permission to read it; allow it, then run the same command") from error
    except store_errors() as error:
        cause = getattr(error, "strerror", None) or error
        raise EnvironmentFault(f"{path}: cannot be read: {cause}; run the same command again") from error
