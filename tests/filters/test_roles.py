"""Decisions about an image's role."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from filters.roles import NotAdvert, NotIcon, NotLink, NotNavigation, NotRepeated, NotTracker, shown

NAN = np.nan


def sizes(*rows: tuple[float, float, float, float]) -> dict[str, Any]:
    """Width, height, shown width, shown height."""
    return dict(zip(("width", "height", "shown_width", "shown_height"), np.array(rows).T, strict=True))


def test_shown_size() -> None:
    width, height = shown(sizes((100, 50, NAN, NAN), (100, 50, 20, NAN), (100, 50, NAN, 100), (100, 50, 30, 40)))
    assert width.tolist() == [100, 20, 200, 30]
    assert height.tolist() == [50, 10, 100, 40]


def test_trackers_and_rules() -> None:
    columns = sizes((1, 1, NAN, NAN), (600, 1, NAN, NAN), (300, 200, 0, 0), (300, 200, NAN, 1), (4, 4, NAN, NAN))
    assert NotTracker()(columns).tolist() == [False, False, False, False, True]


def test_icons() -> None:
    columns = sizes(
        (48, 48, NAN, NAN), (64, 20, NAN, NAN), (512, 512, 32, NAN), (124, 38, NAN, NAN), (124, 38, NAN, NAN)
    )
    columns |= {
        "image_inline_words": np.array([0, 0, 0, 7, 7]),
        "image_caption": np.array([None, None, None, None, "Its caption"], object),
    }
    assert NotIcon()(columns).tolist() == [False, True, False, False, True]
    assert NotIcon(min_side=0, min_inline=0)(columns).all()


def test_navigation() -> None:
    columns = {
        "image_card": np.array([True, False, False, None, False], object),
        "region": np.array([None, "nav", "main", None, "aside"], object),
    }
    assert NotNavigation()(columns).tolist() == [False, False, True, True, True]
    assert NotNavigation(regions=("aside",))(columns).tolist() == [False, True, True, True, False]


def test_repeated_needs_many_pages_and_a_large_share() -> None:
    columns = {"image_pages": np.array([2, 200, 98, 5]), "image_share": np.array([1.0, 1.0, 0.14, 0.2])}
    assert NotRepeated()(columns).tolist() == [True, False, True, False]
    assert NotRepeated(min_share=0.1)(columns).tolist() == [True, False, False, False]
    assert NotRepeated().bounds() == {"image_share": (None, 0.2)}


@pytest.mark.parametrize(
    ("size", "to", "kept"),
    [
        ((728, 90, NAN, NAN), "elsewhere", False),
        ((1456, 180, 728, 90), "elsewhere", False),
        ((728, 90, NAN, NAN), "page", True),
        ((728, 90, NAN, NAN), None, True),
        ((727, 90, NAN, NAN), "elsewhere", True),
    ],
)
def test_adverts(size: tuple[float, float, float, float], to: str | None, kept: bool) -> None:
    assert NotAdvert()(sizes(size) | {"image_leads": np.array([to], object)}).tolist() == [kept]


def test_links() -> None:
    columns = {
        "link": np.array([None, "http://a.example/", "http://a.example/#part", "http://a.example/"], object),
        "tag": np.array(["p", "li", "h2", "figcaption"], object),
        "caption_of": np.array([0, 0, 0, 2]),
    }
    assert NotLink()(columns).tolist() == [True, False, True, True]


def test_repeated_texts() -> None:
    columns = {"text_pages": np.array([5, np.nan]), "text_share": np.array([0.5, np.nan])}
    assert NotRepeated(of="text")(columns).tolist() == [False, True]
