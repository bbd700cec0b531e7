"""An HTTP answer as a WARC record holds it: status, headers, and its body without transfer and content encodings.

Archives are not always true to the protocol: some store the body decoded and keep the header that says otherwise (older
Common Crawl archives do), some cut it off. So an encoding that the bytes do not have is passed over.
"""

from __future__ import annotations

import re
import zlib
from io import BytesIO
from typing import NamedTuple

from curate.errors import MissingExtra
from stages.ingest.files import Refused
from stages.ingest.pack import image_format

MEMBERS = 10_000
"""Of a gzip body: several, one behind the other, are one content (RFC 1952, section 2.2)."""
STEP = 1 << 14
"""Bytes that are inflated at once."""
LOOKED_AT = 1 << 10
"""Bytes by which it is told whether a body that cannot be decoded is decoded already."""

_MAGIC = {"gzip": b"\x1f\x8b", "x-gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd"}
"""Of the encodings that have one."""
_BINARY = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
"""What no text has, as browsers tell it (MIME Sniffing, section 3, binary data byte)."""
_END = re.compile(rb"\r?\n\r?\n")
_STATUS = re.compile(rb"HTTP/\d(?:\.\d)?[ \t]+(\d{3})\b")
_CHUNK = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]{0,1024})?\r?\n")
_CHARSET = re.compile(r"""charset\s*=\s*["']?([\w.:-]{1,40})""", re.IGNORECASE)


class Response(NamedTuple):
    """An answer's head, and its body as it was sent."""

    status: int
    headers: dict[str, str]
    """By lower-case name; of several of one name the first."""
    body: bytes

    @property
    def media_type(self) -> str:
        """`text/html`; empty: it does not say."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def charset(self) -> str | None:
        """The encoding that its Content-Type names."""
        named = _CHARSET.search(self.headers.get("content-type", ""))
        return named[1] if named else None


def parse(block: bytes) -> Response | None:
    """The answer in a record's block, which may be cut off anywhere behind the head; None: it is no HTTP answer."""
    status, end = _STATUS.match(block), _END.search(block)
    if status is None or end is None:
        return None
    headers: dict[str, str] = {}
    for line in block[: end.start()].split(b"\n")[1:]:
        name, _, value = line.decode("latin-1").partition(":")
        headers.setdefault(name.strip().lower(), value.strip())
    return Response(int(status[1]), headers, block[end.end() :])


def content(response: Response, limit: int) -> bytes:
    """The body, decoded. Raises `Refused`: larger than `limit` bytes, damaged, or in an encoding that nothing here reads."""
    body = response.body
    if "chunked" in response.headers.get("transfer-encoding", "").lower():
        body = _joined(body)
    for encoding in reversed(response.headers.get("content-encoding", "").lower().split(",")):
        body = _decoded(body, encoding.strip(), limit + 1)
    if len(body) > limit:
        raise Refused(f"larger than {limit / 1e6:g} MB")
    return body


def _joined(body: bytes) -> bytes:
    """The chunks of a body, as far as there are any; the body itself if it is not in chunks."""
    pieces, at = [], 0
    while size := _CHUNK.match(body, at):
        start, length = size.end(), int(size[1], 16)
        pieces.append(body[start : start + length])
        at = start + length
        at += 2 if body.startswith(b"\r\n", at) else body.startswith(b"\n", at)
        if length == 0:
            break
    return b"".join(pieces) if pieces else body


def _decoded(body: bytes, encoding: str, limit: int) -> bytes:
    """At most `limit` bytes of the body without one content encoding; the body itself if it does not have it."""
    if encoding in ("", "identity", "none") or not body.startswith(_MAGIC.get(encoding, b"")):
        return body
    if encoding not in ("gzip", "x-gzip", "deflate", "br", "zstd"):
        raise Refused(f"content encoding {encoding:.40} is not read")
    try:
        return (_read_with_fastwarc if encoding in ("br", "zstd") else _inflated)(body, encoding, limit)
    except Refused:
        if encoding in _MAGIC or not _is_plain(body):
            raise
        return body


def _is_plain(body: bytes) -> bool:
    """Whether these are an image's bytes or text: a hundred compressed bytes have a control character as good as surely."""
    return image_format(body) is not None or not _BINARY.search(body, 0, LOOKED_AT)


def _inflated(body: bytes, encoding: str, limit: int) -> bytes:
    window = 31 if encoding in _MAGIC else -15
    if window < 0 and body and body[0] & 15 == 8 and int.from_bytes(body[:2], "big") % 31 == 0:
        window = 15  # zlib's header (RFC 9110 8.4.1.2); many servers send none
    pieces, at, left = [], 0, limit
    for _ in range(MEMBERS):
        inflate = zlib.decompressobj(window)
        while left and not inflate.eof and at < len(body):
            try:
                pieces.append(inflate.decompress(body[at : at + STEP], left))
            except zlib.error as error:
                raise Refused(f"damaged {encoding} content: {error}") from error
            at, left = at + STEP, left - len(pieces[-1])
        at = min(at, len(body)) - len(inflate.unused_data)
        if left and not inflate.eof:
            raise Refused(f"{encoding} content is cut off")
        if not left or encoding not in _MAGIC or not body.startswith(_MAGIC[encoding], at):
            return b"".join(pieces)
    raise Refused(f"{encoding} content of more than {MEMBERS} members")


def _read_with_fastwarc(body: bytes, encoding: str, limit: int) -> bytes:
    try:
        from fastwarc.stream_io import BrotliReader, ZstdReader
    except ImportError as error:
        raise MissingExtra("fastwarc", "documents") from error
    reader = (BrotliReader if encoding == "br" else ZstdReader)(BytesIO(body))
    pieces, left = [], limit
    try:
        while left and (piece := reader.read(left)):
            pieces.append(piece)
            left -= len(piece)
    except OSError as error:
        raise Refused(f"damaged {encoding} content: {error}") from error
    return b"".join(pieces)
