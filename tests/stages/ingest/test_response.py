"""HTTP answers as archives hold them: encoded, decoded with the header left as it was, cut off, or bombs."""

from __future__ import annotations

import gzip
import io
import random
import zlib
from collections.abc import Callable

import pytest
from fastwarc.stream_io import BrotliWriter, ZstdWriter
from hypothesis import given
from hypothesis import strategies as st

from stages.ingest.files import Refused
from stages.ingest.response import MEMBERS, Response, content, parse

MIXED = " ".join(map(str, random.Random(3).choices(range(10**6), k=130))).encode()
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(range(256))
PAGE = b"<html><p>a page of some length, with words in it</p></html>" * 9


def chunked(body: bytes, size: int = 100) -> bytes:
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x;name=value\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def packed(writer: Callable[[io.BytesIO], BrotliWriter | ZstdWriter], body: bytes) -> bytes:
    buffer = io.BytesIO()
    with writer(buffer) as file:
        file.write(body)
    return buffer.getvalue()


def broken(body: bytes) -> bytes:
    """With twenty bytes altered."""
    return body[:60] + bytes(byte ^ 0x55 for byte in body[60:80]) + body[80:]


def answer(body: bytes, **headers: str) -> Response:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    found = parse(f"HTTP/1.1 200 OK\r\n{lines}\r\n".encode() + body)
    assert found is not None
    return found


def zipped(data: bytes) -> bytes:
    """Without the time of day: tests are named by these bytes, and all workers have to find the same names."""
    return gzip.compress(data, mtime=0)


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (PAGE, {}),
        (zipped(PAGE), {"Content_Encoding": "gzip"}),
        (zipped(PAGE), {"Content_Encoding": "x-gzip"}),
        (zlib.compress(PAGE), {"Content_Encoding": "deflate"}),
        (zlib.compress(PAGE)[2:-4], {"Content_Encoding": "deflate"}),
        (packed(BrotliWriter, PAGE), {"Content_Encoding": "br"}),
        (packed(ZstdWriter, PAGE), {"Content_Encoding": "zstd"}),
        (zipped(zipped(PAGE)), {"Content_Encoding": "gzip, gzip"}),
        (PAGE, {"Content_Encoding": "identity"}),
        (chunked(PAGE), {"Transfer_Encoding": "chunked"}),
        (chunked(zipped(PAGE), 7), {"Transfer_Encoding": "Chunked", "Content_Encoding": "gzip"}),
        (
            PAGE,
            {"Transfer_Encoding": "chunked", "Content_Encoding": "gzip"},
        ),  # stored decoded, headers left as they were
        (zipped(PAGE), {"Transfer_Encoding": "chunked", "Content_Encoding": "gzip"}),
    ],
)
def test_encodings(body: bytes, headers: dict[str, str]) -> None:
    assert content(answer(body, **headers), len(PAGE)) == PAGE


@pytest.mark.parametrize(
    ("body", "encoding", "why"),
    [
        (zipped(PAGE)[:40], "gzip", "gzip content is cut off"),
        (b"\x1f\x8b\x08\x00" + b"\xff" * 40, "gzip", "damaged gzip content"),
        (zlib.compress(MIXED)[:200], "deflate", "deflate content is cut off"),
        (broken(zlib.compress(MIXED)[2:-4]), "deflate", "damaged deflate content"),
        (broken(packed(BrotliWriter, MIXED)), "br", "damaged br content"),
        (packed(BrotliWriter, MIXED)[:200], "br", "damaged br content"),
        (broken(packed(ZstdWriter, MIXED)), "zstd", "damaged zstd content"),
        (zipped(PAGE) + zipped(PAGE)[:40], "gzip", "gzip content is cut off"),
        (zipped(b"") * (MEMBERS + 1), "gzip", "more than 10000 members"),
        (PAGE, "compress", "content encoding compress is not read"),
        (zipped(b"\0" * 9_000_000), "gzip", "larger than 0.001 MB"),
        (packed(BrotliWriter, b"\0" * 9_000_000), "br", "larger than 0.001 MB"),
        (packed(ZstdWriter, b"\0" * 9_000_000), "zstd", "larger than 0.001 MB"),
        (PAGE * 9, "", "larger than 0.001 MB"),
    ],
)
def test_what_cannot_be_decoded_says_why(body: bytes, encoding: str, why: str) -> None:
    with pytest.raises(Refused, match=why):
        content(answer(body, Content_Encoding=encoding), 1000)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
@pytest.mark.parametrize("body", [PAGE, b"<p>hi", "Größe, 日本語".encode(), b"", JPEG, JPEG[:30]])
def test_a_body_that_the_archive_has_decoded_is_taken_as_it_is(body: bytes, encoding: str) -> None:
    assert content(answer(body, Content_Encoding=encoding), 10_000) == body


@pytest.mark.parametrize("size", [10, 1 << 14, 100_000])
def test_a_body_of_several_members_is_read_whole(size: int) -> None:
    parts = [random.Random(number).randbytes(size) for number in range(5)]
    body = b"".join(gzip.compress(part) for part in parts)
    assert content(answer(body, Content_Encoding="gzip"), size * 5) == b"".join(parts)
    assert content(answer(body + b"\0\0 padding", Content_Encoding="gzip"), size * 5) == b"".join(parts)
    with pytest.raises(Refused, match="larger than"):
        content(answer(body, Content_Encoding="gzip"), size * 5 - 1)
    frames = b"".join(packed(ZstdWriter, part) for part in parts)
    assert content(answer(frames, Content_Encoding="zstd"), size * 5) == b"".join(parts)


def test_heads() -> None:
    found = parse(b"HTTP/1.0 404 Not Found\nContent-Type: Text/HTML ; charset='Shift_JIS'\nA: b: c\nA: d\n\nbody")
    assert found == Response(404, {"content-type": "Text/HTML ; charset='Shift_JIS'", "a": "b: c"}, b"body")
    assert (found.media_type, found.charset) == ("text/html", "Shift_JIS")
    bare = parse(b"HTTP/2 200\r\n\r\n")
    assert bare is not None and (bare.status, bare.media_type, bare.charset, bare.body) == (200, "", None, b"")


@pytest.mark.parametrize(
    "block", [b"", b"<html>", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\nA: b", b"20260101\n127.0.0.1"]
)
def test_no_answer(block: bytes) -> None:
    assert parse(block) is None


@given(st.binary(max_size=300), st.sampled_from(["", "gzip", "deflate", "br", "zstd", "gzip, br"]), st.booleans())
def test_any_bytes_are_read_or_refused(body: bytes, encoding: str, chunks: bool) -> None:
    headers = {"Content_Encoding": encoding} | ({"Transfer_Encoding": "chunked"} if chunks else {})
    try:
        assert len(content(answer(body, **headers), 1000)) <= 1000
    except Refused as refused:
        assert str(refused)
