"""Facts about documents as wholes: their text, counts, repeats and images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.columns import to_arrow
from curate.contracts import Columns, DocumentFact
from stages.documents.counts import Counts, OverNodes
from stages.documents.repeats import EndMarks, ImageSet, RepeatedImages
from stages.documents.text import WholeText
from stages.signals.obelics import END_OF_DOCUMENT

NODES = st.one_of(
    st.tuples(st.just("text"), st.sampled_from(["a walk", "", "in the park", END_OF_DOCUMENT])),
    st.tuples(st.just("image"), st.sampled_from(["http://x/1", "http://x/2", None])),
)
DOCUMENTS = st.lists(st.lists(NODES, max_size=6), min_size=1, max_size=4)


def columns(documents: list[list[tuple[str, Any]]], **more: list[Any]) -> Columns:
    """Rows of a shard: a text node has its text, an image its URL."""
    rows: list[tuple[str, str | None, str | None]] = []
    for nodes in documents:
        rows.append(("document", "title", "http://x/"))
        rows += [(kind, value if kind == "text" else None, value if kind == "image" else None) for kind, value in nodes]
    named: dict[str, list[Any]] = {n: [row[i] for row in rows] for i, n in enumerate(("kind", "text", "url"))}
    named["sha256"] = [b"same"] * len(rows)
    found = {name: np.array([*values, None], object)[:-1] for name, values in named.items()}
    return {**found, **{name: np.array(values, np.float64) for name, values in more.items()}}


def facts(step: DocumentFact, given_: Columns) -> dict[str, list[Any]]:
    """Values of the rows that the step is about."""
    found = step.compute(given_, {})
    about = np.isin(given_["kind"], step.kinds)
    n = len(given_["kind"])
    return {name: to_arrow(found[name], kind, n, name).filter(about).to_pylist() for name, kind in step.gives().items()}


PAGE = [("text", "a walk"), ("image", "http://x/1"), ("text", ""), ("text", "in the park"), ("image", "http://x/1")]


def test_text_and_counts() -> None:
    given_ = columns([PAGE, [], [("image", "http://x/2")]])
    assert facts(WholeText(), given_) == {"document_text": ["a walk\n\nin the park", "", ""]}
    assert facts(Counts(), given_) == {
        "document_texts": [2, 0, 0],
        "document_images": [2, 0, 1],
        "document_words": [5, 0, 0],
    }


@given(DOCUMENTS)
def test_documents_do_not_see_each_other(documents: list[list[tuple[str, Any]]]) -> None:
    for step in (WholeText(), Counts(), RepeatedImages(), EndMarks(), ImageSet(), ImageSet(mode="obelics")):
        alone = [facts(step, columns([nodes])) for nodes in documents]
        together = facts(step, columns(documents))
        assert together == {name: [v for found in alone for v in found[name]] for name in step.gives()}


@pytest.mark.parametrize(("take", "expected"), [("max", 0.9), ("min", 0.1), ("sum", 1.0), ("mean", 0.5)])
def test_over_nodes(take: Any, expected: float) -> None:
    nodes = [("image", "1"), ("text", "t"), ("image", "2")]
    given_ = columns([[], nodes, [("text", "t")], nodes], nsfw=[7, 7, 0.1, np.nan, 0.9, 7, np.nan, 7, 0.1, 0.9, np.nan])
    found = facts(OverNodes(column="nsfw", take=take), given_)[f"{take}_nsfw"]
    # 7 stands on rows of documents, which are no nodes
    assert found == [None, pytest.approx(expected), None, pytest.approx(expected)]


@given(DOCUMENTS, st.data())
def test_over_nodes_as_defined(documents: list[list[tuple[str, Any]]], data: st.DataObject) -> None:
    n = sum(1 + len(nodes) for nodes in documents)
    values = data.draw(st.lists(st.sampled_from([np.nan, 0.25, 0.5, 3.0]), min_size=n, max_size=n))
    given_ = columns(documents, score=values)
    own, start = [], 0
    for nodes in documents:
        own.append([v for v in values[start + 1 : start + 1 + len(nodes)] if not np.isnan(v)])
        start += 1 + len(nodes)
    for take, function in (("max", max), ("min", min), ("sum", sum), ("mean", lambda v: sum(v) / len(v))):
        expected = [function(v) if v else None for v in own]
        assert facts(OverNodes(column="score", take=take), given_)[f"{take}_score"] == expected  # type: ignore[arg-type]


def test_images_again() -> None:
    page = [
        ("image", "1"),
        ("image", "2"),
        ("text", "t"),
        ("image", "1"),
        ("image", "1"),
        ("image", None),
        ("image", None),
    ]
    assert facts(RepeatedImages(), columns([page, page[:1]]))["image_repeat"] == [0, 0, 1, 2, 0, 1, 0]


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("t E t", [0, 1, 0]),
        ("t E E i E t", [0, 1, 2, 1, 0]),  # an image stands between
        ("t i t E", [0, 0, 2]),
        ("t i E E", [0, 2, 2]),
        ("t E i", [0, 1]),  # the document ends with the image
        ("E i E i", [1, 1]),
        ("t E _ E i", [0, 1, 0, 2]),  # an empty text stands between nothing
        ("E", [2]),
        ("", []),
    ],
)
def test_end_marks(page: str, expected: list[int]) -> None:
    words = {"t": ("text", "words"), "E": ("text", END_OF_DOCUMENT), "_": ("text", ""), "i": ("image", "1")}
    assert facts(EndMarks(), columns([[words[word] for word in page.split()]]))["end_mark"] == expected


def test_image_sets() -> None:
    pages: list[list[tuple[str, Any]]] = [
        [("image", "a"), ("image", "b"), ("image", "a")],
        [("image", "b"), ("text", "t"), ("image", "a")],
        [("image", "ab")],
        [("text", "t"), ("image", None)],
    ]
    first, second, third, none = facts(ImageSet(), columns(pages))["image_set"]
    assert first == second and first != third and none is None
    quirk = facts(ImageSet(mode="obelics"), columns(pages))["image_set"]
    assert quirk[0] == quirk[1] == quirk[2] and quirk[3] is None
