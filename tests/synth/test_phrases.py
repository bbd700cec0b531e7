from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.phrases import MAX_CHARACTERS, is_stop_word, noun_phrases


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("A small dog on a beach", ["small dog", "beach"]),
        ("a photo of a coffee mug", ["coffee mug"]),
        ("Golden Retriever puppy playing with Frisbee", ["Golden Retriever puppy", "Frisbee"]),
        ("its tail and the big red ball", ["tail", "big red ball"]),
        ("He gave it to her", []),
        ("", []),
    ],
)
def test_noun_phrases_without_article_pronoun_or_picture(caption: str, expected: list[str]) -> None:
    assert [phrase.text for phrase in noun_phrases(caption)] == expected


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=80))
def test_a_phrase_is_the_span_it_says(caption: str) -> None:
    for phrase in noun_phrases(caption):
        assert caption[phrase.start : phrase.end] == phrase.text
        assert phrase.text.strip() == phrase.text != ""


def test_a_caption_is_parsed_up_to_a_limit() -> None:
    caption = "a red ball and " * 200
    assert all(phrase.end <= MAX_CHARACTERS for phrase in noun_phrases(caption))


def test_stop_words_in_any_case() -> None:
    assert is_stop_word("The")
    assert not is_stop_word("dog")
