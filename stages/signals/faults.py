"""What shows that nobody wrote a caption as one: addresses, file names, markup, control characters, shops' phrases."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import accumulate
from typing import Final, Literal, get_args

import numpy as np

Fault = Literal["address", "filename", "markup", "control", "boilerplate"]
FAULTS: Final[tuple[Fault, ...]] = get_args(Fault)

_ADDRESS = re.compile(r"https?://|\bwww\.[a-z0-9]")
_IMAGE_FILE = re.compile(r"(?<![^\s/\\])[^\s/\\]*[\w)-]\.(?:jpe?g|png|gif|webp|bmp|tiff?|svg|heic|psd|cr2|nef)\b")
_CAMERA_NUMBER = re.compile(r"\s*(?:img|dscn?|dscf|dsc|pict|pxl|mvi|p|image|photo|screenshot)[ _-]?\d{3}[\w-]*\s*\Z")
_MARKUP = re.compile(
    r"</?[a-z][a-z0-9]*(?:\s[^<>]*)?/?>|<!--|&(?:[a-z]{2,8}|#\d{1,7}|#x[0-9a-f]{1,6});|\[/?(?:url|img)[=\]]|\[/[bi]\]"
)
# C0 and C1 controls except tab and line breaks, bidirectional overrides, the replacement character, private use (icon
# fonts). Joiners and variation selectors are legitimate: emoji and Indic scripts need them.
_CONTROLS: Final = (
    ("\x00", "\x08"),
    ("\x0b", "\x0c"),
    ("\x0e", "\x1f"),
    ("\x7f", "\x9f"),
    ("\u202a", "\u202e"),
    ("\u2066", "\u2069"),
    ("\ue000", "\uf8ff"),
    ("\ufffd", "\ufffd"),
)
_CONTROL = re.compile(f"[{''.join(f'{first}-{last}' for first, last in _CONTROLS)}]")
_BOILERPLATE = re.compile(
    r"\b(?:click (?:here|to (?:enlarge|zoom|view|expand)|for (?:details|more|larger))|add to (?:cart|basket)"
    r"|(?:buy|order|shop|subscribe) now|free (?:shipping|delivery|download)|all rights reserved"
    r"|(?:no )?image (?:not|un)[ -]?available|no (?:image|photo|preview) available|image coming soon)\b"
)
_HINTS = ("click", "add to", " now", "free ", "all rights", "available", "coming soon")
"""One of these stands in every phrase of `_BOILERPLATE`: looking for them first is ten times faster."""


def faults(text: str) -> list[Fault]:
    """The faults of a caption, in the order of `FAULTS`."""
    low = text.lower()
    found: list[Fault] = []
    if ("://" in low or "www." in low) and _ADDRESS.search(low):
        found.append("address")
    if ("." in low and _named_by_files(low)) or _CAMERA_NUMBER.match(low):
        found.append("filename")
    if ("<" in low or "&" in low or "[" in low) and _MARKUP.search(low):
        found.append("markup")
    if (not low.isprintable() or "\ufffd" in low) and _CONTROL.search(low):
        found.append("control")
    if any(hint in low for hint in _HINTS) and _BOILERPLATE.search(low):
        found.append("boilerplate")
    return found


def suspects(captions: Sequence[str], points: np.ndarray, begins: np.ndarray) -> list[int]:
    """Numbers of the captions in which `faults` may find something, ascending: all in which it does, and few others.

    Args:
        captions: the captions.
        points: uint32 (m,), their code points, one caption after the other.
        begins: int64 (n,), where each begins.
    """
    mark = _marks()[points]
    follows = np.append(mark[1:], 0)  # by what, in the same caption
    follows[begins[begins > 0] - 1] = 0
    hit = mark >= ALWAYS
    hit |= (mark == DOT) & ((follows == LETTER) | (follows == DIGIT))
    hit |= (mark == COLON) & (follows == SLASH)
    pair = (mark == DIGIT) & (follows == DIGIT)
    hit[:-1] |= pair[:-1] & pair[1:]
    owners = np.searchsorted(begins, np.flatnonzero(hit), side="right") - 1
    return sorted({*owners.tolist(), *_hinted(captions)})


def _hinted(captions: Sequence[str]) -> Iterator[int]:
    """Captions with a hint of boilerplate: one search through all of them for each."""
    low = [caption.lower() for caption in captions]
    ends = list(accumulate(len(caption) + 1 for caption in low))
    joined = "\n".join(low)
    for hint in _HINTS:
        at = joined.find(hint)
        while at >= 0:
            yield bisect_right(ends, at)
            at = joined.find(hint, at + 1)


LETTER, DIGIT, DOT, COLON, SLASH, ALWAYS = 1, 2, 3, 4, 5, 6


@cache
def _marks() -> np.ndarray:
    """uint8 (0x110000,): what a code point may be a part of; `ALWAYS`: the caption has to be looked at."""
    every = np.arange(0x40000, dtype=np.uint32).view("U1")  # no letter or digit beyond
    table = np.zeros(0x110000, np.uint8)
    table[: len(every)] = np.where(np.strings.isdecimal(every), DIGIT, np.strings.isalnum(every))
    for character, mark in ((".", DOT), (":", COLON), ("/", SLASH)):
        table[ord(character)] = mark
    for first, last in _CONTROLS:
        table[ord(first) : ord(last) + 1] = ALWAYS
    for character in "<&[":
        table[ord(character)] = ALWAYS
    return table


def _named_by_files(low: str) -> bool:
    """Half of the words or more name image files: `img_1.jpg copy (2) dsc_2.jpeg`, not `how to draw a logo.svg`."""
    return 2 * len(_IMAGE_FILE.findall(low)) >= max(1, len(low.split()))
