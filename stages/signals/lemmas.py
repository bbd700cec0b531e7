"""What an English caption names, as lemmas."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, ClassVar, Final, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate.contracts import Batch, Signal
from curate.models.english import english

Part = Literal["NOUN", "PROPN", "ADJ", "VERB", "NUM"]
CONTENT: Final[tuple[Part, ...]] = ("NOUN", "PROPN", "ADJ", "VERB")
MAX_CHARACTERS: Final = 1000
"""Captions are tagged up to here: the time grows with their length."""


class Lemmas(Signal):
    """Lemmas of a caption's words of some parts of speech, by spaCy, in lower case.

    Udandarao et al. 2024 (section 3.1) take nouns: `parts: [NOUN, PROPN]`. With adjectives and verbs the parts of names such as
    'hot dog' and 'running shoe' are there too. Captions are tagged one by one: none depends on its batch.
    """

    needs: ClassVar[tuple[str, ...]] = ("text",)
    cost: ClassVar[float] = 2.5

    parts: tuple[Part, ...] = Field(
        default=CONTENT, min_length=1, description="parts of speech (Universal Dependencies)"
    )

    def gives(self) -> dict[str, pa.DataType]:
        """lemmas: sorted, each once; null without a caption."""
        return {"lemmas": pa.list_(pa.string())}

    def models(self) -> tuple[str, ...]:
        """spaCy's English model."""
        return ("en_core_web_sm",)

    def compute(self, batch: Batch) -> dict[str, Sequence[Any] | np.ndarray]:
        """Raises MissingExtra without spaCy or its English model."""
        texts = batch.columns["text"].tolist()
        return {"lemmas": [None if text is None else lemmas(text, self.parts) for text in texts]}


def lemmas(text: str, parts: Collection[str] = CONTENT) -> list[str]:
    """Distinct lemmas of the words of these parts of speech in a caption, in lower case, sorted."""
    words = _tagger()(text[:MAX_CHARACTERS])
    return sorted({word.lemma_.lower() for word in words if word.pos_ in parts and not word.is_space})


def lemma(word: str) -> str:
    """The lemma of a word on its own, in lower case; of what is several tokens ('t-shirt') that of the last word."""
    tokens = [token for token in _tagger()(word.lower()) if not (token.is_punct or token.is_space)]
    return str(tokens[-1].lemma_.lower()) if tokens else ""


def is_stop_word(word: str) -> bool:
    """Whether spaCy counts the word among those that say nothing by themselves: 'of', 'the'."""
    return bool(_tagger().vocab[word.lower()].is_stop)


def _tagger() -> Any:
    return english(("ner", "parser"))
