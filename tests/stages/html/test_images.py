from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.html.images import DATA_LIMIT, NAMED, OTHERS, candidates, locate, size, srcset
from stages.html.urls import Resolver

PAGE = Resolver("https://example.org/docs/page.html")


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("a.png 400w, b.png 800w", [(400, 1, "a.png"), (800, 1, "b.png")]),
        ("a.png, b.png 2x", [(0, 1, "a.png"), (0, 2, "b.png")]),
        ("a.png 1x,b.png 1.5x", [(0, 1, "a.png"), (0, 1.5, "b.png")]),
        ("a,b.png 2x, c.png", [(0, 2, "a,b.png"), (0, 1, "c.png")]),
        ("data:image/png;base64,AA== 1x, b.png 2x", [(0, 2, "b.png")]),
        (" , ,, a.png 9999999999w nonsense", [(0, 1, "a.png")]),
        ("", []),
    ],
)
def test_srcset(text: str, urls: list[tuple[float, float, str]]) -> None:
    assert srcset(text) == urls


@given(st.text(alphabet="ab ,\t1xw", max_size=60))
def test_srcset_of_anything(text: str) -> None:
    assert all(url and not url.endswith(",") and " " not in url for _, _, url in srcset(text))


@pytest.mark.parametrize(
    ("img", "sources", "best"),
    [
        ({"src": "a"}, [], ["a"]),
        ({"src": "a", "srcset": "b 100w, c 300w, d 200w"}, [], ["c", "d", "b", "a"]),
        ({"src": "a", "srcset": "a, b 2x"}, [], ["b", "a"]),
        ({"src": "a"}, ["w.webp"], ["a", "w.webp"]),
        ({"src": "a"}, ["w.webp 500w"], ["w.webp", "a"]),
        ({"src": "a", "srcset": "b 500w"}, ["w.webp 500w"], ["b", "w.webp", "a"]),
        ({"src": "tiny.gif", "data-src": "real.jpg"}, [], ["real.jpg", "tiny.gif"]),
        ({"src": "tiny.gif", "data-original": "real.jpg"}, [], ["real.jpg", "tiny.gif"]),
        ({"data-lazy-src": "/real"}, [], ["/real"]),
        ({"src": "a", "data-srcset": "b 10w, c 20w"}, [], ["c", "b", "a"]),
        ({"src": "a", "data-image": "12"}, [], ["a"]),
        ({"src": "a", "data-src": '{"u": "b.png"}'}, [], ["a"]),
        ({"src": "  "}, [], []),
        ({}, [], []),
    ],
)
def test_which_url_is_the_picture(img: dict[str, str], sources: list[str], best: list[str]) -> None:
    assert candidates(img, [found for text in sources for found in srcset(text)]) == best


def test_of_very_many_urls_the_best_are_looked_into() -> None:
    many = ", ".join(f"{n}.png {n}w" for n in range(1, 1000))
    assert candidates({"srcset": many}, []) == [f"{n}.png" for n in range(999, 999 - NAMED, -1)]


def test_others_are_absolute_distinct_and_few() -> None:
    url, others, data, error = locate([f"{n}.png" for n in range(40)] + ["0.png"], PAGE)
    assert url == "https://example.org/docs/0.png"
    assert others == tuple(f"https://example.org/docs/{n}.png" for n in range(1, OTHERS + 1))
    assert (data, error) == (None, None)


def test_the_first_url_that_can_be_fetched() -> None:
    assert locate(["javascript:x", "data:image/png;base64,AAAA", "b.png"], PAGE)[0] == "https://example.org/docs/b.png"


def test_data_is_decoded() -> None:
    for uri in (
        "data:image/gif;base64," + base64.b64encode(b"GIF89a..").decode(),
        "data:image/gif;charset=utf-8;base64," + base64.b64encode(b"GIF89a..").decode().rstrip("="),
        "DATA:image/gif,GIF89a%2E.",
        "data:image/gif;base64,R0lG\nODlh%4CiQ=".replace("%4CiQ=", "Li4="),
        "data:;base64,R0lGODlhLi4=",
    ):
        assert locate([uri], PAGE) == (None, (), b"GIF89a..", None), uri


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ([], "no src"),
        (["javascript:x"], "scheme"),
        (["data:image/png;base64,A"], "base64"),
        (["data:image/png;base64,"], "0 bytes"),
        (["data:text/html,<p>"], "type"),
        (["data:image/png"], "without data"),
        (["data:image/png," + "A" * (DATA_LIMIT + 1)], "bytes"),
        (["data:image/png," + "%41" * (DATA_LIMIT + 1)], "characters"),
    ],
)
def test_why_an_image_has_neither_url_nor_data(raw: list[str], why: str) -> None:
    url, others, data, error = locate(raw, PAGE)
    assert (url, others, data) == (None, (), None)
    assert error is not None and why in error and len(error) < 100


@pytest.mark.parametrize(
    ("img", "shown"),
    [
        ({"width": "100", "height": "50px"}, (100, 50)),
        ({"width": "50%", "height": "auto"}, (None, None)),
        ({"width": "100", "style": "max-width: 10px; WIDTH: 30.5px; height:4em"}, (30, None)),
        ({"width": "1", "height": "1"}, (1, 1)),
        ({"width": "99999999999"}, (None, None)),
        ({"width": "\n 7.5 PX ", "height": "7.px"}, (7, None)),
        ({}, (None, None)),
    ],
)
def test_size_as_shown(img: dict[str, str], shown: tuple[int | None, int | None]) -> None:
    assert size(img) == shown
