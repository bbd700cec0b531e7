"""Captions without a download: what the embedded classifier names and the text that was read, and nothing else.

It names the likeliest class, or the noun that several class names end in ('tiger cat', 'Egyptian cat') when none of them
stands out. Surely at SURE, as a guess that says so at LIKELY; below that it names no thing, and without text either there
is no caption.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from curate.contracts import Columns
from curate.models import classifier
from curate.models.imagenet import class_names
from synth.caption import Captioned

if TYPE_CHECKING:
    from PIL.Image import Image

PROMPT: Final = "an image of {}"
"""Not `a photo of`: a classifier for photos cannot tell a drawing from one."""
SURE: Final = 0.8
"""Probability from which a thing is stated: above it two in three are right on pictures unlike ImageNet's
(docs/methods/synthetic-captions.md)."""
LIKELY: Final = 0.5
"""Probability from which it is a guess."""
SPECIFIC: Final = 0.9
"""Share of its noun's probability that a class needs to be named itself: breeds are often taken for one another."""
TEXT_SCORE: Final = 0.9
"""Lines that the recogniser is less sure of are not quoted: shapes read as letters score up to there."""
TEXT_LETTERS: Final = 3
"""Fewer letters and digits than these are not quoted: most are rings, arrows and poles."""
TEXT_WORDS: Final = 12


class ClassNames:
    """A captioner (`synth.caption.Captioner`) that is deterministic and does not need the seeds."""

    def __init__(self, prompt: str | None, max_words: int) -> None:
        self.prompt = PROMPT if prompt is None else prompt
        self.text_words = min(TEXT_WORDS, max(1, max_words - len(self.prompt.split()) - 4))

    def captions(self, images: Sequence[Image] | np.ndarray, columns: Columns, seeds: Sequence[int]) -> list[Captioned]:
        """`images`: uint8 (n, side, side, 3) as `Caption.prepare` makes them; `columns`: `ocr_boxes`."""
        probabilities = classifier("default").probabilities(np.asarray(images))
        return [self._one(row, words or ()) for row, words in zip(probabilities, columns["ocr_boxes"], strict=True)]

    def _one(self, probabilities: np.ndarray, words: Sequence[Mapping[str, Any]]) -> Captioned:
        thing, score = name_thing(probabilities)
        quote, sure = self._quote(words)
        if quote is None:
            return Captioned(None if thing is None else self.prompt.format(thing), score)
        if thing is None:
            return Captioned(self.prompt.format(quote), sure)
        return Captioned(self.prompt.format(f"{thing} with {quote}"), min(score, sure))

    def _quote(self, words: Sequence[Mapping[str, Any]]) -> tuple[str | None, float]:
        """The text that surely stands in the image as a phrase, and the mean score of what is quoted."""
        good = [word for word in words if word["score"] >= TEXT_SCORE]
        if sum(letter.isalnum() for word in good for letter in word["text"]) < TEXT_LETTERS:
            return None, 0.0
        shown = good[: self.text_words]
        text = " ".join(word["text"] for word in shown).replace('"', "'")
        verb = "the text" if len(shown) == len(good) else "text that begins"
        return f'{verb} "{text}"', float(np.mean([word["score"] for word in shown]))


def name_thing(probabilities: np.ndarray) -> tuple[str | None, float]:
    """What an image shows, from class probabilities (1000,), and the probability of it. None: nothing is likely enough."""
    best = int(np.argmax(probabilities))
    nouns, members = _last_words()
    masses = np.einsum("nc,c->n", members, probabilities)
    noun = int(np.argmax(masses))
    name, score = class_names()[best], float(probabilities[best])
    if score < SPECIFIC * masses[noun]:
        name, score = nouns[noun], float(masses[noun])
    if score < LIKELY:
        return None, score
    thing = with_article(name)
    return (thing if score >= SURE else f"what may be {thing}"), score


@lru_cache(maxsize=1)
def _last_words() -> tuple[list[str], np.ndarray]:
    """Nouns that more than one class name ends in, and which do: float32 (nouns, classes)."""
    lasts = [name.split()[-1] for name in class_names()]
    nouns = sorted({last for last in lasts if lasts.count(last) > 1})
    return nouns, np.array([[last == noun for last in lasts] for noun in nouns], np.float32)


def with_article(name: str) -> str:
    """'an abacus', 'a unicycle', 'sunglasses': names that look plural take none."""
    low = name.lower()
    if low.endswith("s") and not low.endswith(("ss", "us", "is", "as", "os")):
        return name
    sounds_like_vowel = low[0] in "aeiou" and not low.startswith(("uni", "eu", "one", "use"))
    return f"{'an' if sounds_like_vowel else 'a'} {name}"
