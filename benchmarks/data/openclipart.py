"""OpenClipart 0.18 (Debian): public-domain drawings; the SVG of the same path holds title, description, keywords."""

from __future__ import annotations

import re
import struct
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.data.packages import OPENCLIPART_PNG, OPENCLIPART_SVG, fetch
from benchmarks.data.shards import Pair

LICENCE = "public-domain"
_DC = "{http://purl.org/dc/elements/1.1/}"
_NOT_A_DESCRIPTION = re.compile(r"@|https?:|HASH\(|contact", re.I)
_NOT_A_KEYWORD = re.compile(r"hash|unsorted", re.I)


@dataclass(frozen=True)
class Drawing:
    """One drawing and what its SVG says of it; `path` is relative to the PNG tree, `lang` is the SVG's own claim."""

    file: Path
    path: str
    title: str
    description: str
    keywords: tuple[str, ...]
    lang: str

    @property
    def category(self) -> str:
        """First folder of the path, for instance `animals`."""
        return self.path.split("/", 1)[0]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in px, from the PNG's first 24 bytes (Pillow refuses to open the largest)."""
        with self.file.open("rb") as png:
            width, height = struct.unpack(">II", png.read(24)[16:])
        return width, height

    @property
    def says_more(self) -> bool:
        """Whether the description adds words to the title (many repeat it, or hold an address)."""
        words = set(self.description.lower().split()) - set(self.title.lower().split())
        return len(words) >= 2 and not _NOT_A_DESCRIPTION.search(self.description)

    @property
    def caption(self) -> str:
        """The title as it is, plus the description when it says more."""
        return f"{self.title}. {self.description}" if self.says_more else self.title


def drawings(cache: Path) -> Iterator[Drawing]:
    """Every public-domain drawing with its SVG, in path order.

    Links to another drawing are left out, and so are drawings whose SVG states no licence, or another one (GPL).
    """
    png = fetch(OPENCLIPART_PNG, cache) / "usr/share/openclipart/png"
    svg = fetch(OPENCLIPART_SVG, cache) / "usr/share/openclipart/svg"
    for file in sorted(png.rglob("*.png")):
        path = file.relative_to(png)
        source = svg / path.with_suffix(".svg")
        if not file.is_symlink() and source.is_file():
            drawing = _read(file, str(path), source)
            if drawing is not None:
                yield drawing


def pairs(cache: Path) -> Iterator[Pair]:
    """The pool: PNG bytes as they are (some declare 600 megapixels), captions with all their dirt."""
    for drawing in drawings(cache):
        meta = {
            "source": "openclipart",
            "path": drawing.path,
            "licence": LICENCE,
            "title": drawing.title,
            "description": drawing.description,
            "keywords": list(drawing.keywords),
            "category": drawing.category,
            "lang": drawing.lang,
        }
        yield Pair(drawing.file.read_bytes(), "png", drawing.caption, meta)


def _read(file: Path, path: str, source: Path) -> Drawing | None:
    root = ET.parse(source).getroot()
    work = next((element for element in root.iter() if element.tag.endswith("}Work")), None)
    if work is None or not _public_domain(root):
        return None
    keywords = (_clean(item.text).replace("_", " ") for item in work.iter() if item.tag.endswith("}li"))
    kept = dict.fromkeys(word for word in keywords if word and not _NOT_A_KEYWORD.match(word))
    return Drawing(
        file,
        path,
        _clean(work.findtext(f"{_DC}title")),
        _clean(work.findtext(f"{_DC}description")),
        tuple(kept),
        _clean(work.findtext(f"{_DC}language")).lower(),
    )


def _public_domain(root: ET.Element) -> bool:
    stated = [value for element in root.iter() if element.tag.endswith("}license") for value in element.attrib.values()]
    names = [value.lower().replace(" ", "") for value in stated]
    return bool(names) and all("publicdomain" in name for name in names)


def _clean(text: str | None) -> str:
    return " ".join((text or "").split())
