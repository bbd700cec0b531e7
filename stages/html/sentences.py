"""Texts by sentence instead of by paragraph: what MMC4 marries images to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from stages.html import page
from stages.html.node import Page

WHOLE: Final = frozenset({"pre", "table", "textarea"})
"""Elements whose text has no sentences: it stays one."""
_ABBREVIATIONS: Final = (
    "al approx ca cf ch co corp dr ed eds eq esp est etc ex fig figs gen gov inc jr lt ltd max min mr mrs ms mt no nos nr op"
    " pp prof resp sec sen sr st tab vol vs abb abs bd bsp bzw evtl ggf inkl sog str usw vgl zb mme mlle art chap env tél"
)
ABBREVIATIONS: Final = frozenset(_ABBREVIATIONS.split())
"""Words after which a stop seldom ends a sentence: English, German, French. A stop after one letter never does."""
_STOP: Final = re.compile(
    r"(?<![.!?…])(?P<mark>[.!?…]++)[\"'”’»)\]}]*+(?=\s)|(?<![。！？｡])[。！？｡]++[”’」』）】]*+|\n"  # a run is read once
)
_WORD_BEFORE: Final = re.compile(r"[^\W\d_]*$")
_LONGEST: Final = 10
"""Letters before a stop that are looked at."""


def sentences(text: str) -> list[str]:
    """The sentences of a paragraph without white space around them; "" and white space have none.

    One ends at a stop before white space, unless it goes on in lower case or the stop belongs to an abbreviation; at an
    ideographic stop; and at a line's end.
    """
    parts = (text[start:end].strip() for start, end in _spans(text))
    return [part for part in parts if part]


def _spans(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    for stop in _STOP.finditer(text):
        if stop["mark"] is None or _ends(text, stop.start(), stop.end(), stop["mark"]):
            yield start, stop.end()
            start = stop.end()
    yield start, len(text)


def _ends(text: str, mark: int, after: int, stop: str) -> bool:
    """Whether a sentence ends at the stop that stands from `mark` on."""
    if text[after : after + 8].lstrip()[:1].islower():
        return False
    found = _WORD_BEFORE.search(text[max(0, mark - _LONGEST) : mark])
    word = found[0].lower() if found else ""
    return stop != "." or (len(word) != 1 and word not in ABBREVIATIONS)


def extract(html: bytes, url: str, charset: str | None = None) -> Page:
    """The default extraction (`stages.html.page.extract`, which says what it raises), with a node for each sentence."""
    return by_sentence(page.extract(html, url, charset))


def by_sentence(whole: Page) -> Page:
    """The page with a node for each sentence, at its paragraph's place."""
    nodes = []
    for node in whole.nodes:
        if node.kind == "text" and node.text and node.tag not in WHOLE:
            nodes += [replace(node, text=sentence) for sentence in sentences(node.text)]
        else:
            nodes.append(node)
    return replace(whole, nodes=nodes)
