"""Texts by block and images in order, as one would write it with BeautifulSoup: `html_soup.py FOLDER PARSER WORK`.

WORK `nodes`: paragraphs and images with absolute URLs, nothing else. `fields`: also what ours says of each: element, part of
the page, link, path; alt text, caption and size of images; what is hidden is left out.
"""

import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from bs4 import BeautifulSoup, XMLParsedAsHTMLWarning
from bs4.element import NavigableString, PreformattedString, Tag

BLOCKS = frozenset({
    "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "dialog", "div", "dl", "dt",
    "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "legend",
    "li", "main", "menu", "nav", "ol", "p", "pre", "section", "summary", "table", "td", "th", "tr", "ul",
})  # fmt: skip
PARTS = ["nav", "header", "footer", "aside", "main", "form"]
LEFT_OUT = ["script", "style", "template", "svg", "select", "textarea"]
Found = dict[str, Any]


def nodes(html: bytes, url: str, parser: str, fields: bool) -> list[Found]:
    """Paragraphs and images, in order."""
    soup = BeautifulSoup(html, parser)
    for element in soup(LEFT_OUT) + (soup.select("[hidden], [style*='display:none']") if fields else []):
        element.decompose()
    found: list[Found] = []
    parts: list[NavigableString] = []
    block = None

    def flush() -> None:
        text = " ".join("".join(parts).split())
        if text:
            found.append({"text": text, **(about_text(parts, block, url) if fields and block else {})})
        parts.clear()

    for element in (soup.body or soup).descendants:
        if isinstance(element, NavigableString):
            if not isinstance(element, PreformattedString):  # comments, declarations
                inside = next(parent for parent in element.parents if parent.name in BLOCKS or parent.parent is None)
                if inside is not block:
                    flush()
                    block = inside
                parts.append(element)
        elif element.name == "img":
            flush()
            found.append(
                {"image": urljoin(url, element.get("src") or ""), **(about_image(element, url) if fields else {})}
            )
        elif element.name in BLOCKS or element.name == "br":
            flush()
    flush()
    return found


def about_text(parts: list[NavigableString], block: Tag, url: str) -> Found:
    """As ours says it."""
    links = [part.find_parent("a", href=True) for part in parts if part.strip()]
    return {"link": urljoin(url, links[0]["href"]) if all(links) else None, **about(block)}


def about_image(image: Tag, url: str) -> Found:
    """As ours says it."""
    link, figure = image.find_parent("a", href=True), image.find_parent("figure")
    caption = figure.find("figcaption") if figure else None
    size = {name: image.get(name) for name in ("alt", "width", "height")}
    said = {"caption": caption.get_text(" ", strip=True) if caption else None}
    return {"link": urljoin(url, link["href"]) if link else None, **size, **said, **about(image)}


def about(element: Tag) -> Found:
    """As ours says it."""
    path, above = [], element
    while above.parent is not None and above.name != "body":
        path.append(sum(1 for other in above.previous_siblings if isinstance(other, Tag)))
        above = above.parent
    part = element.find_parent(PARTS)
    return {"tag": element.name, "path": ".".join(map(str, reversed(path))), "region": part.name if part else None}


warnings.simplefilter("ignore", XMLParsedAsHTMLWarning)
folder, parser, fields = Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "fields"
urls = (folder / "urls.txt").read_text().split("\n")
pages = [(path.read_bytes(), url) for path, url in zip(sorted(folder.glob("*.html")), urls, strict=True)]
begin = time.process_time()
every = [nodes(html, url, parser, fields) for html, url in pages]
seconds = time.process_time() - begin
images = [sum("image" in node for node in page) for page in every]
words = sum(len(node["text"].split()) for page in every for node in page if "text" in node)
print(json.dumps({"seconds": seconds, "images": images, "words": words}))
