"""What a page becomes: texts and images in reading order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Region = Literal["main", "nav", "header", "footer", "aside", "form"]
"""The part of a page that a node stands in, by HTML5 elements or ARIA roles; the innermost wins."""


@dataclass(slots=True)
class Node:
    """One text (a paragraph, heading, list item, table, listing …) or one image of a page."""

    kind: Literal["text", "image"]
    text: str | None
    """The paragraph; of an image its alt text (None: it has none; an empty one is said: "decoration")."""
    tag: str
    """The element that it stands in: `p`, `h1`, `li`, `td`, `table`, `pre`, `figcaption`; of an image `img`, `svg` …"""
    region: Region | None = None
    path: str = ""
    """Child numbers (elements only, from 0) from <body> on: `3.0.12`; "" is <body> itself."""
    url: str | None = None
    """Of an image: its absolute URL, http or https; None: there is none that can be fetched (`data` or `error` says)."""
    caption: str | None = None
    """Of an image: what its <figcaption> or its table's <caption> says."""
    link: str | None = None
    """Of an image: where it links to; of a text: where all of it links to. Absolute."""
    width: int | None = None
    """Of an image: as shown, CSS px, by its attributes or inline style."""
    height: int | None = None
    data: bytes | None = None
    """Of an image given as a data: URI: its decoded bytes."""
    error: str | None = None
    """Of an image that has neither URL nor data: why."""
    others: tuple[str, ...] = ()
    """Of an image: further absolute URLs that its markup names for the same picture (srcset, <source>, src), best first."""


@dataclass(slots=True)
class Page:
    """A parsed page."""

    url: str
    """As given: where the page was."""
    title: str
    """Of <title>, else of the first <h1>; "" if it has neither."""
    language: str | None
    """Of <html lang>, as written; None: it does not say."""
    nodes: list[Node] = field(default_factory=list)
    charset: str = "utf-8"
    """The encoding that the bytes were read in."""
    canonical: str | None = None
    """Absolute URL of <link rel=canonical>."""
    alternates: dict[str, str] = field(default_factory=dict)
    """The same page in other languages, by its own <link rel=alternate hreflang>: language -> absolute URL."""
    merged: int = 0
    """How many <img> have no node of their own: copies for browsers without scripts, beside what they stand in for."""

    def alt_texts(self) -> list[tuple[Node, str]]:
        """Each image that has an alt text, with it: the image-text pairs of Common Crawl style. No filter is applied."""
        return [(node, node.text) for node in self.nodes if node.kind == "image" and node.text]
