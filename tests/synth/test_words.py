from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from synth.words import words_in_image


def word(text: str, line: int = 0, box: tuple[float, float, float, float] = (0.1, 0.1, 0.2, 0.2)) -> dict[str, Any]:
    return {"text": text, "box": list(box), "score": 0.95, "line": line}


SALE = [word("SUMMER", box=(0.1, 0.1, 0.4, 0.2)), word("SALE!", box=(0.5, 0.1, 0.7, 0.25)), word("today", line=1)]


def test_the_longest_run_gets_the_box_around_its_words() -> None:
    caption = "A poster for the Summer Sale in town"
    (run,) = words_in_image(caption, SALE)
    assert caption[run.start : run.end] == "Summer Sale"
    assert [round(side, 3) for side in run.box] == [0.1, 0.1, 0.7, 0.25]


def test_a_run_stays_in_its_line() -> None:
    runs = words_in_image("sale today", SALE)
    assert [(run.start, run.end) for run in runs] == [(0, 4), (5, 10)]


def test_stop_words_are_trimmed_and_alone_are_nothing() -> None:
    words = [word("the"), word("price"), word("of"), word("the")]
    caption = "the price of the thing"
    (run,) = words_in_image(caption, words)
    assert caption[run.start : run.end] == "price"
    assert words_in_image("one of the", [word("of"), word("the")]) == []


def test_punctuation_splits_words_on_both_sides() -> None:
    (run,) = words_in_image("region-based methods", [word("Region-based")])
    assert (run.start, run.end) == (0, 12)


def test_single_letters_are_no_evidence() -> None:
    assert words_in_image("plan B or X", [word("B"), word("X", line=1)]) == []


@given(st.text(max_size=40), st.lists(st.text(max_size=8), max_size=6))
def test_runs_are_ordered_disjoint_spans_of_the_caption(caption: str, texts: list[str]) -> None:
    runs = words_in_image(caption, [word(text, line=i // 2) for i, text in enumerate(texts)])
    edges = [edge for run in runs for edge in (run.start, run.end)]
    assert edges == sorted(edges)
    assert all(0 <= run.start < run.end <= len(caption) for run in runs)
