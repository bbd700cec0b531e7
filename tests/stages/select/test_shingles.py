"""Texts as sets: equal shingles are equal tokens, and nothing else is."""

from __future__ import annotations

import sys

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from stages.select.shingles import Sets, distinct_within, shingled, sorted_within

TEXTS = st.lists(st.one_of(st.none(), st.text("ab İß\t\u2003.", max_size=12)), max_size=12)
RAGGED = st.lists(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 3), max_size=6), max_size=12)


def written(text: str, words: int) -> set[tuple[str, ...]]:
    split = text.lower().split()
    return {tuple(split[i : i + words]) for i in range(max(1, len(split) - words + 1))}


def ragged(lists: list[list[int]]) -> Sets:
    return Sets(np.array([x for one in lists for x in one], np.uint64), np.array([len(one) for one in lists], np.int64))


def as_lists(sets: Sets) -> list[list[int]]:
    return [part.tolist() for part in np.split(sets.tokens, np.cumsum(sets.sizes)[:-1])] if len(sets.sizes) else []


@given(TEXTS, st.integers(1, 4))
def test_tokens_are_the_texts_n_grams(texts: list[str | None], words: int) -> None:
    has, sets = shingled(np.array([*texts, None], object)[:-1], words)
    assert has.tolist() == [i for i, text in enumerate(texts) if text is not None and text.split()]
    found = [set(tokens) for tokens in as_lists(sets)]
    expected = [written(texts[i] or "", words) for i in has.tolist()]
    assert [len(tokens) for tokens in found] == [len(grams) for grams in expected]
    for i, tokens in enumerate(found):
        for j, others in enumerate(found):
            assert len(tokens & others) == len(expected[i] & expected[j])


@given(RAGGED)
def test_sorted_and_distinct(lists: list[list[int]]) -> None:
    assert as_lists(sorted_within(ragged(lists))) == [sorted(one) for one in lists]
    assert as_lists(distinct_within(ragged(lists))) == [sorted(set(one)) for one in lists]


@given(RAGGED, st.integers(1, 8))
def test_chunks_and_columns_are_the_same_sets(lists: list[list[int]], tokens: int) -> None:
    sets = ragged(lists)
    parts = list(sets.chunks(tokens))
    assert [one for _, part in parts for one in as_lists(part)] == lists
    assert [i for place, _ in parts for i in range(place.start, place.stop)] == list(range(len(lists)))
    column = pa.table({"tokens": sets.lists()})["tokens"]
    assert as_lists(Sets.of(column)) == lists
    assert as_lists(Sets.of(column.slice(1))) == lists[1:]


def test_words_end_at_all_white_space_that_python_knows() -> None:
    assert not any(chr(code).isspace() for code in range(0x10000, sys.maxunicode + 1))
    every = [chr(code) for code in range(0x10000) if not 0xD800 <= code <= 0xDFFF]
    texts = [f"{character}a{character}b" for character in every]
    _, sets = shingled(np.array(texts, object), 1)
    assert sets.sizes.tolist() == [len(set(text.lower().split())) for text in texts]
