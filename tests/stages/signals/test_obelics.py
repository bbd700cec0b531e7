"""OBELICS' ratios: as its definitions read, character by character, and word by word; lists from files."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.columns import to_arrow
from curate.contracts import Batch
from curate.errors import ModelError
from stages.signals.obelics import (
    END_OF_DOCUMENT,
    LONGEST,
    TextRatios,
    _special,
    punctuation,
    special_shares,
    standard_spaces,
    word_list,
    words,
)
from stages.signals.repetition import character_repetition

TEXTS = st.text(st.sampled_from("abÀß ß\t\n.,;!-()12“”😀🏽♥️️日本İΣς　\x00\x85"), max_size=40)


def ratios(texts: list[str | None], **fields: Any) -> list[dict[str, object]]:
    """Facts of each text, as they are stored."""
    step = TextRatios(**fields)
    found = step.compute(Batch({step.column: np.array([*texts, None], object)[:-1]}))
    stored = {n: to_arrow(found[n], kind, len(texts), n).to_pylist() for n, kind in step.gives().items()}
    return [dict(zip(stored, row, strict=True)) for row in zip(*stored.values(), strict=True)]


@given(TEXTS)
def test_words_are_split_lowered_and_stripped(text: str) -> None:
    """The definition, one word and one character after the other."""
    special = {chr(point) for point in np.flatnonzero(_special())}
    expected = []
    for word in text.lower().replace("\t", " ").replace("\n", " ").split(" "):
        inner = [i for i, character in enumerate(word) if character not in special]
        if inner:
            expected.append(word[inner[0] : inner[-1] + 1])
    assert words(text) == expected


@given(st.lists(TEXTS, min_size=1, max_size=5))
def test_shares_of_special_characters(texts: list[str]) -> None:
    special = {chr(point) for point in np.flatnonzero(_special())}
    expected = [sum(c in special for c in text) / max(1, len(text)) for text in texts]
    assert special_shares(texts).tolist() == pytest.approx(expected)


def test_what_is_special() -> None:
    def special(text: str) -> bool:
        return special_shares([text]).tolist() == [1.0]

    assert special(string.punctuation + string.digits + string.whitespace)
    assert special("–—“”‘’…•€£«»°·×")
    assert special("🐶🐱❤☀🫶")  # single code points of emoji 1.6.1, the newest of Unicode 14
    assert special_shares(["aé日ñж", "\u00a0", "\U0001fae8"]).tolist() == [0, 0, 0]  # the last is of Unicode 15


@given(st.lists(st.one_of(st.none(), TEXTS, st.just(END_OF_DOCUMENT)), max_size=6))
def test_a_text_has_the_same_facts_whatever_stands_beside_it(texts: list[str | None]) -> None:
    assert ratios(texts) == [ratios([text])[0] for text in texts]


def test_facts_of_a_paragraph() -> None:
    text = "We walked to the harbour, and the boats were like a wall. Follow us on twitter."
    (found,) = ratios([text])
    assert found["text_words"] == 16
    assert found["text_stop_words"] == 10 / 16  # we, to, the, and, the, were, like, a, us, on
    assert found["text_spam"] == 3 / 16  # like, follow, twitter
    assert found["text_flagged"] == 0
    assert found["text_punctuation"] == 3 / 19
    assert found["text_common"] is None
    assert found["text_char_repetition"] == character_repetition(text)


def test_no_text_and_the_token_have_no_ratios() -> None:
    for found in ratios([None, END_OF_DOCUMENT]):
        assert set(found.values()) == {None}
    assert set(ratios([f"{END_OF_DOCUMENT} or not"])[0].values()) != {None}


def test_facts_are_named_after_the_column() -> None:
    assert ratios(["one"], column="document_text")[0]["document_text_words"] == 1


def test_few_words_are_punctuated_enough() -> None:
    assert punctuation("we had a day") == 0
    assert punctuation("we had a day", 5) == 1
    assert punctuation("", 5) == 0
    assert punctuation("it's, so: it is!") == 3 / 7


def test_spaces_of_all_kinds() -> None:
    assert standard_spaces("a\u2009b\u3000c\u00a0d\te\nf") == "a b c d\te\nf"
    assert ratios(["a\u2009b"])[0]["text_words"] == 2


def test_lists_come_from_files(tmp_path: Path) -> None:
    file = tmp_path / "common.json"
    file.write_text(json.dumps(["the", "harbour"]))
    (found,) = ratios(["The harbour sleeps."], common_words=str(file), stop_words=str(file))
    assert found["text_common"] == found["text_stop_words"] == 2 / 3
    assert f"file:{file}" in TextRatios(common_words=str(file)).models()
    file.write_text(json.dumps(["sleeps"]))
    assert ratios(["The harbour sleeps."], common_words=str(file))[0]["text_common"] == 1 / 3


def test_bad_lists_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "words.json"
    for content, message in (("[", "no JSON"), ('{"a": 1}', "array"), ("[1]", "array")):
        file.write_text(content)
        with pytest.raises(ModelError, match=message):
            word_list(str(file))
    with pytest.raises(ModelError, match="no word list"):
        word_list(str(tmp_path / "missing.json"))


def test_of_a_monstrous_text_the_beginning_is_measured() -> None:
    monster, neighbour = "word " * (LONGEST // 4), "a quiet paragraph"
    found = ratios([neighbour, monster, neighbour])
    assert found[1]["text_words"] == -(-LONGEST // 5)
    assert found[1]["text_special"] == pytest.approx(0.2, abs=1e-5)
    assert found[0] == found[2] == ratios([neighbour])[0]
