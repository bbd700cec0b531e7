"""A real web server on the loopback interface, with the manners of the web."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Site(BaseHTTPRequestHandler):
    """/ok/NAME serves `images[NAME]`; the other paths misbehave as they are called."""

    images: dict[str, bytes] = {}
    agents: list[str] = []
    hits: list[str] = []

    def do_GET(self) -> None:
        self.hits.append(self.path)
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


@contextmanager
def serving(images: dict[str, bytes]) -> Iterator[tuple[str, type[Site]]]:
    """The site's address and its class, which remembers what was asked for."""
    site = type("ThisSite", (Site,), {"images": images, "agents": [], "hits": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), site)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
