"""Texts by sentence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.html.sentences import extract, sentences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It rained. We stayed in! Did you?", ["It rained.", "We stayed in!", "Did you?"]),
        ("Mr. Smith of Washington, D.C. It rained.", ["Mr. Smith of Washington, D.C. It rained."]),
        ("See Fig. 3 and Sec. 4.5. Then go on.", ["See Fig. 3 and Sec. 4.5.", "Then go on."]),
        ("What?! “Yes.” He left... and came back.", ["What?!", "“Yes.”", "He left... and came back."]),
        ("Version 2.10.30 is out (see below.) Get it.", ["Version 2.10.30 is out (see below.)", "Get it."]),
        ("Das gilt z.B. Montags, d.h. heute. Gut.", ["Das gilt z.B. Montags, d.h. heute.", "Gut."]),
        ("日本語です。次の文！「はい。」そして", ["日本語です。", "次の文！", "「はい。」", "そして"]),
        ("A line\nand another\n\n", ["A line", "and another"]),
        ("", []),
        (" \n ", []),
        ("no stop at all", ["no stop at all"]),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@given(st.text(alphabet=[*'aB1.!?。\n "）'], max_size=60))
def test_nothing_but_white_space_is_lost(text: str) -> None:
    found = sentences(text)
    assert "".join("".join(found).split()) == "".join(text.split())
    assert all(sentence == sentence.strip() != "" for sentence in found)


def test_a_run_of_stops_is_read_once() -> None:  # else this takes minutes
    assert len(sentences("." * 500_000 + "x" + '."' * 200_000 + " Y")) == 2


def test_a_page_has_a_node_for_each_sentence() -> None:
    html = b"<main><p>One. Two.<pre>a. B.\nC.</pre><img src=a.png alt='X. Y.'><p>Three.</main>"
    page = extract(html, "http://a.example/")
    assert [(node.tag, node.text) for node in page.nodes] == [
        ("p", "One."),
        ("p", "Two."),
        ("pre", "a. B.\nC."),
        ("img", "X. Y."),
        ("p", "Three."),
    ]
    assert page.nodes[0].path == page.nodes[1].path
    assert {node.region for node in page.nodes} == {"main"}
