"""Texts by block and images in order, as one would write it with BeautifulSoup: `html_soup.py FOLDER PARSER`."""

import json
import sys
import time
import warnings
from pathlib import Path
from urllib.parse import urljoin

from bs4 import BeautifulSoup, XMLParsedAsHTMLWarning
from bs4.element import NavigableString, PreformattedString

BLOCKS = frozenset({
    "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "dialog", "div",
    "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header",
    "hr", "legend", "li", "main", "menu", "nav", "ol", "p", "pre", "section", "summary", "table", "td", "th", "tr",
    "ul",
})  # fmt: skip
LEFT_OUT = ["script", "style", "template", "svg", "select", "textarea"]


def nodes(html: bytes, url: str, parser: str) -> list[tuple[str, str]]:
    """("text", paragraph) and ("image", absolute URL), in order."""
    soup = BeautifulSoup(html, parser)
    for element in soup(LEFT_OUT):
        element.decompose()
    found: list[tuple[str, str]] = []
    parts: list[str] = []

    def flush() -> None:
        text = " ".join("".join(parts).split())
        parts.clear()
        if text:
            found.append(("text", text))

    block = None
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
            found.append(("image", urljoin(url, element.get("src") or "")))
        elif element.name in BLOCKS or element.name == "br":
            flush()
    flush()
    return found


warnings.simplefilter("ignore", XMLParsedAsHTMLWarning)
folder, parser = Path(sys.argv[1]), sys.argv[2]
urls = (folder / "urls.txt").read_text().split("\n")
pages = [(path.read_bytes(), url) for path, url in zip(sorted(folder.glob("*.html")), urls, strict=True)]
begin = time.process_time()
found = [nodes(html, url, parser) for html, url in pages]
seconds = time.process_time() - begin
images = [sum(kind == "image" for kind, _ in page) for page in found]
words = sum(len(text.split()) for page in found for kind, text in page if kind == "text")
print(json.dumps({"seconds": seconds, "images": images, "words": words}))
