"""How OBELICS reads an image's markup: where it is, how large it is shown, what its file name says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import isfinite
from typing import Final
from urllib.parse import urlsplit

SOURCES: Final = (
    "src",
    "data-src",
    "data-src-fg",
    "data-scroll-image",
    "srcset",
    "data-lateloadsrc",
    "data-img-src",
    "data-original",
    "data-gt-lazy-src",
    "data-lazy",
    "data-lazy-src",
    "src2",
)
"""Attributes that may hold an image's address, the likeliest first."""

_LABEL: Final = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_URL: Final = re.compile(rf"(?:http|ftp)s?://(?:{_LABEL}\.)+[a-z0-9-]{{2,}}\.?(?:/?|[/?]\S+)$", re.IGNORECASE)

Attributes = Mapping[str, str | None]
"""Of one element; None: an attribute without a value."""


def image_source(attributes: Attributes) -> str | None:
    """The first of the twelve attributes that says something without comma or space, as written; None: none does.

    So a srcset of several candidates and a data: URI are no addresses.
    """
    for name in SOURCES:
        value = attributes.get(name)
        if value and _is_plain(value):
            return value
    return None


def player_source(attributes: Attributes) -> str | None:
    """As `image_source`, of a <video> or <audio>: of the attribute `src` alone."""
    value = attributes.get("src")
    return value if value and _is_plain(value) else None


def _is_plain(value: str) -> bool:
    return "," not in value and " " not in value


def absolute(source: str, page_url: str) -> str:
    """An image's address from the page's: `https`, the page's host, and the path from the root on.

    Quirks: `//host/a.jpg` becomes http; every `./` and `../` is taken out, wherever it stands, and the page's own folder
    is not put in.
    """
    if source.startswith("//"):
        return "http:" + source
    path = re.sub(r"(?<!\.)\.++/", "", source)
    return f"https://{urlsplit(page_url).netloc}/{path.removeprefix('/')}"


def is_valid(url: str) -> bool:
    """Whether OBELICS takes a URL for one: http, https, ftp or ftps, and a dotted domain in ASCII.

    So localhost, 127.0.0.1, ports, user names, underscores, international domain names and spaces are not.
    """
    return _URL.match(url) is not None


def shown_size(value: str) -> int | str:
    """What a `width` or `height` says: pixels, or a share of the original as written ("50%"); "auto" is "100%".

    Raises ValueError if it says neither.
    """
    value = re.sub('[”"<>]', "", value)
    try:
        return int(value)
    except ValueError:
        if "px" in value:
            return int(re.sub("[px;]", "", value))
        if "%" in value:
            return value.strip()
        if value in {"auto", "full-width"}:
            return "100%"
        if "." in value and isfinite(number := float(value)):
            return int(number)
        raise


def file_words(url: str) -> str:
    """What an image's file name says, its numbers and separators made spaces; "" if that is a letter or less."""
    name = url.rsplit("/", 1)[-1].split(".", 1)[0]
    if re.search(r"\?[A-Za-z0-9]+=", name):
        return ""
    for pattern, instead in (
        (r"[_-]|%20*", " "),
        (r"(?<![0-9])[0-9]++x[0-9]++", ""),
        (r"[0-9]+", " "),
        (r" {2,}", " "),
    ):
        name = re.sub(pattern, instead, name)
    name = re.sub(r"\n|\+|%B|%", " ", name).strip()
    return name if len(name) > 1 else ""
