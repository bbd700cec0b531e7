"""Where an image stands and leads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stages.documents.captions import Place
from stages.documents.position import Position, inline_words, leads

PAGE = "http://a.example/docs/page.html"


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        (None, None),
        ("http://a.example/docs/other.html", "page"),
        ("http://A.example/", "page"),
        ("http://a.example/docs/page.html#part", "anchor"),
        ("http://a.example/docs/page.html?page=2#part", "page"),
        ("http://a.example/images/large.PNG?size=full", "image"),
        ("http://cdn.example/large.webp", "image"),
        ("http://b.example/docs/page.html", "elsewhere"),
        ("mailto:someone@a.example", "elsewhere"),
        ("javascript:void(0)", "elsewhere"),
        ("http://[broken", "elsewhere"),
    ],
)
def test_leads(link: str | None, expected: str | None) -> None:
    assert leads(link, PAGE) == expected


def test_without_a_page_of_its_own_a_link_leads_elsewhere() -> None:
    assert leads("http://a.example/x.html", "") == "elsewhere"


def test_inline_words_are_those_of_the_element_itself() -> None:
    places = [
        Place(0, False, "0.0", "p", "Another paragraph."),
        Place(1, False, "0.1", "p", "Press the"),
        Place(2, True, "0.1.0", "img", ""),
        Place(3, False, "0.1", "p", "button, then"),
        Place(4, True, "0.1.3", "img", ""),
        Place(5, True, "0.2.0", "img", ""),
    ]
    assert [inline_words(places, i) for i in (2, 4, 5)] == [4, 2, 0]


def columns(rows: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    names = ("kind", "parent", "text", "tag", "path", "url", "link", "image_caption_row")
    found = {name: np.array([row.get(name) for row in rows], object) for name in names}
    found["image_caption_row"] = found["image_caption_row"].astype(np.float64)
    return found | {"position": np.arange(100, 100 + len(rows), dtype=np.uint64)}


def image(path: str, link: str | None = None, caption: int | None = None) -> dict[str, Any]:
    return {"kind": "image", "tag": "img", "path": path, "link": link, "image_caption_row": caption}


def text(path: str, words: str, link: str | None = None) -> dict[str, Any]:
    return {"kind": "text", "tag": "p", "path": path, "text": words, "link": link}


def test_cards() -> None:
    one, two = "http://a.example/1.html", "http://a.example/2.html"
    found = Position().compute(
        columns(
            [
                {"kind": "document", "url": PAGE},
                image("0.0.0", one),  # with its title, which leads to the same page
                text("0.0.1", "The first", one),
                image("0.1.0", two),  # alone among texts that lead nowhere
                text("0.2", "Prose."),
                image("0.3.0", one),  # a gallery
                image("0.4.0", two),
                text("0.5", "Prose."),
                image("0.6.0", None, caption=109),  # its caption leads away
                text("0.6.1", "Read more", two),
                image("0.7.0", "http://a.example/large.png", caption=111),
                text("0.7.1", "A larger one"),
                {"kind": "document", "url": PAGE},
                image("0.0", None),
            ]
        ),
        {},
    )
    assert np.flatnonzero(found["image_card"]).tolist() == [1, 5, 6, 8]
    assert [found["image_leads"][i] for i in (1, 8, 10)] == ["page", None, "image"]
    assert [found["image_position"][i] for i in (1, 3, 13)] == [0.0, pytest.approx(0.2), 0.0]
    assert found["image_inline_words"][0] is None
