"""Words of a caption that stand on a list of profanities, in 27 languages."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate.contracts import Batch, Signal
from curate.errors import MissingExtra, ModelError
from curate.models.specs import Resolved, current

LISTS: Final = Path(__file__).parent / "words" / "profanity.json"
"""The lists of LDNOOBW, CC-BY-4.0 (profanity.card.json): language code -> words, NFKC and case folded."""

_KATAKANA = re.compile("[\u30a1-\u30ff]")
_NO_SPACES = re.compile("[\u3040-\u30a0\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]")
_SOUTH_EAST = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]")
_HANGUL = re.compile("[\uac00-\ud7a3]")


class Profanity(Signal):
    """Listed words and phrases that stand in a caption as words (`class` holds no listed word), of every language.

    A word may be harmless in another language: each is stored with the language of its list, and the filter decides which
    lists count. No caption, no fact.
    """

    needs: ClassVar[tuple[str, ...]] = ("text",)
    cost: ClassVar[float] = 0.003

    words: str = Field(
        default="default", description="`default`, or the path of a JSON file: language -> list of words"
    )

    def gives(self) -> dict[str, pa.DataType]:
        """profanity: `en:bimbo,de:bimbo`, each once, in the caption's order; empty for none."""
        return {"profanity": pa.string()}

    def models(self) -> tuple[str, ...]:
        """The lists' file as a spec."""
        return (f"file:{lists(self.words)}",)

    def compute(self, batch: Batch) -> dict[str, Sequence[Any] | np.ndarray]:
        """Caption by caption, all lists at once."""
        texts: Sequence[str | None] = batch.columns["text"].tolist()
        automaton = _automaton(current(f"file:{lists(self.words)}"))
        return {"profanity": [None if text is None else ",".join(_found(text, automaton)) for text in texts]}


def lists(words: str = "default") -> Path:
    """The lists' file. Raises ModelError if there is none."""
    path = LISTS if words == "default" else Path(words)
    if not path.is_file():
        raise ModelError(f"there is no word list at {path}; give the path of a JSON file, or `default`")
    return path


def profanity(text: str, path: Path = LISTS) -> list[str]:
    """`language:word` for each listed word in the text, each once, in the text's order (Aho and Corasick 1975).

    Raises ModelError for a file that is no word list, and for lists without words or with an empty one.
    """
    return _found(text, _automaton(current(f"file:{path}")))


def _found(text: str, automaton: Any) -> list[str]:
    low = text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()
    found: dict[str, None] = {}
    for last, (length, names) in automaton.iter(low):
        start, end = last + 1 - length, last + 1
        if _is_word(low, start, end):
            found.update(dict.fromkeys(names))
    return list(found)


def _is_word(text: str, start: int, end: int) -> bool:
    """Neither of its ends goes on in the neighbouring character."""
    before, after = text[start - 1 : start], text[end : end + 1]
    short = end - start <= (3 if _SOUTH_EAST.match(text[start]) else 1)
    goes_on_left = _joined(before, text[start], short)
    return not goes_on_left and (_HANGUL.match(text[end - 1]) is not None or not _joined(after, text[end - 1], short))


def _joined(neighbour: str, edge: str, short: bool) -> bool:
    """Whether the neighbour belongs to the word that ends (or begins) with `edge`.

    Scripts without spaces show no words, except that a word in katakana ends with it; there, words of one character
    (three code points in South East Asia) count only where they stand alone. After a Korean word a particle may follow.
    """
    if not neighbour or not (neighbour.isalnum() or unicodedata.category(neighbour)[0] == "M"):
        return False
    if _KATAKANA.match(edge):
        return _KATAKANA.match(neighbour) is not None
    return short or _NO_SPACES.match(edge) is None


@lru_cache(maxsize=4)
def _automaton(file: Resolved) -> Any:
    """Made once per process and content of the file."""
    try:
        import ahocorasick
    except ImportError as error:
        raise MissingExtra("pyahocorasick", extra="text") from error
    named: dict[str, list[str]] = {}
    for language, word in _listed(file.path):
        named.setdefault(word, []).append(f"{language}:{word}")
    if not named or "" in named:
        raise ModelError(f"{file.path}: {'a word is empty' if named else 'there are no words in its lists'}")
    automaton = ahocorasick.Automaton()
    for word, names in named.items():
        automaton.add_word(word, (len(word), tuple(names)))
    automaton.make_automaton()
    return automaton


def _listed(path: Path) -> Iterator[tuple[str, str]]:
    """(language, word) of the file. Raises ModelError for a file of another form."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} is no JSON: {error}") from error
    if not isinstance(found, dict) or not all(isinstance(words, list) for words in found.values()):
        raise ModelError(f"{path}: a word list is an object, language -> list of words")
    for language, words in found.items():
        for word in words:
            yield language, " ".join(unicodedata.normalize("NFKC", str(word)).casefold().split())
