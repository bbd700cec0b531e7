"""Paragraphs once per domain, whatever the order of shards."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.contracts import Columns
from curate.scan import MemoryScan
from stages.select.paragraphs import OncePerDomain, website

Page = tuple[str, list[str]]
PAGES = st.lists(
    st.tuples(
        st.sampled_from(["http://a.com/1", "http://A.com:80/2", "http://www.a.com/3", "http://b.com/"]),
        st.lists(st.sampled_from(["cookies", "a walk", "in the park"]), max_size=4),
    ),
    min_size=1,
    max_size=6,
)


class Shards(MemoryScan):
    """Pages in shards of one or more, in any order; a page's uid is its number, wherever it lies."""

    def __init__(self, pages: list[Page], order: list[int], cut: int, partitions: int) -> None:
        rows: list[tuple[int, int, str, str, str | None, float]] = []
        shards = [order[i : i + cut] for i in range(0, len(order), cut)]
        for shard, numbers in enumerate(shards):
            start = len(rows)
            for number in numbers:
                parent = len(rows) - start
                url, texts = pages[number]
                rows.append((shard, number * 100, "document", "title", url, np.nan))
                rows += [(shard, number * 100 + i + 1, "text", text, None, parent) for i, text in enumerate(texts)]
        of = np.array([row[0] for row in rows], np.uint64)
        place = np.concatenate([np.arange(np.count_nonzero(of == s)) for s in range(len(shards))]).astype(np.uint64)
        columns: Columns = {
            **{name: np.array([row[i] for row in rows], object) for i, name in ((2, "kind"), (3, "text"), (4, "url"))},
            "parent": np.array([row[5] for row in rows], np.float64),
            "uid": np.array([(0, row[1]) for row in rows], np.uint64),
            "position": of << np.uint64(32) | place,
        }
        super().__init__(columns, partitions=partitions)
        self._shards = [np.flatnonzero(of == s) for s in range(len(shards))]


def kept(scan: MemoryScan, step: OncePerDomain) -> list[int]:
    """uids of the rows that stay, ascending."""
    times = step.apply(scan.columns, scan.fit(step), seed=0)
    found: list[int] = sorted(scan.columns["uid"][times > 0, 1].tolist())
    return found


@given(PAGES, st.randoms(use_true_random=False), st.integers(1, 3), st.integers(1, 3))
def test_the_first_stays_however_the_pool_is_cut(pages: list[Page], random: object, cut: int, partitions: int) -> None:
    order = list(range(len(pages)))
    random.shuffle(order)  # type: ignore[attr-defined]
    expected, seen = [], set()
    for number, (url, texts) in enumerate(pages):
        expected.append(number * 100)
        for i, text in enumerate(texts):
            if (website(url), text) not in seen:
                seen.add((website(url), text))
                expected.append(number * 100 + i + 1)
    assert kept(Shards(pages, order, cut, partitions), OncePerDomain()) == expected


@given(PAGES, st.integers(1, 3), st.integers(1, 3))
def test_obelics_removes_them_everywhere(pages: list[Page], cut: int, partitions: int) -> None:
    times = Counter((website(url, "obelics"), text) for url, texts in pages for text in texts)
    expected = []
    for number, (url, texts) in enumerate(pages):
        expected.append(number * 100)
        once = [times[website(url, "obelics"), text] == 1 for text in texts]
        expected += [number * 100 + i + 1 for i, alone in enumerate(once) if alone]
    assert kept(Shards(pages, list(range(len(pages))), cut, partitions), OncePerDomain(mode="obelics")) == expected


def test_it_says_what_it_does() -> None:
    pages: list[Page] = [("http://a.com/", ["x", "x", "y"]), ("http://a.com/2", ["x", "z"])]
    for mode, stay in (("default", "the first of each stays"), ("obelics", "none stays")):
        scan, step = Shards(pages, [0, 1], 1, 2), OncePerDomain(mode=mode)  # type: ignore[arg-type]
        assert step.threshold(scan.fit(step)) == f"3 paragraphs say 1 things again; {stay}"


@pytest.mark.parametrize(
    ("url", "host", "obelics"),
    [
        ("https://Docs.Example.org:8080/a", "docs.example.org", "Docs.Example.org:8080"),
        ("file:///a.html", "", ""),
        ("http://[half/", "http://[half/", "http://[half/"),
        (None, "", ""),
    ],
)
def test_websites(url: str | None, host: str, obelics: str) -> None:
    assert (website(url), website(url, "obelics")) == (host, obelics)
