"""The serialised tree as a sequence of tokens: tags with their attributes, and the text that follows each."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

_SPACE = "\\t\\n\\f "
_TOKEN: Final = re.compile(
    r"<(?:(script|style|iframe|noembed|noframes|xmp)[ >].*?(?:</\1>|\Z)"  # the parser left what is inside as it was
    r"|plaintext[ >].*"
    rf"|(/?)([A-Za-z][^{_SPACE}/>]*+)([^>]*+)>"  # values have &gt; for >, and names cannot have one
    r"|!--.*?(?:-->|\Z)|[!?][^>]*(?:>|\Z))([^<]*+)",
    re.S,
)
_ATTRIBUTE: Final = re.compile(rf' (=?[^{_SPACE}/>=]*+)="([^"]*+)"')
_MANY: Final = 1 << 20

Token = tuple[str, str, str, str, str]
"""(name of an element whose content is skipped, "/" of an end tag, name, attributes, the text up to the next tag)."""

VOID: Final = frozenset(
    {
        "area", "base", "basefont", "bgsound", "br", "col", "embed", "frame", "hr", "img", "input", "keygen",
        "link", "meta", "param", "source", "track", "wbr",
    }
)  # fmt: skip
"""Elements that have no end tag."""

_SPACES: Final = re.compile("[ \t\n\f\r\xa0]+")


def tokens(tree: str) -> Iterable[Token]:
    """All tokens of a tree as `stages.html.tree.normalise` gives it."""
    if len(tree) < _MANY:
        return _TOKEN.findall(tree)
    return (match.groups("") for match in _TOKEN.finditer(tree))  # type: ignore[misc]  # not all of a large page at once


def attributes(markup: str) -> dict[str, str]:
    """A token's attributes by name."""
    found = dict(_ATTRIBUTE.findall(markup))
    return {name: plain(value) for name, value in found.items()} if "&" in markup else found


def plain(text: str) -> str:
    """Text without the entities that the serialiser writes; there are no others in a tree."""
    if "&" not in text:
        return text
    text = text.replace("&nbsp;", "\xa0").replace("&lt;", "<").replace("&gt;", ">")
    return text.replace("&quot;", '"').replace("&amp;", "&")


def collapsed(text: str) -> str:
    """White space as browsers show it: a run is one space, none at the ends. A no-break space counts as one."""
    if "\u3000" in text:  # an ideographic space is a character of the text
        return _SPACES.sub(" ", text).strip(" ")
    return " ".join(text.split())
