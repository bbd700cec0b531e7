"""Records of a WARC archive, from any byte on: where they begin, what is damaged, and where it goes on after damage.

FastWARC reads the records. What it cannot tell, the few lines here do, and only where its reading ends: whether the last
record was whole, and where the next one begins. So nothing that can be read is lost behind damage, and a range of bytes
of an archive can be read alone (ISO 28500:2017; each record of a .gz archive is a gzip member of its own, annex D).
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from curate.errors import MissingExtra, PoolError

if TYPE_CHECKING:
    from fastwarc.warc import WarcRecord

GZIP = b"\x1f\x8b\x08"
FIRST = 1 << 16
"""Bytes of a record's block that `wants` is shown."""
MAX_HEAD = 1 << 15
"""Bytes of a record's own header."""
PROBE = 1 << 10
"""Bytes by which a gzip member is told: its own header, the tables of its first block, and a few of what it holds."""
WINDOW = 1 << 20

BLANK = b"\r\n\r\n"
"""Ends a record's header, and the record."""

_BEGIN = re.compile(rb"WARC/1\.\d\r\n")
_MEMBER = re.compile(re.escape(GZIP))
_LENGTH = re.compile(rb"\ncontent-length:[ \t]*(\d{1,18})[ \t]*\r?\n", re.IGNORECASE)


class Record(NamedTuple):
    """One record, or a gap where none can be read (`type` is empty then)."""

    at: int
    """Its first byte in the archive."""
    type: str
    url: str
    headers: dict[str, str]
    """The record's own, by lower-case name."""
    length: int
    """Bytes of its block."""
    block: bytes = b""
    """The block, an HTTP answer for instance, as far as it was wanted; of a damaged record what could be read."""
    error: str | None = None


Wants = Callable[[Record], int]
"""From a record with the first `FIRST` bytes of its block to how many bytes of it are wanted."""


class Archive:
    """A WARC archive, and the file that FastWARC reads it through.

    It remembers which errors were the file's own: FastWARC raises `OSError` for damaged data as well.

    Args:
        file: seekable, opened in binary mode.
        where: the file's path or URL, for messages; a name that ends in .gz tells a .gz archive with a damaged beginning.
    """

    def __init__(self, file: BinaryIO, where: str) -> None:
        self.file, self.where = file, where
        self.size = file.seek(0, 2)
        start = self.at(0, 5)
        self.packed = start[:3] == GZIP or (where.endswith(".gz") and start != b"WARC/")
        self.error: Exception | None = None

    def records(self, start: int, end: int, wants: Wants | None = None) -> Iterator[Record]:
        """The records that begin in bytes `start` to `end`, in order. A damaged one has its `error`, and so has a gap.

        `start` is 0, the place of a record (`Record.at`), or anywhere: then reading begins with the first record behind
        it. So each record belongs to exactly one range, however an archive is cut.

        Args:
            wants: how much of a record's block to read; None: nothing.

        Raises:
            PoolError: the archive is compressed as a whole, so that its records have no places.
        """
        end = min(end, self.size)
        at = _next(self, start, end) if start else 0
        while at is not None and at < end:
            last: Record | None = None
            for record in _read(self, at, wants):
                if last is not None:
                    yield last  # the header behind it was read: it is whole
                last = record
                if record.at >= end:
                    return
            whole = at if last is None else _end(self, last)
            if last is not None:
                yield last if whole is not None else _damaged(last)
            behind = at + 1 if last is None else last.at + 1 if whole is None else whole
            limit = min(max(behind, end) + WINDOW, self.size)
            at = _next(self, behind, limit)
            until = limit if at is None else at
            if whole is not None and self.at(whole, min(until - whole, FIRST)).strip(b"\0\r\n"):
                yield _gap(self, whole, until)

    def read(self, size: int = -1) -> bytes:
        """As a file's."""
        try:
            return self.file.read(size)
        except Exception as error:  # kept, since the reader above takes it for the end of the file
            self.error = error
            raise

    def seek(self, offset: int, whence: int = 0) -> int:
        """As a file's."""
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        """As a file's."""
        return self.file.tell()

    def close(self) -> None:
        """Not ours to close."""

    def at(self, offset: int, size: int) -> bytes:
        """At most `size` bytes of another place; reading goes on where it was."""
        here = self.file.tell()
        self.file.seek(offset)
        data = self.file.read(size)
        self.file.seek(here)
        return data

    def check(self) -> None:
        """Raise the file's own error, if that is what ended the reading."""
        if self.error is not None:
            raise self.error


def _read(source: Archive, at: int, wants: Wants | None) -> Iterator[Record]:
    """Records as FastWARC reads them from `at` on. Ends before damage, or with a record that has an `error`."""
    source.seek(at)
    for number, record in enumerate(_iterate(source)):
        found = _record(record.stream_pos, record.headers.items_bytes(), record.content_length)
        if number == 1 and source.packed and source.at(found.at, 3) != GZIP:
            raise PoolError(
                f"{source.where}: compressed as a whole, so that no record can be read by its place; give each record a "
                f"gzip member of its own (fastwarc recompress), or unpack it"
            )
        if not found.headers.get("content-length", "").isdigit():
            yield found._replace(error="without a length")
            return
        try:
            if found.length > FIRST and _lies(
                source, found
            ):  # of many that claim all that follows, each would be read to its end
                yield found._replace(block=record.reader.read(FIRST), error="not as long as its header says")
                return
            if wants is not None:
                found = found._replace(block=record.reader.read(min(FIRST, found.length)))
                found = found._replace(block=found.block + _rest(record, found, wants))
            else:
                record.consume()
        except OSError as error:
            source.check()
            yield found._replace(error=str(error))
            return
        yield found


def _iterate(source: Archive) -> Iterator[WarcRecord]:
    """FastWARC's records. Damage ends them without a word: where reading ended is looked into anyway."""
    try:
        from fastwarc.warc import ArchiveIterator
    except ImportError as error:
        raise MissingExtra("fastwarc", "documents") from error
    iterator = iter(ArchiveIterator(source, parse_http=False, max_header_len=MAX_HEAD))
    while True:
        try:
            record = next(iterator, None)
        except OSError:
            source.check()
            return
        if record is None:
            return
        yield record


def _record(at: int, fields: Iterable[tuple[bytes, bytes]], length: int) -> Record:
    """A record by its header; of a name that stands twice the first counts."""
    headers: dict[str, str] = {}
    for name, value in fields:
        headers.setdefault(name.decode("latin-1").lower(), value.decode("utf-8", "replace").strip())
    url = headers.get("warc-target-uri", "").removeprefix("<").removesuffix(">")
    return Record(at, headers.get("warc-type", ""), url, headers, length)


def _rest(record: WarcRecord, found: Record, wants: Wants) -> bytes:
    wanted = min(wants(found), found.length) - len(found.block)
    return record.reader.read(wanted) if wanted > 0 else b""


def _end(source: Archive, record: Record) -> int | None:
    """Where the record ends, if it is whole: as long as its header says and, if it is packed, of the right checksum."""
    if record.error is not None:
        return None
    if source.packed:
        return _end_of_member(source, record)
    end = _claimed(source, record)
    if end == source.size:
        return end
    return end + len(BLANK) if source.at(end, len(BLANK)) == BLANK else None


def _claimed(source: Archive, record: Record) -> int:
    """Where the block of a record that is not packed ends, by its header."""
    return record.at + source.at(record.at, MAX_HEAD).find(BLANK) + len(BLANK) + record.length


def _lies(source: Archive, record: Record) -> bool:
    """Whether neither white space, nor a record, nor the archive's end is where a record that is not packed ends."""
    if source.packed:
        return False
    end = _claimed(source, record)
    behind = source.at(end, 16)
    return end > source.size or not (behind.startswith(BLANK) or behind.strip(b"\r\n")[:5] in (b"", b"WARC/"))


def _end_of_member(source: Archive, record: Record) -> int | None:
    member, position, size, opening = zlib.decompressobj(31), record.at, 0, b""
    try:
        while not member.eof:
            data = source.at(position, FIRST)
            if not data:
                return None
            unpacked = member.decompress(data)
            opening = opening or unpacked
            size, position = size + len(unpacked), position + len(data)
    except zlib.error:
        return None
    behind = size - (opening.find(BLANK) + len(BLANK)) - record.length
    return position - len(member.unused_data) if 0 <= behind <= len(BLANK) else None


def _next(source: Archive, at: int, end: int) -> int | None:
    """The first byte from `at` to `end` at which a record begins; None: there is none.

    Of a record that holds a WARC archive in its block, a record in there cannot be told from one of this archive.
    """
    pattern, begins = (_MEMBER, _begins_packed) if source.packed else (_BEGIN, _begins)
    width = FIRST  # mostly it is right here
    while at < end:
        before, width = min(at, len(BLANK)), min(width, end - at)
        window = source.at(at - before, before + width + MAX_HEAD)
        for match in pattern.finditer(window, before):
            if match.start() >= before + width:  # it may end behind, so the search must not
                break
            if begins(window, match.start()):
                return at - before + match.start()
        at, width = at + width, WINDOW
    return None


def _begins_packed(window: bytes, at: int) -> bool:
    try:
        return zlib.decompressobj(31).decompress(window[at : at + PROBE], 16).startswith(b"WARC/1.")
    except zlib.error:
        return False


def _begins(window: bytes, at: int) -> bool:
    head = window[at : window.find(BLANK, at, at + MAX_HEAD)] + b"\r\n"
    behind_blank = window[max(at - len(BLANK), 0) : at] in (BLANK, b"")
    return behind_blank and b"\nwarc-type:" in head.lower() and _LENGTH.search(head) is not None


def _gap(source: Archive, start: int, end: int) -> Record:
    """Bytes that no record could be read from, with what the first of them still say of the record that stood there."""
    record = Record(start, "", "", {}, end - start)
    head, blank, block = _opening(source, start).partition(BLANK)
    if blank:
        fields = [line.partition(b":")[::2] for line in head.split(b"\r\n")[1:]]
        record = _record(start, fields, end - start)._replace(block=block)
    return record._replace(error=f"damaged archive: bytes {start} to {end} hold no whole record")


def _opening(source: Archive, at: int) -> bytes:
    """What can be unpacked of a damaged gzip member, byte by byte, so that all before the damage is had."""
    member, opening, packed = zlib.decompressobj(31), bytearray(), source.at(at, FIRST)
    try:
        for byte in range(len(packed) if source.packed else 0):
            opening += member.decompress(packed[byte : byte + 1])
            if member.eof or len(opening) > FIRST:
                break
    except zlib.error:
        pass
    return bytes(opening) if opening.startswith(b"WARC/") else b""


def _damaged(record: Record) -> Record:
    cause = record.error or "cut off, or not as long as its header says"
    return record._replace(error=f"damaged record at byte {record.at}: {cause}")
