"""What each element means for a reader: blocks, lists, tables, figures, pictures, links, parts of a page, what is hidden."""

from __future__ import annotations

import re
from typing import Final

from stages.html.images import alt_text, candidates, size
from stages.html.markup import attributes, collapsed, plain
from stages.html.node import Node, Region
from stages.html.tables import Table
from stages.html.walk import BREAK, Frame, Handler, Rules, Walk, visible

_BLOCKS: Final = (
    "address", "article", "aside", "blockquote", "body", "center", "dd", "details", "dialog", "dir", "div", "dl",
    "dt", "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header",
    "hgroup", "hr", "legend", "li", "main", "menu", "nav", "ol", "p", "search", "section", "summary", "table",
    "caption", "tr", "td", "th", "ul",
)  # fmt: skip
_PREFORMATTED: Final = ("pre", "listing")
_SILENT: Final = ("svg", "select", "datalist", "textarea", "video", "audio", "canvas", "annotation", "annotation-xml")
"""Their text is not the page's: labels of drawings, choices of forms, what stands in for a player."""

_PARTS: Final[dict[str, Region]] = {
    "main": "main", "nav": "nav", "header": "header", "footer": "footer", "aside": "aside", "form": "form",
}  # fmt: skip
_ROLES: Final[dict[str, Region]] = {
    "main": "main", "navigation": "nav", "banner": "header", "contentinfo": "footer", "complementary": "aside",
    "form": "form", "search": "form",
}  # fmt: skip
_SECTIONS: Final = frozenset({"article", "aside", "main", "nav", "section"})
"""A <header> or <footer> inside one of these is not the page's (HTML-AAM)."""

_CAPTION_NODES: Final = 16
"""Paragraphs of a caption that are kept with the image."""

_HREF: Final = re.compile(' href="([^"]*)"')
_NOT_DISPLAYED: Final = r"display:\s*none|visibility:\s*hidden"
_STYLED_AWAY: Final = re.compile(_NOT_DISPLAYED, re.I)
_NUMBER: Final = re.compile(r"\s*(-?\d{1,9})\s*")

_UNUSUAL: Final = re.compile(
    rf' (?:hidden="|aria-hidden="true"|role="(?:{"|".join(_ROLES)})"|style="[^"]*(?:{_NOT_DISPLAYED}))', re.I
)
"""Whether attributes say that an element is hidden, or which part of the page it is."""


def _unusual(walk: Walk, tag: str, attrs: str) -> None:
    if tag in ("html", "body"):
        return  # hidden until a script has run
    given = attributes(attrs)
    region = _ROLES.get(given.get("role", "").lower())
    if region or tag in _BLOCK_SET:
        walk.flush()
    frame = walk.inside()
    if region:
        frame.region, frame.closing = region, Walk.end_block
    hidden = given.get("hidden")
    if (hidden is not None and hidden.lower() != "until-found") or _STYLED_AWAY.search(given.get("style", "")):
        frame.muted = frame.gone = True
    if given.get("aria-hidden", "").lower() == "true":
        frame.muted = True


def _block(walk: Walk, tag: str, attrs: str) -> None:
    walk.block(tag)


def _part(walk: Walk, tag: str, attrs: str) -> None:
    """Parts of a page; the innermost wins."""
    frame = walk.block(tag)
    if tag in _PARTS and not (frame.section and tag in ("header", "footer")):
        frame.region = _PARTS[tag]
    frame.section = frame.section or tag in _SECTIONS


def _rule(walk: Walk, tag: str, attrs: str) -> None:
    walk.flush()


def _break(walk: Walk, tag: str, attrs: str) -> None:
    """One <br> is a new line, two are a new paragraph."""
    if walk.frame.pre:
        walk.parts.append("\n")
    elif walk.parts and walk.line_start():
        walk.flush()
    elif walk.parts:
        walk.parts.append(BREAK)


def _preformatted(walk: Walk, tag: str, attrs: str) -> None:
    walk.block("pre").pre = True


def _line(walk: Walk, tag: str, attrs: str) -> None:
    """A block inside <pre> is a line of it."""
    walk.inside().closing = _end_line
    _end_line(walk, walk.frame)


def _end_line(walk: Walk, frame: Frame) -> None:
    if walk.parts and not walk.parts[-1].endswith("\n"):
        walk.parts.append("\n")


def _silent(walk: Walk, tag: str, attrs: str) -> None:
    walk.inside().muted = True


def _template(walk: Walk, tag: str, attrs: str) -> None:
    """Not part of the page, unless it is a shadow root that is declared."""
    if " shadowrootmode=" not in attrs:
        frame = walk.inside()
        frame.muted = frame.void = True


def _noscript(walk: Walk, tag: str, attrs: str) -> None:
    frame = walk.inside()
    frame.muted = frame.script = True


def _math(walk: Walk, tag: str, attrs: str) -> None:
    """A formula that says its TeX is that TeX."""
    tex = attributes(attrs).get("alttext")
    if tex:
        walk.parts.append(collapsed(tex).replace("&", "&amp;").replace("<", "&lt;"))
        walk.inside().muted = True


def _anchor(walk: Walk, tag: str, attrs: str) -> None:
    href = _HREF.search(attrs)
    if href is None:
        return
    walk.unlinked = walk.unlinked or visible(walk.parts[walk.link_end :])
    frame = walk.inside()
    frame.link, frame.closing = plain(href[1]), _end_anchor
    walk.first_link = walk.first_link or frame.link


def _end_anchor(walk: Walk, frame: Frame) -> None:
    walk.link_end = len(walk.parts)


def _list(walk: Walk, tag: str, attrs: str) -> None:
    frame = walk.block(tag)
    frame.closing = _end_list
    given = attributes(attrs)
    backwards = "reversed" in given
    start = _NUMBER.fullmatch(given.get("start", "" if backwards else "1"))
    walk.lists.append([int(start[1]), -1 if backwards else 1] if tag == "ol" and start else None)


def _end_list(walk: Walk, frame: Frame) -> None:
    walk.flush()
    walk.lists.pop()


def _item(walk: Walk, tag: str, attrs: str) -> None:
    """Its first paragraph carries its marker: `- `, or its number."""
    walk.block(tag).closing = _end_item
    numbers = walk.lists[-1] if walk.lists else None
    if numbers is None:
        walk.marker = "- "
        return
    value = _NUMBER.fullmatch(attributes(attrs).get("value", "")) if attrs else None
    numbers[0] = int(value[1]) if value else numbers[0]
    walk.marker = f"{numbers[0]}. "
    numbers[0] += numbers[1]


def _end_item(walk: Walk, frame: Frame) -> None:
    walk.flush()
    walk.marker = ""


def _table(walk: Walk, tag: str, attrs: str) -> None:
    frame = walk.block(tag)
    if walk.table is not None:
        walk.table.layout = True  # a table inside a table
    frame.data = walk.table = Table(len(walk.nodes), len(walk.uncaptioned), walk.table)
    frame.closing = _end_table


def _end_table(walk: Walk, frame: Frame) -> None:
    walk.flush()
    table: Table = frame.data
    walk.table = table.outer
    if table.text() is not None:
        walk.nodes[table.start :] = table.merged(walk.nodes[table.start :], walk.path(frame.depth))
    _give_caption(walk, table.uncaptioned, table.captions)


def _row(walk: Walk, tag: str, attrs: str) -> None:
    walk.block(tag)
    if walk.table is not None:
        walk.table.rows.append([])


def _cell(walk: Walk, tag: str, attrs: str) -> None:
    frame = walk.block(tag)
    if walk.table is not None and walk.table.rows:
        frame.data, frame.closing = len(walk.nodes), _end_cell


def _end_cell(walk: Walk, frame: Frame) -> None:
    walk.flush()
    if not walk.table.layout:
        walk.table.add(walk.nodes[frame.data :])


def _figure(walk: Walk, tag: str, attrs: str) -> None:
    frame = walk.block(tag)
    frame.data, frame.closing = len(walk.uncaptioned), _end_figure
    walk.figures.append([])


def _end_figure(walk: Walk, frame: Frame) -> None:
    walk.flush()
    _give_caption(walk, frame.data, walk.figures.pop())


def _caption(walk: Walk, tag: str, attrs: str) -> None:
    frame = walk.block(tag)
    frame.data, frame.closing = len(walk.nodes), _end_caption


def _end_caption(walk: Walk, frame: Frame) -> None:
    walk.flush()
    nodes = walk.nodes[frame.data : frame.data + _CAPTION_NODES]
    texts = [node.text for node in nodes if node.kind == "text" and node.text]
    if frame.tag == "figcaption" and walk.figures:
        walk.figures[-1] += texts
    elif frame.tag == "caption" and walk.table is not None:
        walk.table.captions += texts


def _give_caption(walk: Walk, since: int, captions: list[str]) -> None:
    """To the images of a figure or table that has one; else they wait for a figure around it."""
    if captions:
        for node in walk.uncaptioned[since:]:
            node.caption = " ".join(captions)
        del walk.uncaptioned[since:]


def _picture(walk: Walk, tag: str, attrs: str) -> None:
    frame = walk.inside()
    frame.data, frame.closing = walk.picture, _end_picture
    walk.picture = []


def _end_picture(walk: Walk, frame: Frame) -> None:
    walk.picture = frame.data


def _source(walk: Walk, tag: str, attrs: str) -> None:
    given = attributes(attrs)
    if walk.picture is not None and (listed := given.get("srcset") or given.get("data-srcset")):
        walk.picture.append(listed)


def _image(walk: Walk, tag: str, attrs: str) -> None:
    """An image is a node; a copy for browsers without scripts is merged with the image that it stands in for."""
    frame = walk.frame
    if frame.void:
        return
    given = attributes(attrs)
    named = candidates(given, walk.picture or ())
    if walk.found and frame.script != walk.scripted and walk.is_beside() and _same(walk.found[-1][1], named):
        walk.found[-1][1].extend(named)
        walk.merged += 1
        return
    depth = len(walk.at) + (tag == "img")
    node = Node("image", alt_text(given), tag, frame.region, walk.path(depth), None, None, frame.link)
    node.width, node.height = size(given)
    if frame.gone or "hidden" in given or _STYLED_AWAY.search(given.get("style", "")):
        node.width = node.height = 0
    walk.found.append((node, named))
    walk.uncaptioned.append(node)
    walk.scripted = frame.script
    walk.place(node)


def _same(one: list[str], other: list[str]) -> bool:
    """Whether two neighbours, one of them inside <noscript>, are one picture: they share a URL, or one has none."""
    urls = [{url for url in named if url[:5].lower() != "data:"} for named in (one, other)]
    return not urls[0] or not urls[1] or bool(urls[0] & urls[1])


def _html(walk: Walk, tag: str, attrs: str) -> None:
    given = attributes(attrs)
    language = (given.get("lang") or given.get("xml:lang") or "").strip()
    if language:
        walk.head.setdefault("language", language)


def _title(walk: Walk, tag: str, attrs: str) -> None:
    walk.flush()
    walk.inside().closing = _end_title


def _end_title(walk: Walk, frame: Frame) -> None:
    walk.head.setdefault("title", collapsed(plain("".join(walk.parts))))
    walk.parts.clear()


def _base(walk: Walk, tag: str, attrs: str) -> None:
    if href := _HREF.search(attrs):
        walk.head.setdefault("base", plain(href[1]))


def _link(walk: Walk, tag: str, attrs: str) -> None:
    given = attributes(attrs)
    kinds = given.get("rel", "").lower().split()
    if "canonical" in kinds and given.get("href"):
        walk.head.setdefault("canonical", given["href"])
    if "alternate" in kinds and given.get("hreflang") and given.get("href"):
        walk.alternates.setdefault(given["hreflang"], given["href"])


def _meta(walk: Walk, tag: str, attrs: str) -> None:
    if "content-language" in attrs.lower():
        walk.head.setdefault("language", attributes(attrs).get("content", "").partition(",")[0].strip())


_BLOCK_SET: Final = frozenset([*_BLOCKS, *_PREFORMATTED])

_MUTED: Final[dict[str, Handler]] = {
    "img": _image, "amp-img": _image, "picture": _picture, "source": _source, "a": _anchor, "noscript": _noscript,
    "template": _template,
}  # fmt: skip
"""Images are the page's where its text is left out, too."""

_OPENING: Final[dict[str, Handler]] = {
    **dict.fromkeys(_BLOCKS, _block),
    **dict.fromkeys([*_PARTS, *_SECTIONS], _part),
    **dict.fromkeys(_PREFORMATTED, _preformatted),
    **dict.fromkeys(_SILENT, _silent),
    **dict.fromkeys(["ul", "ol", "menu", "dir"], _list),
    **dict.fromkeys(["td", "th"], _cell),
    **dict.fromkeys(["figcaption", "caption"], _caption),
    **_MUTED,
    "br": _break, "hr": _rule, "math": _math, "li": _item, "table": _table, "tr": _row, "figure": _figure,
    "html": _html, "title": _title, "base": _base, "link": _link, "meta": _meta,
}  # fmt: skip

RULES: Final = Rules(
    opening=_OPENING,
    in_line={**_OPENING, **dict.fromkeys([*_BLOCKS, *_PREFORMATTED], _line)},
    muted=_MUTED,
    is_unusual=_UNUSUAL.search,
    unusual=_unusual,
)
"""All of the above, by element."""
