"""What each element means for a reader: paragraphs, lists, tables, links, parts of a page, what is not displayed."""

from __future__ import annotations

import re
from typing import Final

from stages.html import pictures
from stages.html.markup import attributes, collapsed, plain
from stages.html.node import Region
from stages.html.tables import Table
from stages.html.walk import BREAK, Handler, Mode, Rules, Walk, visible

_BLOCKS: Final = frozenset({
    "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "dialog", "dir", "div",
    "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header",
    "hgroup", "legend", "li", "listing", "main", "menu", "nav", "ol", "p", "pre", "search", "section", "summary",
    "table", "td", "th", "title", "tr", "ul",
})  # fmt: skip
_LONGEST_LANGUAGE: Final = 64
"""Characters of a page's language: each pair of the page carries it."""
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

_PERMALINKS: Final = frozenset({"¶", "#", "§", "🔗", "\uf0c1"})
"""What links to a place of the page itself, and says no more than this, is no text: generators add it to headings."""

_HREF: Final = re.compile(' href="([^"]*)"')
_NUMBER: Final = re.compile(r"\s*(-?\d{1,9})\s*")
_UNUSUAL: Final = re.compile(
    rf' (?:hidden="|aria-hidden="true"|role="(?:{"|".join(_ROLES)})"|style="[^"]*(?:display:\s*none|visibility:\s*hidden))',
    re.I,
)


def has_unusual(tree: str) -> bool:
    """Whether an element of a serialised tree may be hidden, or a part of the page by its role; quick."""
    return ' role="' in tree or "isplay:" in tree or "idden" in tree or "DISPLAY:" in tree or "HIDDEN" in tree


def _is_unusual(attrs: str) -> bool:
    """Whether attributes say that an element is hidden, or which part of the page it is."""
    return ("role=" in attrs or "hidden" in attrs or "style=" in attrs) and _UNUSUAL.search(attrs) is not None


def _unusual(walk: Walk, tag: str, attrs: str) -> None:
    if tag in ("html", "body"):
        return  # hidden until a script has run
    given = attributes(attrs)
    region = _ROLES.get(given.get("role", "").lower())
    gone = pictures.is_gone(given)
    frame = walk.inside(_MUTED if gone or given.get("aria-hidden", "").lower() == "true" else None)
    frame.gone = frame.gone or gone
    if region and tag in _BLOCKS:
        frame.region = region


def _part(walk: Walk, tag: str, attrs: str) -> None:
    """Parts of a page; the innermost wins."""
    frame = walk.inside()
    if tag in _PARTS and not (frame.section and tag in ("header", "footer")):
        frame.region = _PARTS[tag]
    frame.section = frame.section or tag in _SECTIONS


def _rule(walk: Walk, tag: str, attrs: str) -> None:
    walk.flush()


def _break(walk: Walk, tag: str, attrs: str) -> None:
    """One <br> is a new line, two are a new paragraph."""
    if walk.parts and walk.line_start():
        walk.flush()
    elif walk.parts:
        walk.parts.append(BREAK)


def _preformatted(walk: Walk, tag: str, attrs: str) -> None:
    walk.inside(_PRE)


def _end_preformatted(walk: Walk, tag: str, attrs: str) -> None:
    if walk.frame.depth == len(walk.at):
        walk.flush()
    else:
        _end_line(walk, tag, attrs)


def _end_line(walk: Walk, tag: str, attrs: str) -> None:
    """A block inside <pre> is a line of it."""
    if walk.parts and not walk.parts[-1].endswith("\n"):
        walk.parts.append("\n")


def _new_line(walk: Walk, tag: str, attrs: str) -> None:
    walk.parts.append("\n")


def _silent(walk: Walk, tag: str, attrs: str) -> None:
    walk.inside(_MUTED)


def _template(walk: Walk, tag: str, attrs: str) -> None:
    """Not part of the page, unless it is a shadow root that is declared."""
    if " shadowrootmode=" not in attrs:
        walk.inside(_MUTED).void = True


def _noscript(walk: Walk, tag: str, attrs: str) -> None:
    walk.inside(_MUTED).script = True


def _math(walk: Walk, tag: str, attrs: str) -> None:
    """A formula that says its TeX is that TeX."""
    tex = attributes(attrs).get("alttext")
    if tex:
        walk.parts.append(collapsed(tex).replace("&", "&amp;").replace("<", "&lt;"))
        walk.inside(_MUTED)


def _anchor(walk: Walk, tag: str, attrs: str) -> None:
    href = _HREF.search(attrs)
    if href is None:
        walk.links.append(walk.links[-1])
        return
    walk.links.append(plain(href[1]))
    if not walk.parts:
        walk.first_link, walk.unlinked = walk.links[-1], False
        return
    walk.unlinked = walk.unlinked or visible(walk.parts[walk.link_end :])
    walk.first_link = walk.first_link or walk.links[-1]


def _end_anchor(walk: Walk, tag: str, attrs: str) -> None:
    href = walk.links.pop()
    if href is not None and href[:1] == "#" and walk.parts and walk.parts[-1] in _PERMALINKS:
        walk.parts.pop()
    walk.link_end = len(walk.parts)


def _list(walk: Walk, tag: str, attrs: str) -> None:
    given = attributes(attrs)
    backwards = "reversed" in given
    start = _NUMBER.fullmatch(given.get("start", "" if backwards else "1"))
    walk.lists.append([int(start[1]), -1 if backwards else 1] if tag == "ol" and start else None)


def _end_list(walk: Walk, tag: str, attrs: str) -> None:
    walk.lists.pop()


def _item(walk: Walk, tag: str, attrs: str) -> None:
    """Its first paragraph carries its marker: `- `, or its number."""
    numbers = walk.lists[-1] if walk.lists else None
    if numbers is None:
        walk.marker = "- "
        return
    value = _NUMBER.fullmatch(attributes(attrs).get("value", "")) if attrs else None
    numbers[0] = int(value[1]) if value else numbers[0]
    walk.marker = f"{numbers[0]}. "
    numbers[0] += numbers[1]


def _end_item(walk: Walk, tag: str, attrs: str) -> None:
    walk.marker = ""


def _table(walk: Walk, tag: str, attrs: str) -> None:
    if walk.table is not None:
        walk.table.layout = True  # a table inside a table
    walk.table = Table(len(walk.nodes), len(walk.uncaptioned), walk.table)


def _end_table(walk: Walk, tag: str, attrs: str) -> None:
    table: Table = walk.table
    walk.table = table.outer
    if table.text() is not None:
        walk.nodes[table.start :] = table.merged(walk.nodes[table.start :], walk.path(walk.homes[-1]))
    pictures.give_caption(walk, table.uncaptioned, table.captions)


def _row(walk: Walk, tag: str, attrs: str) -> None:
    if walk.table is not None:
        walk.table.rows.append([])


def _cell(walk: Walk, tag: str, attrs: str) -> None:
    if walk.table is not None:
        walk.table.cell = len(walk.nodes)


def _end_cell(walk: Walk, tag: str, attrs: str) -> None:
    if walk.table is not None:
        walk.table.end_cell(walk.nodes)


def _html(walk: Walk, tag: str, attrs: str) -> None:
    given = attributes(attrs)
    language = (given.get("lang") or given.get("xml:lang") or "").strip()
    if language:
        walk.head.setdefault("language", language[:_LONGEST_LANGUAGE])


def _title(walk: Walk, tag: str, attrs: str) -> None:
    walk.inside(_TITLE)


def _end_title(walk: Walk, tag: str, attrs: str) -> None:
    walk.head.setdefault("title", collapsed(plain("".join(walk.parts))))
    walk.parts.clear()


def _base(walk: Walk, tag: str, attrs: str) -> None:
    if href := _HREF.search(attrs):
        walk.head.setdefault("base", plain(href[1]))


def _link(walk: Walk, tag: str, attrs: str) -> None:
    if "canonical" not in attrs and "hreflang" not in attrs:
        return
    given = attributes(attrs)
    kinds = given.get("rel", "").lower().split()
    if "canonical" in kinds and given.get("href"):
        walk.head.setdefault("canonical", given["href"])
    if "alternate" in kinds and given.get("hreflang") and given.get("href"):
        walk.alternates.setdefault(given["hreflang"], given["href"])


def _meta(walk: Walk, tag: str, attrs: str) -> None:
    if "content-language" in attrs.lower():
        language = attributes(attrs).get("content", "").partition(",")[0].strip()
        walk.head.setdefault("language", language[:_LONGEST_LANGUAGE])


_EVERYWHERE: Final[dict[str, Handler]] = {
    "img": pictures.image, "amp-img": pictures.image, "picture": pictures.picture, "source": pictures.source,
    "a": _anchor, "noscript": _noscript, "template": _template,
}  # fmt: skip
_ENDS: Final[dict[str, Handler]] = {"a": _end_anchor, "picture": pictures.end_picture}
_SILENCE: Final[dict[str, Handler]] = dict.fromkeys(_SILENT, _silent)

_MUTED: Final = Mode(starts=_EVERYWHERE, ends=_ENDS, muted=True)
"""Images are the page's where its text is left out, too."""
_TITLE: Final = Mode(starts={}, ends={"title": _end_title})
_PRE: Final = Mode(
    starts={**dict.fromkeys(_BLOCKS, _end_line), **_SILENCE, **_EVERYWHERE, "br": _new_line},
    ends={**dict.fromkeys(_BLOCKS, _end_line), **_ENDS, **dict.fromkeys(["pre", "listing"], _end_preformatted)},
)
_FLOW: Final = Mode(
    starts={
        **dict.fromkeys([*_PARTS, *_SECTIONS], _part), **dict.fromkeys(["pre", "listing"], _preformatted),
        **dict.fromkeys(["ul", "ol", "menu", "dir"], _list), **dict.fromkeys(["td", "th"], _cell),
        **dict.fromkeys(["figcaption", "caption"], pictures.caption), **_SILENCE, **_EVERYWHERE,
        "br": _break, "hr": _rule, "math": _math, "li": _item, "table": _table, "tr": _row, "figure": pictures.figure,
        "html": _html, "title": _title, "base": _base, "link": _link, "meta": _meta,
    },
    ends={
        **dict.fromkeys(["ul", "ol", "menu", "dir"], _end_list), **dict.fromkeys(["td", "th"], _end_cell),
        **dict.fromkeys(["figcaption", "caption"], pictures.end_caption), **_ENDS,
        "li": _end_item, "table": _end_table, "figure": pictures.end_figure,
    },
    flows=True,
)  # fmt: skip

RULES: Final = Rules(blocks=_BLOCKS, flow=_FLOW, is_unusual=_is_unusual, unusual=_unusual)
"""All of the above, by element."""
