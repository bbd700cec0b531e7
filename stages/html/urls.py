"""URLs as browsers resolve them: relative, protocol-relative, against <base>, with IDN hosts, ports, spaces, backslashes.

After the WHATWG's URL standard, as far as http and https need it; hosts by Python's `idna` codec (IDNA 2003). A fragment
is not part of an image's URL. Only http and https are resolved, and file for pages that are files themselves.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from curate.errors import SampleError

LONGEST: Final = 8192
"""Characters of a URL, as written and as resolved; data: URIs have their own limit."""
MOST: Final = 64 << 20
"""Characters of all URLs of a page: a long <base> multiplies short ones."""

_PARTS: Final = re.compile(r"(?:([A-Za-z][A-Za-z0-9+.-]*):)?(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?", re.S)
_EDGES: Final = "".join(map(chr, range(33)))
_BREAKS: Final = str.maketrans("", "", "\t\n\r")
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}
_HOST: Final = re.compile(r"[a-z0-9._~!$&'()*+,;=-]+|\[[0-9a-f:.]+\]")
_PLAIN: Final = re.compile(r"(https?://[a-z0-9.-]+/)?[A-Za-z0-9_~%-][A-Za-z0-9_~%./-]*")
"""Most URLs: nothing in them needs a rule, unless a segment begins with a dot."""
_SAFE: Final = "!$&'()*+,-./:;=?@_~%[]|"


@dataclass(frozen=True, slots=True)
class _Split:
    scheme: str
    host: str | None
    path: str
    query: str | None
    fragment: str | None


def _split(url: str) -> _Split:
    scheme, host, path, query, fragment = _PARTS.match(url).groups()  # type: ignore[union-attr]  # it matches anything
    return _Split((scheme or "").lower(), host, path, query, fragment)


class Resolver:
    """Resolves what one page's markup says. Equal URLs are the same string. Raises SampleError at more than `MOST`.

    `page`: the page's URL. `base`: the href of its first <base>; one that is not http(s), or cannot be read, is ignored.
    """

    def __init__(self, page: str, base: str | None = None) -> None:
        self._base = _split(page.strip(_EDGES))
        self._schemes = {"http", "https"} | ({self._base.scheme} & {"file", ""})
        self._known: dict[str, tuple[str | None, str]] = {}
        self._characters = 0
        if base:
            resolved, _ = self._resolve(base)
            self._base = _split(resolved) if resolved is not None else self._base
        here, _ = self._resolve(".")
        self._folder = here if self._base.scheme else None
        """What a plain relative URL continues."""

    def image(self, raw: str) -> tuple[str | None, str]:
        """(absolute URL without fragment, "") or (None, why not)."""
        return self._cached(raw.partition("#")[0])

    def link(self, raw: str | None) -> str | None:
        """Absolute URL; None if it is no place on the web (javascript:, mailto:, …)."""
        return self._cached(raw)[0] if raw is not None else None

    def _cached(self, raw: str) -> tuple[str | None, str]:
        known = self._known.get(raw)
        if known is None:
            plain = _PLAIN.fullmatch(raw) if self._folder is not None and len(raw) <= LONGEST else None
            if plain is not None and "/." not in raw and self._folder is not None:
                known = (raw if plain[1] else self._folder + raw), ""
            else:
                known = self._resolve(raw)
            if known[0] and len(known[0]) > LONGEST:
                known = None, f"a URL of {len(known[0])} characters"
            self._known[raw] = known
            self._characters += len(known[0] or "")
            if self._characters > MOST:
                raise SampleError(f"HTML: its URLs have more than {MOST} characters")
        return known

    def _resolve(self, raw: str) -> tuple[str | None, str]:
        raw = raw.strip(_EDGES)
        if len(raw) > LONGEST:
            return None, f"a URL of {len(raw)} characters"
        part = _split(raw.translate(_BREAKS))
        if part.scheme and part.scheme not in self._schemes:
            return None, f"the scheme {part.scheme[:32]!r} is not fetched"
        if "\\" in part.path or (part.host and "\\" in part.host):
            head, mark, tail = raw.translate(_BREAKS).partition("?")
            part = _split(head.replace("\\", "/") + mark + tail)
        part = self._join(part)
        try:
            return _normal(part), ""
        except ValueError as error:
            return None, f"URL: {error}"

    def _join(self, part: _Split) -> _Split:
        """RFC 3986, section 5.2.2; a scheme without a host is relative if it is the base's, as browsers have it."""
        base = self._base
        scheme = part.scheme or base.scheme
        if part.host is not None or (part.scheme and part.scheme != base.scheme):
            return _Split(scheme, part.host, part.path, part.query, part.fragment)
        if not part.path:
            query = part.query if part.query is not None else base.query
            return _Split(scheme, base.host, base.path, query, part.fragment)
        path = part.path if part.path.startswith("/") else base.path.rpartition("/")[0] + "/" + part.path
        if base.host is None and not base.scheme and "/" not in base.path:
            path = part.path  # the page's own URL is relative
        return _Split(scheme, base.host, path, part.query, part.fragment)


def _normal(part: _Split) -> str:
    host = part.host
    if part.scheme in _DEFAULT_PORTS:
        if host is None or not host.strip():
            raise ValueError("it names no host")
        host = _host(part.scheme, host)
    url = f"{part.scheme}:" if part.scheme else ""
    if host is not None:
        url += f"//{host}"
    path = _without_dots(part.path)
    url += _encoded(path or ("/" if host else ""))
    if part.query is not None:
        url += "?" + _encoded(part.query)
    return url if part.fragment is None else url + "#" + _encoded(part.fragment)


def _host(scheme: str, authority: str) -> str:
    """The authority in its normal form: host in lower-case ASCII, no default port. Raises ValueError."""
    user, at, place = authority.rpartition("@")
    name, colon, port = place.rpartition(":") if not place.endswith("]") else (place, "", "")
    if not colon:
        name, port = place, ""
    if port and not (port.isascii() and port.isdigit() and int(port[:6]) < 65536 and len(port) < 7):
        raise ValueError(f"the port {port[:16]!r} is none")
    name = name.lower()
    if not name.isascii():
        try:
            name = name.encode("idna").decode("ascii").lower()
        except UnicodeError as error:
            raise ValueError(f"the host {name[:64]!r} is none") from error
    if not _HOST.fullmatch(name) or (name.startswith("[") and not _is_ipv6(name[1:-1])):
        raise ValueError(f"the host {name[:64]!r} is none")
    user = _encoded(user).replace("[", "%5B").replace("]", "%5D") + at
    return f"{user}{name}:{port}" if port and port != _DEFAULT_PORTS[scheme] else user + name


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _without_dots(path: str) -> str:
    """RFC 3986, section 5.2.4."""
    if "/." not in path:
        return path
    kept: list[str] = []
    steps = path.split("/")
    for step in steps:
        if step == ".." and len(kept) > 1:
            kept.pop()
        elif step not in (".", ".."):
            kept.append(step)
    return "/".join(kept) + ("/" if steps[-1] in (".", "..") else "")


def _encoded(text: str) -> str:
    """Spaces, quotes, controls and what is not ASCII as %XX of UTF-8; %XX that are there stay."""
    return quote(text, safe=_SAFE, errors="replace")
