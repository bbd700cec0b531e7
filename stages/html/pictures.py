"""Images among a page's elements: <img>, <picture>, <figure> and captions, copies for browsers without scripts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from stages.html.images import NAMED, alt_text, candidates, size, srcset
from stages.html.markup import attributes
from stages.html.node import Node
from stages.html.walk import Walk

_CAPTION_NODES: Final = 16
"""Paragraphs of a caption that are kept with the image."""
LONGEST_CAPTION: Final = 8192
"""Characters of it: each image of a figure carries them."""
_STYLED_AWAY: Final = re.compile(r"display:\s*none|visibility:\s*hidden", re.I)


def is_gone(given: Mapping[str, str]) -> bool:
    """Whether an element's attributes say that it is not displayed; what a search on the page may find counts as shown."""
    if given.get("hidden", "until-found").lower() != "until-found":
        return True
    style = given.get("style")
    return style is not None and _STYLED_AWAY.search(style) is not None


def image(walk: Walk, tag: str, attrs: str) -> None:
    """An image is a node; a copy for browsers without scripts is merged with the image that it stands in for."""
    frame = walk.frame
    if frame.void:
        return
    given = attributes(attrs)
    if walk.pictures or "set=" in attrs or "data-" in attrs:
        named = candidates(given, walk.pictures[-1] if walk.pictures else ())
    else:
        named = [given["src"]] if given.get("src", "").strip() else []
    if walk.found and frame.script != walk.scripted and walk.is_beside() and _same(walk.found[-1][1], named):
        known = walk.found[-1][1]
        known += [url for url in named if url not in known][: NAMED - len(known)]
        walk.merged += 1
        return
    path = walk.path(len(walk.tags) - (tag != "img"))
    node = Node("image", alt_text(given), tag, frame.region, path, None, None, walk.links[-1])
    node.width, node.height = (0, 0) if frame.gone or is_gone(given) else size(given)
    walk.found.append((node, named))
    walk.uncaptioned.append(node)
    walk.scripted = frame.script
    walk.place(node)


def _same(one: list[str], other: list[str]) -> bool:
    """Whether two neighbours, one of them inside <noscript>, are one picture: they share a URL, or one has none."""
    urls = [{url for url in named if url[:5].lower() != "data:"} for named in (one, other)]
    return not urls[0] or not urls[1] or bool(urls[0] & urls[1])


def picture(walk: Walk, tag: str, attrs: str) -> None:
    """Its <source>s offer URLs to its <img>."""
    walk.pictures.append([])


def end_picture(walk: Walk, tag: str, attrs: str) -> None:
    """Those offers are over."""
    walk.pictures.pop()


def source(walk: Walk, tag: str, attrs: str) -> None:
    """Of a <picture>; those of players are none."""
    given = attributes(attrs)
    listed = given.get("srcset") or given.get("data-srcset")
    if listed and walk.pictures and len(offered := walk.pictures[-1]) < NAMED:
        offered += srcset(listed)[: NAMED - len(offered)]


def figure(walk: Walk, tag: str, attrs: str) -> None:
    """Its images wait for its caption."""
    walk.figures.append((len(walk.uncaptioned), []))


def end_figure(walk: Walk, tag: str, attrs: str) -> None:
    """Its images get its caption."""
    give_caption(walk, *walk.figures.pop())


def caption(walk: Walk, tag: str, attrs: str) -> None:
    """Of a figure or of a table."""
    walk.captions.append((tag, len(walk.nodes)))


def end_caption(walk: Walk, tag: str, attrs: str) -> None:
    """What it says belongs to the innermost figure or table."""
    _, since = walk.captions.pop()
    nodes = walk.nodes[since : since + _CAPTION_NODES]
    texts = [node.text for node in nodes if node.kind == "text" and node.text]
    if tag == "figcaption" and walk.figures:
        walk.figures[-1][1].extend(texts)
    elif tag == "caption" and walk.table is not None:
        walk.table.captions += texts


def give_caption(walk: Walk, since: int, captions: list[str]) -> None:
    """To the images of a figure or table that has one; else they wait for a figure around it."""
    if captions:
        text = " ".join(caption[:LONGEST_CAPTION] for caption in captions[:_CAPTION_NODES])[:LONGEST_CAPTION]
        for node in walk.uncaptioned[since:]:
            node.caption = text
        del walk.uncaptioned[since:]
