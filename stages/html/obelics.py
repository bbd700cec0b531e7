"""A page as OBELICS reads it (Laurencon et al. 2023, section 3.1; huggingface/OBELICS@0fca7ba4), its losses included."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from stages.html.media import Attributes, absolute, image_source, is_valid, shown_size
from stages.html.node import Node, Region
from stages.html.obelics_dom import BREAK

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

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
    """An element of the simplified tree, and the elements that it stands in."""

    tag: str
    region: Region | None = None
    parent: _Block | None = None
    number: int = 0
    children: int = 0

    def child(self, tag: str) -> _Block:
        block = _Block(tag, _REGIONS.get(tag, self.region), self, self.children)
        self.children += 1
        return block

    def path(self) -> str:
        numbers, block = [], self
        while block.parent is not None:
            numbers.append(str(block.number))
            block = block.parent
        return ".".join(reversed(numbers))


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
                nodes.append(Node("text", text, block.tag, block.region, block.path()))
            start += len(piece) + 2
        nodes = [node for node in nodes if node.text and node.text.strip()]
        if nodes:
            nodes[0].text = (nodes[0].text or "").lstrip()
            nodes[-1].text = (nodes[-1].text or "").rstrip()
        return nodes


def nodes_of(body: LexborNode | None, page_url: str) -> Iterator[Node]:
    """Paragraphs and images of a simplified <body>, in reading order. Walks the tree without recursion."""
    run, gap, shared = _Run(), 0, 0
    blocks = [_Block("body")]
    todo = [body.first_child if body else None]
    while todo:
        node = todo.pop()
        if node is None:  # the innermost block ends
            if len(blocks) == shared:
                gap, shared = max(gap, _GAP_OF.get(blocks[-1].tag, 0)), shared - 1
            blocks.pop()
            continue
        todo.append(node.next)
        tag = node.tag or ""
        if tag == "-text":
            gap = max([gap, *(_GAP_OF.get(block.tag, 0) for block in blocks[shared:])])
            run.add(_plain(node.text_content or ""), gap, blocks[-1])
            gap, shared = 0, len(blocks)
        elif tag == "img":
            image = _image(node.attributes, blocks[-1].child(tag), page_url)
            if image is not None:
                yield from run.paragraphs()
                yield image
                run = _Run()
        elif not tag.startswith("-"):
            blocks.append(blocks[-1].child(tag))
            todo.append(None if tag in _PLAYERS else node.first_child)
    yield from run.paragraphs()


def _plain(text: str) -> str:
    """White space as OBELICS leaves it: single spaces, a line break for each <br>."""
    text = re.sub("[\n\t ]+", " ", text)
    lines = "\n".join(line.strip() for line in text.split(BREAK))
    return " " * text.startswith(" ") + lines + " " * (text.endswith(" ") and len(text) > 1)


def _image(attributes: Attributes, block: _Block, page_url: str) -> Node | None:
    """None: it has no address that OBELICS takes."""
    source = image_source(attributes) or ""
    url = source if source.startswith("http") else absolute(source, page_url)
    if not is_valid(url):
        return None
    width, height = _pixels(attributes.get("width")), _pixels(attributes.get("height"))
    return Node(
        "image", attributes.get("alt") or None, "img", block.region, block.path(), url, width=width, height=height
    )


def _pixels(value: str | None) -> int | None:
    """None: it does not say how many."""
    if value is None:
        return None
    try:
        size = shown_size(value)
    except ValueError:
        return None
    return size if isinstance(size, int) and abs(size) < 2**31 else None
