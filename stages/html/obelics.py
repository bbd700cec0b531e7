"""A page as OBELICS reads it (Laurencon et al. 2023, section 3.1; huggingface/OBELICS@0fca7ba4), its losses included."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from curate.errors import SampleError
from stages.html.elements import RULES
from stages.html.encoding import decode
from stages.html.markup import attributes, plain, tokens
from stages.html.media import Attributes, absolute, image_source, is_valid, shown_size
from stages.html.node import Node, Page, Region
from stages.html.obelics_dom import BREAK, parse, simplify
from stages.html.page import LARGEST
from stages.html.urls import MOST, Resolver
from stages.html.walk import DEEPEST, MOST_NODES, Walk

_GAPS: Final = ("", " ", "\n", "\n\n")
"""What stands between two texts, the strongest last."""
_LINES: Final = "address article aside center dd div dt figcaption hgroup legend main marquee section summary"
_PARAGRAPHS: Final = "blockquote dl h1 h2 h3 h4 h5 h6 ol p ul"
_GAP_OF: Final = dict.fromkeys(_LINES.split(), 2) | dict.fromkeys(_PARAGRAPHS.split(), 3)
"""Which gap an element's edge makes; others make none."""
_PLAYERS: Final = frozenset({"audio", "video"})
_REGIONS: Final[dict[str, Region]] = {"main": "main", "aside": "aside"}


@dataclass(slots=True)
class _Block:
    """An element of the simplified tree. `silent`: what stands in it is not read."""

    tag: str
    region: Region | None = None
    path: str = ""
    silent: bool = False
    depth: int = 0
    children: int = 0

    def child(self, tag: str) -> _Block:
        region, silent = _REGIONS.get(tag, self.region), self.silent or tag in _PLAYERS
        if tag in {"html", "body"}:
            return _Block(tag)
        path = f"{self.path}.{self.children}".lstrip(".") if self.depth < DEEPEST else self.path
        self.children += 1
        return _Block(tag, region, path, silent, self.depth + 1)


@dataclass(slots=True)
class _Run:
    """The texts between two images, as one: UTF-8, and from which byte on a text is of which block."""

    text: bytearray = field(default_factory=bytearray)
    starts: list[int] = field(default_factory=list)
    blocks: list[_Block] = field(default_factory=list)

    def add(self, text: str, gap: int, block: _Block) -> None:
        """Appends a text behind the strongest gap that its edges make, or that it or the text before it brings along."""
        if self.blocks:
            for strength in (3, 2, 1):
                mark = _GAPS[strength]
                if self.text.endswith(mark.encode()):
                    del self.text[-len(mark) :]
                    gap = max(gap, strength)
                if text.startswith(mark):
                    text = text[len(mark) :]
                    gap = max(gap, strength)
            self.text += _GAPS[gap].encode()
        self.starts.append(len(self.text))
        self.blocks.append(block)
        self.text += text.encode()

    def paragraphs(self) -> list[Node]:
        """One node for each paragraph that says something; joined by empty lines they are OBELICS' text."""
        nodes, start = [], 0
        for piece in bytes(self.text).split(b"\n\n"):
            if text := piece.decode():
                block = self.blocks[bisect_right(self.starts, start) - 1]
                nodes.append(Node("text", text, block.tag, block.region, block.path))
            start += len(piece) + 2
        nodes = [node for node in nodes if node.text and node.text.strip()]
        if nodes:
            nodes[0].text = (nodes[0].text or "").lstrip()
            nodes[-1].text = (nodes[-1].text or "").rstrip()
        return nodes


def extract(html: bytes, url: str, charset: str | None = None) -> Page:
    """The page as OBELICS reads it: joined by empty lines, the texts between two images are one text of OBELICS.

    `url`: where it was. `charset`: as its Content-Type says. Title and languages are those of the default extraction.
    docs/methods/obelics-extraction.md says what is lost.

    Raises:
        SampleError: it is larger than the default extraction reads, its URL is malformed, or its tree is too large, too
            deep or too slow to build.
        MissingExtra: resiliparse is not installed.
    """
    if len(html) > LARGEST:
        raise SampleError(f"HTML: {len(html)} bytes; at most {LARGEST} are read")
    try:
        urlsplit(url)
    except ValueError as error:
        raise SampleError(f"HTML: the page's URL is malformed: {error}") from error
    text, codec = decode(html, charset)
    tree = parse(text)
    page = Walk(RULES)
    page.read(tokens(tree.partition("<body")[0]))
    resolver = Resolver(url, page.head.get("base"))
    return Page(
        url=url,
        title=page.head.get("title", "").replace(BREAK, " "),
        language=page.head.get("language"),
        nodes=_bounded(nodes_of(simplify(tree), url)),
        charset=codec,
        canonical=resolver.link(page.head.get("canonical")),
        alternates={language: found for language, raw in page.alternates.items() if (found := resolver.link(raw))},
    )


def _bounded(nodes: Iterator[Node]) -> list[Node]:
    """No page of more nodes, or of longer addresses, than the default extraction takes: its host stands in each address."""
    kept, characters = [], 0
    for node in nodes:
        kept.append(node)
        characters += len(node.url or "")
        if len(kept) > MOST_NODES or characters > MOST:
            raise SampleError(f"HTML: more than {MOST_NODES} texts and images, or {MOST} characters of their URLs")
    return kept


def nodes_of(tree: str, page_url: str) -> Iterator[Node]:
    """Paragraphs and images of a simplified tree, in reading order."""
    run, gap = _Run(), 0
    blocks = [_Block("")]
    shared = 1  # how many of the open blocks were open at the text before
    for _, end, tag, markup, text in tokens(tree):
        if end:
            block = blocks.pop()
            if len(blocks) < shared:
                gap, shared = max(gap, _GAP_OF.get(block.tag, 0)), len(blocks)
        elif tag == "img":
            image = _image(attributes(markup), blocks[-1].child(tag), page_url)
            if image is not None and not blocks[-1].silent:
                yield from run.paragraphs()
                yield image
                run = _Run()
        elif tag:
            blocks.append(blocks[-1].child(tag))
        if text and not blocks[-1].silent:
            gap = max([gap, *(_GAP_OF.get(block.tag, 0) for block in blocks[shared:])])
            run.add(_plain(plain(text)), gap, blocks[-1])
            gap, shared = 0, len(blocks)
    yield from run.paragraphs()


def _plain(text: str) -> str:
    """White space as OBELICS leaves it: single spaces, a line break for each <br>."""
    text = re.sub("[\n\t ]+", " ", text)
    lines = "\n".join(line.strip() for line in text.split(BREAK))
    return " " * text.startswith(" ") + lines + " " * (text.endswith(" ") and len(text) > 1)


def _image(said: Attributes, block: _Block, page_url: str) -> Node | None:
    """None: it has no address that OBELICS takes."""
    source = image_source(said) or ""
    url = source if source.startswith("http") else absolute(source, page_url)
    if not is_valid(url):
        return None
    width, height = _pixels(said.get("width")), _pixels(said.get("height"))
    return Node("image", said.get("alt") or None, "img", block.region, block.path, url, width=width, height=height)


def _pixels(value: str | None) -> int | None:
    """None: it does not say how many."""
    if value is None:
        return None
    try:
        size = shown_size(value)
    except ValueError:
        return None
    return size if isinstance(size, int) and abs(size) < 2**31 else None
