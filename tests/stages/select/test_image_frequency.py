"""Frequency of images over the pages of a domain, and what its pages have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.scan import MemoryScan
from stages.select.domains import DomainStatistics, host
from stages.select.image_frequency import ImageFrequency, TextFrequency

Shown = tuple[str, bytes | None]
"""An image of a page: its URL and its digest."""


def columns(pages: Sequence[tuple[str, Sequence[Shown]]], start: int = 0) -> dict[str, Any]:
    """Rows of pages (URL, images), numbered in one shard."""
    rows: list[dict[str, Any]] = []
    for url, images in pages:
        parent = start + len(rows)
        rows.append({"kind": "document", "url": url})
        rows += [{"kind": "image", "parent": parent, "url": link, "sha256": digest} for link, digest in images]
    found = {name: np.array([row.get(name) for row in rows], object) for name in ("kind", "url", "sha256")}
    parents = np.array([row.get("parent", np.nan) for row in rows], np.float64)
    return found | {"parent": parents, "position": np.arange(start, start + len(rows), dtype=np.uint64)}


def frequency(table: dict[str, Any], partitions: int = 3) -> dict[str, Any]:
    step = ImageFrequency()
    return dict(step.compute(table, MemoryScan(table, 1, partitions).fit(step)))


def test_documents_count_not_places_and_bytes_as_well_as_urls() -> None:
    logo, copy = ("http://a.example/logo.png", b"1" * 32), ("http://cdn.example/other.png", b"1" * 32)
    broken, lone = ("http://a.example/gone.png", None), ("http://a.example/lone.png", b"2" * 32)
    found = frequency(
        columns(
            [
                ("http://a.example/1", [logo, logo, lone]),
                ("http://A.example:80/2", [copy, broken]),
                ("http://a.example/3", [broken]),
                ("http://b.example/1", [logo]),
            ]
        )
    )
    assert found["image_pages"].tolist() == [None, 2, 2, 1, None, 2, 2, None, 2, None, 1]
    shares = [value for value in found["image_share"].tolist() if value is not None]
    assert shares == pytest.approx([2 / 3, 2 / 3, 1 / 3, 2 / 3, 2 / 3, 2 / 3, 1.0])


pages = st.lists(
    st.tuples(
        st.sampled_from(["http://a.example/", "http://b.example/", "nothing"]),
        st.lists(st.tuples(st.sampled_from(["u", "v", "w"]), st.sampled_from([None, b"x", b"y"])), max_size=4),
    ),
    min_size=1,
    max_size=8,
)


@given(pages, st.integers(1, 4))
def test_as_counted_plainly(drawn: list[tuple[str, list[Shown]]], partitions: int) -> None:
    found = frequency(columns(drawn), partitions)["image_pages"]
    plain: list[int | None] = []
    for url, images in drawn:
        same = [others for other, others in drawn if host(other) == host(url)]
        plain.append(None)
        for link, digest in images:
            by_url = sum(any(link == u for u, _ in others) for others in same)
            by_bytes = sum(any(digest is not None and digest == d for _, d in others) for others in same)
            plain.append(max(by_url, by_bytes))
    assert list(found) == plain


def test_shards_do_not_show() -> None:
    """Two shards, whose rows are numbered from 0 each, count as one."""
    first = columns([("http://a.example/1", [("u", b"x")])])
    second = columns([("http://a.example/2", [("u", b"x"), ("v", b"y")])])
    second["position"] = second["position"] + (np.uint64(1) << np.uint64(32))
    whole = {name: np.concatenate([first[name], second[name]]) for name in first}
    step = ImageFrequency()
    scan = MemoryScan(whole)
    scan._shards = [np.arange(2), np.arange(2, 5)]
    state = scan.fit(step)
    mine = state["position"].astype(np.uint64) >> np.uint64(32) == 1
    found = step.compute(second, {name: values[mine] for name, values in state.items()})
    assert list(found["image_pages"]) == [None, 2, 1]


def test_domain_statistics() -> None:
    table = columns([("http://a.example/1", [("u", b"x")]), ("http://A.example/2", []), ("http://b.example/1", [])])
    table["words"] = np.array([10.0, np.nan, 30.0, np.nan])
    table["relevance"] = np.array([np.nan, 0.5, np.nan, np.nan])
    step = DomainStatistics(means=("words", "relevance"))
    found: dict[str, Any] = dict(step.compute(table, MemoryScan(table, 1, 2).fit(step)))
    assert list(found["domain"]) == ["a.example", "a.example", "a.example", "b.example"]
    assert list(found["domain_pages"]) == [2, 2, 2, 1]
    assert found["domain_words"][:3].tolist() == [20.0] * 3 and np.isnan(found["domain_words"][3])
    assert found["domain_relevance"][0] == 0.5
    assert set(step.gives()) == set(found)


def test_a_column_is_averaged_once() -> None:
    with pytest.raises(ValueError, match="twice"):
        DomainStatistics(means=("words", "words"))


@pytest.mark.parametrize(
    ("url", "expected"),
    [("http://User@A.Example:8080/x", "a.example"), ("file:///x", ""), ("http://[broken", ""), (None, ""), ("x", "")],
)
def test_host(url: str | None, expected: str) -> None:
    assert host(url) == expected


def test_texts() -> None:
    rows: list[dict[str, Any]] = [
        {"kind": "document", "url": "http://a.example/1"},
        {"kind": "text", "parent": 0, "text": "Read more"},
    ]
    rows += [{"kind": "document", "url": "http://a.example/2"}, {"kind": "text", "parent": 2, "text": "Read more"}]
    rows += [{"kind": "text", "parent": 2, "text": "Once"}, {"kind": "document", "url": "http://b.example/"}]
    table: dict[str, Any] = {
        name: np.array([row.get(name) for row in rows], object) for name in ("kind", "url", "text")
    }
    table["parent"] = np.array([row.get("parent", np.nan) for row in rows], np.float64)
    table["position"] = np.arange(len(rows), dtype=np.uint64)
    step = TextFrequency()
    found = step.compute(table, MemoryScan(table, 1, 2).fit(step))
    assert list(found["text_pages"]) == [None, 2, None, 2, 1, None]
    assert list(found["text_share"]) == [None, 1.0, None, 1.0, 0.5, None]
