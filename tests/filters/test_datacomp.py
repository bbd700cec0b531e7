"""DataComp's token count against fastText's own, beyond the published cases (`tests/parity`)."""

from __future__ import annotations

import fasttext
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from filters.datacomp import Basic, fasttext_tokens


@given(st.text("ab\u00a0\u3000 \t\n\v\f\r\0", max_size=12))
def test_tokens_are_those_of_fasttext(text: str) -> None:
    assert fasttext_tokens(text) == len(fasttext.tokenize(text))


def test_basic_drops_what_is_missing() -> None:
    columns = {
        "lang": np.array(["en", None, "en"], object),
        "caption_words": np.array([3.0, 3.0, np.nan]),
        "caption_chars": np.array([6.0, 6.0, np.nan]),
        "width": np.array([600.0, 600.0, 600.0]),
        "height": np.array([200.0, 200.0, np.nan]),
    }
    assert Basic()(columns).tolist() == [True, False, False]
