"""Captions by structure: what is a figure and what only looks like one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.documents.captions import NUMBERED, Captions, Place, captions, count_words

Line = tuple[str, str, str]
"""A node: its tag (img: an image with this alt text), path and text."""

DOCBOOK = [  # <div figure> title <div> <div> img caption </div> <div> img caption </div> </div> </div>
    ("p", "1.0", "Before the figure there is a paragraph of the flow."),
    ("p", "1.1.0", "Figure 15.35. Grid/List view"),
    ("img", "1.1.1.0.0", "Grid/List view"),
    ("p", "1.1.1.0.1.0", "View as Grid"),
    ("img", "1.1.1.1.0", "Grid/List view"),
    ("p", "1.1.1.1.1.0", "View as List"),
    ("p", "1.2", "After the figure the flow goes on."),
]
GRASS = [  # <div> <a> img </a> <br> <i> caption </i> </div>
    ("p", "0.0", "To draw a grid run the following."),
    ("img", "0.1.0.0", "red grid example"),
    ("div", "0.1", "Showing a geographic grid in red"),
    ("p", "0.2", "To draw a blue grid run another."),
]
LIST = [  # <ol> <li> <p> img </li> … </ol>
    ("p", "0.0.0.0", "Open your image with the menu."),
    ("p", "0.0.1.0", "Choose the filter."),
    ("img", "0.0.1.1", ""),
    ("p", "0.0.1.2", "Then press OK and wait."),
    ("p", "0.0.2.0", "Save it under a name of its own."),
]
SENTENCE = [("p", "0.0", "Press the"), ("img", "0.0.0", ""), ("p", "0.0", "button.")]
SECTION = [("h2", "0.1.0", "2.1 Houses"), ("img", "0.1.1", ""), ("p", "0.1.2", "A house is built of stones.")]
BESIDE = [
    ("p", "0.0", "Some text."),
    ("img", "0.1.0", ""),
    ("p", "0.2", "Abb. 4: Ein Haus"),
    ("p", "0.3", "More text."),
]
SHARED = [("img", "0.0.0", ""), ("img", "0.0.1", ""), ("p", "0.0.2", "Two views of it, from left and right")]


def places(lines: list[Line]) -> list[Place]:
    return [Place(i, tag == "img", path, tag, text) for i, (tag, path, text) in enumerate(lines)]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (DOCBOOK, [["View as Grid", "Figure 15.35. Grid/List view"], ["View as List", "Figure 15.35. Grid/List view"]]),
        (GRASS, [["Showing a geographic grid in red"]]),
        (LIST, [[]]),
        (SENTENCE, [[]]),
        (SECTION, [[]]),
        (BESIDE, [["Abb. 4: Ein Haus"]]),
        (SHARED, [["Two views of it, from left and right"]] * 2),
        ([("img", "0", ""), ("p", "1", "An image of <body> has no container.")], [[]]),
    ],
)
def test_what_is_a_caption(lines: list[Line], expected: list[list[str]]) -> None:
    nodes = places(lines)
    found = [captions(nodes, node.number) for node in nodes if node.image]
    assert [[" ".join(text.text for text in group) for group in groups] for groups in found] == expected


def test_a_text_that_repeats_the_alt_text_is_one_also_before_the_image() -> None:
    lines = [("p", "0.1.0", "A lighthouse at dusk"), ("img", "0.1.1", "Lighthouse at dusk"), ("p", "0.2", "Text.")]
    assert captions(places(lines), 1)[0][0].text == "A lighthouse at dusk"
    other = [(tag, path, "Harbour" if tag == "img" else text) for tag, path, text in lines]
    assert captions(places(other), 1) == []


def test_long_texts_are_no_captions() -> None:
    lines = [("img", "0.1.0", ""), ("p", "0.1.1", "word " * 101), ("p", "0.2", "Text.")]
    assert captions(places(lines), 0) == []
    assert captions(places(lines), 0, max_words=101) != []
    assert count_words("日本語の長い文章") == 1 + 4


@pytest.mark.parametrize(
    "text", ["Figure 3.1. A house", "Abb. 4: Haus", "Abbildung A.15. Neu", "図16.275 家", "그림 3. 집"]
)
def test_numbered_in_any_language(text: str) -> None:
    assert NUMBERED.match(text)


@pytest.mark.parametrize("text", ["Figure 3 shows a house", "In 2004 it was built", "etopo2: colours", "3. A house"])
def test_not_numbered(text: str) -> None:
    assert not NUMBERED.match(text)


def columns(lines: list[Line], said: str | None = None) -> dict[str, Any]:
    """Two documents: one of these nodes, and one without any."""
    rows: list[dict[str, Any]] = [{"kind": "document"}]
    for tag, path, text in lines:
        image = tag == "img"
        kind = "image" if image else "text"
        rows.append(
            {"kind": kind, "parent": 0, "tag": tag, "path": path, "text": text, "caption": said if image else None}
        )
    rows.append({"kind": "document"})
    names = ("kind", "parent", "tag", "path", "text", "caption")
    found = {name: np.array([row.get(name) for row in rows], object) for name in names}
    return found | {"position": (np.uint64(7) << np.uint64(32)) | np.arange(5, 5 + len(rows), dtype=np.uint64)}


def facts(lines: list[Line], said: str | None = None) -> dict[str, Any]:
    return dict(Captions().compute(columns(lines, said), {}))


def test_columns_name_rows_of_the_shard() -> None:
    found = facts(DOCBOOK)
    assert found["image_caption"][3] == "View as Grid"
    assert [found[name][3] for name in ("image_caption_row", "figure_caption_row")] == [5 + 4, 5 + 2]
    assert found["caption_of"].tolist() == [0, 0, 2, 0, 1, 0, 1, 0, 0]
    assert found["image_caption"][0] is None and found["image_caption_row"][8] is None


def test_markup_has_the_first_word() -> None:
    lines = [("img", "0.1.0", ""), ("figcaption", "0.1.1", "A heron by the lake"), ("p", "0.2", "Figure 1. A duck")]
    found = facts(lines, "A heron by the lake")
    assert (found["image_caption"][1], found["image_caption_row"][1]) == ("A heron by the lake", 7)
    parts = [lines[0], ("figcaption", "0.1.1", "A heron"), ("figcaption", "0.1.1", "by the lake")]
    assert facts(parts, "A heron by the lake")["caption_of"].tolist() == [0, 0, 1, 1, 0]
    lost = facts(lines, "A caption that no node carries")
    assert (lost["image_caption"][1], lost["image_caption_row"][1]) == ("A caption that no node carries", None)


tree = st.lists(
    st.tuples(st.sampled_from(["p", "img", "h2", "li"]), st.lists(st.integers(0, 2), min_size=1, max_size=5))
)


@given(tree)
def test_captions_are_texts_of_the_page_and_no_image_changes_those_of_others(
    nodes: list[tuple[str, list[int]]],
) -> None:
    ordered = sorted(nodes, key=lambda node: node[1])
    lines = [(tag, ".".join(map(str, path)), f"text {i}") for i, (tag, path) in enumerate(ordered)]
    found = facts(lines)
    assert (found["caption_of"] >= 0).all()
    for row, carrier in enumerate(found["image_caption_row"]):
        assert carrier is None or lines[row - 1][0] == "img" != lines[carrier - 6][0]


def test_a_page_of_one_huge_container_takes_linear_time() -> None:
    lines = [("img", f"0.{i}", "") if i % 2 else ("p", f"0.{i}", f"Word {i}") for i in range(4000)]
    nodes = places(lines)
    assert not any(captions(nodes, i) for i in range(1, 4000, 2))


def test_a_shard_of_which_nothing_is_left() -> None:
    empty = {name: values[:0] for name, values in columns(DOCBOOK).items()}
    assert all(len(values) == 0 for values in Captions().compute(empty, {}).values())
