"""How much of a caption repeats itself, as ROOTS and OBELICS measure it on documents."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from math import isqrt
from typing import Any, ClassVar, Final

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate.contracts import Batch, Signal
from stages.signals.ngrams import head_shares, may_repeat_words
from stages.signals.text import without

_WORD: Final = re.compile(r"[^\W\d_](?:\S*[^\W\d_])?")


class Repetition(Signal):
    """Shares of repeated character and word n-grams (Laurencon et al. 2023, OBELICS, appendix A; ROOTS before it).

    Documents are measured with 10 characters and 5 words. A text shorter than an n-gram has nothing to repeat: 0.
    """

    needs: ClassVar[tuple[str, ...]] = ("text",)
    cost: ClassVar[float] = 0.005

    characters: int = Field(default=10, ge=1, le=64, description="characters of an n-gram")
    words: int = Field(default=5, ge=1, le=64, description="words of an n-gram")

    def gives(self) -> dict[str, pa.DataType]:
        """Both are shares, 0 to 1; no caption, no fact."""
        return {"char_repetition": pa.float32(), "word_repetition": pa.float32()}

    def compute(self, batch: Batch) -> dict[str, Sequence[Any] | np.ndarray]:
        """Most captions repeat nothing: hashes of all n-grams of the batch tell which do, and only those are counted."""
        texts: Sequence[str | None] = batch.columns["text"].tolist()
        captions = [text or "" for text in texts]
        shares = np.zeros((2, len(captions)), np.float32)
        shares[0] = head_shares(captions, self.characters)
        for i in may_repeat_words(captions, self.words):
            shares[1, i] = word_repetition(split_words(captions[i]), self.words)
        missing = np.array([text is None for text in texts], bool)
        return {"char_repetition": without(shares[0], missing), "word_repetition": without(shares[1], missing)}


def character_repetition(text: str, n: int = 10) -> float:
    """Share of the text's character n-grams that are copies of the few commonest, 0 to 1.

    The few are the commonest sqrt(distinct), rounded down, of those that stand more than once: a long text repeats some
    n-grams by chance, and only the head of their distribution tells that it repeats itself.
    """
    counts = sorted(Counter([text[i : i + n] for i in range(len(text) - n + 1)]).values(), reverse=True)
    few = min(isqrt(len(counts)), len(counts) - counts.count(1))
    return sum(counts[:few]) / sum(counts) if counts else 0.0


def word_repetition(words: Sequence[str], n: int = 5) -> float:
    """Share of the word n-grams that stand more than once, 0 to 1."""
    if len(words) <= n or (n > 1 and len(set(words)) == len(words)):
        return 0.0
    counts = Counter(zip(*(words[i:] for i in range(n)), strict=False)).values()
    return sum(count for count in counts if count > 1) / sum(counts)


def split_words(text: str) -> list[str]:
    """Words between white space, in lower case, from their first letter to their last; what has no letter is no word."""
    return _WORD.findall(text.lower())
