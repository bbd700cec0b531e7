"""Our reader of tar headers agrees with `tarfile` on what tarfile writes, and says where a file is damaged."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import PoolError
from stages.ingest.members import BLOCK, FILE, Member, members

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=300).filter(
    lambda name: not name.endswith("/")
)
KINDS = st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])


def written(entries: list[tuple[str, bytes, bytes]], form: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for name, kind, data in entries:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "elsewhere" if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
            info.size = len(data) if kind == tarfile.REGTYPE else 0
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def listed(data: bytes) -> list[Member]:
    return list(members(io.BytesIO(data), "x.tar"))


@given(
    st.lists(st.tuples(NAMES, KINDS, st.binary(max_size=1100)), max_size=6),
    st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
)
def test_agrees_with_tarfile(entries: list[tuple[str, bytes, bytes]], form: int) -> None:
    data = written(entries, form)
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        expected = [(m.name, m.isreg(), m.offset_data, m.size) for m in tar]
    found = [(m.name.rstrip("/") or m.name, m.kind == FILE, m.offset, m.size) for m in listed(data)]
    assert found == [(name.rstrip("/") or name, *rest) for name, *rest in expected]


def test_tells_kinds_apart() -> None:
    kinds = [tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE]
    data = written([("x", kind, b"") for kind in kinds] + [("y", b"Z", b"")], tarfile.USTAR_FORMAT)
    assert [member.kind for member in listed(data)] == [
        "hard link",
        "symbolic link",
        "character device",
        "block device",
        "folder",
        "named pipe",
        "member of type b'Z'",
    ]


def test_reads_the_prefix_of_ustar_names() -> None:
    name = "folder/" * 20 + "x.jpg"
    assert [member.name for member in listed(written([(name, tarfile.REGTYPE, b"1")], tarfile.USTAR_FORMAT))] == [name]


def test_reads_sizes_in_base_256() -> None:
    data = bytearray(written([("x.jpg", tarfile.REGTYPE, b"123")], tarfile.GNU_FORMAT))
    data[124:136] = b"\x80" + (3).to_bytes(11, "big")
    assert listed(with_checksum(data))[0].size == 3


def with_checksum(data: bytearray) -> bytes:
    """The archive with the checksum of its first header put right."""
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:BLOCK])
    return bytes(data)


def test_marks_sparse_files() -> None:
    old = bytearray(written([("x.jpg", tarfile.REGTYPE, b"123"), ("y.jpg", tarfile.REGTYPE, b"4")], tarfile.GNU_FORMAT))
    old[156:157] = b"S"
    assert [member.kind for member in listed(with_checksum(old))] == ["sparse file", FILE]

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("x.jpg")
        info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
        tar.addfile(info)
    assert [member.kind for member in listed(buffer.getvalue())] == ["sparse file"]


@pytest.mark.parametrize(
    ("compress", "tool"), [(gzip.compress, "gunzip"), (bz2.compress, "bunzip2"), (lzma.compress, "unxz")]
)
def test_refuses_compressed_archives(compress: Callable[[bytes], bytes], tool: str) -> None:
    with pytest.raises(PoolError, match=rf"x\.tar: compressed with .* convert it once with {tool}"):
        listed(compress(written([("x.jpg", tarfile.REGTYPE, b"1")], tarfile.PAX_FORMAT)))


TWO = written([("x.jpg", tarfile.REGTYPE, b"1" * 600), ("y.jpg", tarfile.REGTYPE, b"2")], tarfile.USTAR_FORMAT)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty"),
        (TWO[:900], "byte 0: a member of 600 bytes goes on beyond the end"),
        (TWO[:1536], "byte 1536: it is cut off"),
        (TWO[:1700], "byte 1536: it is cut off"),
        (TWO[:1536] + b"\xff" * 512 + TWO[2048:], "byte 1536: no tar header here"),
        (TWO + TWO, "more data after the end-of-archive marker"),
        (b"<html>" * 1000, "byte 0: no tar header here"),
    ],
)
def test_says_where_it_is_damaged(data: bytes, message: str) -> None:
    with pytest.raises(PoolError, match=message):
        listed(data)


@pytest.mark.parametrize(
    "size", [b"\x80" + b"\x7f" * 11, b"77777777777\0", b"\xff" * 12, b"-1         \0", b"abc\0" * 3]
)
def test_never_believes_a_size(size: bytes) -> None:
    data = bytearray(TWO)
    data[124:136] = size
    with pytest.raises(PoolError, match=r"byte 0: (a member of .* goes on beyond|a header without a valid size)"):
        listed(with_checksum(data))


@pytest.mark.parametrize(
    "record", [b"99 path=x\n", b"path=x\n", b"0 path=x\n", b"5 pat\n", b"10 size=-1\n", b"999999999999999999999 a=b\n"]
)
def test_never_believes_a_pax_record(record: bytes) -> None:
    data = bytearray(written([("h", tarfile.REGTYPE, record), ("x.jpg", tarfile.REGTYPE, b"1")], tarfile.USTAR_FORMAT))
    data[156:157] = b"x"
    with pytest.raises(PoolError, match=r"malformed PAX record|without a valid size"):
        listed(with_checksum(data))


@given(st.integers(0, len(TWO) - 1), st.integers(0, 255), st.integers(0, len(TWO)))
def test_survives_any_damage(place: int, value: int, end: int) -> None:
    data = bytearray(TWO)
    data[place] = value
    try:
        found = listed(bytes(data[:end]))
    except PoolError as error:
        assert "x.tar" in str(error)
    else:
        assert all(member.offset + member.size <= end for member in found)
