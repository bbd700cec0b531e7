"""What things a caption names: its words as synsets of WordNet 3.0 (Miller 1995), of a list such as ImageNet-21k's."""

from __future__ import annotations

import lzma
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate.contracts import Batch, Signal
from curate.errors import ModelError

Mode = Literal["nouns", "datacomp"]

LISTS: Final = Path(__file__).parent / "lists"
LEXICON: Final = LISTS / "lexicon.txt.xz"
"""The first synset of each of WordNet's 155,287 lemmas, and irregular forms (Princeton University; its licence lies
beside it). `benchmarks/data/wordnet.py` makes it."""
IMAGENET_21K: Final = LISTS / "imagenet21k.txt.xz"
"""21,843 noun synsets: the list that DataComp pins, as timm carries it."""

_REMEMBERED: Final = 1 << 20
"""Distinct words whose answer is kept in memory."""
_WORD: Final = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_ENDINGS: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "n": (
        *(("s", ""), ("ses", "s"), ("ves", "f"), ("xes", "x"), ("zes", "z")),
        *(("ches", "ch"), ("shes", "sh"), ("men", "man"), ("ies", "y")),
    ),
    "v": (
        *(("s", ""), ("ies", "y"), ("es", "e"), ("es", "")),
        *(("ed", "e"), ("ed", ""), ("ing", "e"), ("ing", "")),
    ),
    "a": (("er", ""), ("est", ""), ("er", "e"), ("est", "e")),
    "r": (),
}
"""Rules of detachment, morphy(7WN), as NLTK has and orders them."""
_GRAMMAR: Final = """a about above after against all am an and any are as at be been before being below between both but by
    can could did do does doing down during each for from further had has have having he her here hers him his how i if in
    into is it its itself may me might mine must my myself no nor not of off on onto or our ours out over own same shall she
    should so some such than that the their theirs them then there these they this those through to too under until up upon
    us very was we were what when where which while who whom whose why will with would you your yours"""
_FUNCTION_WORDS: Final = frozenset(_GRAMMAR.split())
"""In English each is far more often grammar than the noun it is spelt like (a can, helium, indium, the Sami)."""


class Entities(Signal):
    """Synsets of a list that the caption's words name (Gadre et al. 2023, text-based filtering).

    A word names the first, most frequent synset of its base form. `datacomp` does what the original does: words are what
    white space separates, with their punctuation; the first synset may be a verb's or an adjective's, whose number
    is then taken for a noun's. `nouns` mends that: words without punctuation, nouns only, no function words.
    """

    needs: ClassVar[tuple[str, ...]] = ("text",)
    cost: ClassVar[float] = 0.01

    synsets: str = Field(
        default="imagenet21k", description="`imagenet21k`, or a file with one noun synset per line (n02084071)"
    )
    mode: Mode = "nouns"

    def gives(self) -> dict[str, pa.DataType]:
        """entities: numbers of synsets (2084071) in order of appearance, each once; entity_count: how many."""
        return {"entities": pa.list_(pa.int32()), "entity_count": pa.int32()}

    def models(self) -> tuple[str, ...]:
        """The lexicon and the list as specs."""
        return (f"file:{LEXICON}", f"file:{list_file(self.synsets)}")

    def compute(self, batch: Batch) -> dict[str, Sequence[Any] | np.ndarray]:
        """No caption, no fact. Raises ModelError for a list that cannot be read."""
        listed = list_file(self.synsets)
        named = _named(listed, listed.stat().st_mtime_ns, self.mode).__getitem__
        words = str.split if self.mode == "datacomp" else _WORD.findall
        found = [
            None if text is None else list(dict.fromkeys(filter(None, map(named, words(text)))))
            for text in batch.columns["text"].tolist()
        ]
        return {"entities": found, "entity_count": [None if hits is None else len(hits) for hits in found]}


@dataclass(frozen=True)
class Lexicon:
    """First synsets: `lemmas` and `irregular` forms by part of speech (n, v, a, r), word -> number."""

    lemmas: Mapping[str, Mapping[str, int]]
    irregular: Mapping[str, Mapping[str, int]]

    def first(self, word: str, parts: str = "nvar") -> tuple[str, int] | None:
        """Part of speech and number of the word's first synset, as `wordnet.synsets(word)[0]` of NLTK 3.10 gives it.

        A part of speech comes before the next; in it the word itself, then its irregular base form, or else
        what a rule of detachment leaves. None for a word that WordNet lacks.
        """
        word = word.lower()
        for part in parts:
            number = self._base(word, part)
            if number:
                return part, number
        return None

    def _base(self, word: str, part: str) -> int:
        lemmas, irregular = self.lemmas[part], self.irregular[part]
        if word in lemmas:
            return lemmas[word]
        if word in irregular:
            return irregular[word]
        bases = (word[: -len(old)] + new for old, new in _ENDINGS[part] if word.endswith(old))
        return next((lemmas[base] for base in bases if base in lemmas), 0)


@cache
def lexicon() -> Lexicon:
    """The embedded lexicon; the first call takes a quarter of a second."""
    lemmas: dict[str, dict[str, int]] = {part: {} for part in "nvar"}
    irregular: dict[str, dict[str, int]] = {part: {} for part in "nvar"}
    for line in lzma.decompress(LEXICON.read_bytes()).decode("ascii").splitlines():
        words, _, forms = line.partition(" | ")
        synset, *of_it = words.split(" ")
        number = int(synset[1:])
        lemmas[synset[0]].update(dict.fromkeys(of_it, number))
        if forms:
            irregular[synset[0]].update(dict.fromkeys(forms.split(" "), number))
    return Lexicon(lemmas, irregular)


def list_file(synsets: str) -> Path:
    """The file of a list by its name or path. Raises ModelError where there is none."""
    path = IMAGENET_21K if synsets == "imagenet21k" else Path(synsets)
    if not path.is_file():
        raise ModelError(f"synsets {synsets!r}: no such file; give one with a noun synset per line, or `imagenet21k`")
    return path


def read_synsets(path: Path) -> frozenset[int]:
    """Numbers of the noun synsets of a list, one `n02084071` per line (`.xz` too). Raises ModelError for anything else."""
    try:
        data = path.read_bytes()
        lines = (lzma.decompress(data) if path.suffix == ".xz" else data).decode("ascii").split()
    except (OSError, ValueError, lzma.LZMAError) as error:
        raise ModelError(f"{path} cannot be read as a list of synsets: {error}") from error
    for line in lines:
        if not re.fullmatch(r"n\d{8}", line):
            raise ModelError(f"{path}: {line[:40]!r} is no noun synset; write n02084071, one per line")
    return frozenset(int(line[1:]) for line in lines)


class _Named(dict[str, int]):
    """Word -> the listed synset that it names, 0 for none; filled as words come."""

    def __init__(self, listed: frozenset[int], mode: Mode) -> None:
        super().__init__()
        self._listed, self._mode, self._lexicon = listed, mode, lexicon()

    def __missing__(self, word: str) -> int:
        if len(self) >= _REMEMBERED:
            self.clear()
        found = self._lexicon.first(word) if self._mode == "datacomp" else self._noun(word)
        self[word] = number = found[1] if found and found[1] in self._listed else 0
        return number

    def _noun(self, word: str) -> tuple[str, int] | None:
        """A possessive counts as its owner; a hyphenated word that WordNet lacks as its last part, the head."""
        word = word.lower().replace("’", "'").removesuffix("'s")
        if word in _FUNCTION_WORDS:
            return None
        return self._lexicon.first(word, "n") or self._lexicon.first(word.rpartition("-")[2], "n")


@cache
def _named(path: Path, changed: int, mode: Mode) -> _Named:
    return _Named(read_synsets(path), mode)
