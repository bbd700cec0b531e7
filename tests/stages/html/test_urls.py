from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import SampleError
from stages.html import urls
from stages.html.urls import LONGEST, Resolver

PAGE = "https://example.org/docs/page.html?q=1#top"
ODD = st.text(alphabet=st.sampled_from("abA1:/\\.?#@%[] \t~-_é日\0"), max_size=40)


@pytest.mark.parametrize(
    ("raw", "url"),
    [
        ("a.png", "https://example.org/docs/a.png"),
        ("./a.png", "https://example.org/docs/a.png"),
        ("../a.png", "https://example.org/a.png"),
        ("../../../a.png", "https://example.org/a.png"),
        ("/a/./b/../c.png", "https://example.org/a/c.png"),
        ("//cdn.example.net/a.png", "https://cdn.example.net/a.png"),
        ("http://h.example:8080/a.png", "http://h.example:8080/a.png"),
        ("http://h.example:80/a.png", "http://h.example/a.png"),
        ("HTTPS://H.Example:443", "https://h.example/"),
        ("http://h.example/x/.././a", "http://h.example/a"),
        ("?size=2", "https://example.org/docs/page.html?size=2"),
        ("a.png#part", "https://example.org/docs/a.png"),
        (" my\tphoto 1.png\n", "https://example.org/docs/myphoto%201.png"),
        ("a%20b.png", "https://example.org/docs/a%20b.png"),
        ("über/ß.png?ü", "https://example.org/docs/%C3%BCber/%C3%9F.png?%C3%BC"),
        ("http://bücher.example/a", "http://xn--bcher-kva.example/a"),
        ("http://例え.テスト:81/a", "http://xn--r8jz45g.xn--zckzah:81/a"),
        ("\\images\\a.png", "https://example.org/images/a.png"),
        ("http:\\\\h.example\\a.png?b=\\c", "http://h.example/a.png?b=%5Cc"),
        ("https:a.png", "https://example.org/docs/a.png"),
        ("http://[::1]:8/a", "http://[::1]:8/a"),
        ("http://[::FFFF:1.2.3.4]/a", "http://[::ffff:1.2.3.4]/a"),
        ("http://a[b]@h.example/a", "http://a%5Bb%5D@h.example/a"),
        ("http://user:pass@h.example/a", "http://user:pass@h.example/a"),
    ],
)
def test_images_are_resolved_as_browsers_do(raw: str, url: str) -> None:
    assert Resolver(PAGE).image(raw) == (url, "")


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ("javascript:alert(1)", "scheme"),
        ("file:///etc/passwd", "scheme"),
        ("ftp://h.example/a.png", "scheme"),
        ("java\nscript:alert(1)", "scheme"),
        ("http://", "host"),
        ("http:///a.png", "host"),
        ("http://a b/", "host"),
        ("http://[1]/a.png", "host"),
        ("http://[oops/", "host"),
        ("http://[1:2:3:4:5:6:7:8:9]/", "host"),
        ("http://[::1]x/", "port"),
        ("http://h.example:99999/a", "port"),
        ("http://h.example:8a/a", "port"),
        ("http://" + "a" * 64 + "ü.example/", "host"),
        ("x" * (LONGEST + 1), "characters"),
        ("é" * (LONGEST // 3), "characters"),  # six each as they are sent
    ],
)
def test_what_is_no_place_on_the_web(raw: str, why: str) -> None:
    url, problem = Resolver(PAGE).image(raw)
    assert url is None
    assert why in problem
    assert Resolver(PAGE).link(raw) is None


def test_a_link_keeps_its_fragment() -> None:
    assert Resolver(PAGE).link("other.html#part") == "https://example.org/docs/other.html#part"
    assert Resolver(PAGE).link("mailto:someone@example.org") is None


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("/static/", "https://example.org/static/a.png"),
        ("http://cdn.example/x/y", "http://cdn.example/x/a.png"),
        ("javascript:alert(1)//", "https://example.org/docs/a.png"),
        ("file:///etc/", "https://example.org/docs/a.png"),
        ("http://a b/", "https://example.org/docs/a.png"),
    ],
)
def test_base(base: str, url: str) -> None:
    assert Resolver(PAGE, base).image("a.png") == (url, "")


def test_the_length_of_what_is_resolved_counts() -> None:
    resolver = Resolver(PAGE, "http://h.example/" + "a" * (LONGEST - 30) + "/")
    assert resolver.image("short.png")[0] is not None
    assert resolver.image("not/as/short.png") == (None, "a URL of 8196 characters")


def test_equal_images_are_one_string() -> None:
    resolver = Resolver(PAGE)
    assert resolver.image("a.png#1")[0] is resolver.image("a.png#2")[0]


def test_urls_of_a_page_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urls, "MOST", 1000)
    resolver = Resolver(PAGE)
    with pytest.raises(SampleError, match="more than 1000 characters"):
        for number in range(99):
            resolver.link(f"{number}.html")


def test_files_are_for_pages_that_are_files() -> None:
    local = Resolver("file:///books/one/page.html")
    assert local.image("../two/a b.png") == ("file:///books/two/a%20b.png", "")
    assert local.image("file:///x.png") == ("file:///x.png", "")
    assert local.image("http://h.example/x.png") == ("http://h.example/x.png", "")
    assert Resolver("sub/page.html").image("a.png") == ("sub/a.png", "")


@given(ODD | ODD.map("http://".__add__))
def test_a_resolved_url_is_ascii_and_resolves_to_itself(raw: str) -> None:
    resolver = Resolver(PAGE)
    url, why = resolver.image(raw)
    assert (url is None) == bool(why)
    if url is not None:
        assert url.isascii() and " " not in url
        assert url.startswith(("http://", "https://"))
        assert resolver.image(url) == (url, "")
        urlsplit(url)  # whoever reads it further may rely on it
