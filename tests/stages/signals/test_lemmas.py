"""Lemmas of captions, one caption at a time."""

from __future__ import annotations

import numpy as np

from curate.contracts import Batch
from stages.signals.lemmas import MAX_CHARACTERS, Lemmas, is_stop_word, lemma, lemmas

NOUNS = ("NOUN", "PROPN")


def test_lemmas_of_nouns_in_lower_case() -> None:
    assert lemmas("Two Dogs and a red house near Paris", NOUNS) == ["dog", "house", "paris"]
    assert lemmas("", NOUNS) == []


def test_content_words_hold_the_parts_of_names() -> None:
    assert {"hot", "dog"} <= set(lemmas("Hot dogs at a stand"))
    assert "the" not in lemmas("the dog of the house")


def test_a_word_on_its_own() -> None:
    assert lemma("Dogs") == "dog"
    assert lemma("t-shirts") == "shirt"
    assert lemma("prey)") == "prey"
    assert lemma("") == ""
    assert is_stop_word("Of")
    assert not is_stop_word("dog")


def test_a_caption_does_not_depend_on_its_batch() -> None:
    texts = np.array(["geese over a lake", None, "three cats", "\x00 \ud7ff \ufffd"], object)
    whole = list(Lemmas().compute(Batch({"text": texts}))["lemmas"])
    assert whole == [Lemmas().compute(Batch({"text": texts[i : i + 1]}))["lemmas"][0] for i in range(4)]
    assert whole[1] is None
    assert "cat" in whole[2]


def test_long_captions_are_read_to_a_limit() -> None:
    assert "zebra" not in lemmas("dog " * (MAX_CHARACTERS // 4) + "zebra")
