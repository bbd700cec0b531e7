"""Nouns of captions: lemmas, one caption at a time."""

from __future__ import annotations

import numpy as np

from curate.contracts import Batch
from stages.signals.nouns import MAX_CHARACTERS, Nouns, lemma, nouns


def test_nouns_are_lemmas_in_lower_case() -> None:
    assert nouns("Two Dogs and a red house near Paris") == ["dog", "house", "paris"]
    assert nouns("") == []
    assert lemma("Dogs") == "dog"
    assert lemma("t-shirt") == "shirt"
    assert lemma("") == ""


def test_a_caption_does_not_depend_on_its_batch() -> None:
    texts = np.array(["geese over a lake", None, "three cats", "\x00 \ud7ff �"], object)
    whole = list(Nouns().compute(Batch({"text": texts}))["nouns"])
    assert whole == [Nouns().compute(Batch({"text": texts[i : i + 1]}))["nouns"][0] for i in range(4)]
    assert whole[1] is None
    assert "cat" in whole[2]


def test_long_captions_are_read_to_a_limit() -> None:
    assert "zebra" not in nouns("dog " * (MAX_CHARACTERS // 4) + "zebra")
