"""One walk over a page's tokens: what is open, the text that gathers in the current block, the nodes so far.

Here is the mechanism; what each element means stands in `stages.html.elements`. Nothing recurses: the tree's depth is a
list's length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from stages.html.markup import VOID, Token, collapsed, plain
from stages.html.node import Node, Region

DEEPEST: Final = 128
"""A path has at most so many numbers: what lies deeper carries its ancestor's."""

BREAK: Final = "\0"
"""Stands for a <br> among the text; the parser lets no NUL through."""

_MARKED: Final = frozenset({"li", "p", "div", "article", "section", "blockquote"})
"""Texts that take the marker of their list item."""
_HEADINGS: Final = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})


class Frame:
    """An open element that matters for what is inside; it begins with what its parent says."""

    __slots__ = (
        "closing", "data", "depth", "gone", "home", "link", "muted", "parent", "pre", "region", "script", "section",
        "tag", "void",
    )  # fmt: skip

    def __init__(self, depth: int, parent: Frame | None) -> None:
        self.depth, self.parent = depth, parent
        self.closing: Callable[[Walk, Frame], None] | None = None
        self.data: Any = None
        """What its own handlers keep."""
        if parent is None:
            self.tag, self.home = "body", depth
            self.region: Region | None = None
            self.section = self.muted = self.gone = self.void = self.script = self.pre = False
            self.link: str | None = None
            return
        self.tag, self.home = parent.tag, parent.home  # the innermost block and its depth
        self.region = parent.region
        self.section = parent.section  # inside <article>, <section>, …: a <header> is not the page's
        self.muted = parent.muted  # its text is left out
        self.gone = parent.gone  # it is not displayed: its images are 0 × 0
        self.void = parent.void  # not part of the page: neither texts nor images
        self.script = parent.script  # inside <noscript>
        self.pre = parent.pre
        self.link = parent.link


Handler = Callable[["Walk", str, str], None]


@dataclass(frozen=True)
class Rules:
    """What to do at an element: by its name, in <pre>, where text is left out, and if its attributes are unusual."""

    opening: dict[str, Handler]
    in_line: dict[str, Handler]
    muted: dict[str, Handler]
    is_unusual: Callable[[str], Any]
    unusual: Handler


class Walk:
    """Reads tokens into nodes."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.nodes: list[Node] = []
        self.parts: list[str] = []
        """The current block's text, in pieces, entities and all."""
        self.pending: list[Node] = []
        """Images inside the current block's text: they follow it."""
        self.at: list[int] = [-1]
        """Per open element the number of its latest child; 2.. is below <body>."""
        self.frame = Frame(1, None)
        self.marker = ""
        self.lists: list[list[int] | None] = []
        """Open lists: [next number, step], None for bullets."""
        self.table: Any = None
        self.figures: list[list[str]] = []
        """Open figures: the captions of each."""
        self.uncaptioned: list[Node] = []
        self.picture: list[str] | None = None
        self.found: list[tuple[Node, list[str]]] = []
        """Images and the URLs that their markup names."""
        self.beside = (-1, -1)
        """How many nodes and parts there were after the latest image."""
        self.scripted = False
        """Whether the latest image was inside <noscript>."""
        self.merged = 0
        self.head: dict[str, str] = {}
        """What the page says of itself: title, language, base, canonical."""
        self.alternates: dict[str, str] = {}
        self.first_link: str | None = None
        self.unlinked = False
        self.link_end = 0

    def read(self, tokens: Iterable[Token]) -> None:
        """All of a page."""
        tags, at, parts = [""], self.at, self.parts
        opening, in_line, muted = self.rules.opening, self.rules.in_line, self.rules.muted
        is_unusual = self.rules.is_unusual
        frame = self.frame
        for skipped, slash, tag, attrs, text in tokens:
            if slash:
                if tags[-1] == tag:  # what looks like a stray end tag is text of a script
                    if frame.depth == len(at):
                        frame = self._leave()
                    tags.pop()
                    at.pop()
            elif tag:
                at[-1] += 1
                if tag not in VOID:
                    tags.append(tag)
                    at.append(-1)
                    if attrs and is_unusual(attrs):
                        self.rules.unusual(self, tag, attrs)
                        frame = self.frame
                handler = (muted if frame.muted else in_line if frame.pre else opening).get(tag)
                if handler is not None:
                    handler(self, tag, attrs)
                    frame = self.frame
            elif skipped:
                at[-1] += 1
            if text and not frame.muted and (parts or frame.pre or not text.isspace()):
                parts.append(text)
        self.flush()

    def _leave(self) -> Frame:
        """Ends the frames of the element that ends."""
        depth = len(self.at)
        while (frame := self.frame).depth == depth and frame.parent is not None:
            if frame.closing is not None:
                frame.closing(self, frame)
            self.frame = frame.parent
        return self.frame

    def inside(self) -> Frame:
        """Opens a frame for the element that has just opened; it changes nothing by itself."""
        self.frame = Frame(len(self.at), self.frame)
        return self.frame

    def block(self, tag: str) -> Frame:
        """Ends the paragraph before, and opens a frame for an element whose text stands by itself."""
        self.flush()
        frame = self.inside()
        frame.tag, frame.home, frame.closing = tag, frame.depth, Walk.end_block
        return frame

    def end_block(self, frame: Frame) -> None:
        """Ends the paragraph inside."""
        self.flush()

    def path(self, depth: int) -> str:
        """Child numbers of the open element at this depth, from <body> on."""
        return ".".join(map(str, self.at[2 : min(depth - 1, 2 + DEEPEST)]))

    def flush(self) -> None:
        """Ends the current paragraph: its text becomes a node, then the images that stood inside."""
        if self.parts:
            frame = self.frame
            text = _text("".join(self.parts), frame.pre)
            if text:
                self._emit(text, self._link())
            self.parts.clear()
        if self.pending:
            self.nodes += self.pending
            self.pending.clear()
        self.first_link, self.unlinked, self.link_end = self.frame.link, False, 0

    def _emit(self, text: str, link: str | None) -> None:
        frame = self.frame
        tag = frame.tag
        if self.marker:
            if tag in _MARKED:
                text, tag = "  " * min(len(self.lists) - 1, 8) + self.marker + text, "li"
                self.marker = ""
            elif tag in _HEADINGS:
                self.marker = ""
        self.nodes.append(Node("text", text, tag, frame.region, self.path(frame.home), None, None, link))

    def _link(self) -> str | None:
        """Where the current paragraph links to, if all of it does."""
        if self.first_link is None or self.unlinked:
            return None
        if self.frame.link is None and visible(self.parts[self.link_end :]):
            return None
        return self.first_link

    def place(self, node: Node) -> None:
        """Puts an image where it is read: before the text that follows it, or after the paragraph that it stands in."""
        if self.parts and self.line_start():
            self.flush()
        if self.parts:
            self.pending.append(node)
        else:
            self.nodes.append(node)
        self.beside = (len(self.nodes) + len(self.pending), len(self.parts))

    def line_start(self) -> bool:
        """Whether the current paragraph's last word is a <br>."""
        parts = self.parts
        return parts[-1] == BREAK or (len(parts) > 1 and parts[-2] == BREAK and parts[-1].isspace())

    def is_beside(self) -> bool:
        """Whether nothing to be read stands between the latest image and here."""
        nodes, parts = self.beside
        return nodes == len(self.nodes) + len(self.pending) and not visible(self.parts[parts:])


def visible(parts: list[str]) -> bool:
    """Whether there is anything but white space."""
    return any(part != BREAK and not part.isspace() for part in parts)


def _text(raw: str, pre: bool) -> str:
    text = plain(raw)
    if pre:
        return text.replace(BREAK, "\n").replace("\xa0", " ").strip("\n").rstrip()
    if BREAK not in text:
        return collapsed(text)
    return "\n".join(collapsed(line) for line in text.split(BREAK)).strip("\n")
