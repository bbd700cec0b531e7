"""What an <img> says: which of its URLs is the picture, its alt text, its size, its bytes if it carries them."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from urllib.parse import unquote_to_bytes

from stages.html.markup import collapsed
from stages.html.urls import Resolver

DATA_LIMIT: Final = 8 << 20
"""Most bytes that a data: URI may decode to."""
OTHERS: Final = 8
"""How many further URLs of a picture are kept."""
NAMED: Final = 64
"""How many URLs of a picture, as written, are looked into."""

_LAZY: Final = (
    "data-src",
    "data-original",
    "data-lazy-src",
    "data-lazy",
    "data-original-src",
    "data-orig-src",
    "data-actualsrc",
    "data-hi-res-src",
    "data-echo",
    "data-url",
    "data-image",
    "data-img-src",
)
"""Where scripts that load pictures late keep their URL; `src` is a placeholder then."""
_SETS: Final = ("srcset", "data-srcset", "data-lazy-srcset", "data-original-set")

_LENGTH: Final = re.compile(r"\s*+(\d{1,6}+)(?:\.\d++)?+\s*+(?:px\s*+)?+", re.I)
_STYLE: Final = {
    side: re.compile(rf"(?:^|[;\s]){side}\s*:\s*(\d{{1,6}})(?:\.\d+)?\s*px", re.I) for side in ("width", "height")
}
_DATA: Final = re.compile(r"data:([^,;]{0,128})((?:;[^,;]{0,128}){0,8}?)(;base64)?,", re.I)
_DESCRIPTOR: Final = re.compile(r"(\d{1,7}(?:\.\d{1,7})?)([wx])")

Candidate = tuple[float, float, str]
"""(width in px or 0, pixel density, URL as written)."""


def srcset(text: str) -> list[Candidate]:
    """The candidates of a `srcset`, in its order; a URL may contain commas, as the WHATWG parses it."""
    found: list[Candidate] = []
    words = text.split()
    words.reverse()
    while words:
        url = words.pop().lstrip(",")
        if not url:
            continue
        width, density = 0.0, 1.0
        if url.endswith(","):
            url = url.rstrip(",")
        else:
            while words:
                descriptor, comma, rest = words.pop().partition(",")
                if match := _DESCRIPTOR.fullmatch(descriptor):
                    width, density = (float(match[1]), 1.0) if match[2] == "w" else (0.0, float(match[1]))
                if comma:
                    if rest:
                        words.append(rest)
                    break
        if url and not url[:5].lower().startswith("data:"):
            found.append((width, density, url))
    return found


def candidates(img: Mapping[str, str], offered: Sequence[Candidate]) -> list[str]:
    """URLs that the markup names for one picture, best first, as written; at most `NAMED`.

    The widest of all `srcset` candidates, if widths are given; else the densest, if above 1; else what a script would
    load; else `src`. `offered`: by the <source>s of its <picture>; ties go to the image's own, then by order.
    """
    listed = [found for name in _SETS if name in img for found in srcset(img[name])]
    ranked = sorted([*listed, *offered], key=lambda candidate: candidate[:2], reverse=True)
    lazy = [img[name] for name in _LAZY if _is_url(img.get(name, ""))]
    named = [*lazy, *([img["src"]] if img.get("src", "").strip() else [])]
    better = [url for width, density, url in ranked if width > 0 or density > 1]
    rest = [url for width, density, url in ranked if width == 0 and density <= 1]
    return list(dict.fromkeys([*better, *named, *rest]))[:NAMED]


def _is_url(text: str) -> bool:
    """Whether an attribute that scripts read holds a URL: it may hold JSON, a number, a selector."""
    text = text.strip()
    return bool(text) and text[0] not in "{[#" and ("/" in text or "." in text)


def locate(raw: Iterable[str], resolver: Resolver) -> tuple[str | None, tuple[str, ...], bytes | None, str | None]:
    """(URL, further URLs, bytes of a data: URI, why there is none of these) from candidates, best first."""
    urls: list[str] = []
    embedded = why = ""
    for candidate in raw:
        url, problem = resolver.image(candidate)
        if url is None and candidate.lstrip()[:5].lower() == "data:":
            embedded = embedded or candidate.strip()
            continue
        if url is not None and url not in urls:
            urls.append(url)
        why = why or problem
        if len(urls) > OTHERS:
            break
    if urls:
        return urls[0], tuple(urls[1:]), None, None
    if embedded:
        return None, (), *_decoded(embedded)
    return None, (), None, why or "it has no src"


def _decoded(uri: str) -> tuple[bytes | None, str | None]:
    head = _DATA.match(uri)
    if head is None:
        return None, "a data: URI without data"
    if head[1] and not head[1].strip().lower().startswith("image/"):
        return None, f"a data: URI of type {head[1].strip()[:32]!r}"
    payload = uri[head.end() :]
    if len(payload) > DATA_LIMIT * (4 if head[3] else 3):  # percent-encoding triples
        return None, f"a data: URI of {len(payload)} characters"
    data = unquote_to_bytes(payload.partition("#")[0])
    if head[3]:
        try:
            data = binascii.a2b_base64(data.rstrip(b"= \n") + b"==")
        except binascii.Error:
            return None, "a data: URI whose base64 is broken"
    if not 0 < len(data) <= DATA_LIMIT:
        return None, f"a data: URI of {len(data)} bytes"
    return data, None


def size(img: Mapping[str, str]) -> tuple[int | None, int | None]:
    """(width, height) in CSS px as shown: inline style before attributes; None where they do not say, or in per cent."""
    style = img.get("style", "")
    return _side(img, style, "width"), _side(img, style, "height")


def _side(img: Mapping[str, str], style: str, side: str) -> int | None:
    found = _STYLE[side].search(style) if style else None
    if found is None and side in img:
        found = _LENGTH.fullmatch(img[side])
    return int(found[1]) if found else None


def alt_text(img: Mapping[str, str]) -> str | None:
    """None: there is none; "" if the page says that the image is decoration."""
    alt = img.get("alt")
    return None if alt is None else collapsed(alt)
