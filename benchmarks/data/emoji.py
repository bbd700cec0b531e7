"""Fluent emoji in 3D (npm, MIT), named by CLDR annotations (npm, Unicode-3.0) in many languages."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.data.packages import CLDR, FLUENT, fetch
from benchmarks.data.shards import Pair

LICENCE = "MIT (image), Unicode-3.0 (name)"
LANGUAGES = ("de", "fr", "es", "pt", "it", "pl", "tr", "ru", "uk", "zh", "ja", "ko", "ar", "hi")
_SKIN_TONES = range(0x1F3FB, 0x1F400)
_CODE_POINTS = re.compile(r"[0-9a-f]{4,5}([-_][0-9a-f]{4,5})*")
_VARIATION_SELECTOR = "\ufe0f"


@dataclass(frozen=True)
class Emoji:
    """One emoji, 256 x 256 px WebP with alpha; `names[lang]` is (name, keywords), English always among them."""

    file: Path
    character: str
    names: dict[str, tuple[str, tuple[str, ...]]]

    def caption(self, lang: str, keywords: int = 4) -> str:
        """Name and up to `keywords` keywords, in `lang`."""
        name, words = self.names[lang]
        return f"{name}: {', '.join(words[:keywords])}" if words else name


def emoji(cache: Path) -> Iterator[Emoji]:
    """Every emoji without a skin tone that CLDR names in English, in code point order."""
    images = fetch(FLUENT, cache) / "package/assets"
    annotations = fetch(CLDR, cache) / "package/annotations"
    tables = {lang: _table(annotations / lang / "annotations.json") for lang in ("en", *LANGUAGES)}
    for file in sorted(images.glob("*.webp")):
        if not _CODE_POINTS.fullmatch(file.stem):
            continue  # a second copy of some, with shorter code points
        character = _character(file.stem)
        if any(ord(part) in _SKIN_TONES for part in character):
            continue
        names = {lang: table[character] for lang, table in tables.items() if character in table}
        if "en" in names:
            yield Emoji(file, character, names)


def pairs(cache: Path) -> Iterator[Pair]:
    """The pool: about 60 % of the captions are English, the rest spread over LANGUAGES by a hash of the file's name."""
    for one in emoji(cache):
        draw = int.from_bytes(hashlib.sha256(one.file.stem.encode()).digest()[:4]) / 2**32
        others = sorted(one.names.keys() - {"en"})
        lang = others[int((draw - 0.6) / 0.4 * len(others))] if draw >= 0.6 and others else "en"
        meta = {
            "source": "fluent-emoji",
            "path": one.file.name,
            "licence": LICENCE,
            "title": one.names["en"][0],
            "lang": lang,
            "captions": {code: one.caption(code) for code in sorted(one.names)},
        }
        yield Pair(one.file.read_bytes(), "webp", one.caption(lang), meta)


def _character(stem: str) -> str:
    points = (chr(int(part, 16)) for part in stem.replace("_", "-").split("-"))
    return "".join(point for point in points if point != _VARIATION_SELECTOR)


def _table(file: Path) -> dict[str, tuple[str, tuple[str, ...]]]:
    rows = json.loads(file.read_text(encoding="utf-8"))["annotations"]["annotations"]
    return {
        character.replace(_VARIATION_SELECTOR, ""): (
            row["tts"][0],
            tuple(word for word in row.get("default", ()) if word != row["tts"][0]),
        )
        for character, row in rows.items()
        if row.get("tts")
    }
