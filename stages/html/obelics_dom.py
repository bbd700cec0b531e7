"""OBELICS' simplification of a page's DOM (Laurencon et al. 2023, section 3.1; huggingface/OBELICS@0fca7ba4)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from stages.html.markup import VOID, attributes, plain, tokens
from stages.html.media import image_source, player_source
from stages.html.tree import normalise

BREAK: Final = "#BR_TAG#"
"""Stands for a <br> until texts are read."""
END: Final = "\n\nEND_OF_DOCUMENT_TOKEN_TO_BE_REPLACED\n\n"
"""Stands for a "read more" link: what follows it is another document's."""

_UNWRAPPED: Final = (
    "a abbr acronym b bdi bdo big cite code data dfn em font i ins kbd mark q s samp shadow small span strike strong sub sup"
    " time tt u var wbr"
)
UNWRAPPED: Final = frozenset(_UNWRAPPED.split())
"""Elements whose content takes their place."""
_STRUCTURE: Final = (
    "address article aside blink blockquote body br caption center dd dl dt div figcaption h h1 h2 h3 h4 h5 h6 hgroup html"
    " legend main marquee ol p section summary title ul"
)
_MEDIA: Final = frozenset({"audio", "img", "video"})
_LOST_MEDIA: Final = frozenset({"embed", "figure", "iframe", "object", "picture", "source"})
"""Meant to stay, but the original takes them for media without an address, and removes them with all that they hold."""
_KEPT: Final = frozenset(_STRUCTURE.split()) | _MEDIA | _LOST_MEDIA
_SPECIAL: Final = frozenset({"footer", "header", "navigation", "nav", "navbar", "menu"})


@dataclass(slots=True)
class _Element:
    tag: str
    markup: str
    children: list[_Element | str] = field(default_factory=list)
    stays: bool = True

    def elements(self) -> list[_Element]:
        return [child for child in self.children if isinstance(child, _Element)]


def parse(html: str) -> str:
    """The tree of a page that has fewer line breaks and spaces, no comments, and a word for each plain <br>.

    As `stages.html.tree.normalise` gives it; raises what that raises.
    """
    html = re.sub(r"\n{2,}", "\n", html)
    html = re.sub(r" {2,}", " ", html)
    return normalise(re.sub("<br ?/?>|</br>", BREAK, _without_comments(html)))


def simplify(tree: str) -> str:
    """The simplified tree: texts, images, and the blocks that they stand in."""
    top = _cut(tree)
    _tidy(top)
    return normalise("".join(_write(top)))


def _without_comments(html: str) -> str:
    """By search, not by a pattern: that would look through the rest of a page for each comment that does not end."""
    pieces, at = [], 0
    while (start := html.find("<!--", at)) >= 0 and (end := html.find("-->", start + 4)) >= 0:
        pieces.append(html[at:start])
        at = end + 3
    return "".join(pieces) + html[at:]


def _cut(tree: str) -> _Element:
    """The tree without what OBELICS cuts away, inline elements unwrapped. Texts and attributes stay as they are written."""
    top = _Element("", "")
    open_: list[_Element | None] = [top]  # for each open element, where its content goes; None: it is cut away
    for _, end, tag, markup, text in tokens(tree):
        into = open_[-1]
        if end and tag not in VOID:
            open_.pop()
        elif tag and not end:
            inside = _enter(tag, markup, into) if into else None
            if tag not in VOID:
                open_.append(inside)
        if text and (into := open_[-1]):
            _put(into, text)
    return top


def _enter(tag: str, markup: str, into: _Element) -> _Element | None:
    """Where the content of an element goes: into itself, or where it stands, or (None) nowhere."""
    end = fate(tag, attributes(markup) if markup else {})
    if end == "unwrapped":
        return into
    if end == "end":
        _put(into, END)
    if end != "stays":
        return None
    element = _Element(tag, markup)
    into.children.append(element)
    return element


def fate(tag: str, said: Mapping[str, str]) -> Literal["stays", "unwrapped", "cut", "end"]:
    """What becomes of an element with these attributes: it stays, its content takes its place, it is cut away with all that
    it holds, or its place marks an end of the document.

    Digits in its name do not count: <h7> is known as <h>.
    """
    classes = said.get("class", "").lower()
    if tag != "html" and _has_word(classes, "footer", "site-info"):
        return "cut"
    if _has_word(classes, "more-link"):
        return "end"
    if tag in UNWRAPPED:
        return "unwrapped"
    if tag == "div" and any(said.get(name) in _SPECIAL for name in ("id", "class", "title")):
        return "cut"
    known = tag in _KEPT or re.sub(r"\d+", "", tag) in _KEPT
    return "stays" if known and tag not in _LOST_MEDIA else "cut"


def _put(into: _Element, text: str) -> None:
    """A text goes into its element, unless that is a <div> for a date."""
    if not (into.tag == "div" and "date" in into.markup and "date" in attributes(into.markup).get("class", "")):
        into.children.append(text)


def _has_word(classes: str, *words: str) -> bool:
    return any(word in classes and word in re.split(r"[ \t\n\f\r]+", classes) for word in words)


def _tidy(top: _Element) -> None:
    """Takes out media without an address and elements without content, and makes one of two nested alike."""
    order = [top]
    for element in order:  # it grows: parents stand before their children
        order.extend(element.elements())
    for element in reversed(order):
        element.children = [child for child in element.children if isinstance(child, str) or child.stays]
        inside = element.elements()
        has_text = any(isinstance(child, str) and plain(child).strip() for child in element.children)
        if element.tag in _MEDIA:
            source = image_source if element.tag == "img" else player_source
            element.stays = source(attributes(element.markup)) is not None
        else:
            element.stays = bool(inside) or has_text or element.tag == "html"
        if len(inside) == 1 and inside[0].tag == element.tag and not has_text:
            element.markup, element.children = inside[0].markup, inside[0].children


def _write(top: _Element) -> list[str]:
    """The tree as HTML, in pieces. It is parsed again, which joins neighbouring texts and ends a heading at the next."""
    pieces: list[str] = []
    todo: list[_Element | str] = list(top.children)
    while todo:
        item = todo.pop()
        if isinstance(item, str):
            pieces.append(item)
            continue
        pieces.append(f"<{item.tag}{item.markup}>")
        if item.tag not in VOID:
            todo.append(f"</{item.tag}>")
        todo += reversed(item.children)
    return pieces
