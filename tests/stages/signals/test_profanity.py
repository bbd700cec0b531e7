"""Profanity: words, not parts of words, in scripts with spaces and without; lists count by language."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.contracts import Batch
from curate.errors import ModelError
from filters.text import NoProfanity
from stages.signals.profanity import LISTS, Profanity, profanity


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("what an ASS!", ["en:ass"]),
        ("A classic assessment of Scunthorpe", []),
        ("le con est con", ["fr:con"]),
        ("a sex-shop", ["en:sex"]),
        ("牛奶", []),
        ("奶", ["zh:奶"]),
        ("这是色情片", ["zh:色情"]),
        ("アスリートのカントリー", []),
        ("セックスの", ["ja:セックス"]),
        ("보지를", ["ko:보지"]),
        ("ＡＳＳ", ["en:ass"]),
        ("", []),
    ],
)
def test_words(text: str, found: list[str]) -> None:
    assert profanity(text) == found


@given(
    st.sampled_from([word for word in json.loads(LISTS.read_text())["en"] if word.isalpha()]),
    st.text("abc", min_size=1),
)
def test_every_word_is_found_alone_and_not_inside_another(word: str, more: str) -> None:
    assert f"en:{word}" in profanity(f"A {word.upper()}, here")
    assert f"en:{word}" not in profanity(f"qqq{word}qqq{more}")


def test_lists_by_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"en": ["Frak", "smeg  head"]}))
    texts = np.array(["oh FRAK", "you smeg head", "smeg", None], object)
    step = Profanity(words=str(path))
    assert list(step.compute(Batch({"text": texts}))["profanity"]) == ["en:frak", "en:smeg head", "", None]
    assert step.models() == (f"file:{path}",)
    with pytest.raises(ModelError, match="there is no word list"):
        Profanity(words=str(tmp_path / "none.json")).models()
    path.write_text("[]")
    with pytest.raises(ModelError, match="is an object"):
        profanity("a", path.rename(tmp_path / "other.json"))


def test_a_list_that_changes_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    step = Profanity(words=str(path))
    for words, found in ((["foo"], "en:foo"), (["bar", "qux"], "en:bar")):
        path.write_text(json.dumps({"en": words}))
        assert list(step.compute(Batch({"text": np.array(["foo bar"], object)}))["profanity"]) == [found]


@pytest.mark.parametrize(
    ("words", "message"), [({}, "no words"), ({"en": []}, "no words"), ({"en": ["a", " "]}, "a word is empty")]
)
def test_lists_that_say_nothing_are_refused(words: dict[str, list[str]], message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(words))
    with pytest.raises(ModelError, match=message):
        profanity("a cat", path)


def test_only_the_lists_of_the_languages_count() -> None:
    facts = {
        "profanity": np.array(["fr:con", "fr:con", "en:ass,fr:con", "en:sex,de:sex", "", None], object),
        "lang": np.array(["es", "fr", "es", "de", "en", None], object),
    }
    assert NoProfanity()(facts).tolist() == [True, False, False, False, True, False]
    assert NoProfanity(always=())(facts).tolist() == [True, False, True, False, True, False]
    assert NoProfanity(languages=("en",), allow=("sex",))(facts).tolist() == [True, True, False, True, True, False]
    assert NoProfanity(max=1)(facts)[:5].all()
    assert NoProfanity(languages=("en",)).inputs() == ("profanity",)
