"""Captions that nobody wrote: each fault is found by its own rule, and real captions have none."""

from __future__ import annotations

import pytest

from stages.signals.faults import FAULTS, faults

REAL = [
    "A red bus & two cyclists",
    "R&B; the album",
    "Coffee, 50% off - 3 < 5 > 2",
    "IMG dealers meet in London",
    "Photo by J. Smith (2019)",
    "👩‍🚀 astronaut ❤️",
    "नमस्ते दुनिया",
    "می‌خواهم",  # a zero-width non-joiner belongs to the word
    "line one\nline two\tand more",
    "version 2.0 of the logo.svg format",
    "1984",
    "Click beetle on a leaf",
    "Rights of man, order of the day",
    "a gallery for free spirits, now available",
    "Plate no. 12 [b]",
]


@pytest.mark.parametrize("caption", REAL)
def test_real_captions_have_no_faults(caption: str) -> None:
    assert faults(caption) == []


@pytest.mark.parametrize(
    ("fault", "caption"),
    [
        ("address", "Buy at http://shop1.example.com/p?id=2 red shoes"),
        ("address", "WWW.shop.com"),
        ("filename", "IMG_0123.jpg"),
        ("filename", "some-product_800x600.PNG"),
        ("filename", "DSC00042"),
        ("filename", "Screenshot 20240101-1030"),
        ("filename", " photo17.png "),
        ("filename", "red shoes.jpg"),
        ("filename", "images/cache/thumb_7_small.png 640x480 thumb_7.png"),
        ("boilerplate", "Click here to see the red shoes"),
        ("boilerplate", "No image available"),
        ("boilerplate", "Image not available"),
        ("boilerplate", "Red shoes, add to cart"),
        ("boilerplate", "A red shoe. All rights reserved."),
        ("markup", "<b>Sale</b> today"),
        ("markup", 'a dog<br/>on a <a href="x">mat</a>'),
        ("markup", "Tom &amp; Jerry"),
        ("markup", "it&#39;s a dog"),
        ("markup", "[url=x]dog[/url]"),
        ("control", "a dog\x00 on a mat"),
        ("control", "a \u202edog\u202c on a mat"),
        ("control", "icon \uf0c1 link"),
        ("control", "caf\ufffd in Paris"),
    ],
)
def test_each_fault_has_its_rule(fault: str, caption: str) -> None:
    assert faults(caption) == [fault]


def test_several_faults_come_in_order() -> None:
    assert faults("Buy now: <b>http://a.b/c</b> \x07") == ["address", "markup", "control", "boilerplate"]
    assert FAULTS == ("address", "filename", "markup", "control", "boilerplate")
