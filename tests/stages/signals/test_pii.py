"""Personal data: each kind is found where it is valid, and numbers that only look like one are not."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.contracts import Batch
from filters.text import NoPersonalData
from stages.signals.pii import Match, PersonalData, _patterns, personal_data


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("write to jo.doe+x@mail.example.co.uk now", [("email", "jo.doe+x@mail.example.co.uk")]),
        ("see https://a.example/c?x=1", [("url", "https://a.example/c?x=1")]),
        ("on www.foo.org and example.com", [("url", "www.foo.org"), ("url", "example.com")]),
        ("host 192.168.0.1 and 2001:db8::ff00:42:8329", [("ip", "192.168.0.1"), ("ip", "2001:db8::ff00:42:8329")]),
        ("GB82 WEST 1234 5698 7654 32", [("iban", "GB82 WEST 1234 5698 7654 32")]),
        ("to DE89370400440532013000 please", [("iban", "DE89370400440532013000")]),
        ("card 4111 1111 1111 1111", [("card", "4111 1111 1111 1111")]),
        ("amex 378282246310005", [("card", "378282246310005")]),
        ("+49 (0)30 123456", [("phone", "+49 (0)30 123456")]),
        ("ring (212) 555-1234", [("phone", "(212) 555-1234")]),
        ("Tel: 030/1234567", [("phone", "Tel: 030/1234567")]),
    ],
)
def test_kinds(text: str, found: list[tuple[str, str]]) -> None:
    assert [(match.kind, text[match.start : match.end]) for match in personal_data(text)] == found


@pytest.mark.parametrize(
    "text",
    [
        "a cat @ home, no.me, Dr.Who and jan.de",
        "card 4111 1111 1111 1112",
        "0000 0000 0000 0000",
        "GB82 WEST 1234 5698 7654 33",
        "version 1.2.3.4 of 12:30:45, 1.2.3.256",
        "Photo 12 of 30, 4000x3000, 2019-01-02 10:20:30",
        "inventor of the telephone (1847-1922)",
        "Nikon D750 24-70mm f/2.8 1/250 ISO 12800",
        "St. Louis 1904-1905-1906, barcode 123456789012",
    ],
)
def test_what_only_looks_like_one(text: str) -> None:
    assert personal_data(text) == []


@given(st.integers(10**14, 10**15 - 1))
def test_a_card_number_is_found_with_its_check_digit_only(number: int) -> None:
    body = f"4{number}"[:15]
    valid = [digit for digit in "0123456789" if any(m.kind == "card" for m in personal_data(f"n {body}{digit}"))]
    assert len(valid) == 1


@given(st.text(st.sampled_from("ab@.:/ 0123456789+-()GB"), max_size=200))
def test_matches_lie_in_the_text_and_do_not_overlap(text: str) -> None:
    found = personal_data(text)
    assert all(0 <= match.start < match.end <= len(text) for match in found)
    assert all(one.end <= other.start for one, other in pairwise(found))


@given(
    st.lists(
        st.sampled_from(
            ["a@b.co", "a@b.com", " ", "www.b.com", "/", "1.2.3.4", "4111 1111 1111 1111", "tel ", "+49 30 "]
        )
    )
)
def test_of_matches_that_overlap_the_first_kind_counts(parts: list[str]) -> None:
    text = "".join(parts)
    expected: list[Match] = []
    for kind, pattern, valid in _patterns(text):
        for match in pattern.finditer(text):
            start, end = match.span()
            if valid(match[0]) and all(end <= other.start or other.end <= start for other in expected):
                expected.append(Match(kind, start, end))
    assert personal_data(text) == sorted(expected, key=lambda match: match.start)


@pytest.mark.parametrize(
    "text",
    [
        *("a" * 50_000 + "@", "1 " * 30_000, "a." * 30_000, ":" * 50_000, "+1" * 30_000),
        *("a@b.co " * 30_000, "www.b.com " * 20_000, "1.1.1.1 " * 25_000, "4111111111111111 " * 12_000),
    ],
)
@pytest.mark.timeout(20)
def test_hostile_text_takes_linear_time(text: str) -> None:
    assert len(personal_data(text)) <= len(text)


def test_signal_and_filter() -> None:
    texts = np.array(["a cat", "a@b.org or c@d.org, 555-0100", "http://x.org a@b.org", None], object)
    found = PersonalData().compute(Batch({"text": texts}))
    assert list(found["caption_pii"]) == ["", "email", "email,url", None]
    assert list(found["caption_pii_count"]) == [0, 2, 2, None]
    facts = {"caption_pii": np.array(found["caption_pii"], object)}
    assert NoPersonalData()(facts).tolist() == [True, False, False, False]
    assert NoPersonalData(allow=("url", "email"))(facts).tolist() == [True, True, True, False]
