"""Does the caption name what a classifier sees? (Conceptual Captions: Sharma et al. 2018, section 3.)

Conceptual Captions dropped candidates of which no token, stemmed, was among an image's labels; its classifier had in the
order of 100,000. Ours has the thousand of ImageNet, so what agrees is likely a good pair, and what does not may be one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
import pyarrow as pa
from pydantic import Field

from curate.contracts import Batch, ImageLevel, Lane, Signal

if TYPE_CHECKING:
    from PIL.Image import Image

LABELS = pa.list_(pa.struct([pa.field("name", pa.string()), pa.field("score", pa.float32())]))
"""Class names, the likeliest first, and their probability in [0, 1]."""

_TOKEN: Final = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")


class Labels(Signal):
    """`labels`: the `top` likeliest classes of the image, whatever their probability: which of them count is decided by
    who uses them."""

    image: ClassVar[ImageLevel | None] = "thumb"
    lane: ClassVar[Lane] = "model"
    cost: ClassVar[float] = 13.0

    model: str = Field(default="default", description="the embedded classifier, EfficientNet-Lite0")
    top: int = Field(default=20, ge=1, le=1000, description="Conceptual Captions had 5 to 20 labels per image")

    def gives(self) -> dict[str, pa.DataType]:
        """Names and probabilities."""
        return {"labels": LABELS}

    def models(self) -> tuple[str, ...]:
        """The classifier."""
        return (f"classifier:{self.model}",)

    def prepare(self, image: Image) -> np.ndarray | None:
        """uint8 (224, 224, 3), the whole image."""
        from curate.models.imagenet import prepare

        return prepare(image)

    def compute(self, batch: Batch) -> dict[str, Sequence[Any] | np.ndarray]:
        """Equal probabilities in the order of classes."""
        from curate.models import classifier
        from curate.models.imagenet import prepare

        network = classifier(self.model)
        stack = np.stack([prepare(image) for image in batch.images]) if batch.prepared is None else batch.prepared
        probabilities = network.probabilities(stack)
        order = np.argsort(-probabilities, axis=1, kind="stable")[:, : self.top]
        rows = zip(order.tolist(), probabilities, strict=True)
        return {"labels": [[{"name": network.names[i], "score": float(p[i])} for i in best] for best, p in rows]}


class LabelAgreement(Signal):
    """`label_agreement`: the probability of the labels that the caption names, [0, 1]; `label_matches`: their names.

    A label is named by its class's own name or any of its synonyms ('tabby, tabby cat'), whole, or by the last word of
    one if another class ends in it too ('cat' of 'Egyptian cat'). Words are compared without case and by their stem:
    plural, -ing and -ed are taken off by rule, without a dictionary. Null without a caption.
    """

    needs: ClassVar[tuple[str, ...]] = ("text", "labels")
    cost: ClassVar[float] = 0.05

    top: int = Field(default=20, ge=1, description="labels that count, the likeliest first")
    min_score: float = Field(default=0.0, ge=0, le=1, description="probability from which a label counts")

    def gives(self) -> dict[str, pa.DataType]:
        """Agreement and what agrees."""
        return {
            "label_agreement": pa.float32(),
            "label_matches": pa.list_(pa.string()),
            "label_match_count": pa.int32(),
        }

    def models(self) -> tuple[str, ...]:
        """The embedded classifier, to which the classes' synonyms belong."""
        return ("classifier:default",)

    def compute(self, batch: Batch) -> dict[str, Sequence[Any] | np.ndarray]:
        """Row by row; captions are short."""
        found = [
            None if text is None else self.matched(text, labels or ())
            for text, labels in zip(batch.columns["text"], batch.columns["labels"], strict=True)
        ]
        return {
            "label_agreement": [None if row is None else min(1.0, sum(row.values())) for row in found],
            "label_matches": [None if row is None else list(row) for row in found],
            "label_match_count": [None if row is None else len(row) for row in found],
        }

    def matched(self, caption: str, labels: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """The labels that the caption names, and their probability."""
        stems = [stem(word) for word in _TOKEN.findall(caption)]
        counting = [label for label in labels[: self.top] if label["score"] >= self.min_score]
        return {label["name"]: label["score"] for label in counting if names(stems, _synonyms()[label["name"]])}


def names(stems: Sequence[str], synonyms: Collection[tuple[str, ...]]) -> bool:
    """Whether a caption, as stems, holds one of the synonyms, as stems in a row."""
    there = set(stems)
    return any(
        set(words) <= there
        and any(tuple(stems[i : i + len(words)]) == words for i in range(len(stems) - len(words) + 1))
        for words in synonyms
    )


def stem(word: str) -> str:
    """The word in lower case without plural, possessive, -ing and -ed (the S-stemmer of Harman 1991, and two more
    endings): 'Cats' and 'cat', 'berries' and 'berry', 'boxes' and 'box', 'fishing' and 'fish' become the same."""
    word = re.sub(r"['’]s?$", "", word.lower())
    if len(word) > 4 and word.endswith("ies"):
        word = word[:-3] + "y"
    elif len(word) > 4 and word.endswith(("ches", "shes", "sses", "xes", "zes")):
        word = word[:-2]
    elif len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ing", "ed"):
        if word.endswith(ending) and re.search(r"[aeiouy]", word[: -len(ending)]) and len(word) - len(ending) > 2:
            word = word[: -len(ending)]
            return word[:-1] if word[-1] == word[-2] and word[-1] not in "lsz" else word
    return word[:-1] if len(word) > 3 and word.endswith("e") else word


@lru_cache(maxsize=1)
def _synonyms() -> dict[str, frozenset[tuple[str, ...]]]:
    """Class name -> as stems, its synonyms, and those last words of them that another class has too: kinds of thing."""
    from curate.models.imagenet import class_lemmas

    whole = {
        name: {tuple(map(stem, _TOKEN.findall(lemma))) for lemma in lemmas} for name, lemmas in class_lemmas().items()
    }
    lasts = {name: {words[-1:] for words in synonyms} for name, synonyms in whole.items()}
    classes = Counter(last for words in lasts.values() for last in words)
    return {name: frozenset(whole[name] | {last for last in lasts[name] if classes[last] > 1}) for name in whole}
