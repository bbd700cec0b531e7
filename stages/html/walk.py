"""One walk over a page's tokens: what is open, the text that gathers in the current block, the nodes so far.

Here is the mechanism; what each element means stands in `stages.html.elements` and `stages.html.pictures`. Nothing
recurses: the tree's depth is a list's length. A block that only begins and ends a paragraph costs no call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from curate.errors import SampleError
from stages.html.images import Candidate
from stages.html.markup import VOID, Token, collapsed, plain
from stages.html.node import Node, Region

DEEPEST: Final = 128
"""A path has at most so many numbers: what lies deeper carries its ancestor's."""
MOST_NODES: Final = 200_000
"""Of a page; one with more is refused."""

BREAK: Final = "\0"
"""Stands for a <br> among the text; the parser lets no NUL through."""

_BLANK: Final = BREAK + " \t\n\f"
_MARKED: Final = frozenset({"li", "p", "div", "article", "section", "blockquote"})
"""Paragraphs: in a list item the first takes its marker, in a caption all take its name."""
_HEADINGS: Final = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})

Handler = Callable[["Walk", str, str], None]
"""What is done where an element begins or ends: its name, its attributes as markup."""


@dataclass(frozen=True)
class Mode:
    """What elements mean, by their names, in one kind of context."""

    starts: Mapping[str, Handler]
    ends: Mapping[str, Handler]
    flows: bool = False
    """Blocks end paragraphs, and white space is one space."""
    muted: bool = False
    """Text is left out."""


@dataclass(frozen=True)
class Rules:
    """`blocks`: elements that begin and end a paragraph. `is_unusual`: whether attributes want `unusual`."""

    blocks: frozenset[str]
    flow: Mode
    is_unusual: Callable[[str], Any]
    unusual: Handler


@dataclass(slots=True)
class Frame:
    """An element that changes what is inside; it begins with what is around it."""

    depth: int
    parent: Frame | None
    mode: Mode
    region: Region | None = None
    section: bool = False
    """Inside <article>, <section>, …: a <header> is not the page's."""
    gone: bool = False
    """It is not displayed: its images are 0 × 0."""
    void: bool = False
    """It is not part of the page: neither texts nor images."""
    script: bool = False
    """Inside <noscript>."""


@dataclass(slots=True)
class Walk:
    """Reads tokens into nodes."""

    rules: Rules
    nodes: list[Node] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    """The current block's text, in pieces, entities and all."""
    pending: list[Node] = field(default_factory=list)
    """Images inside the current block's text: they follow it."""
    at: list[int] = field(default_factory=lambda: [-1])
    """Per open element the number of its latest child; 2.. is below <body>."""
    tags: list[str] = field(default_factory=lambda: [""])
    homes: list[int] = field(default_factory=lambda: [0])
    """Places of the open blocks among `tags`."""
    trails: list[str | None] = field(default_factory=lambda: [""])
    """Their paths, where they are known."""
    frame: Frame = field(init=False)
    head: dict[str, str] = field(default_factory=dict)
    """What the page says of itself: title, language, base, canonical."""
    alternates: dict[str, str] = field(default_factory=dict)
    marker: str = ""
    lists: list[list[int] | None] = field(default_factory=list)
    """Open lists: [next number, step], None for bullets."""
    table: Any = None
    captions: list[tuple[str, int]] = field(default_factory=list)
    """Open captions: element, and how many nodes there were before it."""
    figures: list[tuple[int, list[str]]] = field(default_factory=list)
    """Open figures: how many images waited for a caption before each, and its captions."""
    uncaptioned: list[Node] = field(default_factory=list)
    pictures: list[list[Candidate]] = field(default_factory=list)
    """Open <picture>s: what the <source>s of each offer."""
    found: list[tuple[Node, list[str]]] = field(default_factory=list)
    """Images and the URLs that their markup names."""
    beside: tuple[int, int] = (-1, -1)
    """How many nodes and parts there were after the latest image."""
    scripted: bool = False
    """Whether the latest image was inside <noscript>."""
    merged: int = 0
    links: list[str | None] = field(default_factory=lambda: [None])
    first_link: str | None = None
    """Of the current paragraph."""
    unlinked: bool = False
    """Whether some of its text before `link_end` is not a link."""
    link_end: int = 0

    def __post_init__(self) -> None:
        self.frame = Frame(0, None, self.rules.flow)

    def read(self, tokens: Iterable[Token], unusual: bool = True) -> None:  # noqa: PLR0912  # the one hot loop
        """All of a page. `unusual`: whether any element of it can be."""
        tags, at, homes, trails, parts, pending = self.tags, self.at, self.homes, self.trails, self.parts, self.pending
        blocks, is_unusual = self.rules.blocks, self.rules.is_unusual
        frame, starts, ends, flows, muted = self.context()
        for skipped, slash, tag, attrs, text in tokens:
            if slash:
                if tags[-1] == tag:  # what looks like a stray end tag is text of a script
                    if flows and (parts or pending) and tag in blocks:
                        self.flush()
                    if tag in ends:
                        ends[tag](self, tag, "")
                    while frame.depth == len(at) and frame.parent is not None:
                        self.frame = frame.parent
                        frame, starts, ends, flows, muted = self.context()
                    if tag in blocks:
                        del homes[-1], trails[-1]
                    del tags[-1], at[-1]
            elif tag:
                at[-1] += 1
                if tag not in VOID:
                    if tag in blocks:
                        if flows and (parts or pending):
                            self.flush()
                        homes.append(len(tags))
                        trails.append(None)
                    tags.append(tag)
                    at.append(-1)
                    if unusual and attrs and is_unusual(attrs):
                        self.rules.unusual(self, tag, attrs)
                        frame, starts, ends, flows, muted = self.context()
                if tag in starts:
                    starts[tag](self, tag, attrs)
                    if self.frame is not frame:
                        frame, starts, ends, flows, muted = self.context()
            elif skipped:
                at[-1] += 1
            if text and not muted and (parts or not flows or not text.isspace()):
                parts.append(text)
        self.flush()

    def context(self) -> tuple[Frame, Mapping[str, Handler], Mapping[str, Handler], bool, bool]:
        """The innermost frame, and what its mode says."""
        mode = self.frame.mode
        return self.frame, mode.starts, mode.ends, mode.flows, mode.muted

    def inside(self, mode: Mode | None = None) -> Frame:
        """A frame for the element that has just begun; it ends with it."""
        around = self.frame
        self.frame = Frame(
            len(self.at),
            around,
            around.mode if mode is None or around.mode.muted else mode,
            around.region,
            around.section,
            around.gone,
            around.void,
            around.script,
        )
        return self.frame

    def path(self, place: int) -> str:
        """Child numbers, from <body> on, of the open element at this place among `tags`, in the current block or it."""
        home = self.homes[-1]
        trail = self.trails[-1]
        if trail is None:
            trail = self.trails[-1] = self._trail(home)
        if place <= home:
            return trail
        below = ".".join(map(str, self.at[max(home, 2) : min(place, 2 + DEEPEST)]))
        return f"{trail}.{below}" if trail and below else trail or below

    def _trail(self, home: int) -> str:
        above, trail = self.homes[-2], self.trails[-2]
        if trail is None:
            trail = self.trails[-2] = ".".join(map(str, self.at[2 : min(above, 2 + DEEPEST)]))
        if trail and home <= 2 + DEEPEST:
            return (
                f"{trail}.{self.at[above]}" if home == above + 1 else ".".join([trail, *map(str, self.at[above:home])])
            )
        return ".".join(map(str, self.at[2 : min(home, 2 + DEEPEST)]))

    def flush(self) -> None:
        """Ends the current paragraph: its text becomes a node, then the images that stood inside."""
        parts = self.parts
        if parts:
            text = plain("".join(parts))
            text = _flowing(text) if self.frame.mode.flows else _kept(text)
            if text:
                home = self.homes[-1]
                tag = self.tags[home] or "body"
                if self.captions and tag in _MARKED:
                    tag = self.captions[-1][0]
                if self.marker:
                    text, tag = self._marked(text, tag)
                link = None if self.first_link is None else self._link()
                self.nodes.append(Node("text", text, tag, self.frame.region, self.path(home), None, None, link))
            parts.clear()
        if self.pending:
            self.nodes += self.pending
            self.pending.clear()
        self.first_link, self.unlinked, self.link_end = self.links[-1], False, 0
        if len(self.nodes) > MOST_NODES:
            raise SampleError(f"HTML: more than {MOST_NODES} texts and images")

    def _marked(self, text: str, tag: str) -> tuple[str, str]:
        """A list item's first paragraph begins with its marker."""
        if tag in _MARKED:
            text, tag = "  " * min(len(self.lists) - 1, 8) + self.marker + text, "li"
            self.marker = ""
        elif tag in _HEADINGS:
            self.marker = ""
        return text, tag

    def _link(self) -> str | None:
        """Where the current paragraph links to, if all of it does."""
        if self.unlinked or (self.links[-1] is None and visible(self.parts[self.link_end :])):
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
    return "".join(parts).strip(_BLANK) != ""


def _flowing(text: str) -> str:
    if BREAK not in text:
        return collapsed(text)
    return "\n".join(collapsed(line) for line in text.split(BREAK)).strip("\n")


def _kept(text: str) -> str:
    return text.replace("\xa0", " ").strip("\n").rstrip()
