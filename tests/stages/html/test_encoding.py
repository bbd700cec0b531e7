from __future__ import annotations

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.html.encoding import decode

RUSSIAN = "Привет, мир! Как дела сегодня? Хорошо, спасибо, а у тебя?"


@pytest.mark.parametrize("charset", [None, "utf-8", "iso-8859-1", "windows-1251"])
def test_valid_utf8_is_utf8_whatever_is_declared(charset: str | None) -> None:
    page = f"<meta charset=koi8-r><p>{RUSSIAN}"
    assert decode(page.encode(), charset) == (page, "utf-8")


@pytest.mark.parametrize(
    ("bom", "codec"),
    [(codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")],
)
def test_a_byte_order_mark_comes_first(bom: bytes, codec: str) -> None:
    assert decode(bom + "<p>ж".encode(codec), "koi8-r") == ("<p>ж", codec)


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_mark_shows(codec: str) -> None:
    assert decode("<p>ж".encode(codec)) == ("<p>ж", codec)
    assert decode("ж <p>".encode(codec) * 9, codec) == ("ж <p>" * 9, codec)  # HTTP says it, and bytes are zero


def test_http_comes_before_the_page_and_the_page_before_a_guess() -> None:
    page = f"<meta charset='koi8-r'><p>{RUSSIAN}"
    assert decode(page.encode("cp1251"), "windows-1251") == (page, "cp1251")
    assert decode(page.encode("koi8-r")) == (page, "koi8-r")
    xml = f'<?xml version="1.0" encoding="koi8-r"?><p>{RUSSIAN}'
    assert decode(xml.encode("koi8-r")) == (xml, "koi8-r")
    older = f'<meta http-equiv="Content-Type" content="text/html; charset=windows-1251"><p>{RUSSIAN}'
    assert decode(older.encode("cp1251"), "no such thing") == (older, "cp1251")


def test_nobody_says_anything() -> None:
    assert decode(f"<p>{RUSSIAN}".encode("koi8-r")) == (f"<p>{RUSSIAN}", "koi8-r")
    assert decode("<p>Größe".encode("latin-1"))[0] == "<p>Größe"


def test_labels_are_read_as_browsers_read_them() -> None:
    assert decode(b"\x93quoted\x94", "latin1") == ("“quoted”", "cp1252")
    assert decode("鎔".encode("gb18030"), "gb2312")[1] == "gb18030"
    assert decode("①".encode("cp932"), "shift_jis") == ("①", "cp932")


def test_seven_bits_of_japanese_are_no_utf8() -> None:
    page = "<p>日本語</p>"
    assert decode(page.encode("iso2022_jp"), "iso-2022-jp") == (page, "iso2022_jp")


def test_utf7_is_no_encoding() -> None:
    assert decode(b"+ADw-script+AD4-", "utf-7") == ("+ADw-script+AD4-", "utf-8")


def test_a_few_broken_bytes_leave_utf8() -> None:
    text, codec = decode(RUSSIAN.encode() + b"\xd0", None)
    assert (text, codec) == (RUSSIAN + "\ufffd", "utf-8")


def test_a_page_that_calls_itself_utf8_and_is_not() -> None:
    page = "<meta charset=utf-8><p>café crème, déjà vu, naïve, à bientôt"
    assert decode(page.encode("cp1252"), "utf-8")[0] == page


@given(st.binary(max_size=300), st.none() | st.text(max_size=12) | st.sampled_from(["utf-16", "hz-gb-2312", "big5"]))
def test_any_bytes_are_a_text(page: bytes, charset: str | None) -> None:
    text, codec = decode(page, charset)
    assert codecs.lookup(codec)
    text.encode()  # no lone surrogates
