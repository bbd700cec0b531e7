"""Which of many thousand entries occur in a text, three ways: MetaCLIP's rule, MetaCLIP 2's rule, and by Unicode words.

Entries that are bounded by what separates words are sequences of tokens, so that a text is looked up token by token in
one table, whatever the number of entries. Those that may begin or end inside a run of characters (Chinese, Thai) take
an Aho-Corasick automaton. All give entry numbers, ascending and distinct.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import groupby
from string import punctuation
from typing import Any, Final, Literal, Protocol

from curate.errors import MissingExtra

Mode = Literal["unicode", "v1", "v2"]

_SPACED: Final = str.maketrans({**{mark: f" {mark} " for mark in ",.;:?!`"}, "\t": " ", "\n": " ", "\r": " "})
_ALIKE: Final = str.maketrans("‘’ʼ‐‑–—\u200b", "'''---- ", "\u00ad\u200c\u200d\u200e\u200f\u2060\ufeff")
"""One kind of apostrophe, dash and space; soft hyphens, joiners and marks of direction are nothing."""
_UNSPACED_V2: Final = (
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2EBEF), (0xF900, 0xFAFF), (0x2E80, 0x2FDF),
    (0x2FF0, 0x2FFF), (0x0E00, 0x0EFF), (0x0F00, 0x0FFF), (0x1000, 0x109F), (0x1780, 0x17FF),
)  # fmt: skip
"""First and last code point of Han and its radicals, Thai and Lao, Tibetan, Burmese, Khmer."""
_PUNCTUATION_V2: Final = frozenset(punctuation + "，。、；：？！“”‘’（）【】《》〈〉「」『』～—")
_UNSPACED: Final = "".join(f"{chr(first)}-{chr(last)}" for first, last in (*_UNSPACED_V2, (0x3040, 0x30FF)))
"""For words: as above, and the Japanese syllabaries."""
_ASCII_TOKEN: Final = re.compile(r"[^\W_]+|\S")


class Matcher(Protocol):
    """Finds entries in a text."""

    def match(self, text: str) -> list[int]:
        """Numbers of the entries that occur, ascending, each once."""
        ...


def spaced(text: str) -> str:
    """The text as MetaCLIP compares it (Xu et al. 2023): a space at both ends and around each of , . ; : ? ! and `,
    spaces for tabs and line breaks. Nothing is collapsed, so that 'dog.' becomes ' dog .  '."""
    return f" {text} ".translate(_SPACED)


def words(text: str) -> list[str]:
    """Tokens of the normalised text (NFKC, casefolded, one kind of apostrophe and of dash).

    A run of letters, digits and their marks is a token; in scripts that put no spaces between words each character with
    its marks is one; so is every other character. White space separates and is gone.
    """
    if text.isascii():
        return _ASCII_TOKEN.findall(text.lower())
    folded = unicodedata.normalize("NFKC", text.translate(_ALIKE)).casefold()
    return _token().findall(unicodedata.normalize("NFKC", folded))


def matcher(entries: Sequence[str], mode: Mode) -> Matcher:
    """The matcher of a mode. `v1` and `v2` follow MetaCLIP and MetaCLIP 2; `unicode` compares `words`."""
    if mode == "v2":
        return SubstringMatcher(entries)
    return TokenMatcher(entries, words if mode == "unicode" else _between_spaces)


class TokenMatcher:
    """Entries as runs of tokens: a table of all entries and of how they begin, so that a search ends at the first
    token with which no entry goes on. Of entries with equal tokens the first stands for all; one without tokens never
    occurs."""

    def __init__(self, entries: Sequence[str], split: Callable[[str], list[str]]) -> None:
        """`split` turns entries (in `v1` first padded like a text) and texts into tokens without spaces in them."""
        self._split = split
        self._table: dict[str, int] = {}
        for number, entry in enumerate(entries):
            tokens = entry.split(" ") if split is _between_spaces else split(entry)
            key = ""
            for place, token in enumerate(tokens):
                key = f"{key} {token}" if place else token
                self._table.setdefault(key, -1)
            if tokens and self._table[key] < 0:
                self._table[key] = number

    def match(self, text: str) -> list[int]:
        """Numbers of the entries that occur, ascending, each once."""
        tokens, table, found = self._split(text), self._table, set()
        for start, first in enumerate(tokens):
            number, key, end = table.get(first), first, start + 1
            while number is not None:
                if number >= 0:
                    found.add(number)
                if end == len(tokens):
                    break
                key = f"{key} {tokens[end]}"
                number = table.get(key)
                end += 1
        return sorted(found)


class SubstringMatcher:
    """MetaCLIP 2's rule (Chuang et al. 2025): all occurrences in the `spaced` text of entries that are padded with a
    space only where they do not begin, or end, with punctuation or in a script without spaces between words."""

    def __init__(self, entries: Sequence[str]) -> None:
        """Builds the automaton of entries that are not empty. Raises MissingExtra without pyahocorasick."""
        try:
            import ahocorasick
        except ImportError as error:
            raise MissingExtra("pyahocorasick", extra="text") from error
        self._automaton: Any = ahocorasick.Automaton()
        for number, entry in enumerate(entries):
            before, after = ("" if _open_v2(end) else " " for end in (entry[0], entry[-1]))
            self._automaton.add_word(f"{before}{entry}{after}", number)
        self._automaton.make_automaton()

    def match(self, text: str) -> list[int]:
        """Numbers of the entries that occur, ascending, each once."""
        if not len(self._automaton):
            return []
        return sorted({number for _, number in self._automaton.iter(spaced(text))})


def _between_spaces(text: str) -> list[str]:
    """What lies between the single spaces of the `spaced` text. ' entry ' is in it exactly if `entry.split(" ")` is a
    run of these, empty tokens (of double spaces) included."""
    return spaced(text).split(" ")[1:-1]


def _open_v2(character: str) -> bool:
    point = ord(character)
    return character in _PUNCTUATION_V2 or any(first <= point <= last for first, last in _UNSPACED_V2)


@cache
def _token() -> re.Pattern[str]:
    marks = _ranges(point for point in range(sys.maxunicode + 1) if unicodedata.category(chr(point))[0] == "M")
    return re.compile(rf"[{_UNSPACED}][{marks}]*|(?:[^\W_{_UNSPACED}]+|[{marks}]+)+|\S")


def _ranges(points: Iterable[int]) -> str:
    """Code points as ranges of a character class."""
    runs = (list(run) for _, run in groupby(enumerate(points), lambda pair: pair[1] - pair[0]))
    return "".join(f"\\U{run[0][1]:08x}-\\U{run[-1][1]:08x}" for run in runs)
