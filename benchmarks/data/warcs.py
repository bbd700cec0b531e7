"""WARC archives that are byte-identical for equal input: a crawl of a folder of HTML, as a crawler would have stored it."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
import re
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

DATE = "2026-01-01T00:00:00Z"
"""Of every record: a date of writing would change the bytes."""
TYPES = {".html": "text/html", ".webp": "image/webp", ".svg": "image/svg+xml", ".xpm": "image/x-xpixmap"}
REASONS = {200: "OK", 404: "Not Found"}

_IMAGE = re.compile(rb"""<img\b[^>]*?\bsrc\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>"']+))""", re.IGNORECASE)


@dataclass(frozen=True)
class Response:
    """What a server answered for a URL. `headers` are further HTTP headers, `Name: value`."""

    url: str
    body: bytes
    media_type: str = "text/html"
    status: int = 200
    headers: tuple[str, ...] = ()


def crawl(site: str, root: Path, pages: Iterable[Path]) -> Iterator[Response]:
    """Each page of a site whose documents lie under `root`, followed by the images that it asks for and that were not
    fetched before. What `root` does not hold is answered with 404; links inside `root` are followed, other sites are not.
    """
    fetched: set[str] = set()
    for page in pages:
        url = f"{site}/{page.relative_to(root).as_posix()}"
        yield answer(url, root)
        for match in _IMAGE.finditer(page.read_bytes()):
            source = unescape((match[1] or match[2] or match[3] or b"").decode("utf-8", "replace")).strip()
            image = urljoin(url, source).partition("#")[0]
            if image.startswith(f"{site}/") and image not in fetched:
                fetched.add(image)
                yield answer(image, root)


def answer(url: str, root: Path) -> Response:
    """The file that the URL's path names under `root`, or 404."""
    path = unquote(urlsplit(url).path).lstrip("/")
    file = (root / path).resolve()
    if not file.is_relative_to(root.resolve()) or not file.is_file():
        return Response(url, b"<html><title>404 Not Found</title><p>There is no such file.</p></html>", status=404)
    return Response(url, file.read_bytes(), media_type(file))


def media_type(file: Path) -> str:
    """By the file's name, as a server tells it."""
    return TYPES.get(file.suffix) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"


def write_warc(responses: Iterable[Response], path: Path) -> int:
    """Write the responses to `path` in their order, each a gzip member of its own where the name ends in .gz; returns how
    many. The file appears under its name only when it is complete."""
    partial = path.with_name(f"{path.name}.partial")
    count = 0
    with partial.open("wb") as file:
        file.write(_member(_info(path.name), path))
        for response in responses:
            file.write(_member(record_of(response), path))
            count += 1
    partial.rename(path)
    return count


def record_of(response: Response) -> bytes:
    """The response as one record of WARC 1.1 (ISO 28500:2017), uncompressed."""
    head = [
        f"HTTP/1.1 {response.status} {REASONS.get(response.status, 'Status')}",
        f"Content-Type: {response.media_type}",
        *response.headers,
    ]
    if not any(line.lower().startswith(("content-length:", "transfer-encoding:")) for line in response.headers):
        head.append(f"Content-Length: {len(response.body)}")
    block = "\r\n".join(head).encode() + b"\r\n\r\n" + response.body
    identity = uuid.UUID(bytes=hashlib.sha256(response.url.encode() + block).digest()[:16])
    fields = [
        "WARC-Type: response",
        f"WARC-Record-ID: <urn:uuid:{identity}>",
        f"WARC-Date: {DATE}",
        f"WARC-Target-URI: {response.url}",
        "Content-Type: application/http;msgtype=response",
    ]
    return record(fields, block)


def record(fields: Iterable[str], block: bytes) -> bytes:
    """A record of these header lines, completed by its length."""
    head = "\r\n".join(["WARC/1.1", *fields, f"Content-Length: {len(block)}"])
    return head.encode() + b"\r\n\r\n" + block + b"\r\n\r\n"


def _info(name: str) -> bytes:
    identity = uuid.UUID(bytes=hashlib.sha256(name.encode()).digest()[:16])
    fields = [
        "WARC-Type: warcinfo",
        f"WARC-Record-ID: <urn:uuid:{identity}>",
        f"WARC-Date: {DATE}",
        f"WARC-Filename: {name}",
        "Content-Type: application/warc-fields",
    ]
    return record(fields, b"software: curate-multimodal benchmarks.data\r\nformat: WARC File Format 1.1\r\n")


def _member(data: bytes, path: Path) -> bytes:
    return gzip.compress(data, 6, mtime=0) if path.suffix == ".gz" else data
