"""The captions that repeat an n-gram, found by hashes: none of them missed, and hardly any other."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.signals.ngrams import _lower, head_shares, may_repeat_characters, may_repeat_words
from stages.signals.repetition import character_repetition, split_words
from stages.signals.text import of_each

PIECES = st.sampled_from(
    ["red", "Red,", "the", "ΣΑΣ", "σας", "İzmir", "i̇zmir", "3", "x2y", "_a_", "犬", "é", "\u2003", "-", "a'b"]
)
TEXTS = st.lists(
    st.lists(PIECES, max_size=14).map(" ".join) | st.text(max_size=12).map(lambda text: text * 2) | st.just(""),
    max_size=12,
)


def repeats_characters(text: str, n: int) -> bool:
    grams = [text[i : i + n] for i in range(len(text) - n + 1)]
    return len(set(grams)) < len(grams)


def repeats_words(text: str, n: int) -> bool:
    words = split_words(text)
    grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    return len(set(grams)) < len(grams)


@given(TEXTS, st.integers(1, 10))
@settings(deadline=None)
def test_exactly_the_texts_that_repeat_characters(texts: list[str], n: int) -> None:
    assert may_repeat_characters(texts, n) == [i for i, text in enumerate(texts) if repeats_characters(text, n)]


@given(TEXTS, st.integers(1, 5))
@settings(deadline=None)
def test_no_text_that_repeats_words_is_missed(texts: list[str], n: int) -> None:
    found = set(may_repeat_words(texts, n))
    assert found >= {i for i, text in enumerate(texts) if repeats_words(text, n)}
    assert all("İ" in texts[i] or repeats_words(texts[i], n) for i in found)


@given(TEXTS, st.integers(1, 10))
@settings(deadline=None)
def test_shares_of_the_commonest_are_those_of_counting(texts: list[str], n: int) -> None:
    assert head_shares(texts, n).tolist() == [character_repetition(text, n) for text in texts]


def test_neighbours_in_the_batch_are_not_the_caption() -> None:
    assert may_repeat_characters(["a red boat", "a red boat"], 5) == []
    assert may_repeat_words(["a red boat", "a red boat"], 2) == []


def test_a_large_batch_is_as_exact() -> None:
    draw = np.random.default_rng(0)
    words = [f"word{i}" for i in range(2000)]
    texts = [" ".join(draw.choice(words, 30)) for _ in range(3000)]
    assert may_repeat_words(texts, 1) == [i for i, text in enumerate(texts) if repeats_words(text, 1)]
    assert may_repeat_characters(texts, 10) == [i for i, text in enumerate(texts) if repeats_characters(text, 10)]


def test_tables_say_what_python_says() -> None:
    every = [chr(point) for point in range(0x110000)]
    for name in ("isalnum", "isdecimal", "isspace", "isalpha"):
        assert of_each(getattr(np.strings, name)).tolist() == list(map(getattr(str, name), every))
    lower = _lower()
    assert all(lower[ord(c)] == ord(c.lower()[0]) for c in every if c != "ς")
