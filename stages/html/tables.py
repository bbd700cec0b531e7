"""A table is one text, if it is one: rows of short cells. A table that lays out a page is read cell by cell."""

from __future__ import annotations

from typing import Final

from stages.html.node import Node

LONGEST_CELL: Final = 500
"""Characters: a longer text is no cell of data."""

_BLOCKS: Final = frozenset({"pre", "table", "li", "h1", "h2", "h3", "h4", "h5", "h6", "dt", "dd", "figcaption"})
"""Texts that a cell of data does not hold."""


class Table:
    """An open table. `start`, `cell`: how many nodes there were before it, before its current cell."""

    __slots__ = ("captions", "cell", "cells", "layout", "outer", "rows", "start", "uncaptioned")

    def __init__(self, start: int, uncaptioned: int, outer: Table | None) -> None:
        self.start, self.uncaptioned, self.outer = start, uncaptioned, outer
        self.rows: list[list[str]] = []
        self.cells: list[Node] = []
        self.captions: list[str] = []
        self.layout = False
        self.cell = start

    def end_cell(self, nodes: list[Node]) -> None:
        """One cell has ended: what was read since `cell` is its content."""
        if self.layout or not self.rows:
            return
        nodes = nodes[self.cell :]
        texts = [node for node in nodes if node.kind == "text"]
        if len(texts) > 1 or any(node.tag in _BLOCKS or len(node.text or "") > LONGEST_CELL for node in texts):
            self.layout = True
            return
        self.cells += texts
        self.rows[-1].append(" ".join((texts[0].text or "").split("\n")) if texts else "")

    def text(self) -> str | None:
        """`a | b | c` per row; None: it has no two rows of two cells each, so it is layout."""
        if self.layout or sum(sum(map(bool, row)) > 1 for row in self.rows) < 2:
            return None
        return "\n".join(" | ".join(row).rstrip(" |") for row in self.rows if any(row))

    def merged(self, nodes: list[Node], path: str) -> list[Node]:
        """The nodes read since its start, its cells' texts in one: captions, the table, its images."""
        text = self.text()
        if text is None:
            return nodes
        cells = {id(node) for node in self.cells}
        others = [node for node in nodes if id(node) not in cells]
        linked = all(node.link for node in self.cells)
        link = self.cells[0].link if linked else None
        table = Node("text", text, "table", self.cells[0].region, path, None, None, link)
        lead = next((place for place, node in enumerate(others) if node.kind == "image"), len(others))
        return [*others[:lead], table, *others[lead:]]
