"""What the images of real manuals are, and their captions, as the manuals' own class names tell.

Independent of the extraction: the HTML is parsed here again, and only here class names are looked at. DocBook writes
`mediaobject` around a figure's image, `figure` around it and its title, `navheader` around navigation, and so on; Sphinx and
GRASS have habits of their own. `page_truth` labels the images of one page in the order of its markup.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urljoin

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

Role = Literal["content", "navigation", "icon"]
Labeller = Callable[["LexborNode", frozenset[str]], Role]

_ICONS_OF_GRASS: Final = ("icons/", "barscales/", "northarrows/", "colortables/")


@dataclass(frozen=True)
class Truth:
    """One <img> of a page."""

    url: str
    """Absolute, without a fragment."""
    role: Role
    captions: tuple[str, ...]
    """The image's own caption first, then the title of the figure that it stands in; spaces collapsed."""


def page_truth(html: bytes, url: str, labeller: Labeller) -> list[Truth]:
    """Labels of the page's images in the order of its markup; those without a source are left out."""
    from selectolax.lexbor import LexborHTMLParser

    found = []
    for image in LexborHTMLParser(html).css("img[src]"):
        around = list(_ancestors(image))
        classes = frozenset(name for node in around for name in _classes(node))
        role = labeller(image, classes)
        source = (image.attributes.get("src") or "").strip()
        captions = _captions(around) if role == "content" else ()
        found.append(Truth(urljoin(url, source).partition("#")[0], role, captions))
    return found


def docbook(image: LexborNode, classes: frozenset[str]) -> Role:
    """GIMP's, GnuCash's and Debian's manuals: a media object is content, an inline one or one of the stylesheet is not."""
    if classes & {"navheader", "navfooter"} or (classes & {"left", "right"} and not classes & {"mediaobject"}):
        return "navigation"
    return "content" if "mediaobject" in classes and "guiicon" not in classes else "icon"


def sphinx(image: LexborNode, classes: frozenset[str]) -> Role:
    """scikit-image's gallery: thumbnails lead to other pages, the header has logos, one icon folds a table."""
    if classes & {"sphx-glr-thumbcontainer", "logo", "navbar-inner"}:
        return "navigation"
    return "icon" if "toggler" in _classes(image) else "content"


def grass(image: LexborNode, classes: frozenset[str]) -> Role:
    """GRASS's manual: a logo on top, a gallery that leads to pages, buttons and samples of styles by their folders."""
    source = image.attributes.get("src") or ""
    if "img-list" in classes or source.endswith("grass_logo.png"):
        return "navigation"
    inline = "margin: 0px 0px -5px 0px" in (image.attributes.get("style") or "")
    return "icon" if inline or source.startswith(_ICONS_OF_GRASS) else "content"


def _captions(around: list[LexborNode]) -> tuple[str, ...]:
    """Of `mediaobject` its `caption`; of `figure` its `title`; of <figure> its <figcaption>."""
    texts = []
    for node in around:
        names = _classes(node)
        selector = "div.caption" if "mediaobject" in names else "p.title" if "figure" in names else None
        if node.tag == "figure":
            selector = "figcaption"
        texts += [_text(part) for part in node.css(selector)] if selector else []
    return tuple(dict.fromkeys(text for text in texts if text))


def _ancestors(node: LexborNode) -> Iterator[LexborNode]:
    """From the innermost to below <body>."""
    above = node.parent
    while above is not None and above.tag not in ("body", "html"):
        yield above
        above = above.parent


def _classes(node: LexborNode) -> list[str]:
    return (node.attributes.get("class") or "").split()


def _text(node: LexborNode) -> str:
    return " ".join(node.text(deep=True).split())
