"""Rows of the embedded sample as the sources give them: clean ones, and ones that are dirty by nature."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from PIL import Image

from benchmarks.data import emoji, openclipart, photos
from benchmarks.data.measures import Look, look, on_white
from benchmarks.data.openclipart import Drawing
from benchmarks.data.packages import WORDS, fetch
from benchmarks.data.row import Row, draw, encode, has_alpha, pick, shrink

MIN_SIDE, MAX_ASPECT, MIN_WORDS = 200, 3.0, 3
MIN_ENTROPY, MIN_SPREAD, MIN_SHARPNESS = 1.0, 20.0, 100.0
MIN_DISTANCE = 9  # perceptual hashes of two clean rows differ in more than 8 of 64 bits
MAX_DRIFT = 4  # bits that a copy of a clean row may differ in
MAX_PIXELS = 30_000_000  # larger drawings need gigabytes to decode; they are in the full pool
_WORD = re.compile(r"[^\W\d_]+")
_UNWANTED = re.compile(r"clip ?art|erot|sex|nude|naked|stripper|babe\b|pantyhose|nazi|swastika|hitler", re.I)


class Stock:
    """Accepts rows that look like no row accepted before, so that the only duplicates are the planted ones."""

    def __init__(self) -> None:
        self._looks: list[Look] = []
        self._captions: set[str] = set()

    def accept(self, row: Row, new_caption: bool = True) -> bool:
        """Whether `row` is new in image and, if asked, in caption; if so, later rows must differ from it."""
        caption, seen = row.caption.lower(), row.look
        if seen is None or (new_caption and caption in self._captions):
            return False
        if any(seen.distance(old) < MIN_DISTANCE for old in self._looks):
            return False
        self._looks.append(seen)
        self._captions.add(caption)
        return True


def english(cache: Path) -> frozenset[str]:
    """Lower-case English words of the Debian word list: the independent test of an English caption."""
    lines = (fetch(WORDS, cache) / "usr/share/dict/american-english").read_text(encoding="utf-8").split()
    return frozenset(word.lower().removesuffix("'s") for word in lines)


def is_english(text: str, dictionary: frozenset[str], least: float = 0.75) -> bool:
    """Whether at least `least` of the words of `text` are in the dictionary, and there are words."""
    words = [word.lower() for word in _WORD.findall(text)]
    return bool(words) and sum(word in dictionary for word in words) >= least * len(words)


def is_clean(row: Row, dictionary: frozenset[str]) -> bool:
    """The rules that every clean row keeps: size, shape, sharpness, content, caption length and language."""
    seen = row.look
    return (
        seen is not None
        and min(seen.width, seen.height) >= MIN_SIDE
        and seen.aspect <= MAX_ASPECT
        and seen.entropy >= MIN_ENTROPY
        and seen.spread >= MIN_SPREAD
        and seen.sharpness >= MIN_SHARPNESS
        and len(row.caption.split()) >= MIN_WORDS
        and is_english(row.caption, dictionary)
    )


def has_stable_hash(row: Row) -> bool:
    """Whether the hash outlives enlarging and JPEG: that of plain stripes, as in flags, is noise and tells nothing."""
    image = on_white(row.decoded())
    for factor in (1, 1.08, 1.15):
        size = (round(image.width * factor), round(image.height * factor))
        again = look(encode(image.resize(size, Image.Resampling.BICUBIC), "jpg", 50))
        if row.look is None or again.distance(row.look) > MAX_DRIFT:
            return False
    return True


def drawing_row(drawing: Drawing, caption: str, original: bool = False) -> Row:
    """A row of `drawing`, scaled down and encoded as a hash of its path says, or byte for byte."""
    if original:
        data, extension = drawing.file.read_bytes(), "png"
    else:
        data, extension = _drawn(drawing)
    return Row(
        f"openclipart/{drawing.path}",
        data,
        extension,
        caption,
        "openclipart",
        drawing.path,
        openclipart.LICENCE,
        look(data),
        meta={"title": drawing.title},
    )


def _drawn(drawing: Drawing) -> tuple[bytes, str]:
    with Image.open(drawing.file) as image:
        small_already = max(image.size) <= 480 and drawing.file.stat().st_size <= 7_000
        if small_already:
            return drawing.file.read_bytes(), "png"
        image.load()
        scaled = shrink(image, pick((208, 224, 224, 256, 256, 352), drawing.path, "size"))
    extension = pick(("png", "jpg", "jpg", "webp"), drawing.path, "format")
    quality = pick((55, 65, 75, 75), drawing.path, "quality")
    return encode(scaled, extension, quality, progressive=quality == 65), extension


def large_row(drawing: Drawing, caption: str, longest: int) -> Row:
    """A row of `drawing` as a JPEG of at most `longest` px, for readers that decode at reduced scale."""
    with Image.open(drawing.file) as image:
        image.load()
        data = encode(shrink(image, longest), "jpg", 50)
    return replace(drawing_row(drawing, caption), image=data, extension="jpg", look=look(data))


def phrase(drawing: Drawing, dictionary: frozenset[str]) -> str:
    """An English phrase of what the source says: title with description, or with keywords or folder."""
    title = drawing.title.replace("_", " ")
    if drawing.says_more:
        kind = pick(("A drawing of", "A clip art picture of", "This is a picture of"), drawing.path, "kind")
        return f"{kind} {title}. {drawing.description}"
    words = [word for word in drawing.keywords if word.lower() not in title.lower() and is_english(word, dictionary, 1)]
    tags = _listed(words[:4] or [drawing.category.replace("_", " ")])
    forms = (
        f"A clip art picture of {title}, tagged with {tags}",
        f"{title}: clip art picture about {tags}",
        f"Drawing of {title} in the clip art collection on {tags}",
    )
    return pick(forms, drawing.path, "phrase")


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def titled(everything: list[Drawing], dictionary: frozenset[str]) -> list[Drawing]:
    """Drawings with an English title of their own (at most three share it) and fit for any reader, in hashed order."""
    titles = Counter(drawing.title for drawing in everything)
    kept = (one for one in everything if titles[one.title] <= 3 and is_english(one.title, dictionary))
    return sorted((one for one in kept if fit_to_show(one)), key=lambda one: draw(one.path))


def fit_to_show(drawing: Drawing) -> bool:
    """Whether what the source says holds no word that a sample for everybody should not, and no boilerplate."""
    said = (drawing.title, drawing.description, *drawing.keywords, drawing.path)
    return not _UNWANTED.search(" ".join(said))


def workable(drawing: Drawing) -> bool:
    """Whether the drawing is large enough to be clean, and small enough to be decoded in little memory."""
    width, height = drawing.size
    return width * height <= MAX_PIXELS and min(width, height) >= MIN_SIDE


def emoji_row(one: emoji.Emoji, lang: str = "en") -> Row:
    """A row of an emoji: the package's own WebP, or a palette PNG or JPEG by a hash of its name."""
    data, extension = one.file.read_bytes(), pick(("webp", "webp", "png", "jpg"), one.file.name, "format")
    if extension != "webp":
        with Image.open(one.file) as image:
            data = encode(image.convert("RGBA"), extension, 70)
    name, words = one.names["en"]
    words = tuple(word for word in words if word.replace(" ", "").isalpha())
    caption = one.caption(lang, keywords=8)
    if lang == "en":
        meaning = f", with the meaning of {_listed(list(words[:3]))}" if words else ""
        caption = f"A picture of the emoji {name} in 3D{meaning}"
    meta = {"title": name}
    return Row(
        f"emoji/{lang}/{one.file.name}",
        data,
        extension,
        caption,
        "fluent-emoji",
        one.file.name,
        emoji.LICENCE,
        look(data),
        meta=meta,
    )


def photo_row(photo: photos.Photo) -> Row:
    """A row of a photograph or region: JPEG of at most 448 px, at full size for the two largest files."""
    with Image.open(photo.file) as image:
        cut = image if photo.region == photos.WHOLE else image.crop(photo.region)
        if has_alpha(cut):
            cut = cut.convert("RGBA")
        whole_large = photo.region == photos.WHOLE and max(image.size) >= 1000
        data = encode(cut if whole_large else shrink(cut, 448), "jpg", 65 if whole_large else 75)
    where = "" if photo.region == photos.WHOLE else "#" + ",".join(map(str, photo.region))
    path = photo.file.name + where
    return Row(f"photo/{path}", data, "jpg", photo.caption, "scikit-image", path, photo.licence, look(data))


def dirty(everything: list[Drawing], dictionary: frozenset[str]) -> Iterator[tuple[str, Drawing]]:
    """Drawings whose own title breaks a rule, with the name of the first that it breaks, in hashed order."""
    titles = Counter(drawing.title for drawing in everything)
    for drawing in sorted(everything, key=lambda one: draw(one.path, "dirty")):
        fault = title_fault(drawing.title, titles[drawing.title], dictionary)
        if fault and fit_to_show(drawing) and min(drawing.size) >= 40 and drawing.file.stat().st_size <= 40_000:
            yield fault, drawing


def dirty_row(drawing: Drawing, fault: str) -> Row:
    """A row of `drawing` captioned by its title alone, labelled as dirty by nature."""
    side = min(drawing.size)
    row = drawing_row(drawing, drawing.title, original=side < MIN_SIDE)
    return row.spoiled(f"real:{fault}", f"{side} px on the shorter side in the source")


def title_fault(title: str, copies: int, dictionary: frozenset[str]) -> str:
    """`repeated_title` (ten drawings or more), `short_title` (1 or 2 words), `unknown_words` (most), or ''."""
    if not title:
        return ""
    if copies >= 10:
        return "repeated_title"
    if len(title.split()) < MIN_WORDS:
        return "short_title"
    return "" if is_english(title, dictionary, least=0.5) else "unknown_words"
