"""Pages that no one wrote in good faith: each becomes a page or a SampleError, and the next one is read as ever."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import SampleError
from stages.html.node import Page
from stages.html.page import LARGEST, extract
from stages.html.walk import DEEPEST, MOST_NODES

URL = "https://example.org/docs/page.html"
REGIONS = {None, "main", "nav", "header", "footer", "aside", "form"}
DEEP = 100_000
PIECES = (
    "<p>", "</p>", "<div>", "</div>", "<b>", "</b>", "<a href=x>", "</a>", "<img src=a alt=b>", "<table>", "<tr>", "<td>",
    "</table>", "<ul>", "<li>", "</ul>", "<ol start=3>", "</ol>", "<pre>", "</pre>", "<figure>", "<figcaption>",
    "</figure>", "<svg>", "</svg>", "<math>", "<template>", "</template>", "<noscript>", "</noscript>", "<script>",
    "</script>", "<style>", "</style>", "<plaintext>", "<xmp>", "<title>", "</title>", "<select>", "<option>", "<br>",
    "<nav>", "</nav>", "<div hidden>", "<form>", "<picture>", "<source srcset='a 2x, b'>", "<base href=/x>", "<!--", "-->",
    "<body role=main>", "</body>", "<iframe>", "<caption>", "text ", " ", "&amp;", "&#0;", "&#xD800;", "\0", "\x0c", "é", "<",
    ">", "'", '"', "]]>", "<![CDATA[", "<?php", "<frameset>", "<foreignObject>", "<desc>", "<hr>", "</br>", "<image>",
)  # fmt: skip


def checked(html: bytes, charset: str | None = None) -> Page | None:
    """The page, of which everything is as `Node` says; None: it is refused."""
    try:
        page = extract(html, URL, charset)
    except SampleError as error:
        assert len(str(error)) < 300
        return None
    assert len(page.nodes) <= MOST_NODES + 1
    for node in page.nodes:
        (node.text or "").encode()
        assert "\0" not in (node.text or "") and "\0" not in (node.caption or "")
        assert node.region in REGIONS
        assert all(part.isdecimal() for part in node.path.split(".") if node.path)
        if node.kind == "text":
            assert node.text and node.text.strip()
            assert (node.url, node.data, node.error, node.caption) == (None,) * 4
        else:
            assert node.tag in ("img", "amp-img")
            assert [node.url is not None, node.data is not None, node.error is not None].count(True) == 1
            assert all(url.startswith(("http://", "https://")) for url in (*node.others, node.url or "https://"))
    return page


@pytest.mark.parametrize(
    ("opening", "rest", "count"),
    [
        ("<div>", "x", 1),
        ("<span>x", "", 1),
        ("<div>x", "", DEEP),
        ("<b>", "<p>x", 1),
        ("<ul><li>", "x", 1),
        ("<table><tr><td>", "x", 1),
        ("<pre>", "x", 1),
        ("<svg>", "x", 0),
        ("<figure><figcaption>", "x<img>", 2),
        ("<a href=x>", "x", 1),
        ("<nav>", "x", 1),
        ("<div hidden>", "x<img>", 1),
        ("<noscript>", "x", 0),
        ("<dl><dt>", "x", 1),
    ],
)
def test_deep_nesting_is_read(opening: str, rest: str, count: int) -> None:
    page = checked(f"<body>{opening * DEEP}{rest}".encode())
    assert page is not None and len(page.nodes) == count
    assert all(node.path.count(".") < DEEPEST for node in page.nodes)


@pytest.mark.parametrize(
    "html",
    [
        "<template>" * DEEP + "x",
        "<table><template>" * DEEP + "x",
        "<img>" * (MOST_NODES + 1),
    ],
    ids=["templates", "templates in tables", "images"],
)
def test_what_cannot_be_read_is_refused(html: str) -> None:
    assert checked(html.encode()) is None
    assert checked(b"<p>next") is not None


def test_a_hundred_megabytes_are_refused() -> None:
    with pytest.raises(SampleError, match=f"at most {LARGEST}"):
        extract(b"<p>text</p>" * 9_600_000, URL)


@pytest.mark.slow
def test_the_largest_page_is_read() -> None:
    page = checked((b"<p>" + b"word " * 30) * (LARGEST // 153))
    assert page is not None and len(page.nodes) == LARGEST // 153


def test_entity_bombs_are_text() -> None:
    """HTML has no entities of its own making; the longest are two characters."""
    page = checked(
        b"<!DOCTYPE lolz [<!ENTITY lol 'lol'><!ENTITY lol2 '&lol;&lol;'>]><p>&lol2;&lol2;" + b"&NotEqualTilde;" * 99
    )
    assert page is not None
    assert page.nodes[-1].text == "&lol2;&lol2;" + "≂̸" * 99
    many = checked(b"&NotEqualTilde;" * 500_000)
    assert many is not None and many.nodes[0].text == "≂̸" * 500_000


@pytest.mark.parametrize(
    "html",
    [
        b"<plaintext>" + b"</plaintext><script " * DEEP,
        b"<script><!--<script></script>" + b"<xmp " * DEEP,
        b"<img srcset='" + b"," * 1_000_000 + b"'>",
        b"<img srcset='" + b"a 1w," * 200_000 + b"'>",
        b"<a href='" + b"/.." * 1_000_000 + b"'>x</a>",
        b"<p style='" + b"display: " * DEEP + b"'>x",
        b"<img style='" + b"width:" * DEEP + b"'>",
        b"x<br>" * 300_000,
        b"<p>x<a href=y></a>" * 50_000,
        b"<p>" + b"x<a href=y></a>" * 50_000,
        b"x<img><noscript><img></noscript> " * 20_000,
        b"<figure><figcaption>x</figcaption><img>" * 20_000,
        b"<table><caption>x</caption><tr><td><img>" * 20_000,
        b"<" * 1_000_000,
        b'<a "' * 300_000,
        b"<!--" * 300_000,
        b"\xff\xfe" * 300_000,
        b"\0" * 1_000_000,
        b"\xe9" * 1_000_000,
        b"<img src=a width='5" + b" " * 1_000_000 + b"x'>",
        b"<picture>" + b"<source srcset=a>" * 20_000 + b"<img src=a>" * 20_000,
        b"<picture><source srcset='" + b"a 1w," * 100_000 + b"'>" + b"<img src=a>" * 20_000,
        b"<img src=a><noscript>" + b"<img src=a>" * 100_000,
        b"<img src=a srcset='" + b"a 1w," * 200_000 + b"'><noscript>" + b"<img src=a>" * 50_000,
        b"<figure>" * 200 + b"<img>" + b"<figcaption><p>" * 20_000 + b"x" * 500_000,
    ],
)
def test_nothing_is_quadratic(html: bytes) -> None:
    """Each would take hours if it were; as it is, seconds at most."""
    assert checked(html) is not None


@pytest.mark.parametrize(
    ("html", "times"),
    [
        ("<figure>" + "<img src=a>" * 2000 + f"<figcaption><p>{'x' * 100_000}<p>y</figcaption></figure>", 200),
        ("<figure><img src=a>" + "<figcaption><p>" * 2000 + "x" * 100_000, 2),
        ("<table>" + "<tr><td><img src=a>" * 2000 + f"<caption>{'x' * 100_000}</caption></table>", 200),
        ("<base href='/" + "a" * 100_000 + "/'>" + "<img src=a>" * 2000, 1),
        ("<html lang='" + "x" * 100_000 + "'>" + "<img src=a>" * 2000, 2),
        ("<meta http-equiv=content-language content='" + "x" * 100_000 + "'>" + "<img src=a>" * 2000, 2),
        ("<a href='/" + "a" * 100_000 + "'>" + "<img src=a>" * 2000 + "</a>", 1),
    ],
    ids=["captions", "nested captions", "caption of a table", "base", "language", "content-language", "link"],
)
def test_what_is_said_once_does_not_swell(html: str, times: int) -> None:
    """All that a page's nodes say, as rows hold it, is at most so many times the page."""
    page = checked(html.encode())
    assert page is not None
    each = len(page.language or "")
    said = [
        text for node in page.nodes for text in (node.text, node.url, node.caption, node.link, *node.others) if text
    ]
    assert sum(map(len, said)) + each * len(page.nodes) <= times * len(html)
    assert each <= 64


def test_a_page_whose_urls_swell_is_refused() -> None:
    base = f"<base href='http://h.example/{'a' * 8000}/'>"
    assert checked((base + "".join(f"<img src={number}>" for number in range(1000))).encode()) is not None
    assert checked((base + "".join(f"<img src={number}>" for number in range(9000))).encode()) is None
    assert checked((base + "<img src=a#b>" * 9000).encode()) is not None  # one URL


@pytest.mark.parametrize("charset", [None, "utf-8", "utf-16", "big5", "iso-2022-jp"])
def test_bytes_of_any_kind_are_a_page(charset: str | None) -> None:
    draw = random.Random(5)
    for length in (0, 1, 7, 300, 5000):
        assert checked(draw.randbytes(length), charset) is not None
    assert checked(bytes(range(256)) * 40, charset) is not None


def mutated(html: bytes, draw: random.Random) -> bytes:
    """One to eight faults: pieces cut, doubled, moved, overwritten; tags, zeros and broken UTF-8 put in."""
    page = bytearray(html)
    for _ in range(draw.randint(1, 8)):
        start = draw.randrange(len(page) + 1)
        end = min(len(page), start + draw.choice((1, 5, 40, 400)))
        match draw.randrange(6):
            case 0:
                del page[start:end]
            case 1:
                page[start:start] = page[start:end] * draw.choice((1, 3, 50))
            case 2:
                page[start:end] = draw.randbytes(end - start)
            case 3:
                page[start:start] = draw.choice(PIECES).encode("utf-8", "surrogatepass") * draw.choice((1, 2, 200))
            case 4:
                piece, place = page[start:end], draw.randrange(len(page) + 1)
                del page[start:end]
                page[place:place] = piece
            case 5:
                page[start:start] = draw.choice(
                    (b"\0", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf0\x9f", b"\r", b"<", b'"')
                )
    return bytes(page)


def test_a_thousand_mutations_of_real_pages(embedded_pages: list[tuple[str, bytes]]) -> None:
    draw = random.Random(11)
    short = sorted((html for _, html in embedded_pages), key=len)[:10]
    read = sum(checked(mutated(draw.choice(short), draw)) is not None for _ in range(1000))
    assert read > 990


@given(st.lists(st.sampled_from(PIECES), max_size=60))
@settings(max_examples=400)
def test_any_markup_is_a_page(pieces: list[str]) -> None:
    html = "".join(pieces).encode("utf-8", "surrogatepass")
    page = checked(html)
    assert page is not None
    assert extract(html, URL) == page


@given(st.text(max_size=200))
def test_any_text_is_a_page(text: str) -> None:
    assert checked(text.encode("utf-8", "surrogatepass")) is not None
