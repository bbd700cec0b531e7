"""What in a caption belongs to a person or leads elsewhere: addresses, numbers of phones, cards and accounts."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Final, Literal, NamedTuple, get_args

import numpy as np
import pyarrow as pa

from curate.contracts import Batch, Signal

Kind = Literal["email", "url", "ip", "iban", "card", "phone"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

_EMAIL = re.compile(r"(?<![\w.%+-])[\w.%+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}\b")
_TOP = r"com|net|org|info|biz|edu|gov|shop|store|online|app|co\.uk|com\.[a-z]{2}"
"""Bare domains end so: under two letters, `no.me` or `jan.de` would be some."""
_URL = re.compile(
    r"\b(?:https?|ftp)://[^\s<>\"]{2,}|\bwww\.[\w-]{1,63}\.[^\s<>\"]{2,}"
    rf"|(?<![@\w.-])(?:[a-z0-9-]{{2,63}}\.){{1,4}}(?:{_TOP})(?:/[^\s<>\"]*|\b(?![.\w-]))",
    re.IGNORECASE,
)
_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_IPV4 = re.compile(rf"(?<![\w.])(?<!version )(?:{_OCTET}\.){{3}}{_OCTET}(?![\w]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:])[0-9a-fA-F]{0,4}(?::[0-9a-fA-F]{0,4}){2,7}(?![\w:])")
_IBAN = re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?!\w)")
_CARD = re.compile(r"(?<![\w-])(?:[3-6]\d{3}|2[2-7]\d{2})(?:[ -]?\d){9,15}(?![\w-]|\.\d)")
_PHONE = re.compile(
    r"(?<![\w+.])\+[1-9](?:[ ().-]{0,2}\d){7,14}(?!\w)"  # international: E.164, 8 to 15 digits
    r"|(?<![\w.(-])(?:1[ .-])?(?:\([2-9]\d\d\) ?|[2-9]\d\d[ .-])[2-9]\d\d[ .-]\d{4}(?![\w-]|\.\d)"  # North America
    r"|\b(?:tel|phone|fon|call|fax|mobile|mob|cell|whatsapp)(?:efon|éfono|efone|ephone)?\b\W{0,4}"
    r"(?!\(?\d{4}-\d{4}\b)\(?\d(?:[ ()./-]{0,2}\d){5,14}(?!\w)",  # after a word, but no years
    re.IGNORECASE,
)
_DIGITS = re.compile(r"(?:\d\D{0,3}){6}\d")
"""At least seven digits, at most three characters apart: none of the numbers is shorter."""


class Match(NamedTuple):
    """`text[start:end]` is of this kind."""

    kind: Kind
    start: int
    end: int


class PersonalData(Signal):
    """Kinds of personal data and addresses in a caption, found by pattern and, where there is one, by check digit.

    Patterns find what is written as such; a name or an address in words is beyond them. No caption, no fact.
    """

    needs: ClassVar[tuple[str, ...]] = ("text",)
    cost: ClassVar[float] = 0.002

    def gives(self) -> dict[str, pa.DataType]:
        """caption_pii: kinds in the order of `KINDS`, `email,phone`, empty for none; caption_pii_count: how many in all."""
        return {"caption_pii": pa.string(), "caption_pii_count": pa.int32()}

    def compute(self, batch: Batch) -> dict[str, Sequence[Any] | np.ndarray]:
        """Caption by caption."""
        texts: Sequence[str | None] = batch.columns["text"].tolist()
        found = [None if text is None else personal_data(text) for text in texts]
        return {
            "caption_pii": [None if matches is None else _kinds(matches) for matches in found],
            "caption_pii_count": [None if matches is None else len(matches) for matches in found],
        }


def personal_data(text: str) -> list[Match]:
    """All matches, in the text's order; no two overlap (an IBAN's digits are no phone number).

    `email`, `url` (with scheme, `www.`, or a bare domain under a common top-level domain), `ip` (IPv4, IPv6), `iban`
    (ISO 13616, mod 97), `card` (13 to 19 digits, an issuer's first digits, Luhn), `phone` (international, North American,
    or any after a word such as `tel`).
    """
    found: list[Match] = []
    taken = bytearray(len(text))
    for kind, pattern, valid in _patterns(text):
        for match in pattern.finditer(text):
            start, end = match.span()
            if valid(match[0]) and taken.find(1, start, end) < 0:
                taken[start:end] = b"\1" * (end - start)
                found.append(Match(kind, start, end))
    return sorted(found, key=lambda match: match.start)


def _patterns(text: str) -> Iterator[tuple[Kind, re.Pattern[str], Callable[[str], object]]]:
    """What the text may hold by its characters: looking for them first is many times faster than the patterns."""
    if "@" in text:
        yield "email", _EMAIL, len
    dotted = "." in text
    if dotted:
        yield "url", _URL, len
    if dotted and text.count(".") >= 3:
        yield "ip", _IPV4, len
    if text.count(":") >= 2:
        yield "ip", _IPV6, _is_ipv6
    if _DIGITS.search(text):
        yield "iban", _IBAN, _is_iban
        yield "card", _CARD, _is_card
        yield "phone", _PHONE, len


def _kinds(matches: Sequence[Match]) -> str:
    if not matches:
        return ""
    found = {match.kind for match in matches}
    return ",".join(kind for kind in KINDS if kind in found)


def _is_ipv6(text: str) -> bool:
    """`12:30:45` is a time, `::` an ornament."""
    try:
        return len(text) > 3 and ipaddress.ip_address(text).version == 6
    except ValueError:
        return False


def _is_iban(text: str) -> bool:
    """15 to 34 characters; moved by four places and read as a number, 1 modulo 97 (ISO 7064)."""
    code = text.replace(" ", "")
    return 15 <= len(code) <= 34 and int("".join(str(int(c, 36)) for c in code[4:] + code[:4])) % 97 == 1


def _is_card(text: str) -> bool:
    """The sum of digits, every second from the right doubled, is a multiple of 10 (Luhn, ISO/IEC 7812-1)."""
    digits = [int(c) for c in text if c.isdecimal()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return len(set(digits)) > 1 and (sum(digits[::-2]) + sum(doubled)) % 10 == 0
