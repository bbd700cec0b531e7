"""Prose and menus."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.documents.prose import Prose, shares

PROSE = ["A heading", "This paragraph says something at length.", "And this one ends the matter with a full stop."]


def test_a_menu_around_prose_shows_in_every_share() -> None:
    menu, none = ["Home", "Products", "Home"], np.zeros(3, bool)
    plain = shares(PROSE, np.array([True, False, False]), none, np.array([True, False, False]))
    framed = shares(
        [*menu, *PROSE, *menu],
        np.array([False] * 3 + [True] + [False] * 5),
        np.array([True] * 3 + [False] * 3 + [True] * 3),
        np.array([True] * 4 + [False] * 2 + [True] * 3),
    )
    assert not any(plain[f"prose_{name}"] for name in ("links", "labels", "repeats", "shared", "edges"))
    assert plain["prose_sentences"] == pytest.approx(86 / 95)
    assert framed["prose_links"] == pytest.approx(32 / 127)
    assert framed["prose_labels"] == framed["prose_shared"] == pytest.approx(6 / 9)
    assert framed["prose_repeats"] == pytest.approx(4 / 9)
    assert framed["prose_edges"] == 1


def test_what_other_pages_say_is_furniture_at_any_length() -> None:
    footer = "Whoever finds a mistake in this manual may write to its authors, who will be grateful."
    found = shares([*PROSE, footer], np.array([True] + [False] * 3), np.zeros(4, bool), np.array([False] * 3 + [True]))
    assert found["prose_labels"] == 0
    assert found["prose_shared"] == found["prose_edges"] == 1 / 4


@given(st.lists(st.tuples(st.text(), st.booleans(), st.booleans(), st.booleans()), max_size=12))
def test_any_texts_give_shares(texts: list[tuple[str, bool, bool, bool]]) -> None:
    heading, linked, shared = (np.array([row[i] for row in texts], bool) for i in (1, 2, 3))
    found = shares([text for text, *_ in texts], heading, linked, shared)
    assert bool(found) == any(text for text, *_ in texts)
    assert all(0 <= value <= 1 for value in found.values())


def test_a_document_without_text_has_none_of_it() -> None:
    columns = {
        "kind": np.array(["document", "image", "document", "text"], object),
        "text": np.array(["title", "alt", "title", "Words. "], object),
        "tag": np.array([None, "img", None, None], object),
        "link": np.array([None, "http://x/", None, None], object),
        "text_pages": np.array([np.nan, np.nan, np.nan, 1]),
    }
    found = Prose().compute(columns, {})
    assert [found["prose_sentences"][row] for row in (0, 2)] == [None, 1.0]
