"""Tux Paint stamps (Debian): photos and drawings, captioned in up to 77 languages. GPL-2: use, never embed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.data.packages import TUXPAINT, fetch
from benchmarks.data.shards import Pair

LICENCE = "GPL-2.0"


def pairs(cache: Path) -> Iterator[Pair]:
    """The pool: each PNG that has a text file, captioned by its English first line; `captions` holds the others.

    Stamps that exist as SVG only are left out (nothing here rasterises).
    """
    stamps = fetch(TUXPAINT, cache) / "usr/share/tuxpaint/stamps"
    for file in sorted(stamps.rglob("*.png")):
        text = file.with_suffix(".txt")
        if file.is_symlink() or not text.is_file():
            continue
        english, captions = _captions(text)
        path = str(file.relative_to(stamps))
        meta = {
            "source": "tuxpaint-stamps",
            "path": path,
            "licence": LICENCE,
            "category": path.split("/", 1)[0],
            "lang": "en",
            "captions": captions,
        }
        yield Pair(file.read_bytes(), "png", english, meta)


def _captions(text: Path) -> tuple[str, dict[str, str]]:
    """English, and {language code: caption} for lines such as `de.utf8=Ein Apfel.`"""
    lines = text.read_text(encoding="utf-8", errors="replace").splitlines()
    translations: dict[str, str] = {}
    for line in lines[1:]:
        code, found, caption = line.partition(".utf8=")
        if found and caption.strip():
            translations[code] = caption.strip()
    return (lines[0].strip() if lines else ""), translations
