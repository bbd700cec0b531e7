"""The language model that needs no download: word pieces in threes, interpolated Kneser-Ney, 8 bits a probability.

Kneser and Ney 1995; interpolated as in Chen and Goodman 1999, section 4.1.6, one discount per order. Stored in back-off
form, so that a probability is one or two look-ups; benchmarks/caption_lm.py trains it, prunes it, and measures it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache, lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, Final

import numpy as np

from curate.errors import MissingExtra
from curate.models.specs import OWN, minilm_folder

WEIGHTS: Final = OWN / "caption_lm.safetensors"
STEP: Final = 1 / 14
"""Logarithms are stored as multiples of it: 255 of them reach down to e**-18."""
BEGIN, END = 101, 102
"""Ids of [CLS] and [SEP], which stand around each text."""
MAX_CHARACTERS: Final = 2000
"""Of a longer text only the beginning is scored."""
LONG: Final = 32
"""Characters of a word from which on it is not remembered: a sentence without spaces comes but once."""
_ASCII_WORD: Final = re.compile(r"[a-z0-9]+|[^\sa-z0-9]")


class NgramModel:
    """Tables of a model over V word pieces, all sorted.

    `unigrams`, `backoff` (V): log p(w), and log of what is left for words that never followed w. `pairs` (m) uint32:
    v * V + w; `pair_probability`, `pair_backoff` (m). `triples` (k) uint32: index of the pair (u, v) * V + w;
    `triple_probability` (k). Logarithms are uint8, negative multiples of `STEP`.
    """

    def __init__(self, tables: dict[str, np.ndarray]) -> None:
        """`tables`: by the names above."""
        self.size = len(tables["unigrams"])
        self._pairs, self._triples = tables["pairs"].astype(np.uint64), tables["triples"].astype(np.uint64)
        names = ("unigrams", "backoff", "pair_probability", "pair_backoff", "triple_probability")
        self._log = {name: tables[name].astype(np.float32) * np.float32(-STEP) for name in names}

    def token_scores(self, tokens: np.ndarray) -> np.ndarray:
        """log p of each token after the two before it, float32 (n - 1,), for ids (n,); the first is given.

        No pair ends in `BEGIN`, so texts may be strung together: only the scores of `BEGIN` itself mean nothing.
        """
        v, w, size = tokens[:-1].astype(np.uint64), tokens[1:].astype(np.uint64), np.uint64(self.size)
        pair, known = _find(self._pairs, v * size + w)
        log = self._log
        score = np.where(known, log["pair_probability"][pair], log["backoff"][v] + log["unigrams"][w])
        context, seen = pair[:-1], known[:-1]
        triple, stored = _find(self._triples, context.astype(np.uint64) * size + w[1:])
        longer = score[1:] + np.where(seen, log["pair_backoff"][context], np.float32(0))
        score[1:] = np.where(seen & stored, log["triple_probability"][triple], longer)
        return score

    def score(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Natural logarithm of each text's probability, float64 (n,), and how many tokens it is of, int64 (n,).

        The end of the text is a token: an empty text has one.
        """
        if not texts:
            return np.zeros(0), np.zeros(0, np.int64)
        pieces = [word_pieces(text[:MAX_CHARACTERS]) for text in texts]
        lengths = np.fromiter(map(len, pieces), np.int64, len(pieces))
        tokens = np.fromiter(chain.from_iterable(pieces), np.int64, int(lengths.sum()))
        scores = np.append(np.float32(0), self.token_scores(tokens))
        starts = np.cumsum(lengths) - lengths
        scores[starts] = 0  # BEGIN is given
        return np.add.reduceat(scores.astype(np.float64), starts), lengths - 1


def _find(table: np.ndarray, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Index (n,) into the sorted table, and bool (n,): the key is there."""
    at = np.minimum(np.searchsorted(table, keys), len(table) - 1)
    return at, table[at] == keys


def word_pieces(text: str) -> list[int]:
    """Ids of a text's pieces between [CLS] and [SEP].

    A word has the same pieces wherever it stands, and most have been seen before. (Among printable characters only the
    space separates, and in ASCII every mark is a word.)
    """
    if not text.isprintable():
        ids: list[int] = tokenizer().encode(text.encode("utf-8", "replace").decode()).ids  # lone surrogates: ?
        return ids
    words = _ASCII_WORD.findall(text.lower()) if text.isascii() else text.split(" ")
    return [BEGIN, *chain.from_iterable(map(_pieces, words)), END]


def _pieces(word: str) -> tuple[int, ...]:
    return _known(word) if len(word) <= LONG else _known.__wrapped__(word)


@lru_cache(maxsize=1 << 16)
def _known(word: str) -> tuple[int, ...]:
    return tuple(tokenizer().encode(word, add_special_tokens=False).ids)


@cache
def tokenizer() -> Any:
    """The WordPiece tokenizer of all-MiniLM-L6-v2, lower case; `[SEP]` in a text is written text to it."""
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise MissingExtra("tokenizers", extra="models") from error
    found = Tokenizer.from_file(str(tokenizer_file()))
    found.no_truncation()
    found.no_padding()
    found.encode_special_tokens = True
    return found


def tokenizer_file() -> Path:
    """The tokenizer's file in its package. Raises MissingExtra."""
    return minilm_folder() / "tokenizer.json"


@cache
def embedded() -> NgramModel:
    """The model that comes with the project."""
    try:
        from safetensors.numpy import load_file
    except ImportError as error:
        raise MissingExtra("safetensors", extra="models") from error
    return NgramModel(load_file(WEIGHTS))
