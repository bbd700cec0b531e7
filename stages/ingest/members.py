"""The members of an uncompressed tar, from its headers alone: ustar, GNU and PAX, nothing is extracted.

A reader of our own, because the archive is hostile and because of speed: the sizes that a header claims are checked
against the file before anything is read, links and sparse files are told apart from files, damage is reported with its
offset, and a header costs a fraction of what `tarfile` spends (`benchmarks/ingest.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from curate.errors import PoolError

BLOCK = 512
MAX_EXTENDED = 1 << 20
"""Bytes of one extended header (long names, PAX records)."""

FILE = "file"
KINDS = {
    b"0": FILE, b"\0": FILE, b"7": FILE, b"1": "hard link", b"2": "symbolic link", b"3": "character device",
    b"4": "block device", b"5": "folder", b"6": "named pipe", b"S": "sparse file",
}  # fmt: skip
WITHOUT_DATA = frozenset([b"1", b"2", b"3", b"4", b"5", b"6"])
COMPRESSED = {
    b"\x1f\x8b": ("gzip", "gunzip"),
    b"BZh": ("bzip2", "bunzip2"),
    b"\xfd7zXZ": ("xz", "unxz"),
    b"\x28\xb5\x2f\xfd": ("zstd", "unzstd"),
}


class Member(NamedTuple):
    """One member: its name as it stands in the archive, what it is, and where its data lie."""

    name: str
    kind: str
    offset: int
    size: int


class _Extended(NamedTuple):
    """What extended headers say about the member that follows them."""

    name: bytes | None = None
    size: int | None = None
    sparse: bool = False


def members(file: BinaryIO, where: str) -> Iterator[Member]:
    """The members in order. The caller may read a member's data, or not, before it asks for the next.

    Args:
        file: seekable, opened in binary mode.
        where: the file's path or URL, for messages.

    Raises:
        PoolError: the archive is compressed, damaged or cut off.
    """
    end = file.seek(0, 2)
    file.seek(0)
    position, extended = 0, _Extended()
    while (header := _header(file, position, end, where)) is not None:
        kind = header[156:157]
        start = position + BLOCK + (_skip_sparse_map(file, header) if kind == b"S" else 0)
        size = 0 if kind in WITHOUT_DATA else _size(header, extended, where, position)
        following = start + -(-size // BLOCK) * BLOCK
        if following > end:
            raise damaged(where, position, f"a member of {size} bytes goes on beyond the end of the file")
        if kind in (b"L", b"x", b"X"):
            if size > MAX_EXTENDED:
                raise damaged(where, position, f"an extended header of {size} bytes")
            extended = _extend(extended, kind, file.read(size), where, position)
        elif kind not in (b"K", b"g"):
            yield _member(header, kind, extended, start, size)
            extended = _Extended()
        position = following
        file.seek(position)


def damaged(where: str, position: int, what: str) -> PoolError:
    """The error for an archive that cannot be trusted from `position` on."""
    return PoolError(
        f"{where}: damaged tar at byte {position}: {what}; fetch or write this file again, or take it out of the source"
    )


def _header(file: BinaryIO, position: int, end: int, where: str) -> bytes | None:
    """The next header block, checked; None at the end-of-archive marker."""
    header = file.read(BLOCK)
    if position == 0:
        _refuse_compressed(header, where)
    if len(header) < BLOCK:
        raise damaged(
            where, position, "it is cut off (no end-of-archive marker; if it is whole, append 1024 zero bytes to it)"
        )
    checksum = sum(header) - sum(header[148:156]) + 8 * 0x20
    if checksum == 8 * 0x20:
        _check_tail(file, position + BLOCK, where)
        return None
    if _octal(header[148:156]) != checksum:
        raise damaged(where, position, "no tar header here (wrong checksum)")
    return header


def _refuse_compressed(header: bytes, where: str) -> None:
    if not header:
        raise PoolError(f"{where}: the file is empty; fetch it again, or take it out of the source")
    for magic, (name, tool) in COMPRESSED.items():
        if header.startswith(magic):
            raise PoolError(
                f"{where}: compressed with {name}, so that no image can be read by its offset; "
                f"convert it once with {tool} and name the .tar"
            )


def _check_tail(file: BinaryIO, position: int, where: str) -> None:
    """After the end marker come zeros only; anything else would be lost without a word."""
    while block := file.read(1 << 20):
        if block.count(0) != len(block):
            raise damaged(where, position, "more data after the end-of-archive marker (tars joined by `cat`?)")
        position += len(block)


def _octal(field: bytes) -> int:
    """A number field: octal digits, or base 256 where the first bit is set. -1: it is no number."""
    if field[0] & 0x80:
        return int.from_bytes(field[1:], "big") if field[0] == 0x80 else -1
    try:
        return int(field.partition(b"\0")[0].strip() or b"0", 8)
    except ValueError:
        return -1


def _size(header: bytes, extended: _Extended, where: str, position: int) -> int:
    size = _octal(header[124:136]) if extended.size is None else extended.size
    if size < 0:
        raise damaged(where, position, "a header without a valid size")
    return size


def _skip_sparse_map(file: BinaryIO, header: bytes) -> int:
    """Bytes of the further blocks in which old GNU tar writes a sparse file's map."""
    skipped, more = 0, header[482]
    while more:
        block = file.read(BLOCK)
        skipped += BLOCK
        more = block[504] if len(block) == BLOCK else 0
    return skipped


def _member(header: bytes, kind: bytes, extended: _Extended, offset: int, size: int) -> Member:
    name = extended.name
    if name is None:
        name = header[:100].partition(b"\0")[0]
        if header[257:263] == b"ustar\0" and header[345]:
            name = header[345:500].partition(b"\0")[0] + b"/" + name
    what = "sparse file" if extended.sparse else KINDS.get(kind, f"member of type {kind!r}")
    if what == FILE and name.endswith(b"/"):
        what = "folder"
    return Member(name.decode("utf-8", "surrogateescape"), what, offset, size)


def _extend(extended: _Extended, kind: bytes, data: bytes, where: str, position: int) -> _Extended:
    """Take over a GNU long name or PAX records (`LENGTH KEY=VALUE\\n`)."""
    if kind == b"L":
        return extended._replace(name=data.partition(b"\0")[0])
    at = 0
    while at < len(data) and data[at]:
        digits = data[at : at + 20].partition(b" ")[0]
        length = int(digits) if digits.isdigit() else 0
        record = data[at : at + length]
        key, separator, value = record[len(digits) + 1 : -1].partition(b"=")
        if not separator or len(record) != length:
            raise damaged(where, position, "a malformed PAX record")
        if key == b"path":
            extended = extended._replace(name=value)
        elif key == b"size":
            extended = extended._replace(size=int(value) if value.isdigit() else -1)
        elif key.startswith(b"GNU.sparse."):
            extended = extended._replace(sparse=True)
        at += length
    return extended
