"""Captions that nobody wrote: each fault is found by its own rule, and real captions have none."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.signals.faults import FAULTS, faults, suspects
from stages.signals.text import code_points

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


PIECES = [
    "img_0042",
    ".jpg",
    "a.JPG",
    "www.x",
    "://",
    ":",
    "<b>",
    "&amp;",
    "[url=",
    "\x07",
    "\u202e",
    "\ufffd",
    "\ue000",
]
PIECES += [
    "Click here",
    "free shipping",
    " now",
    "buy now",
    "١٢٣",
    "dsc",
    "12",
    "3",
    "coming soon",
    "image ",
    ".",
    "İ",
    "\n",
]


@given(st.lists(st.lists(st.sampled_from(PIECES), max_size=5).map("".join), max_size=20))
@settings(deadline=None)
def test_no_caption_with_a_fault_escapes_the_look_at_the_whole_batch(captions: list[str]) -> None:
    sizes = np.fromiter(map(len, captions), np.int64, len(captions))
    found = suspects(captions, code_points(captions), np.cumsum(sizes) - sizes)
    assert set(found) >= {i for i, caption in enumerate(captions) if faults(caption)}
    assert found == sorted(found)


PARTS = st.sampled_from(
    [
        "a",
        "1",
        ".",
        "-",
        ")",
        "/",
        "\\",
        " ",
        "\n",
        "é",
        "_",
        "jpg",
        ".jpg",
        ".tif",
        "f",
        ".jpeg",
        "img",
        "image",
        "p",
        "11",
    ]
)


@given(st.lists(PARTS, max_size=14).map("".join))
@settings(deadline=None, max_examples=500)
def test_file_names_are_those_of_the_plain_patterns(text: str) -> None:
    """Which begin anywhere in a word, and take time with the square of a caption's length."""
    image_file = re.compile(r"[^\s/\\]*[\w)-]\.(?:jpe?g|png|gif|webp|bmp|tiff?|svg|heic|psd|cr2|nef)\b")
    number = re.compile(r"\s*(?:img|dscn?|dscf|dsc|pict|pxl|mvi|p|image|photo|screenshot)[ _-]?\d{3,}[\w-]*\s*\Z")
    named = 2 * len(image_file.findall(text)) >= max(1, len(text.split()))
    assert ("filename" in faults(text)) == bool(named or number.match(text))


@pytest.mark.parametrize("unit", ["a.", "1.", "www.", "a-b.", "a.jpg", "a/", "<a ", "&a", "[/", "1", " "])
@pytest.mark.parametrize(("before", "after"), [("", ""), ("image", "!"), ("image 111", "!")])
@pytest.mark.timeout(20)
def test_hostile_captions_take_linear_time(unit: str, before: str, after: str) -> None:
    assert set(faults(before + unit * (200_000 // len(unit)) + after)) <= set(FAULTS)


def test_ordinary_captions_are_no_suspects() -> None:
    captions = ["a red boat.", "2 dogs at 12:30, No. 7", "", "İstanbul / kedi", "1984. a novel"]
    sizes = np.fromiter(map(len, captions), np.int64, len(captions))
    assert suspects(captions, code_points(captions), np.cumsum(sizes) - sizes) == [4]  # for its digits
