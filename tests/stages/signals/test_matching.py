"""Matching: equal to a plain loop over all entries, and what each mode takes for the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.signals.matching import matcher, spaced, words

LETTERS = st.text("ab .,-犬ก'\t東", max_size=12)
ENTRIES = st.lists(st.text("ab .,-犬ก'東", min_size=1, max_size=5), unique=True, max_size=25)


@given(ENTRIES, LETTERS)
def test_v1_is_the_loop_over_all_entries(entries: list[str], text: str) -> None:
    plain = [i for i, entry in enumerate(entries) if f" {entry} " in spaced(text)]
    assert matcher(entries, "v1").match(text) == plain


@given(ENTRIES, LETTERS)
def test_v2_is_the_loop_over_all_entries_padded_where_they_are_bounded(entries: list[str], text: str) -> None:
    def padded(entry: str) -> str:
        before, after = ("" if end in ".,-'犬東ก" else " " for end in (entry[0], entry[-1]))
        return f"{before}{entry}{after}"

    plain = [i for i, entry in enumerate(entries) if padded(entry) in spaced(text)]
    assert matcher(entries, "v2").match(text) == plain


@given(ENTRIES, LETTERS)
def test_words_are_found_as_runs_of_tokens(entries: list[str], text: str) -> None:
    tokens = words(text)
    runs = {tuple(tokens[i:j]) for i in range(len(tokens)) for j in range(i + 1, len(tokens) + 1)}
    first: dict[tuple[str, ...], int] = {}
    for number, entry in enumerate(entries):
        first.setdefault(tuple(words(entry)), number)
    assert matcher(entries, "unicode").match(text) == sorted(n for run, n in first.items() if run in runs)


@given(LETTERS, st.sampled_from(["ab", "犬", "a b", "U.S."]), LETTERS)
def test_an_entry_between_spaces_is_always_found(before: str, entry: str, after: str) -> None:
    for mode in ("unicode", "v2"):
        if mode == "unicode" or "." not in entry:  # v1 and v2 put spaces into U.S. and lose it
            assert matcher([entry], mode).match(f"{before} {entry} {after}") == [0]


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("a DOG.", "dog"),
        ("A dog", "Dog"),
        ("hot  dog", "hot dog"),
        ("a “dog” (dog)", "dog"),
        ("dog-cat", "cat"),
        ("in the U.S. today", "U.S."),
        ("St. John’s", "St. John's"),
        ("CAFE\u0301", "café"),
        ("ﬁne art", "fine art"),
        ("C++ code", "C++"),
        ("hot\u00a0dog", "hot dog"),
        ("東京タワー", "東京"),
        ("Tokyo東京", "tokyo"),
        ("कुत्ता और बिल्ली", "बिल्ली"),
        ("dog\u00adhouse", "doghouse"),
        ("STRASSE", "Straße"),
    ],
)
def test_words_mend_what_hides_an_entry(text: str, entry: str) -> None:
    assert matcher([entry], "unicode").match(text) == [0]


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("doghouse", "dog"),
        ("red, dog", "red dog"),
        ("강아지들", "강아지"),
        ("कुत्ता", "कु"),
        ("สุนัข", "ส"),
        ("собаки", "собака"),
        ("dog", "dog dog"),
        ("", "dog"),
        ("anything", " "),
    ],
)
def test_words_end_where_they_end(text: str, entry: str) -> None:
    assert matcher([entry], "unicode").match(text) == []


def test_of_entries_that_read_alike_the_first_counts() -> None:
    assert matcher(["cat", "Dog", "dog", "DOG "], "unicode").match("dog") == [1]


def test_no_entries_match_nothing() -> None:
    for mode in ("unicode", "v1", "v2"):
        assert matcher([], mode).match("a dog") == []
