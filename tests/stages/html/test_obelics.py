"""OBELICS' reading of a page: its losses, its texts, and pages made to hurt it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import SampleError
from stages.html.media import absolute, file_words
from stages.html.obelics import extract, nodes_of
from stages.html.obelics_dom import END, parse, simplify

PAGE = "https://www.example.com/a/page.html"


def read(html: str) -> list[str]:
    """Texts as they are, images by their URL in brackets."""
    nodes = extract(html.encode(), PAGE).nodes
    return [f"[{node.url}]" if node.kind == "image" else str(node.text) for node in nodes]


@pytest.mark.parametrize(
    "lost",
    [
        "<figure><img src='a.jpg'><figcaption>Said of it.</figcaption></figure>",
        "<picture><source srcset='b.webp'><img src='a.jpg'></picture>",
        "<ul><li>An item.</li></ul>",
        "<table><caption>Said of it.</caption><tr><td>A cell.</td></tr></table>",
        "<pre>code</pre><form>form</form><nav>nav</nav><header>head</header><footer>foot</footer>",
        "<div id='menu'>by its id</div><div class='navbar'>by its class</div><div title='nav'>by its title</div>",
        "<div class='site footer'>by one of its classes</div><p class='SITE-INFO'>in any case</p>",
        "<div class='update'>what says date</div>",
        "<img src='http://localhost/a.jpg'><img src='http://x.com:8080/a.jpg'><img src='http://bücher.de/a.jpg'>",
        "<img src='a b.jpg'><img srcset='a.jpg 1x, b.jpg 2x'><img src='data:image/gif;base64,R0lGODlhAQABAAAAACw='>",
        "<video><source src='a.mp4'>no video</video><object data='a.svg'><p>no object</p></object>",
        "<iframe src='a.html'></iframe><svg><title>drawn</title></svg><select><option>one</option></select>",
    ],
)
def test_losses(lost: str) -> None:
    assert read(f"<p>Before.</p>{lost}<p>After.</p>") == ["Before.", "After."]


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<p>un<span>believ</span>able", ["unbelievable"]),
        ("<p>one<br>two<br/> three<br class='x'>four", ["one\ntwo\nthreefour"]),
        ("a<br><br><br><div>b</div>", ["a", "b"]),
        ("<div>a</div><div>b</div><p>c</p>d", ["a\nb", "c", "d"]),
        ("a<div> </div>b", ["ab"]),
        ("a<p><img src='http://bad'></p>b", ["ab"]),
        ("<p>x<img src='/i/../c.png'>y", ["x", "[https://www.example.com/i/c.png]", "y"]),
        ("<blink>a</blink>b<dl><dt>c<dd>d</dl>", ["ab", "c\nd"]),
        ("<h1>a<span><h2>b</h2></span>c</h1>d", ["a", "b", "cd"]),
        ("<video src='v.mp4'>no <img src='a.png'></video>b", ["b"]),
        ("<!-- <p>gone</p> -->x<!-- it never ends", ["x"]),
        ("<a class='more-link'>read on</a><p>of another", [END.strip(), "of another"]),
        ("", []),
    ],
)
def test_texts(html: str, expected: list[str]) -> None:
    assert read(html) == expected


def test_nodes_say_where_they_stand_in_the_simplified_tree() -> None:
    page = extract(
        b"<html lang='de'><title>T</title><nav>x</nav><main><p>a<p>b</main><aside><img src=i.png></aside>", PAGE
    )
    assert (page.title, page.language, page.charset) == ("T", "de", "utf-8")
    assert [(node.tag, node.region, node.path) for node in page.nodes] == [
        ("p", "main", "0.0"),
        ("p", "main", "0.1"),
        ("img", "aside", "1.0"),
    ]


def test_sizes_and_alt_texts() -> None:
    html = b"<img src=a.png width=300 height='200px' alt=A><img src=a.png width='50%' height=99999999999 alt=''>"
    first, second = extract(html, PAGE).nodes
    assert (first.width, first.height, first.text) == (300, 200, "A")
    assert (second.width, second.height, second.text) == (None, None, None)


def test_an_encoding_that_http_says() -> None:
    assert [node.text for node in extract("<p>žluťoučký".encode("cp1250"), PAGE, "windows-1250").nodes] == ["žluťoučký"]


def test_a_malformed_page_url_fails_the_page() -> None:
    with pytest.raises(SampleError, match="URL is malformed"):
        extract(b"<img src=a.png>", "http://[broken/")


@pytest.mark.parametrize(
    ("html", "nodes"),
    [
        ("<div>a<section>" * 20_000, 1),
        ("<center>" * 1000 + "<p>q" * 20_000, 20_000),
        ("<!--" * 500_000, 0),
        ("<p>" + "a<br>" * 200_000 + "<div> </div>" * 50_000 + "b", 2),
        ("<img src=a.png>" * 20_000, 20_000),
        ("<" * 200_000, 1),
        ("\0" * 100_000, 0),
        (f"<img src='{'.' * 500_000}x'>", 1),
    ],
)
def test_hostile_pages_are_read(html: str, nodes: int) -> None:
    found = extract(html.encode(), PAGE).nodes
    assert len(found) == nodes
    assert max((len(node.path) for node in found), default=0) < 1000


def test_a_host_that_swells_is_refused() -> None:
    host = ".".join(["a" * 63] * 120)
    with pytest.raises(SampleError, match="characters of their URLs"):
        extract(b"<img src=a.png>" * 9000, f"http://{host}/")


@given(st.text(alphabet="./a", max_size=30).filter(lambda path: not path.startswith("//")))
def test_folders_are_taken_out_by_the_published_rule(path: str) -> None:
    without = re.sub(r"\.+/", "", path)  # quadratic, so ours is written otherwise
    assert absolute(path, "http://h.example/p") == f"https://h.example/{without.removeprefix('/')}"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("sea-side_12x34x56%20at+noon.800x600.jpg", "sea side x at noon"),
        ("1" * 500_000 + "years.jpg", "years"),
        ("12x" * 50_000 + ".jpg", "x" * 25_000),
    ],
)
def test_words_of_a_file_name(name: str, words: str) -> None:
    assert file_words(f"http://h.example/{name}") == words


def test_a_page_that_ends_the_parser_fails_alone() -> None:
    with pytest.raises(SampleError, match="nests too deeply"):
        extract(b"<template>" * 100_000, PAGE)
    assert read("<p>next") == ["next"]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from([*"<>/ \n", "<p>", "</p>", "<div class=date>", "<b>", "</div>", "<img src=a.png>", "<br>", "x"])
    )
)
def test_any_page_is_read_and_no_text_is_empty(parts: list[str]) -> None:
    tree = simplify(parse("".join(parts)))
    nodes = list(nodes_of(tree, PAGE))
    assert all(node.kind == "image" or (node.text or "").strip() for node in nodes)
    assert list(nodes_of(simplify(tree), PAGE)) == nodes  # what is simple stays as it is
