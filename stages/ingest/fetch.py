"""img2dataset behind a guard: the program that `stages.ingest.download` starts, as `python -P fetch.py JSON`.

URLs are hostile. img2dataset opens whatever urllib opens, reads answers of any size, and follows redirects anywhere;
its worker processes are spawned, so a guard has to be in each of them. Spawned processes import the program they were
started from as `__mp_main__`, and this file is that program: it installs the guard in every process, then img2dataset
runs as it is. Only the standard library is imported here, and `-P` keeps this folder off the path, whose
`webdataset.py` would otherwise stand in for the package.
"""

from __future__ import annotations

import io
import ipaddress
import json
import os
import signal
import socket
import sys
import threading
import time
import urllib.request
from collections import defaultdict
from typing import Any
from urllib.parse import urlsplit
from urllib.response import addinfourl

CHUNK = 1 << 16
MAX_ADDRESSES = 4
"""Of one host; each may cost one connection time-out."""
NAT64 = ipaddress.ip_network("64:ff9b::/96")


class Refusal(OSError):
    """A request that is not made, or an answer that is not read further."""


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet, also where IPv6 wraps an IPv4 address."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip in NAT64:
            return is_public(str(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)))
        wrapped = ip.ipv4_mapped or ip.sixtofour or (ip.teredo and ip.teredo[1])
        if wrapped:
            return is_public(str(wrapped))
    return ip.is_global and not ip.is_multicast


class Guard:
    """Limits of every request of this process.

    Args:
        allow_private: whether hosts, or which hosts, may be at private, loopback or link-local addresses.
        max_bytes: of an answer's body.
        deadline: seconds for a whole request, redirects and slow senders included.
        per_host: requests at the same time to one host.
        contact: address or page for owners of sites, added to the user agent.
    """

    def __init__(
        self, allow_private: bool | list[str], max_bytes: int, deadline: float, per_host: int, contact: str
    ) -> None:
        self.allow_private, self.max_bytes, self.deadline, self.contact = allow_private, max_bytes, deadline, contact
        self.hosts: dict[str, threading.Semaphore] = defaultdict(lambda: threading.Semaphore(per_host))
        self.lock = threading.Lock()
        self.until = threading.local()
        self.resolve, self.receive = socket.getaddrinfo, socket.SocketIO.readinto

    def install(self) -> None:
        """Take the place of what urllib resolves, receives and opens with."""
        guard = self

        def readinto(stream: socket.SocketIO, buffer: Any) -> int | None:
            guard.check_time()
            return guard.receive(stream, buffer)

        opener = urllib.request.OpenerDirector()
        for handler in (
            urllib.request.HTTPHandler,
            urllib.request.HTTPSHandler,
            urllib.request.HTTPRedirectHandler,
            urllib.request.HTTPErrorProcessor,
            urllib.request.HTTPDefaultErrorHandler,
            urllib.request.UnknownHandler,
        ):  # no file, ftp or data URLs; no proxy, behind which addresses could not be checked
            opener.add_handler(handler())
        self.open = opener.open
        socket.getaddrinfo = self.getaddrinfo  # type: ignore[assignment]
        socket.SocketIO.readinto = readinto  # type: ignore[assignment, method-assign]
        urllib.request.urlopen = self.urlopen  # type: ignore[assignment]

    def getaddrinfo(
        self, host: str, port: int | str, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> list[Any]:
        """Addresses of a host; they are the ones that are then connected to, so a second answer cannot differ."""
        found = self.resolve(host, port, family, type, proto, flags)
        allowed = self.allow_private if isinstance(self.allow_private, bool) else host in self.allow_private
        for *_, address in found:
            if not allowed and not is_public(str(address[0])):
                raise Refusal(f"refused: {host} is at {address[0]}, which is no public address")
        return found[:MAX_ADDRESSES]

    def check_time(self) -> None:
        """Raise once the request of this thread has used up its time, however steadily its bytes drip."""
        if time.monotonic() > getattr(self.until, "time", float("inf")):
            raise Refusal(f"refused: no complete answer within {self.deadline:g} s")

    def urlopen(self, request: urllib.request.Request, timeout: float) -> addinfourl:
        """A request whose answer has been read whole, within the limits."""
        if self.contact:
            request.add_header("User-Agent", f"{request.get_header('User-agent', '')} (contact: {self.contact})")
        with self.lock:
            host = self.hosts[urlsplit(request.full_url).netloc]
        with host:
            self.until.time = time.monotonic() + self.deadline
            try:
                with self.open(request, timeout=timeout) as answer:
                    return addinfourl(self.body(answer), answer.headers, answer.url, answer.status)
            finally:
                del self.until.time

    def body(self, answer: Any) -> io.BytesIO:
        """The answer's body, unless it is too large."""
        body = io.BytesIO()
        while body.tell() <= self.max_bytes and (data := answer.read(CHUNK)):
            body.write(data)
        if body.tell() > self.max_bytes:
            raise Refusal(f"refused: the answer is larger than {self.max_bytes} bytes")
        body.seek(0)
        return body


def _end_with_parent() -> None:
    """When whoever started us is gone, its end of the pipe closes: then this process group has no reason to go on."""
    os.read(0, 1)  # nothing is ever sent
    os.killpg(os.getpgid(0), signal.SIGKILL)


if __name__ in ("__main__", "__mp_main__"):
    _settings = json.loads(sys.argv[1])
    Guard(**_settings["guard"]).install()
    sys.modules["torch"] = None  # type: ignore[assignment]  # webdataset imports it where it can: seconds, for nothing

if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from img2dataset import download

    download(**_settings["download"])
