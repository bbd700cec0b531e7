"""Ratios of a paragraph or a document by which OBELICS decides (Laurençon et al. 2023, appendix A.2).

Words stand between spaces, tabs and line breaks, in lower case and without special characters at their ends. The lists
are the published ones (`words/obelics.card.json`); another list comes as a JSON file, an array of words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate.contracts import Batch, Signal
from curate.errors import ModelError
from curate.models.specs import Resolved, current
from stages.signals.ngrams import head_shares
from stages.signals.repetition import word_repetition
from stages.signals.text import code_points, without

LISTS: Final = Path(__file__).parent / "words" / "obelics.json"
END_OF_DOCUMENT: Final = "END_OF_DOCUMENT_TOKEN_TO_BE_REPLACED"
"""Stands in OBELICS' texts where a page said "read more": no paragraph, and no filter of paragraphs sees it."""
LONGEST: Final = 1 << 20
"""Characters of a text that are measured; OBELICS' documents have at most 2,000 words."""
RATIOS: Final = (
    "char_repetition",
    "word_repetition",
    "special",
    "stop_words",
    "flagged",
    "punctuation",
    "common",
    "spam",
)
_MARKS: Final = ",;:?!."
_TOKEN: Final = re.compile(r"[\w']+")
_SPACES: Final = dict.fromkeys(
    [0x84, 0xA0, 0x2002, 0x2003, 0x2005, 0x2008, 0x2009, 0x200A, 0x202F, 0x3000, 0xFFFC], " "
)
_ListName = Literal["stop_words", "flagged_words", "spam_words"]


class TextRatios(Signal):
    """What OBELICS measures of a text: words, repetition of 10 characters and 5 words, and shares of listed ones.

    The text is read as OBELICS reads it, kinds of spaces as one. `special`: characters that are punctuation, digits, white
    space, signs or emoji. `punctuation`: marks among marks and words; 1 for a text of fewer than `punctuation_from` of
    both. `common`: null without a list of common words. An END_OF_DOCUMENT token has no ratios: null.
    """

    cost: ClassVar[float] = 0.1

    column: str = Field(default="text", description="the text's column; facts are named after it: text_words, …")
    punctuation_from: int = Field(default=12, ge=0, description="OBELICS: 12 for a paragraph, 0 for a document")
    stop_words: str = Field(default="default", description="`default`: OBELICS' English ones, or a JSON array of words")
    flagged_words: str = Field(default="default", description="`default`: OBELICS' English ones, or a JSON array")
    common_words: str | None = Field(default=None, description="JSON array of words; OBELICS' own is not published")

    def inputs(self) -> tuple[str, ...]:
        """The text."""
        return (self.column,)

    def gives(self) -> dict[str, pa.DataType]:
        """COLUMN_words: a count; the rest, named after `RATIOS`, shares from 0 to 1. No text, no fact."""
        return {f"{self.column}_words": pa.int32(), **{f"{self.column}_{name}": pa.float64() for name in RATIOS}}

    def models(self) -> tuple[str, ...]:
        """Files of the lists."""
        given = (self.stop_words, self.flagged_words, self.common_words or "default")
        return tuple(sorted({f"file:{LISTS}"} | {f"file:{path}" for path in given if path != "default"}))

    def compute(self, batch: Batch) -> dict[str, Sequence[Any] | np.ndarray]:
        """Character ratios for many texts at once, word ratios text by text."""
        texts: Sequence[str | None] = batch.columns[self.column].tolist()
        rows = [i for i, text in enumerate(texts) if text is not None and text != END_OF_DOCUMENT]
        lists = self._lists()
        counts: list[int | None] = [None] * len(texts)
        found = np.full((len(RATIOS), len(texts)), np.nan)
        for some, read in _slices(rows, texts):
            found[0, some], found[2, some] = head_shares(read, 10), special_shares(read)
            for i, text in zip(some, read, strict=True):
                listed = words(text)
                counts[i] = len(listed)
                found[1, i] = word_repetition(listed, 5)
                found[5, i] = punctuation(text, self.punctuation_from)
                for ratio, words_of in lists.items():
                    found[RATIOS.index(ratio), i] = share(listed, words_of)
        return dict(zip(self.gives(), (counts, *(without(values, np.isnan(values)) for values in found)), strict=True))

    def _lists(self) -> dict[str, frozenset[str]]:
        """Words by the ratio that counts them."""
        lists = {
            "stop_words": word_list(self.stop_words, "stop_words"),
            "flagged": word_list(self.flagged_words, "flagged_words"),
            "spam": word_list("default", "spam_words"),
        }
        return lists if self.common_words is None else {**lists, "common": word_list(self.common_words)}


def standard_spaces(text: str) -> str:
    """Each of the other kinds of spaces that OBELICS knows becomes a space; tabs and line breaks stay."""
    return text if text.isascii() else text.translate(_SPACES)


def words(text: str) -> list[str]:
    """Words in lower case, without special characters at either end; what consists of these alone is no word."""
    return _word().findall(text.lower())


def special_shares(texts: Sequence[str]) -> np.ndarray:
    """float64 (n,): share of each text's characters that are special; of an empty text 0."""
    flags = np.concatenate([[0], np.cumsum(_special()[code_points(texts)], dtype=np.int64)])
    sizes = np.fromiter(map(len, texts), np.int64, len(texts))
    ends = np.cumsum(sizes)
    return (flags[ends] - flags[ends - sizes]) / np.maximum(sizes, 1)


def punctuation(text: str, least: int = 0) -> float:
    """Share of `,;:?!.` among these marks and the runs of word characters; 0 for none, 1 for fewer than `least`."""
    marks = sum(map(text.count, _MARKS))
    tokens = marks + len(_TOKEN.findall(text))
    if 0 < tokens < least:
        return 1.0
    return marks / tokens if tokens else 0.0


def share(found: Sequence[str], listed: Collection[str]) -> float:
    """Share of the words that are on a list, 0 without words."""
    return len([word for word in found if word in listed]) / len(found) if found else 0.0


def word_list(path: str, name: _ListName = "stop_words") -> frozenset[str]:
    """A list of words, from a JSON array; `default` is OBELICS' own of that name. Raises ModelError."""
    if path == "default":
        return frozenset(_embedded()[name])
    if not Path(path).is_file():
        raise ModelError(f"there is no word list at {path}; give the path of a JSON array of words")
    return _read(current(f"file:{path}"))


def _slices(rows: Sequence[int], texts: Sequence[str | None]) -> Iterator[tuple[list[int], list[str]]]:
    """Rows and their texts as they are read, at most about `LONGEST` characters at a time."""
    some: list[int] = []
    read: list[str] = []
    room = LONGEST
    for row in rows:
        text = standard_spaces((texts[row] or "")[:LONGEST])
        if read and len(text) > room:
            yield some, read
            some, read, room = [], [], LONGEST
        some.append(row)
        read.append(text)
        room -= len(text)
    if read:
        yield some, read


@lru_cache(maxsize=8)
def _read(file: Resolved) -> frozenset[str]:
    """Once per process and content of the file."""
    try:
        found = json.loads(file.path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{file.path} is no JSON: {error}") from error
    if not isinstance(found, list) or not all(isinstance(word, str) for word in found):
        raise ModelError(f"{file.path}: a word list is a JSON array of words")
    return frozenset(found)


@cache
def _embedded() -> dict[str, Any]:
    lists: dict[str, Any] = json.loads(LISTS.read_text(encoding="utf-8"))
    return {name: _ranges(value) if isinstance(value, str) else frozenset(value) for name, value in lists.items()}


def _ranges(text: str) -> list[tuple[int, int]]:
    """`9-D 20` -> [(9, 13), (32, 32)]."""
    ends = (entry.partition("-") for entry in text.split())
    return [(int(first, 16), int(last or first, 16)) for first, _, last in ends]


@cache
def _special() -> np.ndarray:
    """bool (0x110000,): the special characters, emoji among them."""
    table = np.zeros(0x110000, bool)
    for first, last in (*_embedded()["special"], *_embedded()["emoji"]):
        table[first : last + 1] = True
    return table


@cache
def _word() -> re.Pattern[str]:
    """From the first character between white space that is not special to the last."""
    edges = np.flatnonzero(np.diff(_special(), prepend=False, append=False)).reshape(-1, 2)
    ranges = "".join(f"{re.escape(chr(first))}-{re.escape(chr(end - 1))}" for first, end in edges.tolist())
    return re.compile(rf"[^{ranges}](?:[^ \n\t]*[^{ranges}])?")
