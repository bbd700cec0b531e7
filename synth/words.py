"""Caption words that can be read in the image: their place is the box that OCR found them in."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from synth.boxes import Box
from synth.phrases import is_stop_word

Word = Mapping[str, Any]
"""One of `ocr_boxes`: text, box, score, line."""


class Run(NamedTuple):
    """Caption words `[start:end]` that stand in the image side by side in one line; score of that line, [0, 1]."""

    start: int
    end: int
    box: Box
    score: float


def words_in_image(caption: str, words: Sequence[Word]) -> list[Run]:
    """Runs in the caption's order, each as long as it can be. Case and punctuation do not count.

    A run begins and ends with a word that is no stop word ('of the' is in every text) and has one of three letters or
    more.
    """
    mine = [(match.start(), match.end(), match.group().casefold()) for match in _tokens(caption)]
    there = [(match.group().casefold(), word) for word in words for match in _tokens(str(word["text"]))]
    found, at = [], 0
    while at < len(mine):
        length, first = _longest([word for _, _, word in mine[at:]], there)
        run = list(zip(mine[at : at + length], there[first : first + length], strict=True))
        at += max(1, length)
        while run and is_stop_word(run[-1][0][2]):
            run.pop()
        while run and is_stop_word(run[0][0][2]):
            run.pop(0)
        if any(len(word) >= 3 for (_, _, word), _ in run):
            hits = [word for _, (_, word) in run]
            found.append(Run(run[0][0][0], run[-1][0][1], _around(hits), float(hits[0]["score"])))
    return found


def _tokens(text: str) -> list[re.Match[str]]:
    return list(re.finditer(r"[^\W_]+", text))


def _longest(wanted: Sequence[str], there: Sequence[tuple[str, Word]]) -> tuple[int, int]:
    """Length and place of the longest stretch of one line that `wanted` begins with; the first of equals."""
    best = (0, 0)
    for first in range(len(there)):
        length = 0
        for mine, (text, word) in zip(wanted, there[first:], strict=False):
            if mine != text or word["line"] != there[first][1]["line"]:
                break
            length += 1
        if length > best[0]:
            best = (length, first)
    return best


def _around(words: Sequence[Word]) -> Box:
    corners = np.array([word["box"] for word in words], np.float32)
    low, high = corners[:, :2].min(axis=0), corners[:, 2:].max(axis=0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])
