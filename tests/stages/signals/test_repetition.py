"""Repetition: the published definition, its cases, and the shortcut that leaves out what repeats nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.contracts import Batch
from filters.text import Repetition as MaxRepetition
from stages.signals.repetition import Repetition, character_repetition, split_words, word_repetition


@pytest.mark.parametrize(
    ("text", "characters", "words"),
    [  # OBELICS@0fca7ba4, web_document_filtering.py
        ("The quick brown fox jumps over the lazy dog.", 0.0, 0.0),
        ("a" * 40, 1.0, 0.0),
        ("   ", 0.0, 0.0),
        ("日本語のテキスト", 0.0, 0.0),
        ("abc abc abc abc abc abc abc abc abc abc", 0.5333333333333333, 1.0),
        ("word " * 30, 0.40425531914893614, 1.0),
        ("xxxxxxxxxx", 0.0, 0.0),
    ],
)
def test_published_cases(text: str, characters: float, words: float) -> None:
    assert character_repetition(text, 10) == pytest.approx(characters)
    assert word_repetition(split_words(text), 5) == pytest.approx(words)


def test_words_run_from_their_first_letter_to_their_last() -> None:
    assert split_words("Hello, world! It's a test.") == ["hello", "world", "it's", "a", "test"]
    assert split_words("Price: $5.00 (was $10.00)") == ["price", "was"]
    assert split_words("12345 - 67890 🐶") == []


def test_signal_and_filter() -> None:
    texts = np.array(["a red bus on a road", "buy now " * 12, None, "", "x" * 30], object)
    facts = {k: np.array(v, np.float64) for k, v in Repetition().compute(Batch({"text": texts})).items()}
    assert facts["word_repetition"][1] == 1.0
    assert facts["char_repetition"][4] == 1.0
    assert np.isnan(facts["char_repetition"]).tolist() == [False, False, True, False, False]
    assert MaxRepetition()(facts).tolist() == [True, False, False, True, False]
    assert MaxRepetition(max_characters=1.0)(facts).tolist() == [True, False, False, True, True]


@given(st.lists(st.text(st.sampled_from("ab é日 "), max_size=40), max_size=8), st.integers(1, 6))
def test_the_shortcut_changes_nothing(texts: list[str], n: int) -> None:
    found = Repetition(characters=n, words=n).compute(Batch({"text": np.array([*texts, None], object)[:-1]}))
    assert np.allclose(found["char_repetition"], [character_repetition(text, n) for text in texts])
    assert np.allclose(found["word_repetition"], [word_repetition(split_words(text), n) for text in texts])


@given(st.text(), st.integers(1, 12))
def test_is_a_share(text: str, n: int) -> None:
    assert 0 <= character_repetition(text, n) <= 1
    assert 0 <= word_repetition(split_words(text), n) <= 1
