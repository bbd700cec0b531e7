"""The default extraction: an HTML page's texts and images in the order in which they are read."""

from __future__ import annotations

from typing import Final

from curate.errors import SampleError
from stages.html.elements import RULES, has_unusual
from stages.html.encoding import decode
from stages.html.images import locate
from stages.html.markup import tokens
from stages.html.node import Page
from stages.html.tree import normalise
from stages.html.urls import Resolver
from stages.html.walk import Walk

LARGEST: Final = 16 << 20
"""Bytes of a page. Common Crawl cuts pages off at 5 MiB."""


def extract(html: bytes, url: str, charset: str | None = None) -> Page:
    """The page as a reader has it.

    `url`: where it was. `charset`: as its Content-Type says. Same bytes, same page; bytes of any kind are a page, if an
    empty one. docs/methods/html-extraction.md says what becomes of which markup.

    Raises:
        SampleError: it is larger than `LARGEST`, or its tree is too large, too deep or too slow to build.
        MissingExtra: resiliparse is not installed.
    """
    if len(html) > LARGEST:
        raise SampleError(f"HTML: {len(html)} bytes; at most {LARGEST} are read")
    text, codec = decode(html, charset)
    tree = normalise(text)
    walk = Walk(RULES)
    walk.read(tokens(tree), has_unusual(tree))
    head = walk.head
    resolver = Resolver(url, head.get("base"))
    for node, named in walk.found:
        node.url, node.others, node.data, node.error = locate(named, resolver)
    for node in walk.nodes:
        if node.link is not None:
            node.link = resolver.link(node.link)
    _forget_forms(walk)
    title = head.get("title") or next((node.text for node in walk.nodes if node.tag == "h1" and node.text), "")
    return Page(
        url=url,
        title=title,
        language=head.get("language"),
        nodes=walk.nodes,
        charset=codec,
        canonical=resolver.link(head.get("canonical")),
        alternates={language: found for language, raw in walk.alternates.items() if (found := resolver.link(raw))},
        merged=walk.merged,
    )


def _forget_forms(walk: Walk) -> None:
    """A form around most of a page (ASP.NET) is not a part of it."""
    inside = [node for node in walk.nodes if node.region == "form"]  # seldom any
    if 2 * len(inside) > len(walk.nodes):
        for node in inside:
            node.region = None
