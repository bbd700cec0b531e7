"""Shares of characters, and the rule on them, against their definitions."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.contracts import Batch
from filters.characters import Characters as Rule
from stages.signals.characters import Characters


def shares(texts: list[str | None]) -> dict[str, list[float | None]]:
    found = Characters().compute(Batch({"text": np.array(texts, object)}))
    return {name: list(values) for name, values in found.items()}


@given(st.lists(st.text(max_size=30) | st.none(), min_size=1, max_size=8))
@settings(deadline=None)
def test_shares_are_those_of_python(texts: list[str | None]) -> None:
    found = shares(texts)
    for i, text in enumerate(texts):
        if text is None:
            assert found["caption_alnum"][i] is found["caption_special"][i] is None
            continue
        alnum, space = sum(map(str.isalnum, text)), sum(map(str.isspace, text))
        assert found["caption_alnum"][i] == np.float32(alnum / max(1, len(text)))
        assert found["caption_special"][i] == np.float32((len(text) - alnum - space) / max(1, len(text)))


def test_words_stay_and_signs_go() -> None:
    texts: list[str | None] = ["a dog, asleep", "!!! >>> 50% <<< !!!", "犬が走る", "", None]
    columns = {name: np.array(values, object).astype(np.float32) for name, values in shares(texts).items()}
    assert Rule()(columns).tolist() == [True, False, True, False, False]
    assert Rule(max_special=1, min_alnum=0)(columns).tolist() == [True, True, True, True, False]
