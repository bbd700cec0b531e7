"""A document on a page: what a reader would see of it and, in its place, what rules took away.

Bounded whatever the document is: so many nodes, so many pictures, so many characters of each text. Nodes that are gone
are folded where several stand together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from curate.reading import Document, Entry, count_kinds
from curate.report.cards import Picture, picture
from curate.schema import DROPPED, IMAGE

if TYPE_CHECKING:
    from curate.inspect import Run

MOST_NODES: Final = 160
MOST_PICTURES: Final = 12
FOLDED: Final = 3
IN_FOLD: Final = 8
"""So many gone nodes that stand together are folded; of them so many are shown."""
SIDE, GONE_SIDE = 320, 96
"""Longest sides in pixels of pictures that stayed, and of those that are gone."""
STYLES: Final = frozenset(
    {"h1", "h2", "h3", "h4", "h5", "h6", "li", "pre", "table", "figcaption", "blockquote", "dt", "dd"}
)
"""Elements whose texts look like themselves; all others look like paragraphs."""


@dataclass(frozen=True)
class Piece:
    """A node as it is shown. `why`: the rule that dropped it and what it saw, or the error; `missing`: why no picture."""

    entry: Entry
    picture: Picture | None
    missing: str
    style: str
    why: str


@dataclass(frozen=True)
class Block:
    """Neighbours that all stayed or are all gone. `reasons`: of those that are gone, (rule or error, how many)."""

    gone: bool
    pieces: Sequence[Piece]
    count: int
    reasons: Sequence[tuple[str, int]]

    @property
    def folded(self) -> bool:
        """Whether it is closed at first."""
        return self.gone and self.count >= FOLDED

    @property
    def hidden(self) -> int:
        """How many nodes of it are not shown at all."""
        return self.count - len(self.pieces)


def view(run: Run, document: Document, nodes: int = MOST_NODES, pictures: int = MOST_PICTURES) -> dict[str, Any]:
    """What the template shows of a document.

    `blocks`: its first nodes, at most so many `nodes`; `hidden`: how many follow them; `left` and `came`: nodes by kind,
    after and before the rules. Of the images that stayed the first `pictures` are drawn, and as many of those that are
    gone.
    """
    shown = list(_shown(document, nodes))
    drawn = _drawn([node for _, some, _ in shown for node in some], pictures)
    blocks = [
        Block(gone, [_piece(run, node, drawn) for node in some], len(every), _reasons(every) if gone else ())
        for gone, some, every in shown
    ]
    return {
        "entry": document.entry,
        "why": _why(document.entry),
        "blocks": blocks,
        "hidden": len(document.nodes) - sum(block.count for block in blocks),
        "left": count_kinds(document.left()),
        "came": count_kinds(document.nodes),
    }


def _shown(document: Document, room: int) -> Iterator[tuple[bool, list[Entry], list[Entry]]]:
    """Whether gone, nodes to show and all nodes of each stretch, until there is no `room` for another."""
    for gone, stretch in groupby(document.nodes, key=lambda node: not node.stayed):
        every = list(stretch)
        if not gone:
            every = every[:room]
        nodes = every[: min(room, IN_FOLD)] if gone and len(every) >= FOLDED else every[:room]
        if not nodes:
            return
        room -= len(nodes)
        yield gone, nodes, every


def _drawn(nodes: Sequence[Entry], count: int) -> frozenset[int]:
    """Rows of the images that get a picture."""
    images = [node for node in nodes if node.kind == IMAGE and node.pictured]
    stayed, gone = ([node.row for node in images if node.stayed == whether] for whether in (True, False))
    return frozenset([*stayed[:count], *gone[:count]])


def _piece(run: Run, node: Entry, drawn: frozenset[int]) -> Piece:
    side = SIDE if node.stayed else GONE_SIDE
    found = picture(run, node.shard, node.row, side) if node.row in drawn else None
    missing = "there is no image" if not node.pictured else "does not open" if node.row in drawn else "not drawn here"
    style = node.tag if node.tag in STYLES else "p"
    return Piece(node, found, missing, style, "" if node.stayed else _why(node))


def _why(entry: Entry) -> str:
    if entry.fate == DROPPED:
        return f"{entry.rule}: {entry.value}" if entry.value else str(entry.rule)
    return entry.error or ""


def _reasons(nodes: Sequence[Entry]) -> list[tuple[str, int]]:
    """Most frequent first; equals in the order of the document."""
    return Counter(node.rule or node.error or "" for node in nodes).most_common()
