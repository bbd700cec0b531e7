"""Trouble with captions, planted on purpose: the image stays clean, the caption gets exactly one fault."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from benchmarks.data.row import Row, draw, pick

_SPAM = (
    ("url", "See the full gallery at https://www.example.com/p/{n}?ref=img and share"),
    ("url", "www.example.org/free-pics/{n} more pictures like this one here"),
    ("filename", "IMG_{n}.JPG copy (2) DSC_{n}.jpeg final_v3.png"),
    ("filename", "images/cache/thumb_{n}_small.png 640x480 thumb_{n}.png"),
    ("boilerplate", "Click here to subscribe! Buy now with free shipping, only $9.99, order no. {n}"),
    ("boilerplate", "Image not available, click to enlarge, all rights reserved, page {n}"),
)
_MARKUP = (
    ("script", "<script>alert('{n}')</script> {caption}"),
    ("image with handler", '{caption} <img src=x onerror="alert({n})">'),
    ("tags and entities", "<b>{caption}</b>&nbsp;<br/><i>no.&nbsp;{n}</i>"),
)
_CONTROLS = ("\x00", "\x07", "\x1b[31m", "\u202e", "\x08\x08")


def empty_caption(row: Row) -> Row:
    """No caption, or white space only."""
    blank = pick(("", "", "   ", "\n\t"), row.name, "blank")
    return replace(row, caption=blank).spoiled("empty_caption", "white space" if blank else "0 characters")


def one_word_caption(row: Row) -> Row:
    """One word of the true caption, the longest."""
    word = max(row.caption.replace(",", " ").replace(".", " ").split(), key=len)
    return replace(row, caption=word).spoiled("one_word_caption", "1 word")


def spam_caption(row: Row) -> Row:
    """A URL, a file name or boilerplate in place of a caption."""
    kind, text = pick(_SPAM, row.name, "spam")
    return replace(row, caption=text.format(n=1000 + draw(row.name, "n") % 9000)).spoiled("spam_caption", kind)


def markup_caption(row: Row) -> Row:
    """HTML around the true caption, as a report page must never run it."""
    kind, text = pick(_MARKUP, row.name, "markup")
    caption = text.format(n=draw(row.name, "n") % 1000, caption=row.caption)
    return replace(row, caption=caption).spoiled("markup_caption", kind)


def control_characters(row: Row) -> Row:
    """Control and direction-changing characters inside the true caption."""
    mark = pick(_CONTROLS, row.name, "control")
    first, _, rest = row.caption.partition(" ")
    detail = " ".join(f"U+{ord(one):04X}" for one in dict.fromkeys(mark))
    return replace(row, caption=f"{first}{mark} {rest}{mark}").spoiled("control_characters", detail)


def mismatched(first: Row, second: Row) -> tuple[Row, Row]:
    """Both rows with the caption of the other."""
    detail = "caption of its mate"
    one = replace(first, caption=second.caption).spoiled("mismatched", detail, mate=f"mismatched/{second.name}")
    two = replace(second, caption=first.caption).spoiled("mismatched", detail, mate=f"mismatched/{first.name}")
    return one, two


CAPTION_FAULTS: dict[str, tuple[int, Callable[[Row], Row]]] = {
    "empty_caption": (12, empty_caption),
    "one_word_caption": (20, one_word_caption),
    "spam_caption": (24, spam_caption),
    "markup_caption": (12, markup_caption),
    "control_characters": (10, control_characters),
}
MISMATCHED = 48
NON_ENGLISH = 60
DUPLICATE_UIDS = 8
