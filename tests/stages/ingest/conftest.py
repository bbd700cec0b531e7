"""Real material: JPEGs, tars by `tarfile`, and a web server on the loopback interface with the manners of the web."""

from __future__ import annotations

import io
import tarfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest
from PIL import Image


class Site(BaseHTTPRequestHandler):
    """/ok/NAME serves `images[NAME]`; the other paths misbehave as they are called."""

    images: ClassVar[dict[str, bytes]]
    agents: ClassVar[list[str]]

    def do_GET(self) -> None:
        self.agents.append(self.headers["User-Agent"])
        kind, _, name = self.path[1:].partition("/")
        if kind == "redirect":
            self._answer(302, b"", Location=f"/{name}")
        elif kind == "to":
            self._answer(302, b"", Location=name)
        elif kind == "optout":
            self._answer(200, self.images["a.jpg"], **{"X-Robots-Tag": "noai"})
        elif kind == "html":
            self._answer(200, b"<html>not an image</html>")
        elif kind == "large":
            self._answer(200, b"x" * 3_000_000)
        elif kind == "drip":
            self._drip()
        elif kind == "ok" and name in self.images:
            self._answer(200, self.images[name])
        else:
            self._answer(404, b"")

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for header, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(header, value)
        self.end_headers()
        with suppress(OSError):  # whoever asked may have gone
            self.wfile.write(body)

    def _drip(self) -> None:
        """A byte now and then: no single read ever times out."""
        self.send_response(200)
        self.end_headers()
        for _ in range(600):
            time.sleep(0.1)
            try:
                self.wfile.write(b"x")
            except OSError:
                return

    def log_message(self, format: str, *args: object) -> None:
        pass


def jpeg(colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 16), colour).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture(scope="session")
def images() -> dict[str, bytes]:
    return {f"{name}.jpg": jpeg(colour) for name, colour in (("a", "red"), ("b", "blue"), ("c", "green"))}


@pytest.fixture(scope="session")
def tar_of() -> Callable[[Sequence[tuple[str, bytes]]], bytes]:
    """Bytes of a tar with these members, as Python's `tarfile` writes it."""

    def write(entries: Sequence[tuple[str, bytes]]) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for name, data in entries:
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        return buffer.getvalue()

    return write


@pytest.fixture(scope="module")
def site(images: dict[str, bytes]) -> Iterator[tuple[int, list[str]]]:
    """The site's port on 127.0.0.1, and the user agents that it has seen."""
    agents: list[str] = []
    handler = type("ThisSite", (Site,), {"images": images, "agents": agents})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server.server_port, agents
    server.shutdown()
    server.server_close()
    thread.join()
